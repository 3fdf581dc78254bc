/* What stands behind a command's name: options in any place, "--name VALUE", "--name=VALUE" or "--name" alone, and arguments in their order. `build`
 * has a reader of its own: its options are those of another program. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_OPTIONS_H
#define PUSHWRIGHT_RUNTIME_CLI_OPTIONS_H

#include "runtime/cli/command.h"

struct option {
    const char *name;
    const char **value;
    bool *flag; /* instead of a value */
};

struct argument {
    const char *name; /* as the help has it */
    const char **value;
    bool optional; /* as are those behind it */
};

#define OPTION(name_, value_) { .name = (name_), .value = (value_) }
#define FLAG(name_, flag_) { .name = (name_), .flag = (flag_) }
#define ARGUMENT(name_, value_) { .name = (name_), .value = (value_) }
#define OPTIONAL(name_, value_) { .name = (name_), .value = (value_), .optional = true }
#define END { .name = NULL }

/* Each table ends with a row without a name; what is not told is left as it is. False: standard error says what is wrong, for EXIT_USAGE. */
bool options_read(const struct command *command, int argc, char **argv, const struct option *options,
                  const struct argument *arguments);

#endif
