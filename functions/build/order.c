#include "functions/build/order.h"

#include "shared/base/clock.h"
#include "shared/config/template.h"
#include "shared/oci/reference.h"

#include <string.h>

enum { VALUE_MAX = 64 * 1024, SEQUENCE_MAX = 20 };

static bool missing(const char *member, struct error *err)
{
    return error_set(err, ERROR_INVALID, "the event has no %s", member);
}

static bool is_sequence(const char *text)
{
    size_t len = strspn(text, "0123456789");

    return len > 0 && len <= SEQUENCE_MAX && !text[len];
}

int order_compare_sequences(const char *a, const char *b)
{
    a += strspn(a, "0");
    b += strspn(b, "0");
    size_t a_len = strlen(a), b_len = strlen(b);
    return a_len != b_len ? (a_len < b_len ? -1 : 1) : strcmp(a, b);
}

static bool read_time(const struct json *custom, struct order *out, struct error *err)
{
    const char *time = json_get_string(custom, "time");

    if (!time)
        return missing("customData.time", err);
    return rfc3339_parse(span_of(time), &out->time_ms) ||
           error_set(err, ERROR_INVALID, "customData.time: '%.80s' is not a time", time);
}

static bool is_commit_id(const char *text)
{
    size_t digits = strspn(text, "0123456789abcdef");

    return (digits == 40 || digits == 64) && !text[digits]; /* SHA-1 and SHA-256 */
}

void order_set_ref(struct order *order, const char *ref)
{
    order->ref = ref;
    order->is_branch = strncmp(ref, "refs/heads/", 11) == 0;
    order->is_tag = strncmp(ref, "refs/tags/", 10) == 0;
    order->is_commit = is_commit_id(ref);
    order->is_inline = strcmp(ref, CONFIG_INLINE_REF) == 0;
}

bool order_date_tag(struct call *call, struct order *order, int64_t commit_s, struct error *err)
{
    int64_t at_ms = commit_s > 0 && commit_s < INT64_MAX / 1000 ? commit_s * 1000 : 0;
    const char *sequence = arena_printf(call_arena(call), "%015lld", (long long)at_ms);

    if (!sequence)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (order->is_tag && order->by_reconcile && order_compare_sequences(sequence, order->sequence) < 0)
        order->sequence = sequence;
    return true;
}

/* Whoever may push a branch or a tag may have it built; a merge request's ref, or a commit of nobody knows where, is built for who holds
 * the API's token. */
static bool check_ref(const struct order *order, struct error *err)
{
    if (order->is_branch || order->is_tag || order->is_inline)
        return true;
    if (!order->by_person)
        return error_set(err, ERROR_INVALID, "customData.ref: '%.200s' is neither a branch nor a tag", order->ref);
    if (order->is_commit && order->commit && strcmp(order->ref, order->commit) != 0)
        return error_set(err, ERROR_INVALID, "customData.commit: '%.80s' is not the commit of customData.ref",
                         order->commit);
    return order->is_commit || strcmp(order->ref, "HEAD") == 0 || strncmp(order->ref, "refs/", 5) == 0 ||
           error_set(err, ERROR_INVALID, "customData.ref: '%.200s' is not the full name of a ref", order->ref);
}

bool order_read(struct call *call, struct order *out, struct error *err)
{
    const struct json *data = call_data(call, err);
    if (!data)
        return false;
    const struct json *custom = json_get(data, "customData"), *repository = json_get(custom, "repository");
    const struct json *base = json_get(custom, "base");
    const char *asked = json_get_string(custom, "asked");
    struct order order = { .subject = json_get_string(json_get(data, "subject"), "id"),
                           .build = json_get_string(custom, "build"),
                           .repository = json_get_string(repository, "id"),
                           .repository_source = json_get_string(repository, "source"),
                           .ref = json_get_string(custom, "ref"),
                           .named = json_get_string(custom, "named"),
                           .commit = json_get_string(custom, "commit"),
                           .sequence = json_get_string(custom, "sequence"),
                           .by_person = asked && strcmp(asked, "person") == 0,
                           .by_reconcile = asked && strcmp(asked, "reconcile") == 0,
                           .base = json_get_string(base, "image"),
                           .base_digest = json_get_string(base, "digest") };

    if (!order.subject)
        return missing("subject.id", err);
    if (!order.build)
        return missing("customData.build", err);
    if (!order.ref)
        return missing("customData.ref", err);
    if (!order.sequence)
        return missing("customData.sequence", err);
    if (!is_sequence(order.sequence))
        return error_set(err, ERROR_INVALID, "customData.sequence: '%.80s' is not a number", order.sequence);
    if (base && (!order.base || !order.base_digest || !digest_is_legal(span_of(order.base_digest))))
        return missing("customData.base.image or .digest", err);
    if (!read_time(custom, &order, err))
        return false;
    order_set_ref(&order, order.ref);
    if (!check_ref(&order, err))
        return false;
    if (order.is_commit)
        order.commit = order.ref;
    *out = order;
    return true;
}

struct template_values order_values(const struct order *order, const char *commit)
{
    struct template_values values = { .sha = span_of(commit),
                                      .build = span_of(order->build),
                                      .time_ms = order->time_ms };

    if (order->is_tag)
        values.tag = span_of(order->ref + 10);
    else if (order->is_branch)
        values.branch = span_of(order->ref + 11);
    else if (!order->is_inline)
        values.other = span_of(order->ref + (strncmp(order->ref, "refs/", 5) == 0 ? 5 : 0));
    return values;
}

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "tags and arguments take too much memory");
}

static bool add_tag(struct call *call, const char *text, const struct template_values *values, struct tags *out,
                    struct error *err)
{
    AUTO(bytes_release) struct bytes tag = BYTES(VALUE_MAX);

    if (!template_tag(&tag, span_of(text), values, err))
        return error_wrap(err, "tag '%s'", text);
    for (size_t i = 0; i < out->count; i++) {
        if (strcmp(out->items[i], tag.data) == 0)
            return true;
    }
    if (out->count == ORDER_TAGS_MAX)
        return error_set(err, ERROR_INVALID, "more than %d tags", ORDER_TAGS_MAX);
    out->items[out->count] = arena_dup(call_arena(call), bytes_span(&tag));
    return out->items[out->count++] || out_of_memory(err);
}

bool order_tags(struct call *call, const struct order *order, const struct config_build *rule, const char *commit,
                struct tags *out, struct error *err)
{
    struct template_values values = order_values(order, commit);

    *out = (struct tags){ .count = 0 };
    if (!add_tag(call, rule->tag, &values, out, err))
        return false;
    for (size_t i = 0; i < rule->also_count; i++) {
        if (!add_tag(call, rule->also[i], &values, out, err))
            return false;
    }
    return true;
}

bool order_arguments(struct call *call, const struct order *order, const struct config_build *rule, const char *commit,
                     struct dockerfile_pairs *out, struct error *err)
{
    struct template_values values = order_values(order, commit);
    struct dockerfile_pair *pairs = arena_take(call_arena(call), (rule->arg_count + 1) * sizeof(pairs[0]));

    if (!pairs)
        return out_of_memory(err);
    for (size_t i = 0; i < rule->arg_count; i++) {
        AUTO(bytes_release) struct bytes value = BYTES(VALUE_MAX);

        if (!template_expand(&value, span_of(rule->args[i].value), &values, err))
            return error_wrap(err, "argument '%s'", rule->args[i].name);
        pairs[i].key = rule->args[i].name;
        pairs[i].value = arena_dup(call_arena(call), bytes_span(&value));
        if (!pairs[i].value)
            return out_of_memory(err);
    }
    *out = (struct dockerfile_pairs){ pairs, rule->arg_count };
    return true;
}
