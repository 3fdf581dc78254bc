#include "functions/build/events.h"

#include <string.h>

enum { TEXT_MAX = 64 * 1024 };

/* One event about the build: content and custom data are whole JSON objects. */
struct telling {
    const char *type, *subject;
    const char *target; /* tells two of one type apart */
    const char *image;  /* routing; NULL: none */
    const char *tag;
    struct bytes content, custom;
    struct json_writer to_content, to_custom;
};

static void telling_begin(struct telling *telling)
{
    bytes_init(&telling->content, TEXT_MAX);
    bytes_init(&telling->custom, TEXT_MAX);
    telling->to_content = json_writer_on(&telling->content);
    telling->to_custom = json_writer_on(&telling->custom);
    json_open_object(&telling->to_content, NULL);
    json_open_object(&telling->to_custom, NULL);
}

static void telling_release(struct telling *telling)
{
    bytes_release(&telling->content);
    bytes_release(&telling->custom);
}
AUTO_RELEASE(struct telling, telling_release)

static bool telling_end(struct call *call, const struct build_told *told, struct telling *telling, struct error *err)
{
    const struct order *order = told->order;
    struct json_writer *custom = &telling->to_custom;
    struct attribute attributes[5];
    size_t count = 0;

    json_add_string(custom, "build", order->build);
    json_add_string(custom, "commit", told->commit);
    json_add_string(custom, "log", told->log);
    json_add_string(custom, "ref", order->ref);
    json_add_string(custom, "sequence", order->sequence);
    json_close_object(custom);
    json_close_object(&telling->to_content);
    if (!json_writer_end(&telling->to_content, err) || !json_writer_end(custom, err))
        return false;

    attributes[count++] = (struct attribute){ .name = "buildname", .value = order->build };
    attributes[count++] = (struct attribute){ .name = "vcsref", .value = order->ref };
    if (order->repository)
        attributes[count++] = (struct attribute){ .name = "vcsrepo", .value = order->repository };
    if (telling->image)
        attributes[count++] = (struct attribute){ .name = "imageref", .value = telling->image };
    if (telling->tag)
        attributes[count++] = (struct attribute){ .name = "imagetag", .value = telling->tag };
    return call_emit(call,
                     &(struct draft){ .type = telling->type,
                                      .subject = telling->subject,
                                      .content = bytes_span(&telling->content),
                                      .custom = bytes_span(&telling->custom),
                                      .rule = order->build,
                                      .target = telling->target ? telling->target : order->ref,
                                      .attributes = attributes,
                                      .attribute_count = count },
                     err);
}

static bool tell_build(struct call *call, const struct build_told *told, const char *type, const char *artifact,
                       const char *outcome, const char *reason, struct error *err)
{
    AUTO(telling_release) struct telling telling = { .type = type, .subject = told->order->subject };

    telling_begin(&telling);
    json_add_string(&telling.to_content, "artifactId", artifact);
    if (outcome) {
        json_add_string(&telling.to_custom, "outcome", outcome);
        json_add_string(&telling.to_custom, "errors", reason);
        json_add_integer(&telling.to_custom, "durationMs", told->duration_ms);
    }
    return telling_end(call, told, &telling, err);
}

static bool tell_taskrun(struct call *call, const struct build_told *told, const char *type, const char *outcome,
                         const char *reason, struct error *err)
{
    AUTO(telling_release) struct telling telling = { .type = type };
    struct json_writer *content = &telling.to_content;

    telling.subject = arena_printf(call_arena(call), "%s/build", told->order->subject);
    if (!telling.subject)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    telling_begin(&telling);
    json_add_string(content, "taskName", "build");
    json_open_object(content, "pipelineRun");
    json_add_string(content, "id", told->order->subject);
    json_close_object(content);
    json_add_string(content, "outcome", outcome);
    json_add_string(content, "errors", reason);
    return telling_end(call, told, &telling, err);
}

bool events_started(struct call *call, const struct build_told *told, struct error *err)
{
    return tell_build(call, told, "dev.cdevents.build.started.0.3.0", NULL, NULL, NULL, err) &&
           tell_taskrun(call, told, "dev.cdevents.taskrun.started.0.3.0", NULL, NULL, err);
}

bool events_not_published(struct call *call, const struct build_told *told, const char *outcome, const char *reason,
                          struct error *err)
{
    return tell_taskrun(call, told, "dev.cdevents.taskrun.finished.0.3.0", outcome, reason, err) &&
           tell_build(call, told, "dev.cdevents.build.finished.0.3.0", NULL, outcome, reason, err);
}

static bool tell_packaged(struct call *call, const struct build_told *told, struct telling *telling, struct error *err)
{
    struct json_writer *content = &telling->to_content;

    telling->type = "dev.cdevents.artifact.packaged.0.3.0";
    telling_begin(telling);
    json_open_object(content, "change");
    json_add_string(content, "id", told->commit);
    json_add_string(content, "source", told->order->repository_source);
    json_close_object(content);
    return telling_end(call, told, telling, err);
}

static bool tell_published(struct call *call, const struct build_told *told, const struct tags *tags,
                           const char *media_type, struct telling *telling, struct error *err)
{
    struct json_writer *custom = &telling->to_custom;

    telling->type = "dev.cdevents.artifact.published.0.3.0";
    telling_begin(telling);
    json_add_string(&telling->to_content, "user", "pushwright");
    json_add_string(custom, "mediaType", media_type);
    json_add_string(custom, "tag", telling->tag);
    json_open_array(custom, "tags");
    for (size_t i = 0; i < tags->count; i++)
        json_add_string(custom, NULL, tags->items[i]);
    json_close_array(custom);
    return telling_end(call, told, telling, err);
}

bool events_published(struct call *call, const struct build_told *told, const struct publication *publication,
                      const struct tags *tags, struct error *err)
{
    const struct descriptor *image = publication_descriptor(publication);
    AUTO(bytes_release) struct bytes purl = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes name = BYTES(TEXT_MAX);

    if (!reference_purl(&purl, publication_reference(publication), image->digest, tags->items[0], err) ||
        !reference_name(&name, publication_reference(publication), err))
        return false;
    AUTO(telling_release) struct telling packaged = { .subject = purl.data, .image = name.data, .tag = tags->items[0] };
    AUTO(telling_release)
    struct telling published = { .subject = purl.data, .image = name.data, .tag = tags->items[0] };
    return tell_taskrun(call, told, "dev.cdevents.taskrun.finished.0.3.0", "success", NULL, err) &&
           tell_packaged(call, told, &packaged, err) &&
           tell_published(call, told, tags, image->media_type, &published, err) &&
           tell_build(call, told, "dev.cdevents.build.finished.0.3.0", purl.data, "success", NULL, err);
}
