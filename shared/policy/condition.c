#include "shared/policy/condition.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/policy/order.h"
#include "shared/policy/semver.h"

/* Every kind of condition is a row: how it is read, how it decides. */
struct kind {
    const char *member;
    bool (*read)(struct condition *condition, const struct json *value, struct error *err);
    bool (*accepts)(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                    struct error *err);
    /* Both tags are accepted. NULL: tags of that kind have no order. */
    bool (*compare)(const struct condition *condition, struct span current, struct span tag, int *order,
                    struct error *err);
};

struct condition {
    const struct kind *kind;
    char **tags; /* NULL with kind "tags": all */
    size_t tag_count;
    char *text; /* the glob or regular expression as written */
    struct regex *regex;
    struct semver_range *range;
    bool ordered; /* "order" stands beside the regular expression */
    enum order_kind order;
    struct patterns *denied; /* NULL: nothing is */
};

enum {
    REASON_TAGS_MAX = 5, /* of a long list, so many are told */
    REASON_TEXT_MAX = 8192
};

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

static bool read_semver(struct condition *condition, const struct json *value, struct error *err)
{
    if (!read_text(condition, value, err))
        return false;
    condition->range = semver_range_new(span_of(condition->text), err);
    return condition->range != NULL;
}

/* "tag 'TAG' VERB 'TEXT'", by hand: what thousands of triggers say of one image is written for each. */
static bool explain(struct bytes *reason, struct span tag, const char *verb, const char *text, struct error *err)
{
    return bytes_append_text(reason, "tag '", err) && bytes_append_span(reason, tag, err) &&
           bytes_append_text(reason, "' ", err) && bytes_append_text(reason, verb, err) &&
           bytes_append_text(reason, " '", err) && bytes_append_text(reason, text, err) &&
           bytes_append_char(reason, '\'', err);
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
    bool fit = true;
    if (!regex_match(condition->regex, tag, accepted, err) ||
        (*accepted && condition->ordered && !order_fits(condition->order, condition->regex, tag, &fit, err)) ||
        !explain(reason, tag, *accepted ? "matches the regular expression" : "does not match the regular expression",
                 condition->text, err))
        return false;
    *accepted = *accepted && fit;
    return fit || bytes_printf(reason, err, ", but what its groups match is no %s", condition_order_name(condition));
}

static bool glob_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                         struct error *err)
{
    *accepted = glob_match(span_of(condition->text), tag);
    return explain(reason, tag, *accepted ? "matches the glob" : "does not match the glob", condition->text, err);
}

static bool semver_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                           struct error *err)
{
    struct semver version;
    *accepted = false;
    if (!semver_parse(tag, &version))
        return bytes_printf(reason, err, "tag '%.*s' is not a semantic version", SPAN_ARGS(tag));
    *accepted = semver_range_accepts(condition->range, &version);
    return explain(reason, tag, *accepted ? "is in the range" : "is not in the range", condition->text, err);
}

static bool compare_natural(const struct condition *condition, struct span current, struct span tag, int *order,
                            struct error *err)
{
    (void)condition;
    (void)err;
    *order = order_natural(tag, current);
    return true;
}

static bool compare_groups(const struct condition *condition, struct span current, struct span tag, int *order,
                           struct error *err)
{
    return order_compare(condition->order, condition->regex, tag, current, order, err);
}

static bool compare_versions(const struct condition *condition, struct span current, struct span tag, int *order,
                             struct error *err)
{
    (void)condition;
    (void)err;
    struct semver a, b;
    *order = semver_parse(tag, &a) && semver_parse(current, &b) ? semver_compare(&a, &b) : 0;
    return true;
}

static const struct kind kinds[] = {
    { "tags", read_tags, tags_accept, NULL },
    { "regex", read_regex, regex_accepts, compare_groups },
    { "glob", read_glob, glob_accepts, compare_natural },
    { "semver", read_semver, semver_accepts, compare_versions },
};

static const struct kind *find_kind(const char *member)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].member, member) == 0)
            return &kinds[i];
    return NULL;
}

static const char usage[] = "one of {\"tags\": \"all\"}, {\"tags\": [...]}, {\"regex\": \"...\"}, {\"glob\": \"...\"}, "
                            "{\"semver\": \"...\"}, beside it \"deny\" and \"order\" if you like";

static bool read_deny(struct condition *condition, const struct json *value, struct error *err)
{
    if (json_type(value) != JSON_ARRAY || json_count(value) == 0)
        return error_set(err, ERROR_INVALID, "'deny' must be a list of globs: [\"1.3.0\", \"*-broken\"]");
    condition->denied = patterns_new();
    if (!condition->denied)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (const struct json *item = json_first(value); item; item = json_next(item)) {
        struct span glob = span_of(json_string(item));
        if (!glob.data)
            return error_set(err, ERROR_INVALID, "'deny' holds %s, but each must be a glob in quotes",
                             json_type_name(json_type(item)));
        if (!patterns_add_glob(condition->denied, glob, err))
            return false;
    }
    return true;
}

static bool read_order(struct condition *condition, const struct json *value, struct error *err)
{
    struct span name = span_of(json_string(value));
    for (size_t i = 0; i < ORDER_KINDS && !condition->ordered; i++) {
        condition->ordered = span_is(name, order_kind_name((enum order_kind)i));
        condition->order = (enum order_kind)i;
    }
    return condition->ordered || error_set(err, ERROR_INVALID, "'order' must be \"numeric\" or \"calendar\"");
}

/* What may stand beside each kind. */
static const struct beside {
    const char *member;
    bool (*read)(struct condition *condition, const struct json *value, struct error *err);
} besides[] = { { "deny", read_deny }, { "order", read_order } };

static const struct beside *find_beside(const char *member)
{
    for (size_t i = 0; i < sizeof besides / sizeof *besides; i++)
        if (strcmp(besides[i].member, member) == 0)
            return &besides[i];
    return NULL;
}

static bool read_kind(struct condition *condition, const struct json *member, struct error *err)
{
    const struct kind *kind = find_kind(json_key(member));
    if (!kind)
        return error_set(err, ERROR_INVALID, "unknown condition '%s': it is %s", json_key(member), usage);
    if (condition->kind)
        return error_set(err, ERROR_INVALID, "a condition is exactly %s", usage);
    condition->kind = kind;
    return kind->read(condition, member, err);
}

static bool read_members(struct condition *condition, const struct json *when, struct error *err)
{
    for (const struct json *member = json_first(when); member; member = json_next(member)) {
        const struct beside *beside = find_beside(json_key(member));
        if (!(beside ? beside->read(condition, member, err) : read_kind(condition, member, err)))
            return false;
    }
    if (!condition->kind)
        return error_set(err, ERROR_INVALID, "a condition is exactly %s", usage);
    if (condition->ordered && !condition->regex)
        return error_set(err, ERROR_INVALID, "'order' goes with a regular expression, whose groups it reads");
    return !condition->ordered || order_check(condition->order, condition->regex, err);
}

struct condition *condition_new(const struct json *when, struct error *err)
{
    if (!when || json_type(when) != JSON_OBJECT) {
        error_set(err, ERROR_INVALID, "a condition is exactly %s", usage);
        return NULL;
    }
    AUTO(condition_free) struct condition *condition = calloc(1, sizeof *condition);
    if (!condition) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return read_members(condition, when, err) ? TAKE(condition) : NULL;
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
    semver_range_free(condition->range);
    patterns_free(condition->denied);
    free(condition);
}

/* A denied tag is told so, whatever else holds. */
static bool deny(const struct condition *condition, struct span tag, bool *denied, struct bytes *reason,
                 struct error *err)
{
    *denied = false;
    return !condition->denied || (patterns_match(condition->denied, tag, denied, err) &&
                                  (!*denied || bytes_printf(reason, err, "tag '%.*s' is denied", SPAN_ARGS(tag))));
}

bool condition_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                       struct error *err)
{
    bool denied, decided = false;
    if (!deny(condition, tag, &denied, reason, err) ||
        (!denied && !condition->kind->accepts(condition, tag, &decided, reason, err)))
        return false;
    *accepted = decided;
    return true;
}

bool condition_compare(const struct condition *condition, struct span current, struct span tag, enum precedence *out,
                       struct error *err)
{
    AUTO(bytes_release) struct bytes reason = BYTES(REASON_TEXT_MAX);
    bool comparable = false;
    int order;
    *out = PRECEDENCE_UNKNOWN;
    if (!condition->kind->compare || (condition->regex && !condition->ordered))
        return true;
    /* What is denied by now was once accepted, and has its place all the same. */
    if (!condition->kind->accepts(condition, current, &comparable, &reason, err))
        return false;
    bytes_clear(&reason);
    if (comparable && !condition->kind->accepts(condition, tag, &comparable, &reason, err))
        return false;
    if (!comparable)
        return true;
    if (!condition->kind->compare(condition, current, tag, &order, err))
        return false;
    *out = order < 0 ? PRECEDENCE_OLDER : order > 0 ? PRECEDENCE_NEWER : PRECEDENCE_SAME;
    return true;
}

bool condition_orders_pushes(const struct condition *condition)
{
    return condition->range || condition->ordered;
}

const char *condition_order_name(const struct condition *condition)
{
    return condition->range                    ? "version"
           : !condition->ordered               ? "name"
           : condition->order == ORDER_NUMERIC ? "number"
                                               : "date";
}
