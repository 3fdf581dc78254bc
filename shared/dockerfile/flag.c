#include "shared/dockerfile/flag.h"

#include <string.h>
#include <strings.h>

enum { FLAGS_MAX = 16 };

static bool unknown_flag(const char *name, const struct flag *flags, size_t count, struct error *err)
{
    const char *names[FLAGS_MAX];
    for (size_t i = 0; i < count; i++)
        names[i] = flags[i].name;
    const char *meant = suggest(name, names, count, true);
    if (!meant)
        return error_set(err, ERROR_INVALID, "unknown flag: --%s", name);
    return error_set(err, ERROR_INVALID, "unknown flag: --%s (did you mean %s?)", name, meant);
}

static bool set_boolean(const struct flag *flag, const char *value, struct error *err)
{
    if (value && !*value)
        return error_set(err, ERROR_INVALID, "missing a value on flag: --%s", flag->name);
    bool yes = !value || !strcasecmp(value, "true");
    if (!yes && strcasecmp(value, "false") != 0)
        return error_set(err, ERROR_INVALID, "expecting boolean value for flag --%s, not: %s", flag->name, value);
    *flag->boolean = yes;
    return true;
}

static bool set_flag(struct arena *arena, const struct flag *flag, const char *value, struct error *err)
{
    if (flag->type == FLAG_BOOLEAN)
        return set_boolean(flag, value, err);
    if (!value)
        return error_set(err, ERROR_INVALID, "missing a value on flag: --%s", flag->name);
    if (flag->type == FLAG_LIST)
        return word_add(arena, flag->list, value, err);
    *flag->text = value;
    return true;
}

bool flags_parse(struct arena *arena, const struct node *node, const struct flag *flags, size_t count,
                 struct error *err)
{
    unsigned seen = 0;
    for (size_t i = 0; i < node->flags.count; i++) {
        const char *text = node->flags.items[i] + 2, *equals = strchr(text, '=');
        const char *name = text;
        if (equals && !(name = arena_dup(arena, (struct span){ text, (size_t)(equals - text) })))
            return no_memory(err);
        size_t row = 0;
        while (row < count && strcmp(flags[row].name, name) != 0)
            row++;
        if (row == count)
            return unknown_flag(name, flags, count, err);
        if (seen & (1u << row) && flags[row].type != FLAG_LIST)
            return error_set(err, ERROR_INVALID, "duplicate flag specified: --%s", name);
        seen |= 1u << row;
        if (!set_flag(arena, &flags[row], equals ? equals + 1 : NULL, err))
            return false;
        if (flags[row].used)
            *flags[row].used = true;
    }
    return true;
}
