#include "functions/trigger/request.h"

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

/* "registry/repository:tag@digest": what deploy is asked to run. */
static bool append_image(struct bytes *out, const struct publication *image, const char *tag,
                         const struct descriptor *now, struct error *err)
{
    return bytes_printf(out, err, "%s:%s@%s", image->name, tag, now->digest);
}

static bool write_custom(struct bytes *out, const struct config_trigger *trigger, const struct publication *image,
                         const char *tag, const struct descriptor *now, long target, const char *reason,
                         struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(REASON_MAX);
    if (!append_image(&name, image, tag, now, err))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "trigger", trigger->name);
    if (target >= 0)
        json_add_integer(&w, "target", target);
    json_add_string(&w, "image", bytes_text(&name));
    json_add_string(&w, "digest", now->digest);
    json_add_string(&w, "tag", tag);
    json_add_string(&w, "sequence", image->sequence);
    json_add_string(&w, "commit", image->commit);
    json_add_string(&w, "ref", image->ref);
    json_add_string(&w, "build", image->build);
    json_add_string(&w, "reason", reason);
    json_close_object(&w);
    return json_writer_end(&w, err);
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

static bool write_requested(struct bytes *out, const struct config_target *target, const char *purl, struct error *err)
{
    AUTO(bytes_release) struct bytes service = BYTES(REASON_MAX);
    if (!bytes_printf(&service, err, "%s/%s", target->kind, target->workload))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_open_object(&w, "environment");
    json_add_string(&w, "id", target->cluster);
    json_close_object(&w);
    json_open_object(&w, "service");
    json_add_string(&w, "id", bytes_text(&service));
    json_close_object(&w);
    json_add_string(&w, "artifactId", purl);
    json_add_string(&w, "strategy", "patch");
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool emit_requested(struct call *call, const struct config_trigger *trigger, size_t index,
                           const struct publication *image, const char *tag, const struct descriptor *now,
                           const char *purl, const char *reason, struct error *err)
{
    const struct config_target *target = &trigger->targets[index];
    AUTO(bytes_release) struct bytes content = BYTES(EVENT_TEXT_MAX);
    AUTO(bytes_release) struct bytes custom = BYTES(EVENT_TEXT_MAX);
    if (!write_requested(&content, target, purl, err) ||
        !write_custom(&custom, trigger, image, tag, now, (long)index, reason, err))
        return false;
    const struct attribute attributes[] = {
        { .name = "imagedigest", .value = now->digest },
        { .name = "envname", .value = target->cluster },
        { .name = "svcname", .value = target->workload },
    };
    const char *subject =
        arena_printf(call_arena(call), "%s/%s/%s", target->cluster, target->namespace, target->workload);
    const char *about = arena_printf(call_arena(call), "%zu %s", index, now->digest); /* whichever tag it has: once */
    const struct draft draft = {
        .type = "dev.cdeventsx.pushwright-deploy.requested.0.1.0",
        .subject = subject,
        .content = bytes_span(&content),
        .custom = bytes_span(&custom),
        .rule = trigger->name,
        .target = about,
        .attributes = attributes,
        .attribute_count = sizeof attributes / sizeof attributes[0],
    };
    return call_emit(call, &draft, err);
}

bool request_deployments(struct call *call, const struct config_trigger *trigger, const struct publication *image,
                         const char *tag, const struct descriptor *now, const char *reason, struct error *err)
{
    AUTO(bytes_release) struct bytes purl = BYTES(REASON_MAX);
    AUTO(bytes_release) struct bytes content = BYTES(EVENT_TEXT_MAX);
    AUTO(bytes_release) struct bytes custom = BYTES(EVENT_TEXT_MAX);
    if (!reference_purl(&purl, &image->reference, now->digest, tag, err) ||
        !write_matched(&content, reason, bytes_text(&purl), err) ||
        !write_custom(&custom, trigger, image, tag, now, -1, reason, err))
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
    for (size_t i = 0; i < trigger->target_count; i++)
        if (!emit_requested(call, trigger, i, image, tag, now, bytes_text(&purl), reason, err))
            return false;
    return true;
}
