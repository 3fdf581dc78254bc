#include "functions/trigger/request.h"

#include "runtime/deployment.h"

#include <string.h>

enum { EVENT_TEXT_MAX = 16 * 1024 };

void publication_release(struct publication *publication)
{
    reference_release(&publication->reference);
}

static bool add_tag(struct publication *out, const char *tag, struct error *err)
{
    if (!tag || !reference_tag_is_legal(span_of(tag)))
        return error_set(err, ERROR_INVALID, "'%s' is not a tag", tag ? tag : "");
    for (size_t i = 0; i < out->tag_count; i++)
        if (strcmp(out->tags[i], tag) == 0)
            return true;
    if (out->tag_count == TAGS_MAX)
        return error_set(err, ERROR_INVALID, "more than %d tags in one event", TAGS_MAX);
    out->tags[out->tag_count++] = tag;
    return true;
}

bool publication_read(struct call *call, struct publication *out, struct error *err)
{
    const struct json *data = call_data(call, err);
    if (!data)
        return false;
    const char *purl = json_get_string(json_get(data, "subject"), "id");
    if (!purl)
        return error_set(err, ERROR_INVALID, "the event has no subject.id");
    if (!reference_from_purl(span_of(purl), &out->reference, err))
        return error_wrap(err, "subject.id");
    AUTO(bytes_release) struct bytes name = BYTES(REASON_MAX);
    if (!reference_name(&name, &out->reference, err))
        return false;
    out->name = arena_dup(call_arena(call), bytes_span(&name));
    out->digest = out->reference.digest;
    if (out->reference.tag && !add_tag(out, out->reference.tag, err))
        return false;
    const struct json *custom = json_get(data, "customData");
    for (const struct json *tag = json_first(json_get(custom, "tags")); tag; tag = json_next(tag))
        if (!add_tag(out, json_string(tag), err))
            return error_wrap(err, "customData.tags");
    out->sequence = json_get_string(custom, "sequence");
    out->commit = json_get_string(custom, "commit");
    out->ref = json_get_string(custom, "ref");
    out->build = json_get_string(custom, "build");
    return out->name || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool write_matched(struct bytes *out, const char *reason, const char *purl, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "policy", "tag");
    json_add_string(&w, "constraint", reason);
    json_add_string(&w, "artifactId", purl);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* Those whose turn is when they are asked for; where each waits for the one before, deploy asks for the others. */
static size_t targets_now(const struct config_trigger *trigger)
{
    return trigger->strategy == STRATEGY_ORDERED ? 1 : trigger->target_count;
}

bool request_deployments(struct call *call, const struct config_trigger *trigger, const struct publication *image,
                         const char *tag, const struct descriptor *now, const char *reason, struct error *err)
{
    AUTO(bytes_release) struct bytes purl = BYTES(REASON_MAX);
    AUTO(bytes_release) struct bytes content = BYTES(EVENT_TEXT_MAX);
    AUTO(bytes_release) struct bytes custom = BYTES(EVENT_TEXT_MAX);
    AUTO(bytes_release) struct bytes name = BYTES(REASON_MAX);
    if (!reference_purl(&purl, &image->reference, now->digest, tag, err) ||
        !bytes_printf(&name, err, "%s:%s@%s", image->name, tag, now->digest))
        return false;
    const struct deployment deployment = {
        .trigger = trigger,
        .artifact = bytes_text(&purl),
        .image = bytes_text(&name),
        .digest = now->digest,
        .tag = tag,
        .sequence = image->sequence,
        .commit = image->commit,
        .ref = image->ref,
        .build = image->build,
        .reason = reason,
    };
    if (!write_matched(&content, reason, deployment.artifact, err) ||
        !deployment_write(&custom, &deployment, DEPLOYMENT_NO_TARGET, err))
        return false;
    const struct draft matched = {
        .type = "dev.cdeventsx.pushwright-trigger.matched.0.1.0",
        .subject = trigger->name,
        .content = bytes_span(&content),
        .custom = bytes_span(&custom),
        .rule = trigger->name,
        .target = now->digest,
    };
    if (!call_emit(call, &matched, err))
        return false;
    for (size_t i = 0; i < targets_now(trigger); i++)
        if (!deployment_ask(call, &deployment, i, err))
            return false;
    return true;
}
