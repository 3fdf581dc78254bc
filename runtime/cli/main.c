/* pushwright: the one command line beside the functions. */
#include "runtime/cli/command.h"

#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_up, &command_lint, &command_send, &command_replay, &command_history,
};

int command_fail(const char *name, const struct error *err)
{
    fprintf(stderr, "pushwright %s: %s\n", name, err->message);
    return error_is_temporary(err) ? EXIT_FAILED : EXIT_REFUSED;
}

int command_usage(const struct command *command, const char *mistake)
{
    if (!mistake) {
        fputs(command->help, stdout);
        return EXIT_DONE;
    }
    fprintf(stderr, "pushwright %s: %s\nTry 'pushwright %s --help'.\n", command->name, mistake, command->name);
    return EXIT_USAGE;
}

static void overview(FILE *out)
{
    fputs("A git push becomes a running service.\n\nUsage: pushwright COMMAND [OPTIONS]\n\n", out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n'pushwright COMMAND --help' tells more. Exit codes: 0 done, 1 failed (try again), 2 wrong usage, 3 wrong input.\n",
          out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        overview(stdout);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        if (argc == 3 && strcmp(argv[2], "--help") == 0)
            return command_usage(commands[i], NULL);
        return commands[i]->run(argc - 1, argv + 1);
    }
    fprintf(stderr, "pushwright: no command '%s'; 'pushwright --help' lists them\n", argv[1]);
    return EXIT_USAGE;
}
