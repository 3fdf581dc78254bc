/* The commands of `pushwright`, one file each. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_COMMAND_H
#define PUSHWRIGHT_RUNTIME_CLI_COMMAND_H

#include "shared/base/error.h"

#include <stdio.h>

/* Exit codes of every command. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,  /* it did not work; trying again may help */
    EXIT_USAGE = 2,   /* the command line is wrong */
    EXIT_REFUSED = 3, /* the input is wrong, or the receiver refused it for good */
};

struct command {
    const char *name;
    const char *summary;
    const char *help;                  /* the whole text of --help */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command command_up, command_build, command_lint, command_explain, command_plan, command_deploy,
    command_rollback, command_rbac, command_send, command_replay, command_history;

/* "pushwright lint: ..." on standard error; the exit code for the error's kind. */
int command_fail(const char *name, const struct error *err);

/* Every mistake of a configuration, a line each: PATH:LINE:COLUMN: what. EXIT_DONE when there is none (nothing is printed). */
struct config;
int command_check_config(const char *name, const char *path, FILE *out, struct config **config);

/* The help text on standard output (wanted) or a hint on standard error. */
int command_usage(const struct command *command, const char *mistake);

#endif
