#include "shared/policy/pattern.h"

#include <stdlib.h>

struct pattern {
    char *glob; /* or: */
    struct regex *regex;
    bool takes_back;
};

struct patterns {
    struct pattern *items;
    size_t count;
};

struct patterns *patterns_new(void)
{
    return calloc(1, sizeof(struct patterns));
}

void patterns_free(struct patterns *patterns)
{
    if (!patterns)
        return;
    for (size_t i = 0; i < patterns->count; i++) {
        free(patterns->items[i].glob);
        regex_free(patterns->items[i].regex);
    }
    free(patterns->items);
    free(patterns);
}

size_t patterns_count(const struct patterns *patterns)
{
    return patterns->count;
}

static bool add(struct patterns *patterns, struct pattern pattern, struct error *err)
{
    struct pattern *items = reallocarray(patterns->items, patterns->count + 1, sizeof *items);
    if (!items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    items[patterns->count++] = pattern;
    patterns->items = items;
    return true;
}

bool patterns_add_glob(struct patterns *patterns, struct span glob, struct error *err)
{
    bool takes_back = span_starts(glob, "!");
    if (takes_back)
        glob = (struct span){ glob.data + 1, glob.len - 1 };
    if (!glob_check(glob, err))
        return false;
    if (span_find(glob, '\0') >= 0)
        return error_set(err, ERROR_INVALID, "a glob with a NUL byte");
    AUTO(free) char *copy = span_dup(glob);
    if (!copy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!add(patterns, (struct pattern){ .glob = copy, .takes_back = takes_back }, err))
        return false;
    TAKE(copy);
    return true;
}

bool patterns_add_regex(struct patterns *patterns, struct span pattern, struct error *err)
{
    AUTO(regex_free) struct regex *regex = regex_new(pattern, err);
    if (!regex || !add(patterns, (struct pattern){ .regex = regex }, err))
        return false;
    TAKE(regex);
    return true;
}

static bool item_match(const struct pattern *pattern, struct span name, bool *matched, struct error *err)
{
    if (pattern->regex)
        return regex_match(pattern->regex, name, matched, err);
    *matched = glob_match(span_of(pattern->glob), name);
    return true;
}

bool patterns_match(const struct patterns *patterns, struct span name, bool *matched, struct error *err)
{
    bool only_takes_back = patterns->count > 0;
    for (size_t i = patterns->count; i-- > 0;) {
        const struct pattern *pattern = &patterns->items[i];
        bool hit;
        if (!item_match(pattern, name, &hit, err))
            return false;
        if (hit) {
            *matched = !pattern->takes_back;
            return true;
        }
        only_takes_back = only_takes_back && pattern->takes_back;
    }
    *matched = only_takes_back;
    return true;
}
