/* pushwright: the one command line beside the functions. */
#include "runtime/cli/command.h"

#include "runtime/cli/story.h"
#include "runtime/version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_up,       &command_build, &command_lint, &command_explain, &command_plan,    &command_deploy,
    &command_rollback, &command_rbac,  &command_send, &command_replay,  &command_history,
};

int command_fail(const char *name, const struct error *err)
{
    fprintf(stderr, "pushwright %s: ", name);
    story_print(stderr, err->message);
    putc('\n', stderr);
    return error_is_temporary(err) ? EXIT_FAILED : EXIT_REFUSED;
}

int command_usage(const struct command *command, const char *mistake)
{
    if (!mistake) {
        fputs(command->help, stdout);
        return EXIT_DONE;
    }
    fprintf(stderr, "pushwright %s: ", command->name);
    story_print(stderr, mistake);
    fprintf(stderr, "\nTry 'pushwright %s --help'.\n", command->name);
    return EXIT_USAGE;
}

static void overview(FILE *out)
{
    fputs("A git push becomes a running service.\n\nUsage: pushwright COMMAND [OPTIONS]\n\n", out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n'pushwright COMMAND --help' tells more. Exit codes: 0 done, 1 failed (try again), 2 wrong usage, 3 wrong "
          "input.\n",
          out);
}

static bool asks_for(const char *argument, const char *option)
{
    return strcmp(argument, option) == 0 || strcmp(argument, option + 2) == 0;
}

static bool has_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

static int run(int argc, char **argv)
{
    if (asks_for(argv[0], "--help")) {
        overview(stdout);
        return EXIT_DONE;
    }
    if (asks_for(argv[0], "--version")) {
        puts("pushwright " PUSHWRIGHT_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[0], commands[i]->name) == 0)
            return has_help(argc, argv) ? command_usage(commands[i], NULL) : commands[i]->run(argc, argv);
    fprintf(stderr, "pushwright: no command '%s'; 'pushwright --help' lists them\n", argv[0]);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    /* Whole lines: by itself it would be written byte by byte, in between what others say there. */
    static char line[BUFSIZ];
    setvbuf(stderr, line, _IOLBF, sizeof line);
    if (argc < 2) {
        overview(stderr);
        return EXIT_USAGE;
    }
    int code = run(argc - 1, argv + 1);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "pushwright: cannot write to standard output: %s\n", strerror(errno));
    return code == EXIT_DONE ? EXIT_FAILED : code;
}
