#include "shared/builder/cache_registry.h"

#include "shared/base/encode.h"
#include "shared/base/json.h"

#include <stdlib.h>
#include <string.h>

#define ARTIFACT "application/vnd.pushwright.build-cache.v1+json"
#define STEP_KEY "dev.pushwright.step"
#define SEAL_KEY "dev.pushwright.seal"
#define TAG_PREFIX "pushwright-cache-"

enum { TAG_DIGITS = 32, ARENA_MAX = 16 * STORE_MANIFEST_MAX };

/* ---- records ---- */

void cache_records_release(struct cache_records *records)
{
    free(records->items);
    *records = (struct cache_records){ 0 };
}

const struct cache_record *cache_records_find(const struct cache_records *records, const char *key)
{
    for (size_t i = 0; i < records->count; i++) {
        if (strcmp(records->items[i].key, key) == 0)
            return &records->items[i];
    }
    return NULL;
}

bool cache_records_add(struct cache_records *records, const struct cache_record *record, struct error *err)
{
    if (records->count == CACHE_REGISTRY_RECORDS_MAX || cache_records_find(records, record->key))
        return true;
    struct cache_record *items = realloc(records->items, (records->count + 1) * sizeof(items[0]));
    if (!items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    records->items = items;
    items[records->count++] = *record;
    return true;
}

/* ---- reading ---- */

struct store *cache_registry_open(const struct cache_registry_options *options, const char *repository, bool push,
                                  struct registry_options *registries, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };

    *registries = options->registries ? *options->registries : (struct registry_options){ 0 };
    registries->push = push;
    registries->use_mirrors = false;
    return reference_parse(span_of(repository), &reference, err) ? store_open(&reference, registries, err) : NULL;
}

void cache_registry_tag(const char *kind, const char *name, char out[static CACHE_REGISTRY_TAG_SIZE])
{
    char hex[SHA256_HEX_SIZE];

    sha256_hex_of(span_of(name ? name : ""), hex);
    snprintf(out, CACHE_REGISTRY_TAG_SIZE, TAG_PREFIX "%.10s%.*s", kind, TAG_DIGITS, hex);
}

static bool is_sealed(const struct cache_registry_options *options, const char *step, const char *text)
{
    uint8_t mac[SEAL_SIZE];

    return text && options->seal.check && hex_decode(mac, sizeof(mac), span_of(text)) &&
           options->seal.check(options->seal.context, span_of(step), mac);
}

/* A record is about the very layer that it stands beside, which the registry keeps as long as the manifest. */
static bool read_record(const struct cache_registry_options *options, const struct json *layer,
                        struct cache_record *out)
{
    const struct json *notes = json_get(layer, "annotations");
    const char *step = json_get_string(notes, STEP_KEY), *digest = json_get_string(layer, "digest"),
               *type = json_get_string(layer, "mediaType");
    int64_t size;

    return step && digest && type && json_integer(json_get(layer, "size"), &size) &&
           cache_record_parse(span_of(step), out) && strcmp(out->layer.blob.digest, digest) == 0 &&
           strcmp(out->layer.blob.media_type, type) == 0 && out->layer.blob.size == size &&
           (is_sealed(options, step, json_get_string(notes, SEAL_KEY)) || options->trusted);
}

bool cache_registry_parse(struct span manifest, const struct cache_registry_options *options, struct cache_records *out,
                          struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *root = arena ? json_parse(arena, manifest, err) : NULL;
    const char *type = json_get_string(root, "artifactType");
    struct cache_record record;

    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!root)
        return false;
    if (!type || strcmp(type, ARTIFACT) != 0)
        return true;
    for (const struct json *layer = json_first(json_get(root, "layers")); layer; layer = json_next(layer)) {
        if (read_record(options, layer, &record) && !cache_records_add(out, &record, err))
            return false;
    }
    return true;
}

bool cache_registry_read(struct store *store, const struct cache_registry_options *options, const char *tag,
                         struct cache_records *out, struct error *err)
{
    AUTO(bytes_release) struct bytes manifest = BYTES(STORE_MANIFEST_MAX);
    struct descriptor descriptor;
    struct error failed = { 0 };

    if (store_get_manifest(store, tag, &manifest, &descriptor, &failed))
        return cache_registry_parse(bytes_span(&manifest), options, out, err);
    if (failed.kind == ERROR_NOT_FOUND)
        return true;
    *err = failed;
    return false;
}

/* ---- writing ---- */

static void write_blob(struct json_writer *w, const char *key, const struct descriptor *blob)
{
    json_open_object(w, key);
    json_add_string(w, "mediaType", blob->media_type);
    json_add_string(w, "digest", blob->digest);
    json_add_integer(w, "size", blob->size);
}

static bool write_record(struct json_writer *w, const struct cache_registry_options *options,
                         const struct cache_record *record, struct error *err)
{
    AUTO(bytes_release) struct bytes step = BYTES(CACHE_RECORD_MAX);
    uint8_t mac[SEAL_SIZE];
    char hex[2 * SEAL_SIZE + 1];

    if (!cache_record_write(record, &step, err))
        return false;
    write_blob(w, NULL, &record->layer.blob);
    json_open_object(w, "annotations");
    json_add_string(w, STEP_KEY, step.data);
    if (options->seal.make && options->seal.make(options->seal.context, bytes_span(&step), mac)) {
        hex_encode(hex, mac, sizeof(mac));
        json_add_string(w, SEAL_KEY, hex);
    }
    json_close_object(w);
    json_close_object(w);
    return true;
}

static bool write_manifest(struct bytes *out, const struct cache_registry_options *options,
                           const struct descriptor *config, const struct cache_records *records, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", MEDIA_OCI_MANIFEST);
    json_add_string(&w, "artifactType", ARTIFACT);
    write_blob(&w, "config", config);
    json_close_object(&w);
    json_open_array(&w, "layers");
    for (size_t i = 0; i < records->count; i++) {
        if (!write_record(&w, options, &records->items[i], err))
            return false;
    }
    json_close_array(&w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

bool cache_registry_write(struct store *store, const struct cache_registry_options *options, const char *tag,
                          const struct cache_records *records, struct error *err)
{
    AUTO(bytes_release) struct bytes manifest = BYTES(STORE_MANIFEST_MAX);
    struct descriptor empty = { .media_type = MEDIA_OCI_EMPTY, .digest = "sha256:", .size = 2 }, ignored;

    sha256_hex_of(SPAN("{}"), empty.digest + strlen("sha256:"));
    return write_manifest(&manifest, options, &empty, records, err) && store_put_blob(store, &empty, SPAN("{}"), err) &&
           store_put_manifest(store, tag, MEDIA_OCI_MANIFEST, bytes_span(&manifest), &ignored, err);
}
