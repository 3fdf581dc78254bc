#include "shared/oci/image.h"

#include "shared/base/digest.h"
#include "shared/base/json.h"

#include <string.h>

enum { ARENA_MAX = 16 * STORE_CONFIG_MAX, PLATFORM_MAX = 100 };

enum kind { KIND_INDEX, KIND_MANIFEST, KIND_CONFIG, KIND_LAYER, KIND_FOREIGN, KIND_OLD };

static const struct {
    const char *media_type;
    enum kind kind;
} media_types[] = {
    { MEDIA_OCI_INDEX, KIND_INDEX },
    { MEDIA_DOCKER_INDEX, KIND_INDEX },
    { MEDIA_OCI_MANIFEST, KIND_MANIFEST },
    { MEDIA_DOCKER_MANIFEST, KIND_MANIFEST },
    { MEDIA_OCI_CONFIG, KIND_CONFIG },
    { "application/vnd.docker.container.image.v1+json", KIND_CONFIG },
    { "application/vnd.oci.image.layer.v1.tar", KIND_LAYER },
    { MEDIA_OCI_LAYER_GZIP, KIND_LAYER },
    { "application/vnd.oci.image.layer.v1.tar+zstd", KIND_LAYER },
    { "application/vnd.docker.image.rootfs.diff.tar", KIND_LAYER },
    { "application/vnd.docker.image.rootfs.diff.tar.gzip", KIND_LAYER },
    { "application/vnd.docker.image.rootfs.diff.tar.zstd", KIND_LAYER },
    { "application/vnd.docker.image.rootfs.foreign.diff.tar", KIND_FOREIGN },
    { "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", KIND_FOREIGN },
    { "application/vnd.oci.image.layer.nondistributable.v1.tar", KIND_FOREIGN },
    { "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", KIND_FOREIGN },
    { "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", KIND_FOREIGN },
    { "application/vnd.docker.distribution.manifest.v1+json", KIND_OLD },
    { "application/vnd.docker.distribution.manifest.v1+prettyjws", KIND_OLD },
};

static bool is_kind(const char *media_type, enum kind kind)
{
    for (size_t i = 0; i < sizeof media_types / sizeof media_types[0]; i++)
        if (media_types[i].kind == kind && strcmp(media_types[i].media_type, media_type) == 0)
            return true;
    return false;
}

void image_release(struct image *image)
{
    bytes_release(&image->body);
    bytes_release(&image->config);
    free(image->layers);
    *image = (struct image){ .layers = NULL };
}

/* ---- parts of manifests ---- */

static bool read_descriptor(const struct json *json, struct descriptor *out, const char *what, struct error *err)
{
    const char *type = json_get_string(json, "mediaType"), *digest = json_get_string(json, "digest");
    *out = (struct descriptor){ .size = 0 };
    if (!type || strlen(type) >= sizeof out->media_type)
        return error_set(err, ERROR_INVALID, "manifest: %s has no usable media type", what);
    if (!digest || !digest_is_legal(span_of(digest)))
        return error_set(err, ERROR_INVALID, "manifest: %s has no sha256 digest", what);
    if (!json_integer(json_get(json, "size"), &out->size) || out->size < 0)
        return error_set(err, ERROR_INVALID, "manifest: %s has no usable size", what);
    snprintf(out->media_type, sizeof out->media_type, "%s", type);
    snprintf(out->digest, sizeof out->digest, "%s", digest);
    return true;
}

/* ---- choosing by platform ---- */

struct platform {
    struct span os, architecture, variant;
};

static struct platform platform_of_text(const char *text)
{
    struct span rest = span_of(text);
    struct span os = span_cut(&rest, '/');
    struct span architecture = span_cut(&rest, '/');
    return (struct platform){ os, architecture, rest };
}

static struct platform platform_of_json(const struct json *json)
{
    return (struct platform){
        span_of(json_get_string(json, "os")),
        span_of(json_get_string(json, "architecture")),
        span_of(json_get_string(json, "variant")),
    };
}

/* arm64 has one variant that everybody may leave out; where a side names none, any will do. */
static bool variants_match(struct span want, struct span have)
{
    return want.len == 0 || have.len == 0 || span_equal(want, have);
}

static bool platforms_match(const struct platform *want, const struct platform *have)
{
    return span_equal(want->os, have->os) && span_equal(want->architecture, have->architecture) &&
           variants_match(want->variant, have->variant);
}

/* Builders put attestations into indexes as images for "unknown/unknown". */
static bool is_image(const struct platform *platform)
{
    return !span_is(platform->os, "unknown") && !span_is(platform->architecture, "unknown");
}

static bool refuse_platform(const struct json *index, const char *platform, struct error *err)
{
    AUTO(bytes_release) struct bytes list = BYTES(500);
    struct error full;
    for (const struct json *e = json_first(json_get(index, "manifests")); e; e = json_next(e)) {
        struct platform p = platform_of_json(json_get(e, "platform"));
        if (is_image(&p) && p.os.len + p.architecture.len + p.variant.len < PLATFORM_MAX)
            (void)bytes_printf(&list, &full, "%s%.*s/%.*s%s%.*s", list.len > 0 ? ", " : "", SPAN_ARGS(p.os),
                               SPAN_ARGS(p.architecture), p.variant.len > 0 ? "/" : "", SPAN_ARGS(p.variant));
    }
    return error_set(err, ERROR_NOT_FOUND, "no image for %s; there are: %s", platform ? platform : "any platform",
                     list.len > 0 ? bytes_text(&list) : "none");
}

static bool choose(struct span body, const char *platform, struct descriptor *out, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *index = arena ? json_parse(arena, body, err) : NULL;
    struct platform want = platform_of_text(platform);
    if (!index)
        return arena ? error_wrap(err, "index") : error_set(err, ERROR_INTERNAL, "out of memory for an index");
    if (json_get(index, "layers") || json_get(index, "config"))
        return error_set(err, ERROR_INVALID, "the index is an image manifest, too"); /* CVE-2021-41190 */
    for (const struct json *e = json_first(json_get(index, "manifests")); e; e = json_next(e)) {
        struct platform have = platform_of_json(json_get(e, "platform"));
        if (platform ? platforms_match(&want, &have) : is_image(&have))
            return read_descriptor(e, out, "an entry of the index", err);
    }
    return refuse_platform(index, platform, err);
}

/* ---- manifest and configuration ---- */

static bool refuse_layer(const struct descriptor *blob, size_t number, struct error *err)
{
    if (is_kind(blob->media_type, KIND_FOREIGN))
        return error_set(err, ERROR_UNSUPPORTED, "layer %zu is kept elsewhere (%s): foreign layers are not supported",
                         number, blob->media_type);
    return error_set(err, ERROR_UNSUPPORTED, "layer %zu is of an unknown kind (%s)", number, blob->media_type);
}

static bool read_layers(const struct json *manifest, struct image *image, struct error *err)
{
    const struct json *layers = json_get(manifest, "layers");
    size_t count = json_count(layers), i = 0;
    if (!layers || json_type(layers) != JSON_ARRAY)
        return error_set(err, ERROR_UNSUPPORTED, "the manifest has no layers: not a container image");
    if (count > IMAGE_LAYERS_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "%zu layers, the most is %d", count, IMAGE_LAYERS_MAX);
    image->layers = calloc(count > 0 ? count : 1, sizeof *image->layers);
    if (!image->layers)
        return error_set(err, ERROR_INTERNAL, "out of memory for layers");
    image->layer_count = count;
    for (const struct json *l = json_first(layers); l; l = json_next(l), i++) {
        struct descriptor *blob = &image->layers[i].blob;
        if (!read_descriptor(l, blob, "a layer", err))
            return false;
        if (!is_kind(blob->media_type, KIND_LAYER))
            return refuse_layer(blob, i + 1, err);
    }
    return true;
}

static bool read_manifest(struct span body, struct image *image, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *manifest = arena ? json_parse(arena, body, err) : NULL;
    if (!manifest)
        return arena ? error_wrap(err, "manifest") : error_set(err, ERROR_INTERNAL, "out of memory for a manifest");
    if (json_get(manifest, "manifests"))
        return error_set(err, ERROR_INVALID, "the image manifest is an index, too"); /* CVE-2021-41190 */
    if (!read_descriptor(json_get(manifest, "config"), &image->config_blob, "the configuration", err))
        return false;
    if (!is_kind(image->config_blob.media_type, KIND_CONFIG))
        return error_set(err, ERROR_UNSUPPORTED, "an artifact of type '%s', not a container image",
                         image->config_blob.media_type);
    return read_layers(manifest, image, err);
}

static bool copy_word(char *out, size_t size, const char *word, const char *what, struct error *err)
{
    if (word && strlen(word) >= size)
        return error_set(err, ERROR_INVALID, "configuration: %s is too long", what);
    snprintf(out, size, "%s", word ? word : "");
    return true;
}

static bool read_diff_ids(const struct json *config, struct image *image, struct error *err)
{
    const struct json *ids = json_get(json_get(config, "rootfs"), "diff_ids");
    size_t i = 0;
    if (json_count(ids) != image->layer_count)
        return error_set(err, ERROR_INVALID, "the manifest has %zu layers, the configuration %zu", image->layer_count,
                         json_count(ids));
    for (const struct json *id = json_first(ids); id; id = json_next(id), i++) {
        const char *text = json_string(id);
        if (!text || !digest_is_legal(span_of(text)))
            return error_set(err, ERROR_INVALID, "configuration: diff_id %zu is no sha256 digest", i + 1);
        snprintf(image->layers[i].diff_id, DIGEST_TEXT_SIZE, "%s", text);
    }
    return true;
}

static bool read_config(struct image *image, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *config = arena ? json_parse(arena, bytes_span(&image->config), err) : NULL;
    if (!config)
        return arena ? error_wrap(err, "configuration")
                     : error_set(err, ERROR_INTERNAL, "out of memory for a configuration");
    if (json_type(config) != JSON_OBJECT)
        return error_set(err, ERROR_INVALID, "configuration is not an object");
    return copy_word(image->os, sizeof image->os, json_get_string(config, "os"), "os", err) &&
           copy_word(image->architecture, sizeof image->architecture, json_get_string(config, "architecture"),
                     "architecture", err) &&
           copy_word(image->variant, sizeof image->variant, json_get_string(config, "variant"), "variant", err) &&
           read_diff_ids(config, image, err);
}

bool image_check_platform(const struct image *image, const char *platform, struct error *err)
{
    const struct platform have = { span_of(image->os), span_of(image->architecture), span_of(image->variant) };
    struct platform want = platform_of_text(platform);
    if (!platform || platforms_match(&want, &have))
        return true;
    error_set(err, ERROR_NOT_FOUND, "no image for %s; there are: %s/%s%s%s", platform, image->os, image->architecture,
              image->variant[0] ? "/" : "", image->variant);
    return error_wrap(err, "image '%s'", image->named);
}

/* ---- the whole ---- */

/* The manifest behind the name; one step further when that is an index. */
static bool find_manifest(struct store *store, const char *name, const char *platform, struct image *image,
                          struct error *err)
{
    struct descriptor *out = &image->manifest;
    if (!store_get_manifest(store, name, &image->body, out, err))
        return false;
    memcpy(image->named, out->digest, sizeof(image->named));
    if (!is_kind(out->media_type, KIND_INDEX))
        return true;
    struct descriptor chosen, came;
    if (!choose(bytes_span(&image->body), platform, &chosen, err))
        return false;
    bytes_clear(&image->body);
    if (!store_get_manifest(store, chosen.digest, &image->body, &came, err))
        return false;
    if (came.size != chosen.size || strcmp(came.media_type, chosen.media_type) != 0)
        return error_set(err, ERROR_INVALID, "index and manifest contradict each other about '%s'", chosen.digest);
    *out = came;
    return true;
}

static bool read_whole(struct store *store, struct image *image, struct error *err)
{
    if (is_kind(image->manifest.media_type, KIND_OLD))
        return error_set(err, ERROR_UNSUPPORTED,
                         "an image in Docker's schema 1, which nobody should use: push it again");
    if (!is_kind(image->manifest.media_type, KIND_MANIFEST))
        return error_set(err, ERROR_UNSUPPORTED, "'%s' is not the type of a container image",
                         image->manifest.media_type);
    return read_manifest(bytes_span(&image->body), image, err) &&
           store_read_blob(store, &image->config_blob, &image->config, err) && read_config(image, err);
}

static struct image image_none(void)
{
    return (struct image){ .body = BYTES(STORE_MANIFEST_MAX), .config = BYTES(STORE_CONFIG_MAX) };
}

bool image_load(struct store *store, const char *tag_or_digest, const char *platform, struct image *out,
                struct error *err)
{
    AUTO(image_release) struct image image = image_none();
    if (!find_manifest(store, tag_or_digest, platform, &image, err) || !read_whole(store, &image, err))
        return error_wrap(err, "image '%s'", tag_or_digest);
    *out = image;
    image = (struct image){ .layers = NULL };
    return true;
}

static bool take_manifest(struct image *image, const struct descriptor *manifest, const char *named, struct span body,
                          struct error *err)
{
    char have[SHA256_HEX_SIZE];
    sha256_hex_of(body, have);
    if ((int64_t)body.len != manifest->size || !span_ends(span_of(manifest->digest), have))
        return error_set(err, ERROR_INVALID, "the manifest is not the one of its digest");
    image->manifest = *manifest;
    snprintf(image->named, sizeof(image->named), "%s", named);
    return bytes_append_span(&image->body, body, err);
}

bool image_read(struct store *store, const struct descriptor *manifest, const char *named, struct span body,
                struct image *out, struct error *err)
{
    AUTO(image_release) struct image image = image_none();
    if (!take_manifest(&image, manifest, named, body, err) || !read_whole(store, &image, err))
        return error_wrap(err, "image '%s'", named);
    *out = image;
    image = (struct image){ .layers = NULL };
    return true;
}
