#include "runtime/cli/build_cache.h"

#include "runtime/cli/build_fields.h"
#include "shared/oci/reference.h"

#include <string.h>

enum { NAME_BYTES = 4096 };

struct fields {
    const char *type, *ref, *directory, *tag, *mode, *image_manifest, *oci_types, *ignore_error;
};

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool place_of(struct arena *arena, const char *image, struct cache_place *out, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(NAME_BYTES);

    if (!reference_parse(span_of(image), &reference, err) || !reference_name(&name, &reference, err))
        return false;
    if (reference.digest)
        return error_set(err, ERROR_UNSUPPORTED, "'%s': a cache is known by its tag", image);
    out->repository = arena_dup(arena, bytes_span(&name));
    out->tag = arena_dup(arena, span_of(reference.tag ? reference.tag : "latest"));
    return (out->repository && out->tag) || out_of_memory(err);
}

/* Of a cache that is kept with the image of that tag. */
static bool inline_tag(struct arena *arena, struct cache_place *place, struct error *err)
{
    char tag[CACHE_REGISTRY_TAG_SIZE];

    cache_registry_tag("inline-", place->tag, tag);
    place->tag = arena_dup(arena, span_of(tag));
    return place->tag || out_of_memory(err);
}

static bool directory_place(struct arena *arena, const struct fields *fields, const char *key, struct cache_place *out,
                            struct error *err)
{
    if (!fields->directory)
        return error_set(err, ERROR_INVALID, "type=local needs %s=DIRECTORY", key);
    if (strchr(fields->directory, ':'))
        return error_set(err, ERROR_UNSUPPORTED, "'%s': a directory whose name has no colon", fields->directory);
    out->repository = arena_printf(arena, "oci:%s", fields->directory);
    out->tag = fields->tag ? fields->tag : "latest";
    return out->repository || out_of_memory(err);
}

static bool registry_place(struct arena *arena, const struct fields *fields, struct cache_place *out, struct error *err)
{
    if (!fields->ref)
        return error_set(err, ERROR_INVALID, "type=registry needs ref=REGISTRY/NAME:TAG");
    return place_of(arena, fields->ref, out, err);
}

/* Before the fields of a type that there is not are looked at. What buildx leaves out is a registry's. */
static bool check_type(const char *value, bool is_from, struct error *err)
{
    struct span rest = span_of(value), type = SPAN("registry");

    while (rest.data) {
        struct span said = span_cut(&rest, ','), key = span_cut(&said, '=');
        if (span_is(span_trim(key), "type") && said.data)
            type = said;
    }
    if (span_is(type, "registry") || span_is(type, "local") || (!is_from && span_is(type, "inline")))
        return true;
    return error_set(
        err, ERROR_UNSUPPORTED,
        "type=%.*s: a cache is kept at a registry (type=registry,ref=NAME), with the image (type=inline) or "
        "in a directory (type=local)",
        SPAN_ARGS(type));
}

static bool has_type(const struct fields *fields, const char *type)
{
    return strcmp(fields->type, type) == 0;
}

static bool add_from(struct build_caches *caches, struct cache_place place, struct error *err)
{
    if (caches->from_count == BUILD_CACHES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d places", BUILD_CACHES_MAX);
    caches->from[caches->from_count++] = place;
    return true;
}

bool build_cache_from(struct build_caches *caches, struct arena *arena, const char *value, struct error *err)
{
    struct fields fields = { .type = "registry" };
    const struct field known[] = {
        { "type", &fields.type }, { "ref", &fields.ref }, { "src", &fields.directory }, { "tag", &fields.tag }
    };
    struct cache_place place = { 0 };

    if (!strchr(value, '='))
        fields.ref = value;
    else if (!check_type(value, true, err) || !fields_read(arena, value, known, sizeof(known) / sizeof(known[0]), err))
        return false;
    if (has_type(&fields, "local"))
        return directory_place(arena, &fields, "src", &place, err) && add_from(caches, place, err);
    if (!registry_place(arena, &fields, &place, err) || !add_from(caches, place, err))
        return false;
    return inline_tag(arena, &place, err) && add_from(caches, place, err);
}

static bool must_be_true(const char *key, const char *value, struct error *err)
{
    bool wanted = true;

    if (value && (!field_bool(value, &wanted) || !wanted))
        return error_set(err, ERROR_UNSUPPORTED, "%s=%s: it is an OCI image manifest", key, value);
    return true;
}

static bool read_mode(struct build_caches *caches, const char *mode, struct error *err)
{
    caches->all_stages = mode && strcmp(mode, "max") == 0;
    return !mode || caches->all_stages || strcmp(mode, "min") == 0 ||
           error_set(err, ERROR_INVALID, "mode=%s is neither min nor max", mode);
}

bool build_cache_to(struct build_caches *caches, struct arena *arena, const char *value, struct error *err)
{
    struct fields fields = { .type = "registry" };
    const struct field known[] = { { "type", &fields.type },
                                   { "ref", &fields.ref },
                                   { "dest", &fields.directory },
                                   { "tag", &fields.tag },
                                   { "mode", &fields.mode },
                                   { "image-manifest", &fields.image_manifest },
                                   { "oci-mediatypes", &fields.oci_types },
                                   { "ignore-error", &fields.ignore_error } };

    if (caches->to.repository || caches->beside_image)
        return error_set(err, ERROR_UNSUPPORTED, "the cache is kept in one place");
    if (!strchr(value, '='))
        fields.ref = value;
    else if (!check_type(value, false, err) || !fields_read(arena, value, known, sizeof(known) / sizeof(known[0]), err))
        return false;
    if (!must_be_true("image-manifest", fields.image_manifest, err) ||
        !must_be_true("oci-mediatypes", fields.oci_types, err) || !read_mode(caches, fields.mode, err))
        return false;
    if (fields.ignore_error && !field_bool(fields.ignore_error, &caches->ignore_error))
        return error_set(err, ERROR_INVALID, "ignore-error=%s is neither true nor false", fields.ignore_error);
    if (has_type(&fields, "local"))
        return directory_place(arena, &fields, "dest", &caches->to, err);
    caches->beside_image = has_type(&fields, "inline");
    return caches->beside_image || registry_place(arena, &fields, &caches->to, err);
}

bool build_cache_settle(struct build_caches *caches, struct arena *arena, const char *image, struct error *err)
{
    if (!caches->beside_image)
        return true;
    if (!image)
        return error_set(err, ERROR_INVALID, "--cache-to: type=inline goes where the image goes: --push and --tag");
    return place_of(arena, image, &caches->to, err) && inline_tag(arena, &caches->to, err);
}
