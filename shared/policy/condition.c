#include "shared/policy/condition.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/policy/pattern.h"

/* Every kind of condition is a row: how it is read, how it decides. */
struct kind {
    const char *member;
    bool (*read)(struct condition *condition, const struct json *value, struct error *err);
    bool (*accepts)(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                    struct error *err);
};

struct condition {
    const struct kind *kind;
    char **tags; /* NULL with kind "tags": all */
    size_t tag_count;
    char *text; /* the glob or regular expression as written */
    struct regex *regex;
};

enum { REASON_TAGS_MAX = 5 }; /* of a long list, so many are told */

static bool read_list(struct condition *condition, const struct json *list, struct error *err)
{
    condition->tags = calloc(json_count(list), sizeof *condition->tags);
    if (!condition->tags)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (const struct json *item = json_first(list); item; item = json_next(item)) {
        const char *tag = json_string(item);
        if (!tag || !*tag)
            return error_set(err, ERROR_INVALID, "the list of tags holds %s, but each must be a tag in quotes",
                             tag ? "an empty string" : json_type_name(json_type(item)));
        char *copy = strdup(tag);
        if (!copy)
            return error_set(err, ERROR_INTERNAL, "out of memory");
        condition->tags[condition->tag_count++] = copy;
    }
    return true;
}

static bool read_tags(struct condition *condition, const struct json *value, struct error *err)
{
    const char *word = json_string(value);
    if (word && strcmp(word, "all") == 0)
        return true;
    if (json_type(value) != JSON_ARRAY)
        return error_set(err, ERROR_INVALID, "'tags' must be \"all\" or a list of tags");
    if (json_count(value) == 0)
        return error_set(err, ERROR_INVALID, "an empty list of tags would accept nothing");
    return read_list(condition, value, err);
}

static bool read_text(struct condition *condition, const struct json *value, struct error *err)
{
    const char *text = json_string(value);
    if (!text)
        return error_set(err, ERROR_INVALID, "'%s' must be a string, not %s", condition->kind->member,
                         json_type_name(json_type(value)));
    condition->text = strdup(text);
    return condition->text || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool read_regex(struct condition *condition, const struct json *value, struct error *err)
{
    if (!read_text(condition, value, err))
        return false;
    condition->regex = regex_new(span_of(condition->text), err);
    return condition->regex != NULL;
}

static bool read_glob(struct condition *condition, const struct json *value, struct error *err)
{
    return read_text(condition, value, err) && glob_check(span_of(condition->text), err);
}

static bool explain_list(const struct condition *condition, struct span tag, bool accepted, struct bytes *reason,
                         struct error *err)
{
    if (accepted)
        return bytes_printf(reason, err, "tag '%.*s' is in the list", SPAN_ARGS(tag));
    if (!bytes_printf(reason, err, "tag '%.*s' is not in the list (", SPAN_ARGS(tag)))
        return false;
    for (size_t i = 0; i < condition->tag_count && i < REASON_TAGS_MAX; i++)
        if (!bytes_printf(reason, err, "%s%s", i > 0 ? ", " : "", condition->tags[i]))
            return false;
    if (condition->tag_count > REASON_TAGS_MAX)
        return bytes_printf(reason, err, " and %zu more)", condition->tag_count - REASON_TAGS_MAX);
    return bytes_append_text(reason, ")", err);
}

static bool tags_accept(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                        struct error *err)
{
    *accepted = !condition->tags;
    if (*accepted)
        return bytes_printf(reason, err, "tag '%.*s' is accepted, as all tags are", SPAN_ARGS(tag));
    for (size_t i = 0; i < condition->tag_count && !*accepted; i++)
        *accepted = span_is(tag, condition->tags[i]);
    return explain_list(condition, tag, *accepted, reason, err);
}

static bool regex_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                          struct error *err)
{
    return regex_match(condition->regex, tag, accepted, err) &&
           bytes_printf(reason, err, "tag '%.*s' %s the regular expression '%s'", SPAN_ARGS(tag),
                        *accepted ? "matches" : "does not match", condition->text);
}

static bool glob_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                         struct error *err)
{
    *accepted = glob_match(span_of(condition->text), tag);
    return bytes_printf(reason, err, "tag '%.*s' %s the glob '%s'", SPAN_ARGS(tag),
                        *accepted ? "matches" : "does not match", condition->text);
}

static const struct kind kinds[] = {
    { "tags", read_tags, tags_accept },
    { "regex", read_regex, regex_accepts },
    { "glob", read_glob, glob_accepts },
};

static const struct kind *find_kind(const char *member)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].member, member) == 0)
            return &kinds[i];
    return NULL;
}

struct condition *condition_new(const struct json *when, struct error *err)
{
    static const char usage[] =
        "one of {\"tags\": \"all\"}, {\"tags\": [...]}, {\"regex\": \"...\"}, {\"glob\": \"...\"}";
    if (!when || json_type(when) != JSON_OBJECT || json_count(when) != 1) {
        error_set(err, ERROR_INVALID, "a condition is exactly %s", usage);
        return NULL;
    }
    const struct json *member = json_first(when);
    const struct kind *kind = find_kind(json_key(member));
    if (!kind) {
        error_set(err, ERROR_INVALID, "unknown condition '%s': it is %s", json_key(member), usage);
        return NULL;
    }
    AUTO(condition_free) struct condition *condition = calloc(1, sizeof *condition);
    if (!condition) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    condition->kind = kind;
    return kind->read(condition, member, err) ? TAKE(condition) : NULL;
}

void condition_free(struct condition *condition)
{
    if (!condition)
        return;
    for (size_t i = 0; i < condition->tag_count; i++)
        free(condition->tags[i]);
    free(condition->tags);
    free(condition->text);
    regex_free(condition->regex);
    free(condition);
}

bool condition_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                       struct error *err)
{
    bool decided;
    if (!condition->kind->accepts(condition, tag, &decided, reason, err))
        return false;
    *accepted = decided;
    return true;
}
