#include "shared/attest/tagged.h"
#include "shared/oci/descriptor.h"

#include "shared/base/digest.h"
#include "shared/base/json.h"

#include <string.h>

enum { ARENA_MAX = 16 * STORE_MANIFEST_MAX, LAYERS_MAX = 1000, SUFFIX_MAX = 8, ROUNDS = 3 };

#define SIGNATURE_KEY "dev.cosignproject.cosign/signature"

/* Additions on their way. */
struct adding {
    struct store *store;
    const struct tagged_entry *entries;
    size_t count;
    char tag[DIGEST_TEXT_SIZE + SUFFIX_MAX];
};

static void write_descriptor(struct json_writer *w, const char *key, const struct descriptor *descriptor)
{
    json_open_object(w, key);
    json_add_string(w, "mediaType", descriptor->media_type);
    json_add_string(w, "digest", descriptor->digest);
    json_add_integer(w, "size", descriptor->size);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool stands_there(const struct json *layers, const struct tagged_entry *entry)
{
    for (const struct json *layer = json_first(layers); layer; layer = json_next(layer)) {
        if (same_text(json_get_string(layer, "digest"), entry->blob.digest) &&
            same_text(json_get_string(json_get(layer, "annotations"), SIGNATURE_KEY), entry->signature))
            return true;
    }
    return false;
}

static bool all_stand_there(const struct json *layers, const struct adding *adding)
{
    for (size_t i = 0; i < adding->count; i++) {
        if (!stands_there(layers, &adding->entries[i]))
            return false;
    }
    return true;
}

/* ---- what is written ---- */

/* Readers take it for an image, which has a configuration that counts its layers. */
static bool write_config(struct bytes *out, const struct json *old, const struct adding *adding, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_add_string(&w, "architecture", "");
    json_add_string(&w, "os", "");
    json_open_object(&w, "config");
    json_close_object(&w);
    json_open_object(&w, "rootfs");
    json_add_string(&w, "type", "layers");
    json_open_array(&w, "diff_ids");
    for (const struct json *layer = json_first(old); layer; layer = json_next(layer))
        json_add_string(&w, NULL, json_get_string(layer, "digest"));
    for (size_t i = 0; i < adding->count; i++) {
        if (!stands_there(old, &adding->entries[i]))
            json_add_string(&w, NULL, adding->entries[i].blob.digest);
    }
    json_close_array(&w);
    json_close_object(&w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool write_old(struct json_writer *w, const struct json *layers, struct error *err)
{
    for (const struct json *layer = json_first(layers); layer; layer = json_next(layer)) {
        AUTO(bytes_release) struct bytes text = BYTES(STORE_MANIFEST_MAX);

        if (!json_print(&text, layer, err))
            return false;
        json_add_raw(w, NULL, bytes_span(&text));
    }
    return true;
}

static void write_entry(struct json_writer *w, const struct tagged_entry *entry)
{
    write_descriptor(w, NULL, &entry->blob);
    json_open_object(w, "annotations");
    json_add_string(w, SIGNATURE_KEY, entry->signature);
    json_add_string(w, "predicateType", entry->predicate_type);
    json_close_object(w);
    json_close_object(w);
}

static bool write_manifest(struct bytes *out, const struct json *old, const struct adding *adding,
                           const struct descriptor *config, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", MEDIA_OCI_MANIFEST);
    write_descriptor(&w, "config", config);
    json_close_object(&w);
    json_open_array(&w, "layers");
    if (!write_old(&w, old, err))
        return false;
    for (size_t i = 0; i < adding->count; i++) {
        if (!stands_there(old, &adding->entries[i]))
            write_entry(&w, &adding->entries[i]);
    }
    json_close_array(&w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool write_behind(struct adding *adding, const struct json *old, struct error *err)
{
    AUTO(bytes_release) struct bytes config = BYTES(STORE_CONFIG_MAX);
    AUTO(bytes_release) struct bytes manifest = BYTES(STORE_MANIFEST_MAX);
    struct descriptor ignored;

    if (json_count(old) >= LAYERS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "%d stand there already: delete the tag, or some of them", LAYERS_MAX);
    if (!write_config(&config, old, adding, err))
        return false;
    struct descriptor described = descriptor_of(MEDIA_OCI_CONFIG, bytes_span(&config));
    return write_manifest(&manifest, old, adding, &described, err) &&
           store_put_blob(adding->store, &described, bytes_span(&config), err) &&
           store_put_manifest(adding->store, adding->tag, MEDIA_OCI_MANIFEST, bytes_span(&manifest), &ignored, err);
}

/* ---- what stands there ---- */

static bool read_old(struct adding *adding, struct arena *arena, const struct json **layers, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    struct error failed = { 0 };
    struct descriptor ignored;

    *layers = NULL;
    if (!store_get_manifest(adding->store, adding->tag, &body, &ignored, &failed)) {
        if (failed.kind == ERROR_NOT_FOUND)
            return true;
        *err = failed;
        return false;
    }
    const struct json *manifest = json_parse(arena, bytes_span(&body), err);
    *layers = json_get(manifest, "layers");
    return manifest != NULL;
}

static bool add_once(struct adding *adding, bool *stands, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *layers;

    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!read_old(adding, arena, &layers, err))
        return false;
    *stands = all_stand_there(layers, adding);
    return *stands || write_behind(adding, layers, err);
}

bool tagged_put(struct store *store, const struct tagged_layer *layer, struct tagged_entry *out, struct error *err)
{
    *out = (struct tagged_entry){ descriptor_of(layer->media_type, layer->content), layer->signature,
                                  layer->predicate_type };
    return store_put_blob(store, &out->blob, layer->content, err);
}

bool tagged_add(struct store *store, const char *subject, const char *suffix, const struct tagged_layer *layer,
                struct error *err)
{
    struct tagged_entry entry;

    return tagged_put(store, layer, &entry, err) && tagged_enter(store, subject, suffix, &entry, 1, err);
}

bool tagged_enter(struct store *store, const char *subject, const char *suffix, const struct tagged_entry *entries,
                  size_t count, struct error *err)
{
    struct adding adding = { store, entries, count, "" };
    bool stands = count == 0;

    snprintf(adding.tag, sizeof(adding.tag), "sha256-%s.%s", subject + strlen("sha256:"), suffix);
    /* No registry writes "unless somebody else did": as with the list of referrers, only another look tells. */
    for (int i = 0; i < ROUNDS && !stands; i++) {
        if (!add_once(&adding, &stands, err))
            return error_wrap(err, "'%s'", adding.tag);
    }
    return stands || error_set(err, ERROR_UNAVAILABLE, "others write '%s' all the time", adding.tag);
}
