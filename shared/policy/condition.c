#include "shared/policy/condition.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/policy/order.h"
#include "shared/policy/semver.h"

/* One run over `when`: every mistake is told, the first one is kept. */
struct reading {
    struct condition *condition;
    condition_mistake_fn *tell; /* or NULL */
    void *context;
    struct error *first;
    bool bad;
};

/* Every kind of condition is a row: how it is read, how it decides. */
struct kind {
    const char *member;
    void (*read)(struct reading *r, const struct json *value);
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

static void note(struct reading *r, struct condition_place at, const struct error *mistake)
{
    if (!r->bad)
        *r->first = *mistake;
    r->bad = true;
    if (r->tell)
        r->tell(r->context, at, mistake);
}

__attribute__((format(printf, 3, 4))) static void wrong(struct reading *r, struct condition_place at,
                                                        const char *format, ...)
{
    struct error mistake = { .kind = ERROR_INVALID };
    va_list args;
    va_start(args, format);
    vsnprintf(mistake.message, sizeof mistake.message, format, args);
    va_end(args);
    note(r, at, &mistake);
}

static void out_of_memory(struct reading *r)
{
    struct error mistake = { 0 };
    error_set(&mistake, ERROR_INTERNAL, "out of memory");
    note(r, CONDITION_ITSELF, &mistake);
}

static void read_list(struct reading *r, const struct json *list)
{
    struct condition *condition = r->condition;
    condition->tags = calloc(json_count(list), sizeof *condition->tags);
    if (!condition->tags) {
        out_of_memory(r);
        return;
    }
    struct condition_place at = CONDITION_ELEMENT("tags");
    for (const struct json *item = json_first(list); item; item = json_next(item), at.element++) {
        const char *tag = json_string(item);
        if (!tag || !*tag) {
            wrong(r, at, "must be a tag in quotes, not %s", tag ? "an empty string" : json_type_name(json_type(item)));
            continue;
        }
        char *copy = strdup(tag);
        if (!copy) {
            out_of_memory(r);
            return;
        }
        condition->tags[condition->tag_count++] = copy;
    }
}

static void read_tags(struct reading *r, const struct json *value)
{
    const char *word = json_string(value);
    if (word && strcmp(word, "all") == 0)
        return;
    if (json_type(value) != JSON_ARRAY)
        wrong(r, CONDITION_VALUE("tags"), "must be \"all\" or a list of tags");
    else if (json_count(value) == 0)
        wrong(r, CONDITION_VALUE("tags"), "an empty list of tags would accept nothing");
    else
        read_list(r, value);
}

/* The text in memory that stays; NULL when there is none, which is noted. */
static const char *read_text(struct reading *r, const struct json *value)
{
    const char *text = json_string(value);
    if (!text) {
        wrong(r, CONDITION_VALUE(json_key(value)), "must be a string, not %s", json_type_name(json_type(value)));
        return NULL;
    }
    r->condition->text = strdup(text);
    if (!r->condition->text)
        out_of_memory(r);
    return r->condition->text;
}

static void read_regex(struct reading *r, const struct json *value)
{
    struct error err = { 0 };
    const char *text = read_text(r, value);
    r->condition->regex = text ? regex_new(span_of(text), &err) : NULL;
    if (text && !r->condition->regex)
        note(r, CONDITION_VALUE("regex"), &err);
}

static void read_glob(struct reading *r, const struct json *value)
{
    struct error err = { 0 };
    const char *text = read_text(r, value);
    if (text && !glob_check(span_of(text), &err))
        note(r, CONDITION_VALUE("glob"), &err);
}

static void read_semver(struct reading *r, const struct json *value)
{
    struct error err = { 0 };
    const char *text = read_text(r, value);
    r->condition->range = text ? semver_range_new(span_of(text), &err) : NULL;
    if (text && !r->condition->range)
        note(r, CONDITION_VALUE("semver"), &err);
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

static void read_deny(struct reading *r, const struct json *value)
{
    if (json_type(value) != JSON_ARRAY || json_count(value) == 0) {
        wrong(r, CONDITION_VALUE("deny"), "must be a list of globs: [\"1.3.0\", \"*-broken\"]");
        return;
    }
    struct patterns *denied = r->condition->denied = patterns_new();
    if (!denied) {
        out_of_memory(r);
        return;
    }
    struct condition_place at = CONDITION_ELEMENT("deny");
    for (const struct json *item = json_first(value); item; item = json_next(item), at.element++) {
        struct error err = { 0 };
        struct span glob = span_of(json_string(item));
        if (!glob.data)
            wrong(r, at, "must be a glob in quotes, not %s", json_type_name(json_type(item)));
        else if (!patterns_add_glob(denied, glob, &err))
            note(r, at, &err);
    }
}

static void read_order(struct reading *r, const struct json *value)
{
    struct condition *condition = r->condition;
    struct span name = span_of(json_string(value));
    for (size_t i = 0; i < ORDER_KINDS && !condition->ordered; i++) {
        condition->ordered = span_is(name, order_kind_name((enum order_kind)i));
        condition->order = (enum order_kind)i;
    }
    if (!condition->ordered)
        wrong(r, CONDITION_VALUE("order"), "must be \"numeric\" or \"calendar\"");
}

/* What may stand beside each kind. */
static const struct beside {
    const char *member;
    void (*read)(struct reading *r, const struct json *value);
} besides[] = { { "deny", read_deny }, { "order", read_order } };

static const struct beside *find_beside(const char *member)
{
    for (size_t i = 0; i < sizeof besides / sizeof *besides; i++)
        if (strcmp(besides[i].member, member) == 0)
            return &besides[i];
    return NULL;
}

static void read_kind(struct reading *r, const struct json *member)
{
    const struct kind *kind = find_kind(json_key(member));
    if (!kind) {
        wrong(r, CONDITION_MEMBER(json_key(member)), "unknown condition: it is %s", usage);
    } else if (r->condition->kind) {
        wrong(r, CONDITION_MEMBER(json_key(member)), "one too many: a condition is exactly %s", usage);
    } else {
        r->condition->kind = kind;
        kind->read(r, member);
    }
}

/* The order's own groups, where there is an expression to look for them. */
static void check_order(struct reading *r)
{
    const struct condition *condition = r->condition;
    struct error err = { 0 };
    if (!condition->ordered || !condition->kind)
        return;
    if (condition->kind->read != read_regex)
        wrong(r, CONDITION_MEMBER("order"), "goes with a regular expression, whose groups it reads");
    else if (condition->regex && !order_check(condition->order, condition->regex, &err))
        note(r, CONDITION_VALUE("order"), &err);
}

static void read_members(struct reading *r, const struct json *when)
{
    bool known = true;
    for (const struct json *member = json_first(when); member; member = json_next(member)) {
        const struct beside *beside = find_beside(json_key(member));
        known = known && (beside || find_kind(json_key(member)));
        if (beside)
            beside->read(r, member);
        else
            read_kind(r, member);
    }
    if (known && !r->condition->kind)
        wrong(r, CONDITION_ITSELF, "a condition is exactly %s", usage);
    check_order(r);
}

struct condition *condition_new(const struct json *when, condition_mistake_fn *tell, void *context, struct error *err)
{
    AUTO(condition_free) struct condition *condition = calloc(1, sizeof *condition);
    struct reading r = { condition, tell, context, err, false };
    if (!condition)
        out_of_memory(&r);
    else if (!when || json_type(when) != JSON_OBJECT)
        wrong(&r, CONDITION_ITSELF, "a condition is exactly %s", usage);
    else
        read_members(&r, when);
    return r.bad ? NULL : TAKE(condition);
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
