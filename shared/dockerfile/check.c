#include "shared/dockerfile/check.h"

#include "shared/dockerfile/lex.h"

#include <string.h>

static bool up_to_blank(struct arena *arena, struct span value, const char **out, struct error *err)
{
    struct span first = span_cut(&value, ' ');
    *out = arena_dup(arena, first);
    return *out || no_memory(err);
}

bool check_find(struct arena *arena, struct span text, const char **out, struct error *err)
{
    unsigned seen = 0;
    struct span rest = span_starts(text, "\xEF\xBB\xBF") ? text_skip(text, 3) : text;
    if (span_starts(rest, "#!"))
        span_cut(&rest, '\n');
    *out = NULL;
    while (rest.data) {
        struct span line = span_cut(&rest, '\n'), value;
        int row = span_starts(line, "#") ? directive_parse(text_skip(line, 1), &value) : -1;
        if (row < 0 || seen & (1u << row))
            return true;
        seen |= 1u << row;
        if (row == DIRECTIVE_CHECK && !up_to_blank(arena, value, out, err))
            return false;
    }
    return true;
}

static bool invalid_option(struct span option, struct error *err)
{
    AUTO(free) char *quoted = quote(option);
    return error_set(err, ERROR_INVALID, "invalid check option %s", quoted ? quoted : "");
}

/* "A, B" or "all" */
static bool take_rules(struct arena *arena, struct span value, bool *all, struct dockerfile_words *out,
                       struct error *err)
{
    struct word_list rules = { 0 };
    if (span_is(value, "all")) {
        *all = true;
        return true;
    }
    while (value.data)
        if (!word_add(arena, &rules, arena_dup(arena, text_trim(span_cut(&value, ','))), err))
            return false;
    *out = words_of(&rules);
    return true;
}

static bool take_error(struct span option, struct span value, struct check *check, struct error *err)
{
    AUTO(free) char *quoted = quote(option), *text = quote(value);
    return bool_parse(value, &check->error) ||
           error_set(err, ERROR_INVALID,
                     "failed to parse check option %s: strconv.ParseBool: parsing %s: invalid syntax",
                     quoted ? quoted : "", text ? text : "");
}

static bool take_option(struct arena *arena, struct span option, struct check *check, struct error *err)
{
    struct span value = option, key = text_trim(span_cut(&value, '='));
    if (!value.data)
        return invalid_option(option, err);
    value = text_trim(value);
    if (span_is(key, "skip"))
        return take_rules(arena, value, &check->skip_all, &check->skipped, err);
    if (span_is(key, "experimental"))
        return take_rules(arena, value, &check->experimental_all, &check->experimental, err);
    return span_is(key, "error") ? take_error(option, value, check, err) : invalid_option(key, err);
}

bool check_parse(struct arena *arena, const char *value, struct check *out, struct error *err)
{
    struct span rest = value ? text_trim(span_of(value)) : SPAN("");
    struct check made = { 0 };
    bool any = rest.len;
    for (unsigned option = 1; any && rest.data; option++) {
        struct span text = option < 3 ? span_cut(&rest, ';') : rest; /* what is more belongs to the third */
        if (option == 3)
            rest.data = NULL;
        if (!take_option(arena, text, &made, err))
            return false;
    }
    *out = made;
    return true;
}

bool check_settings(struct arena *arena, const struct dockerfile *dockerfile, const struct dockerfile_pairs *args,
                    struct check *out, struct error *err)
{
    const char *value = dockerfile->check, *what = "check options";
    for (size_t i = 0; i < args->count; i++)
        if (!strcmp(args->items[i].key, "BUILDKIT_DOCKERFILE_CHECK") && args->items[i].value) {
            value = args->items[i].value;
            what = "build-arg:BUILDKIT_DOCKERFILE_CHECK";
        }
    return check_parse(arena, value, out, err) || error_wrap(err, "failed to parse %s", what);
}

static bool join_words(struct arena *arena, struct dockerfile_words more, struct dockerfile_words *words,
                       struct error *err)
{
    struct word_list all = { 0 };
    for (size_t i = 0; i < words->count; i++)
        if (!word_add(arena, &all, words->items[i], err))
            return false;
    for (size_t i = 0; i < more.count; i++)
        if (!word_add(arena, &all, more.items[i], err))
            return false;
    *words = words_of(&all);
    return true;
}

bool check_merge(struct arena *arena, struct dockerfile_words comments, struct check *check, struct error *err)
{
    struct span value;
    size_t i = 0;
    while (i < comments.count && directive_parse(span_of(comments.items[i]), &value) != DIRECTIVE_CHECK)
        i++;
    if (i == comments.count)
        return true;
    struct check own = { 0 };
    struct error ignored = { 0 };
    const char *text = NULL;
    if (!up_to_blank(arena, value, &text, err))
        return false;
    if (!check_parse(arena, text, &own, &ignored))
        return true;
    check->skip_all = check->skip_all || own.skip_all;
    check->experimental_all = check->experimental_all || own.experimental_all;
    return (!own.skipped.count || join_words(arena, own.skipped, &check->skipped, err)) &&
           (!own.experimental.count || join_words(arena, own.experimental, &check->experimental, err));
}

static bool has_word(struct dockerfile_words words, const char *word)
{
    for (size_t i = 0; i < words.count; i++)
        if (!strcmp(words.items[i], word))
            return true;
    return false;
}

bool check_wants(const struct check *check, const char *rule, bool experimental)
{
    return experimental ? check->experimental_all || has_word(check->experimental, rule)
                        : !check->skip_all && !has_word(check->skipped, rule);
}
