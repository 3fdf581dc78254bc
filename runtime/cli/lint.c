#include "runtime/cli/options.h"
#include "runtime/cli/story.h"
#include "shared/config/config.h"

int command_check_config(const char *name, const char *path, FILE *out, struct config **config)
{
    struct error err = { 0 };
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    *config = config_read(path, &mistakes, &err);
    for (size_t i = 0; i < mistakes.count; i++) {
        fprintf(out, "%s:%zu:%zu: ", path, mistakes.items[i].line, mistakes.items[i].column);
        story_print(out, mistakes.items[i].text);
        putc('\n', out);
    }
    if (*config)
        return EXIT_DONE;
    return mistakes.count > 0 ? EXIT_REFUSED : command_fail(name, &err);
}

static int lint(const char *path)
{
    AUTO(config_free) struct config *config = NULL;
    int code = command_check_config("lint", path, stdout, &config);
    if (config)
        printf("%s: fine (%zu sources, %zu builds, %zu triggers)\n", path, config->source_count, config->build_count,
               config->trigger_count);
    return code;
}

static int run(int argc, char **argv)
{
    const char *file;
    const struct argument arguments[] = { ARGUMENT("FILE", &file), END };
    return options_read(&command_lint, argc, argv, &(struct option)END, arguments) ? lint(file) : EXIT_USAGE;
}

const struct command command_lint = {
    .name = "lint",
    .summary = "check a configuration file",
    .help = "Usage: pushwright lint FILE\n\n"
            "Checks a configuration (pushwright.json; '-' reads standard input) and prints every mistake as\n"
            "FILE:LINE:COLUMN: what is wrong and what to do. Exit codes: 0 fine, 3 mistakes, or no such file.\n",
    .run = run,
};
