#include "shared/oci/store.h"

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/oci/destination.h"
#include "shared/oci/store_backend.h"

#include <string.h>

enum {
    MANIFEST_ARENA_MAX = 16 * STORE_MANIFEST_MAX,
    PATH_LENGTH_MAX = 8192,
    CACHED_BLOB_MAX = 256 * 1024,
    CACHED_BLOBS_MAX = 256,
};

/* ---- which place ---- */

/* One registry goes by three names. */
static const char *canonical_host(const char *host)
{
    bool hub = strcmp(host, "index.docker.io") == 0 || strcmp(host, "registry-1.docker.io") == 0;
    return hub ? "docker.io" : host;
}

const struct registry_login *login_for(const struct registry_options *options, const char *registry)
{
    for (size_t i = 0; options && i < options->login_count; i++)
        if (strcmp(canonical_host(options->logins[i].host), canonical_host(registry)) == 0)
            return &options->logins[i];
    return NULL;
}

bool layout_directory(const struct reference *reference, const struct registry_options *options, char **out,
                      struct error *err)
{
    *out = NULL;
    AUTO(bytes_release) struct bytes path = BYTES(PATH_LENGTH_MAX);
    const struct registry_login *login =
        reference_is_layout(reference) ? NULL : login_for(options, reference->registry);
    if (!reference_is_layout(reference) && !(login && login->layout))
        return true;
    bool written = login ? bytes_printf(&path, err, "%s/%s", login->layout, reference->repository)
                         : bytes_append_text(&path, reference->repository, err);
    if (!written)
        return false;
    *out = bytes_take(&path);
    return *out || error_set(err, ERROR_INTERNAL, "out of memory for a path");
}

static bool set_name(struct store *store, const char *kind, const char *place, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(PATH_LENGTH_MAX + 64);
    if (!bytes_printf(&name, err, "%s '%s'", kind, place))
        return false;
    store->name = bytes_take(&name);
    return store->name || error_set(err, ERROR_INTERNAL, "out of memory for a store");
}

static bool open_mirror(struct mirror *mirror, const char *place, const struct reference *reference,
                        const struct registry_options *options, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(PATH_LENGTH_MAX);
    AUTO(reference_release) struct reference there = { .registry = NULL };
    mirror->options = *options;
    mirror->options.use_mirrors = false;
    mirror->options.hasty = true;
    if (!bytes_printf(&name, err, "%s/%s", place, reference->repository) ||
        !reference_parse(bytes_span(&name), &there, err))
        return error_wrap(err, "mirror '%s'", place);
    mirror->store = store_open(&there, &mirror->options, err);
    return mirror->store != NULL;
}

static bool open_mirrors(struct store *store, const struct reference *reference, const struct registry_options *options,
                         struct error *err)
{
    bool wanted = options && options->use_mirrors && !options->push && !reference_is_layout(reference);
    const struct registry_login *login = wanted ? login_for(options, reference->registry) : NULL;
    if (!login || login->mirror_count == 0)
        return true;
    store->mirrors = calloc(login->mirror_count, sizeof *store->mirrors);
    if (!store->mirrors)
        return error_set(err, ERROR_INTERNAL, "out of memory for mirrors");
    for (size_t i = 0; i < login->mirror_count && i < STORE_MIRRORS_MAX; i++, store->mirror_count++)
        if (!open_mirror(&store->mirrors[i], login->mirrors[i], reference, options, err))
            return false;
    return true;
}

struct store *store_open(const struct reference *reference, const struct registry_options *options, struct error *err)
{
    AUTO(store_free) struct store *store = calloc(1, sizeof *store);
    AUTO(free) char *directory = NULL;
    if (!store) {
        error_set(err, ERROR_INTERNAL, "out of memory for a store");
        return NULL;
    }
    if (!layout_directory(reference, options, &directory, err) ||
        !set_name(store, directory ? "layout" : "registry", directory ? directory : reference->registry, err))
        return NULL;
    if (!directory && options && options->cache_directory &&
        !(store->cache_directory = strdup(options->cache_directory))) {
        error_set(err, ERROR_INTERNAL, "out of memory for a store");
        return NULL;
    }
    void *self = directory ? layout_new(directory, options, err) : registry_new(reference, options, err);
    if (!self)
        return NULL;
    store->backend = directory ? &layout_backend : &registry_backend;
    store->self = self;
    store->destination = !directory && options ? options->destination : NULL;
    return open_mirrors(store, reference, options, err) ? TAKE(store) : NULL;
}

void store_free(struct store *store)
{
    if (!store)
        return;
    if (store->backend)
        store->backend->free(store->self);
    for (size_t i = 0; i < store->mirror_count; i++)
        store_free(store->mirrors[i].store);
    free(store->mirrors);
    store_free(store->at_destination);
    free(store->cache_directory);
    free(store->name);
    free(store);
}

/* ---- checks that are the same everywhere ---- */

static bool is_digest(const char *tag_or_digest)
{
    return digest_is_legal(span_of(tag_or_digest));
}

static bool check_name(const char *tag_or_digest, struct error *err)
{
    return is_digest(tag_or_digest) || reference_tag_is_legal(span_of(tag_or_digest)) ||
           error_set(err, ERROR_INVALID, "neither a tag nor a sha256 digest");
}

static bool check_blob(const struct descriptor *blob, struct error *err)
{
    if (!is_digest(blob->digest))
        return error_set(err, ERROR_INVALID, "digest of a blob is malformed");
    return blob->size >= 0 || error_set(err, ERROR_INVALID, "size of a blob is negative");
}

static void digest_text(char out[static DIGEST_TEXT_SIZE], struct span data)
{
    memcpy(out, "sha256:", 7);
    sha256_hex_of(data, out + 7);
}

static bool lies(const struct store *store, struct error *err, const char *what, const char *asked, const char *came)
{
    return error_set(err, ERROR_UNAVAILABLE, "%s lies: %s '%s' was asked for, '%s' came", store->name, what, asked,
                     came);
}

/* ---- manifests ---- */

/* What a mirror does not have is no fault of it. */
static bool skip_mirror(struct mirror *mirror, const struct error *why)
{
    mirror->out_of_use = why->kind != ERROR_NOT_FOUND;
    return false;
}

static bool resolve_by_mirror(struct store *store, const char *tag_or_digest, struct descriptor *out)
{
    for (size_t i = 0; i < store->mirror_count; i++) {
        struct mirror *mirror = &store->mirrors[i];
        struct error why = { .kind = ERROR_NONE };
        if (!mirror->out_of_use &&
            (store_resolve(mirror->store, tag_or_digest, out, &why) || skip_mirror(mirror, &why)))
            return true;
    }
    return false;
}

bool store_resolve(struct store *store, const char *tag_or_digest, struct descriptor *out, struct error *err)
{
    struct descriptor found = { .size = 0 };
    if (!check_name(tag_or_digest, err))
        return false;
    if (resolve_by_mirror(store, tag_or_digest, out))
        return true;
    if (!store->backend->resolve(store->self, tag_or_digest, &found, err))
        return error_wrap(err, "%s: resolve '%s'", store->name, tag_or_digest);
    if (is_digest(tag_or_digest) && strcmp(found.digest, tag_or_digest) != 0)
        return lies(store, err, "digest", tag_or_digest, found.digest);
    *out = found;
    return true;
}

/* OCI lets manifests leave their media type out; then what they hold tells. */
static const char *guess_media_type(const struct json *manifest)
{
    int64_t version = 0;
    if (json_integer(json_get(manifest, "schemaVersion"), &version) && version == 1)
        return MEDIA_DOCKER_SCHEMA_1;
    return json_get(manifest, "manifests") ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
}

bool manifest_media_type(struct span body, char out[static MEDIA_TYPE_SIZE], bool *told, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(MANIFEST_ARENA_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory for a manifest");
    const struct json *json = json_parse(arena, body, err);
    if (!json || json_type(json) != JSON_OBJECT)
        return json ? error_set(err, ERROR_INVALID, "manifest is not an object") : error_wrap(err, "manifest");
    const char *type = json_get_string(json, "mediaType");
    *told = type != NULL;
    if (type && strlen(type) >= MEDIA_TYPE_SIZE)
        return error_set(err, ERROR_INVALID, "manifest's media type is too long");
    snprintf(out, MEDIA_TYPE_SIZE, "%s", type ? type : guess_media_type(json));
    return true;
}

static bool says_nothing(const char *media_type)
{
    static const char *const silent[] = { "", "text/plain", "application/octet-stream", "application/json" };
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
        if (strcmp(media_type, silent[i]) == 0)
            return true;
    return false;
}

/* A manifest that is one thing by its header and another by its text could be read as two images (CVE-2021-41190). */
static bool settle_media_type(const struct store *store, struct span body, struct descriptor *found, struct error *err)
{
    char own[MEDIA_TYPE_SIZE];
    bool told;
    if (!manifest_media_type(body, own, &told, err))
        return false;
    if (says_nothing(found->media_type))
        memcpy(found->media_type, own, sizeof own);
    return !told || strcmp(own, found->media_type) == 0 || lies(store, err, "media type", found->media_type, own);
}

static bool manifest_by_mirror(struct store *store, const char *tag_or_digest, struct bytes *body,
                               struct descriptor *out)
{
    for (size_t i = 0; i < store->mirror_count; i++) {
        struct mirror *mirror = &store->mirrors[i];
        struct error why = { .kind = ERROR_NONE };
        if (!mirror->out_of_use &&
            (store_get_manifest(mirror->store, tag_or_digest, body, out, &why) || skip_mirror(mirror, &why)))
            return true;
    }
    return false;
}

bool store_get_manifest(struct store *store, const char *tag_or_digest, struct bytes *body, struct descriptor *out,
                        struct error *err)
{
    AUTO(bytes_release) struct bytes got = BYTES(STORE_MANIFEST_MAX);
    struct descriptor found = { .size = 0 };
    char claimed[DIGEST_TEXT_SIZE];
    if (!check_name(tag_or_digest, err))
        return false;
    if (manifest_by_mirror(store, tag_or_digest, body, out))
        return true;
    if (!store->backend->get_manifest(store->self, tag_or_digest, &got, &found, err))
        return error_wrap(err, "%s: manifest '%s'", store->name, tag_or_digest);
    memcpy(claimed, found.digest, sizeof claimed);
    digest_text(found.digest, bytes_span(&got));
    found.size = (int64_t)got.len;
    if (is_digest(tag_or_digest) && strcmp(found.digest, tag_or_digest) != 0)
        return lies(store, err, "digest", tag_or_digest, found.digest);
    if (claimed[0] && strcmp(found.digest, claimed) != 0)
        return lies(store, err, "digest", claimed, found.digest);
    if (!settle_media_type(store, bytes_span(&got), &found, err))
        return error_wrap(err, "%s: manifest '%s'", store->name, tag_or_digest);
    if (!bytes_append_span(body, bytes_span(&got), err))
        return false;
    *out = found;
    return true;
}

bool store_put_manifest(struct store *store, const char *tag, const char *media_type, struct span body,
                        struct descriptor *out, struct error *err)
{
    struct descriptor made = { .size = (int64_t)body.len };
    if (tag && !reference_tag_is_legal(span_of(tag)))
        return error_set(err, ERROR_INVALID, "'%.130s' is not a legal tag", tag);
    if (strlen(media_type) >= sizeof made.media_type)
        return error_set(err, ERROR_INVALID, "media type is too long");
    memcpy(made.media_type, media_type, strlen(media_type) + 1);
    digest_text(made.digest, body);
    if (!store_writer_of(store)->put_manifest(store->self, tag, body, &made, NULL, err))
        return error_wrap(err, "%s: put manifest '%s'", store->name, tag ? tag : made.digest);
    *out = made;
    return true;
}

/* ---- blobs ---- */

/* Between the places and the reader: nothing beyond the promised size passes, and the digest of what the reader has got,
 * from whichever place, is known at the end. */
struct verifier {
    const struct store *store;
    const struct descriptor *blob;
    struct sha256 sha;
    int64_t received;
    int64_t position; /* in what the present place sends */
    bool refused;     /* the reader does not want more */
    http_body_fn *on_data;
    void *context;
};

static bool verify_piece(void *context, const void *data, size_t len, struct error *err)
{
    struct verifier *v = context;
    int64_t skip = v->received - v->position;
    v->position += (int64_t)len;
    if (skip >= (int64_t)len)
        return true;
    data = (const char *)data + skip;
    len -= (size_t)skip;
    if ((uint64_t)len > (uint64_t)(v->blob->size - v->received))
        return error_set(err, ERROR_UNAVAILABLE, "%s lies: blob '%s' is longer than its %lld bytes", v->store->name,
                         v->blob->digest, (long long)v->blob->size);
    v->received += (int64_t)len;
    sha256_update(&v->sha, data, len);
    v->refused = !v->on_data(v->context, data, len, err);
    return !v->refused;
}

static bool verify_end(struct verifier *v, struct error *err)
{
    uint8_t raw[SHA256_SIZE];
    char have[DIGEST_TEXT_SIZE] = "sha256:";
    if (v->received != v->blob->size)
        return error_set(err, ERROR_UNAVAILABLE, "%s lies: blob '%s' has %lld bytes instead of %lld", v->store->name,
                         v->blob->digest, (long long)v->received, (long long)v->blob->size);
    sha256_final(&v->sha, raw);
    hex_encode(have + 7, raw, sizeof raw);
    return strcmp(have, v->blob->digest) == 0 || lies(v->store, err, "blob", v->blob->digest, have);
}

/* All of it from another place, or a part that the next place goes on from. */
static bool blob_at(struct store *place, struct verifier *v, http_body_fn *on_data, struct error *why)
{
    v->position = 0;
    bool whole = place->backend->get_blob(place->self, v->blob, on_data, v, why) && v->received == v->blob->size;
    if (whole)
        v->store = place;
    return whole;
}

/* False when the reader does not want more. */
static bool blob_by_mirror(struct store *store, struct verifier *v, bool *whole, struct error *err)
{
    for (size_t i = 0; i < store->mirror_count && !*whole; i++) {
        struct mirror *mirror = &store->mirrors[i];
        struct error why = { .kind = ERROR_NONE };
        if (mirror->out_of_use)
            continue;
        *whole = blob_at(mirror->store, v, verify_piece, &why);
        mirror->out_of_use = !*whole && why.kind != ERROR_NOT_FOUND;
        if (v->refused) {
            *err = why;
            return false;
        }
    }
    return true;
}

static bool verify_at_destination(void *context, const void *data, size_t len, struct error *err)
{
    struct verifier *v = context;
    if (v->position == 0)
        destination_opens(v->store->destination);
    return verify_piece(v, data, len, err);
}

/* The same of where the blob is wanted later. Whatever it answers instead of the blob, the blob is had elsewhere. */
static bool blob_at_destination(struct store *store, struct verifier *v, bool *whole, struct error *err)
{
    struct error why = { .kind = ERROR_NONE };
    if (*whole || !destination_ask(store->destination, v->blob->digest))
        return true;
    if (!store->at_destination)
        store->at_destination = destination_open(store->destination, &why);
    *whole = store->at_destination && blob_at(store->at_destination, v, verify_at_destination, &why);
    destination_tell(store->destination, v->blob->digest, *whole);
    if (v->refused)
        *err = why;
    return !v->refused;
}

bool store_get_blob(struct store *store, const struct descriptor *blob, http_body_fn *on_data, void *context,
                    struct error *err)
{
    struct verifier verifier = { .store = store, .blob = blob, .on_data = on_data, .context = context };
    if (!check_blob(blob, err))
        return false;
    sha256_init(&verifier.sha);
    bool whole = false,
         wanted = blob_by_mirror(store, &verifier, &whole, err) && blob_at_destination(store, &verifier, &whole, err);
    verifier.position = 0;
    if (!wanted || (!whole && !store->backend->get_blob(store->self, blob, verify_piece, &verifier, err)))
        return error_wrap(err, "%s: blob '%s'", store->name, blob->digest);
    if (verify_end(&verifier, err))
        return true;
    /* Which of several places sent the wrong bytes is not known. */
    for (size_t i = 0; i < store->mirror_count; i++)
        store->mirrors[i].out_of_use = true;
    if (store->destination)
        destination_tell(store->destination, blob->digest, false);
    return false;
}

static bool append_piece(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

/* Kept blobs: small, read over and over (a base's configuration), named by what they must hold. */

static bool cached_path(const struct store *store, const struct descriptor *blob, struct bytes *path)
{
    struct error ignored;
    return store->cache_directory && is_digest(blob->digest) && blob->size > 0 && blob->size <= CACHED_BLOB_MAX &&
           bytes_printf(path, &ignored, "%s/blobs/%s", store->cache_directory, blob->digest + strlen("sha256:"));
}

static bool read_cached(const char *path, const struct descriptor *blob, struct bytes *out)
{
    struct error ignored;
    char have[DIGEST_TEXT_SIZE];
    if (!file_read(out, path, &ignored))
        return false;
    digest_text(have, bytes_span(out));
    if ((int64_t)out->len == blob->size && strcmp(have, blob->digest) == 0)
        return true;
    bytes_clear(out);
    return false;
}

/* The folder is emptied when it is full: what is still in use comes back at the price of a request each. */
static void write_cached(const struct store *store, const char *path, struct span content)
{
    AUTO(bytes_release) struct bytes folder = BYTES(PATH_LENGTH_MAX);
    struct error ignored;
    size_t count = 0;
    if (!bytes_printf(&folder, &ignored, "%s/blobs", store->cache_directory) ||
        !directory_make(bytes_text(&folder), 0700, &ignored))
        return;
    AUTO(closedir) DIR *dir = opendir(bytes_text(&folder));
    while (dir && readdir(dir))
        count++;
    if (count > CACHED_BLOBS_MAX &&
        (!directory_remove(bytes_text(&folder), &ignored) || !directory_make(bytes_text(&folder), 0700, &ignored)))
        return;
    (void)file_write_atomic(path, content, 0600, &ignored);
}

static bool uses_mirrors(const struct store *store)
{
    for (size_t i = 0; i < store->mirror_count; i++)
        if (!store->mirrors[i].out_of_use)
            return true;
    return false;
}

/* What is wrong from a mirror comes from the registry then: nobody has seen the bytes yet. */
static bool get_whole_blob(struct store *store, const struct descriptor *blob, struct bytes *out, struct error *err)
{
    struct error why = { .kind = ERROR_NONE };
    bool again = uses_mirrors(store);
    if (store_get_blob(store, blob, append_piece, out, &why))
        return true;
    bytes_clear(out);
    if (again && !uses_mirrors(store))
        return store_get_blob(store, blob, append_piece, out, err);
    *err = why;
    return false;
}

bool store_read_blob(struct store *store, const struct descriptor *blob, struct bytes *body, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(PATH_LENGTH_MAX);
    size_t room = body->max - body->len;
    bool may_keep = cached_path(store, blob, &path);
    if (blob->size > 0 && (uint64_t)blob->size > room)
        return error_set(err, ERROR_TOO_LARGE, "%s: blob '%s' of %lld bytes exceeds the %zu allowed", store->name,
                         blob->digest, (long long)blob->size, room);
    AUTO(bytes_release) struct bytes got = BYTES(room);
    bool kept = may_keep && read_cached(bytes_text(&path), blob, &got);
    if (!kept && !get_whole_blob(store, blob, &got, err))
        return false;
    if (may_keep && !kept)
        write_cached(store, bytes_text(&path), bytes_span(&got));
    return bytes_append_span(body, bytes_span(&got), err);
}

bool store_has_blob(struct store *store, const char *digest, bool *has, struct error *err)
{
    if (!is_digest(digest))
        return error_set(err, ERROR_INVALID, "digest of a blob is malformed");
    return store->backend->has_blob(store->self, digest, has, err) ||
           error_wrap(err, "%s: look for blob '%s'", store->name, digest);
}

bool store_list_tags(struct store *store, store_tag_fn *on_tag, void *context, struct error *err)
{
    return store->backend->list_tags(store->self, on_tag, context, err) || error_wrap(err, "%s: tags", store->name);
}

const struct store_writer *store_writer_of(struct store *store)
{
    if (!store->writer)
        store->writer = store_is_remote(store) ? &registry_writer : &layout_writer;
    return store->writer;
}

bool store_will_mount(struct store *store, const struct reference *from, struct error *err)
{
    const struct store_writer *writer = store_writer_of(store);
    return !writer->will_mount || writer->will_mount(store->self, from, err);
}

bool store_mount_blob(struct store *store, const struct descriptor *blob, const struct reference *from, bool *done,
                      struct error *err)
{
    return check_blob(blob, err) && (store_writer_of(store)->mount_blob(store->self, blob, from, done, err) ||
                                     error_wrap(err, "%s: mount blob '%s'", store->name, blob->digest));
}

bool store_is_remote(const struct store *store)
{
    return store->backend == &registry_backend;
}

bool store_begin_upload(struct store *store, struct error *err)
{
    const struct store_writer *writer = store_writer_of(store);
    return !writer->begin_upload || writer->begin_upload(store->self, err) ||
           error_wrap(err, "%s: begin an upload", store->name);
}

static bool put_blob(struct store *store, const struct descriptor *blob, const struct blob_source *source,
                     struct error *err)
{
    return check_blob(blob, err) && (store_writer_of(store)->put_blob(store->self, blob, source, err) ||
                                     error_wrap(err, "%s: upload blob '%s'", store->name, blob->digest));
}

bool store_put_blob(struct store *store, const struct descriptor *blob, struct span data, struct error *err)
{
    const struct blob_source source = { .data = data, .fd = -1 };
    if (blob->size != (int64_t)data.len)
        return error_set(err, ERROR_INVALID, "blob '%s' has %zu bytes, its descriptor says %lld", blob->digest,
                         data.len, (long long)blob->size);
    return put_blob(store, blob, &source, err);
}

bool store_put_blob_file(struct store *store, const struct descriptor *blob, int fd, struct error *err)
{
    const struct blob_source source = { .data = { NULL, 0 }, .fd = fd };
    return put_blob(store, blob, &source, err);
}
