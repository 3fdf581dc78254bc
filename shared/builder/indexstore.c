#include "shared/builder/indexstore.h"

#include "shared/builder/baseindex.h"
#include "shared/oci/compress.h"
#include "shared/oci/descriptor.h"
#include "shared/oci/referrers.h"

#include <stdlib.h>
#include <string.h>

#define ARTIFACT "application/vnd.pushwright.layer-index.v1"
/* "DIGEST SIZE" of the blob: where lists tell it, the manifest need not be read. */
#define BLOB_KEY "dev.pushwright.blob"

/* The blob, in gzip: the seal, then what it is made over. Numbers of the entries stand as they lie in the memory of a little-endian
 * machine of 64 bits, which the magic tells. */
static const char magic[8] = "pwindex3";
enum { NAMES = 2 * DIGEST_TEXT_SIZE, HEAD = SEAL_SIZE + sizeof(magic) + NAMES, LEVEL = 6 };
static const int64_t sealed_max = (int64_t)BASEINDEX_MAX + HEAD;

static bool names_of(const struct image_layer *layer, struct bytes *out, struct error *err)
{
    char names[NAMES] = "";

    memcpy(names, layer->blob.digest, strlen(layer->blob.digest));
    memcpy(names + DIGEST_TEXT_SIZE, layer->diff_id, strlen(layer->diff_id));
    return bytes_append(out, magic, sizeof(magic), err) && bytes_append(out, names, NAMES, err);
}

static struct store *open_store(const struct indexstore_options *options, const struct registry_options *registries)
{
    AUTO(reference_release) struct reference reference = { 0 };
    struct error err = { 0 };

    return reference_parse(span_of(options->image), &reference, &err) ? store_open(&reference, registries, &err) : NULL;
}

static bool collect(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static bool inflate(struct span packed, struct bytes *plain, struct error *err)
{
    AUTO(inflater_free) struct inflater *inflater = inflater_new(collect, plain, sealed_max, err);

    return inflater && inflater_feed(inflater, packed.data, packed.len, err) && inflater_end(inflater, err);
}

struct looking {
    struct store *store;
    const struct indexstore_options *options;
    const struct image_layer *layer;
    struct bytes *entries;
    bool found;
};

/* Is the blob about this layer, and sealed? */
static bool believe(const struct looking *looking, const struct bytes *plain, struct error *err)
{
    AUTO(bytes_release) struct bytes expected = BYTES(HEAD);
    const struct seal *seal = &looking->options->seal;

    if (plain->len < HEAD || !names_of(looking->layer, &expected, err) ||
        memcmp(plain->data + SEAL_SIZE, expected.data, expected.len) != 0)
        return false;
    return seal->check(seal->context, (struct span){ plain->data + SEAL_SIZE, plain->len - SEAL_SIZE },
                       (const uint8_t *)plain->data);
}

static bool read_told(const char *told, struct descriptor *out)
{
    struct span size = span_of(told ? told : ""), digest = span_cut(&size, ' ');
    char *end;

    if (!digest_is_legal(digest) || size.len == 0)
        return false;
    *out = (struct descriptor){ .size = strtoll(size.data, &end, 10) };
    memcpy(out->digest, digest.data, digest.len);
    return out->size > 0 && !*end;
}

static bool read_packed(const struct looking *looking, const struct descriptor *manifest, const struct json *notes,
                        struct bytes *packed, struct error *err)
{
    struct descriptor blob;

    return read_told(json_get_string(notes, BLOB_KEY), &blob)
               ? store_read_blob(looking->store, &blob, packed, err)
               : oci_referrers_read(looking->store, looking->layer->blob.digest, manifest, packed, err);
}

/* One that is wrong is passed over: there may be another behind it. */
static bool on_referrer(void *context, const struct descriptor *manifest, const char *type,
                        const struct json *annotations, struct error *err)
{
    struct looking *looking = context;
    AUTO(bytes_release) struct bytes packed = BYTES((size_t)sealed_max), plain = BYTES((size_t)sealed_max);
    struct error failed = { 0 };

    (void)type;
    if (looking->found || !read_packed(looking, manifest, annotations, &packed, &failed) ||
        !inflate(bytes_span(&packed), &plain, &failed) || !believe(looking, &plain, &failed))
        return true;
    looking->found = bytes_append(looking->entries, plain.data + HEAD, plain.len - HEAD, err);
    return looking->found;
}

bool indexstore_get(const struct indexstore_options *options, const struct registry_options *registries,
                    const struct image_layer *layer, struct bytes *entries)
{
    AUTO(store_free) struct store *store = options->image ? open_store(options, registries) : NULL;
    struct looking looking = { store, options, layer, entries, false };
    struct error err = { 0 };

    return store && oci_referrers_list(store, layer->blob.digest, ARTIFACT, on_referrer, &looking, &err) &&
           looking.found;
}

static bool seal_up(const struct indexstore_options *options, const struct image_layer *layer, struct span entries,
                    struct bytes *packed, struct error *err)
{
    AUTO(bytes_release) struct bytes plain = BYTES((size_t)sealed_max);
    uint8_t mac[SEAL_SIZE] = { 0 };

    if (!bytes_append(&plain, mac, SEAL_SIZE, err) || !names_of(layer, &plain, err) ||
        !bytes_append_span(&plain, entries, err) ||
        !options->seal.make(options->seal.context, (struct span){ plain.data + SEAL_SIZE, plain.len - SEAL_SIZE }, mac))
        return false;
    memcpy(plain.data, mac, SEAL_SIZE);
    return gzip_append(packed, bytes_span(&plain), LEVEL, err);
}

void indexstore_put(const struct indexstore_options *options, const struct registry_options *registries,
                    const struct image_layer *layer, struct span entries)
{
    AUTO(store_free) struct store *store = options->image ? open_store(options, registries) : NULL;
    AUTO(bytes_release) struct bytes packed = BYTES((size_t)sealed_max);
    struct descriptor made;
    struct error err = { 0 };

    if (!store || !seal_up(options, layer, entries, &packed, &err))
        return;
    struct referrer_blob blob = { ARTIFACT "+gzip", bytes_span(&packed) };
    const struct descriptor packed_as = descriptor_of(blob.media_type, blob.content);
    char told[DIGEST_TEXT_SIZE + 24];
    snprintf(told, sizeof(told), "%s %lld", packed_as.digest, (long long)packed_as.size);
    const struct referrer_annotation note = { BLOB_KEY, told };
    const struct referrer_new referrer = {
        .artifact_type = ARTIFACT, .blobs = &blob, .blob_count = 1, .annotations = &note, .annotation_count = 1
    };
    oci_referrers_push(store, &layer->blob, &referrer, &made, &err);
}
