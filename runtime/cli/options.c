#include "runtime/cli/options.h"

#include "shared/base/bytes.h"

#include <stdarg.h>

enum { TEXT_MAX = 1024 };

__attribute__((format(printf, 2, 3))) static bool wrong(const struct command *command, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    command_usage(command, text);
    return false;
}

/* Takes the word behind it when it has its value there. */
static bool read_option(const struct command *command, char **argv, int *at, const struct option *options)
{
    struct span value = span_of(argv[*at]), name = span_cut(&value, '=');
    while (options->name && !span_is(name, options->name))
        options++;
    if (!options->name)
        return wrong(command, "unknown option %.*s", SPAN_ARGS(name));
    if (options->flag && value.data)
        return wrong(command, "%s takes no value", options->name);
    if (!options->flag && !value.data && !argv[*at + 1])
        return wrong(command, "%s needs a value", options->name);
    if (options->flag)
        *options->flag = true;
    else
        *options->value = value.data ? value.data : argv[++*at];
    return true;
}

bool options_read(const struct command *command, int argc, char **argv, const struct option *options,
                  const struct argument *arguments)
{
    for (int i = 1; i < argc; i++) {
        bool is_option = argv[i][0] == '-' && argv[i][1];
        if (is_option && !read_option(command, argv, &i, options))
            return false;
        if (!is_option && !arguments->name)
            return wrong(command, "'%s' is one argument too many", argv[i]);
        if (!is_option)
            *(arguments++)->value = argv[i];
    }
    return !arguments->name || arguments->optional || wrong(command, "no %s was named", arguments->name);
}
