#include "shared/oci/referrers.h"
#include "shared/oci/descriptor.h"

#include "shared/base/digest.h"
#include "shared/oci/store_backend.h"

#include <string.h>

enum {
    ARENA_MAX = 16 * STORE_MANIFEST_MAX,
    TAG_SIZE = DIGEST_TEXT_SIZE,
    ROUNDS = 3, /* of writing an index that others write, too */
};

static const struct span empty_object = { "{}", 2 };

static void tag_of(const char *digest, char tag[static TAG_SIZE])
{
    snprintf(tag, TAG_SIZE, "%s", digest);
    tag[strlen("sha256")] = '-';
}

static bool check_subject(const char *digest, struct error *err)
{
    return digest_is_legal(span_of(digest)) || error_set(err, ERROR_INVALID, "digest of a subject is malformed");
}

/* ---- reading lists ---- */

static bool read_entry(const struct json *entry, struct descriptor *out)
{
    const char *type = json_get_string(entry, "mediaType"), *digest = json_get_string(entry, "digest");
    *out = (struct descriptor){ .size = 0 };
    if (!type || strlen(type) >= sizeof out->media_type || !digest || !digest_is_legal(span_of(digest)) ||
        !json_integer(json_get(entry, "size"), &out->size) || out->size < 0)
        return false;
    memcpy(out->media_type, type, strlen(type) + 1);
    memcpy(out->digest, digest, strlen(digest) + 1);
    return true;
}

struct listing {
    const char *artifact_type;
    referrer_fn *on_referrer;
    void *context;
};

static bool tell_all(void *context, struct span index, struct error *err)
{
    const struct listing *listing = context;
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *json = arena ? json_parse(arena, index, err) : NULL;
    if (!json)
        return arena ? error_wrap(err, "list of referrers") : error_set(err, ERROR_INTERNAL, "out of memory");
    for (const struct json *e = json_first(json_get(json, "manifests")); e; e = json_next(e)) {
        const char *type = json_get_string(e, "artifactType");
        struct descriptor manifest;
        if (!read_entry(e, &manifest) ||
            (listing->artifact_type && strcmp(type ? type : "", listing->artifact_type) != 0))
            continue;
        if (!listing->on_referrer(listing->context, &manifest, type ? type : "", json_get(e, "annotations"), err))
            return false;
    }
    return true;
}

/* The index behind the tag; empty when there is none. */
static bool read_tagged(struct store *store, const char *subject, struct bytes *index, struct error *err)
{
    char tag[TAG_SIZE];
    struct descriptor ignored;
    struct error why = { .kind = ERROR_NONE };
    tag_of(subject, tag);
    bytes_clear(index);
    if (store_get_manifest(store, tag, index, &ignored, &why) || why.kind == ERROR_NOT_FOUND)
        return true;
    *err = why;
    return false;
}

bool oci_referrers_list(struct store *store, const char *subject, const char *artifact_type, referrer_fn *on_referrer,
                        void *context, struct error *err)
{
    struct listing listing = { artifact_type, on_referrer, context };
    AUTO(bytes_release) struct bytes index = BYTES(STORE_MANIFEST_MAX);
    bool known = false;
    if (!check_subject(subject, err))
        return false;
    if (store->backend->list_referrers &&
        !store->backend->list_referrers(store->self, subject, artifact_type, tell_all, &listing, &known, err))
        return error_wrap(err, "%s: referrers of '%s'", store->name, subject);
    if (known)
        return true;
    return read_tagged(store, subject, &index, err) && (index.len == 0 || tell_all(&listing, bytes_span(&index), err));
}

static bool check_manifest(const struct json *manifest, const char *subject, struct descriptor *blob, struct error *err)
{
    const char *about = json_get_string(json_get(manifest, "subject"), "digest");
    if (!about || strcmp(about, subject) != 0)
        return error_set(err, ERROR_INVALID, "the manifest is not about '%s'", subject);
    return read_entry(json_first(json_get(manifest, "layers")), blob) ||
           error_set(err, ERROR_INVALID, "the manifest has no blob");
}

bool oci_referrers_read(struct store *store, const char *subject, const struct descriptor *manifest,
                        struct bytes *content, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    struct descriptor came, blob;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory for a referrer");
    if (!store_get_manifest(store, manifest->digest, &body, &came, err))
        return false;
    const struct json *json = json_parse(arena, bytes_span(&body), err);
    return json && check_manifest(json, subject, &blob, err) && store_read_blob(store, &blob, content, err);
}

/* ---- pushing ---- */

static void write_annotations(struct json_writer *w, const struct referrer_annotation *annotations, size_t count)
{
    if (count == 0)
        return;
    json_open_object(w, "annotations");
    for (size_t i = 0; i < count; i++)
        json_add_string(w, annotations[i].key, annotations[i].value);
    json_close_object(w);
}

static bool write_manifest(struct bytes *out, const struct descriptor *subject, const struct referrer_new *referrer,
                           struct error *err)
{
    const struct descriptor empty = descriptor_of(MEDIA_OCI_EMPTY, empty_object);
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", MEDIA_OCI_MANIFEST);
    json_add_string(&w, "artifactType", referrer->artifact_type);
    descriptor_write(&w, "config", &empty);
    json_open_array(&w, "layers");
    for (size_t i = 0; i < referrer->blob_count; i++) {
        const struct descriptor blob = descriptor_of(referrer->blobs[i].media_type, referrer->blobs[i].content);
        descriptor_write(&w, NULL, &blob);
    }
    if (referrer->blob_count == 0)
        descriptor_write(&w, NULL, &empty);
    json_close_array(&w);
    descriptor_write(&w, "subject", subject);
    write_annotations(&w, referrer->annotations, referrer->annotation_count);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool put_blobs(struct store *store, const struct referrer_new *referrer, struct error *err)
{
    const struct descriptor empty = descriptor_of(MEDIA_OCI_EMPTY, empty_object);
    for (size_t i = 0; i < referrer->blob_count; i++) {
        const struct descriptor blob = descriptor_of(referrer->blobs[i].media_type, referrer->blobs[i].content);
        if (!store_put_blob(store, &blob, referrer->blobs[i].content, err))
            return false;
    }
    return store_put_blob(store, &empty, empty_object, err);
}

static void write_entry(struct json_writer *w, const struct referrer_entry *entry)
{
    json_open_object(w, NULL);
    json_add_string(w, "mediaType", entry->manifest.media_type);
    json_add_string(w, "digest", entry->manifest.digest);
    json_add_integer(w, "size", entry->manifest.size);
    json_add_string(w, "artifactType", entry->artifact_type);
    write_annotations(w, entry->annotations, entry->annotation_count);
    json_close_object(w);
}

/* Those of one subject that are to be listed. */
struct entering {
    const char *subject;
    const struct referrer_entry *entries;
    size_t count;
};

static bool lists(const struct json *index, const char *digest)
{
    for (const struct json *e = json_first(json_get(index, "manifests")); e; e = json_next(e)) {
        const char *have = json_get_string(e, "digest");
        if (have && strcmp(have, digest) == 0)
            return true;
    }
    return false;
}

static bool lists_all(const struct json *index, const struct entering *entering)
{
    for (size_t i = 0; i < entering->count; i++) {
        if (!lists(index, entering->entries[i].manifest.digest))
            return false;
    }
    return true;
}

/* The old entries as they are, and ours behind them. */
static bool write_index(struct bytes *out, const struct json *old, const struct entering *entering, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", MEDIA_OCI_INDEX);
    json_open_array(&w, "manifests");
    for (const struct json *e = json_first(json_get(old, "manifests")); e; e = json_next(e)) {
        AUTO(bytes_release) struct bytes text = BYTES(STORE_MANIFEST_MAX);
        if (!json_print(&text, e, err))
            return false;
        json_add_raw(&w, NULL, bytes_span(&text));
    }
    for (size_t i = 0; i < entering->count; i++) {
        if (!lists(old, entering->entries[i].manifest.digest))
            write_entry(&w, &entering->entries[i]);
    }
    json_close_array(&w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* One round: *listed when the index that was read names them; otherwise a new one is written. */
static bool list_by_tag_once(struct store *store, const struct entering *entering, bool *listed, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    AUTO(bytes_release) struct bytes old = BYTES(STORE_MANIFEST_MAX);
    AUTO(bytes_release) struct bytes new = BYTES(STORE_MANIFEST_MAX);
    struct descriptor ignored;
    char tag[TAG_SIZE];
    tag_of(entering->subject, tag);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory for a list of referrers");
    if (!read_tagged(store, entering->subject, &old, err))
        return false;
    const struct json *index = old.len > 0 ? json_parse(arena, bytes_span(&old), err) : NULL;
    if (old.len > 0 && !index)
        return error_wrap(err, "list of referrers behind '%s'", tag);
    *listed = lists_all(index, entering);
    return *listed || (write_index(&new, index, entering, err) &&
                       store_put_manifest(store, tag, MEDIA_OCI_INDEX, bytes_span(&new), &ignored, err));
}

/* Two that write at once overwrite each other, and nobody tells them: what was written is looked at again. */
bool oci_referrers_enter(struct store *store, const char *subject, const struct referrer_entry *entries, size_t count,
                         struct error *err)
{
    const struct entering entering = { subject, entries, count };
    bool listed = count == 0;
    for (int i = 0; i < ROUNDS && !listed; i++)
        if (!list_by_tag_once(store, &entering, &listed, err))
            return false;
    return listed ||
           error_set(err, ERROR_UNAVAILABLE, "others write the list of referrers of '%s' all the time", subject);
}

bool oci_referrers_put(struct store *store, const struct descriptor *subject, const struct referrer_new *referrer,
                       struct referrer_entry *out, bool *listed, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    *listed = false;
    if (!check_subject(subject->digest, err) || !write_manifest(&body, subject, referrer, err))
        return false;
    *out = (struct referrer_entry){ descriptor_of(MEDIA_OCI_MANIFEST, bytes_span(&body)), referrer->artifact_type,
                                    referrer->annotations, referrer->annotation_count };
    if (!put_blobs(store, referrer, err))
        return error_wrap(err, "'%s' of '%s'", referrer->artifact_type, subject->digest);
    return store_writer_of(store)->put_manifest(store->self, NULL, bytes_span(&body), &out->manifest, listed, err) ||
           error_wrap(err, "%s: '%s' of '%s'", store->name, referrer->artifact_type, subject->digest);
}

bool oci_referrers_push(struct store *store, const struct descriptor *subject, const struct referrer_new *referrer,
                        struct descriptor *out, struct error *err)
{
    struct referrer_entry entry;
    bool listed;
    if (!oci_referrers_put(store, subject, referrer, &entry, &listed, err))
        return false;
    *out = entry.manifest;
    return listed || oci_referrers_enter(store, subject->digest, &entry, 1, err);
}
