#include "functions/webhook/images.h"

#include "shared/base/encode.h"
#include "shared/oci/reference.h"
#include "shared/record/record.h"

#include <string.h>

enum { TEXT_MAX = 16 * 1024 };

static bool is_manifest(const char *media_type)
{
    static const char *const types[] = { MEDIA_OCI_INDEX, MEDIA_OCI_MANIFEST, MEDIA_DOCKER_INDEX,
                                         MEDIA_DOCKER_MANIFEST };
    for (size_t i = 0; media_type && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(media_type, types[i]) == 0)
            return true;
    return false;
}

/* Signatures, attestations and SBOMs travel as tags of their own ("sha256-<hex>.sig"): building on them would loop. */
static bool is_attachment(const char *tag)
{
    return strncmp(tag, "sha256-", 7) == 0;
}

/* What is remembered of builds, and the build cache (shared/builder/cache_registry.h). */
static bool is_record(const char *tag)
{
    static const char *const prefixes[] = { RECORD_TAG_PREFIX, "pushwright-cache-" };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(tag, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* Older registries tell the tag only by the manifest's URL. */
static const char *tag_of(const struct json *target)
{
    const char *tag = json_get_string(target, "tag");
    struct span url = span_of(json_get_string(target, "url"));
    long slash = span_find_last(url, '/');
    if (tag && *tag)
        return tag;
    bool by_tag = slash >= 0 && span_ends((struct span){ url.data, (size_t)slash }, "/manifests");
    const char *last = by_tag ? url.data + slash + 1 : "";
    return *last && !strchr(last, ':') ? last : NULL;
}

static const char *host_of(const struct config_source *source, const struct json *event)
{
    const char *told = json_get_string(json_get(event, "request"), "host");
    return source->host ? source->host : told && *told ? told : NULL;
}

/* What one event of the envelope is about. */
struct notice {
    const char *action, *id, *host, *repository, *tag, *digest, *media_type, *actor;
    size_t index; /* in the envelope */
};

/* "registry/repository" as triggers are compared by; false when it is no such name. */
static bool name_image(struct bytes *name, struct reference *reference, const struct notice *n, struct error *err)
{
    AUTO(bytes_release) struct bytes told = BYTES(TEXT_MAX);
    return bytes_printf(&told, err, "%s/%s", n->host, n->repository) &&
           reference_parse(bytes_span(&told), reference, err) && !reference_is_layout(reference) && !reference->tag &&
           !reference->digest && reference_name(name, reference, err);
}

static bool write_custom(struct bytes *out, const struct notice *n, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "origin", "registry-notification");
    json_add_string(&w, "registry", n->host);
    json_add_string(&w, "repository", n->repository);
    json_add_string(&w, "digest", n->digest);
    json_add_string(&w, "mediaType", n->media_type);
    json_open_array(&w, "tags");
    json_add_string(&w, NULL, n->tag);
    json_close_array(&w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool write_actor(struct bytes *out, const struct notice *n, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "user", n->actor && *n->actor ? n->actor : NULL);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* Without a digest (a tag was deleted, or what is told is none) the purl has no version. */
static bool write_purl(struct bytes *out, const struct notice *n, const struct reference *reference, const char *name,
                       struct error *err)
{
    if (n->digest && digest_is_legal(span_of(n->digest)))
        return reference_purl(out, reference, n->digest, n->tag, err);
    const char *last = strrchr(name, '/') + 1;
    return bytes_printf(out, err, "pkg:oci/%s?repository_url=", last) && percent_encode(out, span_of(name), "", err) &&
           (!n->tag || bytes_printf(out, err, "&tag=%s", n->tag));
}

static bool emit_image(struct call *call, const struct notice *n, const struct reference *reference, const char *name,
                       const char *type, struct error *err)
{
    struct bytes purl = ARENA_BYTES(call_arena(call), TEXT_MAX), content = purl, custom = purl;
    if (!write_purl(&purl, n, reference, name, err) || !write_actor(&content, n, err) || !write_custom(&custom, n, err))
        return false;
    const struct attribute attributes[] = {
        { .name = "imageref", .value = name },
        { .name = "imagetag", .value = n->tag ? n->tag : "none" },
    };
    /* The place in the envelope belongs to it: a registry may say one thing twice in one breath. */
    const struct draft draft = {
        .type = type,
        .subject = bytes_text(&purl),
        .content = bytes_span(&content),
        .custom = bytes_span(&custom),
        .target = arena_printf(call_arena(call), "%zu %s", n->index, n->id ? n->id : bytes_text(&purl)),
        .attributes = attributes,
        .attribute_count = sizeof attributes / sizeof attributes[0],
    };
    return call_emit(call, &draft, err);
}

static const char *why_not_published(const struct notice *n)
{
    if (!is_manifest(n->media_type))
        return "not an image but a part of one";
    if (!n->tag)
        return "pushed without a tag";
    if (is_record(n->tag))
        return "a record of builds";
    return is_attachment(n->tag) ? "a signature or attestation" : NULL;
}

/* NULL: `notice` is of interest as `*type`; else why it is not. */
static const char *why_ignored(const struct notice *n, const char **type)
{
    if (!n->action || !n->repository)
        return "the event names no action or no repository";
    bool deleted = strcmp(n->action, "delete") == 0;
    const char *reason = deleted ? NULL : why_not_published(n);
    if (!deleted && strcmp(n->action, "push") != 0)
        return "only pushed and deleted images are of interest";
    if (reason)
        return reason;
    if (n->tag && !reference_tag_is_legal(span_of(n->tag)))
        return "the event's tag is no tag";
    if (!n->host)
        return "the event does not name the registry: set \"host\" of the source";
    *type = deleted ? "dev.cdevents.artifact.deleted.0.2.0" : "dev.cdevents.artifact.published.0.3.0";
    return NULL;
}

static struct notice read_notice(const struct config_source *source, const struct json *event, size_t index)
{
    const struct json *target = json_get(event, "target");
    return (struct notice){
        .index = index,
        .action = json_get_string(event, "action"),
        .id = json_get_string(event, "id"),
        .host = host_of(source, event),
        .repository = json_get_string(target, "repository"),
        .tag = tag_of(target),
        .digest = json_get_string(target, "digest"),
        .media_type = json_get_string(target, "mediaType"),
        .actor = json_get_string(json_get(event, "actor"), "name"),
    };
}

static bool take_event(struct call *call, const struct notice *notice, struct verdict *verdict, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(TEXT_MAX);
    AUTO(reference_release) struct reference reference = { 0 };
    struct error bad_name = { 0 };
    const char *type = NULL;
    const char *reason = why_ignored(notice, &type);
    if (!reason && !name_image(&name, &reference, notice, &bad_name))
        reason = "the event's repository is not the name of an image";
    if (reason) {
        verdict->reason = reason;
        return true;
    }
    verdict->published++;
    return emit_image(call, notice, &reference, bytes_text(&name), type, err);
}

bool images_notified(struct call *call, const struct config_source *source, struct span json, struct verdict *verdict,
                     struct error *err)
{
    const struct json *doc = json_parse(call_arena(call), json, err);
    const struct json *events = json_get(doc, "events");
    if (!doc)
        return error_wrap(err, "the body");
    if (!events || json_type(events) != JSON_ARRAY)
        return error_set(err, ERROR_INVALID, "the body has no list \"events\": is this a registry's notification?");
    if (json_count(events) > IMAGES_EVENTS_MAX)
        return error_set(err, ERROR_INVALID, "more than %d events in one envelope", IMAGES_EVENTS_MAX);
    size_t index = 0;
    for (const struct json *event = json_first(events); event; event = json_next(event)) {
        const struct notice notice = read_notice(source, event, index++);
        if (!take_event(call, &notice, verdict, err))
            return false;
    }
    if (verdict->published > 0)
        verdict->reason = NULL;
    else if (!verdict->reason)
        verdict->reason = "the envelope is empty";
    return true;
}
