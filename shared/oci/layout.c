/* OCI image-spec 1.1, "Image Layout": blobs by digest, and an index.json whose annotations are the tags. Blobs
 * appear whole or not at all; index.json is replaced as a whole while the directory is locked. */
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/oci/store_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_SIZE = 8192,
    PIECE_SIZE = 64 * 1024,
    INDEX_MAX = STORE_MANIFEST_MAX,
    ARENA_MAX = 16 * INDEX_MAX,
    STALE_SECONDS = 24 * 60 * 60, /* a temporary file this old belongs to nobody */
};

#define REF_NAME "org.opencontainers.image.ref.name"
#define TEMPORARY_PREFIX ".pushwright-"

struct layout {
    char *directory;
    const struct registry_options *options;
};

static void layout_free(void *self)
{
    struct layout *layout = self;
    if (!layout)
        return;
    free(layout->directory);
    free(layout);
}

void *layout_new(const char *directory, const struct registry_options *options, struct error *err)
{
    struct layout *layout = calloc(1, sizeof *layout);
    char *copy = strdup(directory);
    if (!layout || !copy) {
        free(layout);
        free(copy);
        error_set(err, ERROR_INTERNAL, "out of memory for a layout");
        return NULL;
    }
    *layout = (struct layout){ .directory = copy, .options = options };
    return layout;
}

/* ---- places ---- */

struct path {
    char text[PATH_SIZE];
};

static bool path_in(struct path *path, const char *directory, const char *name, struct error *err)
{
    int n = snprintf(path->text, sizeof path->text, "%s/%s", directory, name);
    return (n > 0 && (size_t)n < sizeof path->text) || error_set(err, ERROR_INVALID, "layout path is too long");
}

static bool blob_path(struct path *path, const char *directory, const char *digest, struct error *err)
{
    int n = snprintf(path->text, sizeof path->text, "%s/blobs/sha256/%s", directory, digest + strlen("sha256:"));
    return (n > 0 && (size_t)n < sizeof path->text) || error_set(err, ERROR_INVALID, "layout path is too long");
}

static bool sync_directory(const char *path, struct error *err)
{
    AUTO(close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return (fd >= 0 && fsync(fd) == 0) || error_set_errno(err, errno, "cannot sync directory '%s'", path);
}

/* Size of a blob that is there; -1 when it is not. */
static bool blob_size(const char *directory, const char *digest, int64_t *size, struct error *err)
{
    struct path path;
    struct stat st;
    *size = -1;
    if (!blob_path(&path, directory, digest, err))
        return false;
    if (stat(path.text, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR || error_set_errno(err, errno, "cannot look at '%s'", path.text);
    if (S_ISREG(st.st_mode))
        *size = st.st_size;
    return true;
}

/* ---- index.json ---- */

/* The parsed index, or NULL without an error when there is none yet. */
static bool read_index(const struct layout *layout, struct arena *arena, const struct json **out, struct error *err)
{
    struct path path;
    AUTO(bytes_release) struct bytes text = BYTES(INDEX_MAX);
    struct error why = { .kind = ERROR_NONE };
    *out = NULL;
    if (!path_in(&path, layout->directory, "index.json", err))
        return false;
    if (!file_read(&text, path.text, &why)) {
        if (why.kind == ERROR_NOT_FOUND)
            return true;
        *err = why;
        return false;
    }
    *out = json_parse(arena, bytes_span(&text), err);
    return *out || error_wrap(err, "'%s'", path.text);
}

static bool read_descriptor(const struct json *entry, struct descriptor *out)
{
    const char *type = json_get_string(entry, "mediaType"), *digest = json_get_string(entry, "digest");
    *out = (struct descriptor){ .size = 0 };
    if (!digest || !digest_is_legal(span_of(digest)) || !json_integer(json_get(entry, "size"), &out->size) ||
        out->size < 0)
        return false;
    snprintf(out->digest, sizeof out->digest, "%s", digest);
    snprintf(out->media_type, sizeof out->media_type, "%s", type && strlen(type) < MEDIA_TYPE_SIZE ? type : "");
    return true;
}

static bool is_named(const struct json *entry, const char *tag)
{
    const char *name = json_get_string(json_get(entry, "annotations"), REF_NAME);
    return name && strcmp(name, tag) == 0;
}

static bool is_of(const struct json *entry, const char *digest)
{
    const char *have = json_get_string(entry, "digest");
    return have && strcmp(have, digest) == 0;
}

/* Other tools leave the name out of a layout that they write for one image. */
static const struct json *only_entry(const struct json *manifests)
{
    const struct json *only = json_count(manifests) == 1 ? json_first(manifests) : NULL;
    return json_get(json_get(only, "annotations"), REF_NAME) ? NULL : only;
}

static const struct json *find_entry(const struct json *index, const char *tag_or_digest)
{
    bool by_digest = digest_is_legal(span_of(tag_or_digest));
    for (const struct json *e = json_first(json_get(index, "manifests")); e; e = json_next(e))
        if (by_digest ? is_of(e, tag_or_digest) : is_named(e, tag_or_digest))
            return e;
    return NULL;
}

/* *found false: the index does not name it. */
static bool look_up(const struct layout *layout, const char *tag_or_digest, struct descriptor *out, bool *found,
                    struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *index;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory for a layout's index");
    if (!read_index(layout, arena, &index, err))
        return false;
    const struct json *entry = find_entry(index, tag_or_digest);
    if (!entry && strcmp(tag_or_digest, "latest") == 0)
        entry = only_entry(json_get(index, "manifests"));
    *found = entry != NULL;
    return !entry || read_descriptor(entry, out) ||
           error_set(err, ERROR_INVALID, "index.json: malformed descriptor of '%s'", tag_or_digest);
}

/* ---- reading ---- */

static bool open_blob(const struct layout *layout, const char *digest, int *fd, struct error *err)
{
    struct path path;
    struct stat st;
    if (!blob_path(&path, layout->directory, digest, err))
        return false;
    *fd = open(path.text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 || fstat(*fd, &st) != 0)
        return error_set_errno(err, errno, "cannot open '%s'", path.text);
    return S_ISREG(st.st_mode) || error_set(err, ERROR_INVALID, "'%s' is not a file", path.text);
}

static bool stream(int fd, http_body_fn *on_data, void *context, struct error *err)
{
    AUTO(free) char *piece = malloc(PIECE_SIZE);
    if (!piece)
        return error_set(err, ERROR_INTERNAL, "out of memory for a blob");
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, piece, PIECE_SIZE, at); /* the caller's own position stays */
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read");
        if (n == 0)
            return true;
        if (!on_data(context, piece, (size_t)n, err))
            return false;
        at += n;
    }
}

static bool get_blob(void *self, const struct descriptor *blob, http_body_fn *on_data, void *context, struct error *err)
{
    AUTO(close) int fd = -1;
    return open_blob(self, blob->digest, &fd, err) && stream(fd, on_data, context, err);
}

static bool append_piece(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static bool find_manifest(const struct layout *layout, const char *name, struct descriptor *out, struct error *err)
{
    bool found = false;
    if (!look_up(layout, name, out, &found, err))
        return false;
    if (found)
        return true;
    if (!digest_is_legal(span_of(name)))
        return error_set(err, ERROR_NOT_FOUND, "no such tag");
    snprintf(out->digest, sizeof out->digest, "%s", name); /* of an index's children, say */
    out->size = -1;
    return true;
}

static bool list_tags(void *self, store_tag_fn *on_tag, void *context, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *index;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory for a layout's index");
    if (!read_index(self, arena, &index, err))
        return false;
    for (const struct json *e = json_first(json_get(index, "manifests")); e; e = json_next(e)) {
        const char *tag = json_get_string(json_get(e, "annotations"), REF_NAME);
        if (reference_tag_is_legal(span_of(tag)) && !on_tag(context, tag, err))
            return false;
    }
    return true;
}

static bool get_manifest(void *self, const char *name, struct bytes *body, struct descriptor *out, struct error *err)
{
    AUTO(close) int fd = -1;
    return find_manifest(self, name, out, err) && open_blob(self, out->digest, &fd, err) &&
           stream(fd, append_piece, body, err);
}

static bool resolve(void *self, const char *name, struct descriptor *out, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    bool told;
    if (!find_manifest(self, name, out, err))
        return false;
    if (out->size >= 0 && out->media_type[0])
        return true;
    if (!get_manifest(self, name, &body, out, err))
        return false;
    out->size = (int64_t)body.len;
    return manifest_media_type(bytes_span(&body), out->media_type, &told, err);
}

static bool has_blob(void *self, const char *digest, bool *has, struct error *err)
{
    const struct layout *layout = self;
    int64_t size;
    if (!blob_size(layout->directory, digest, &size, err))
        return false;
    *has = size >= 0;
    return true;
}

/* ---- writing ---- */

static bool make_layout(const struct layout *layout, struct error *err)
{
    static const struct span version = { "{\"imageLayoutVersion\":\"1.0.0\"}", 30 };
    struct path blobs, marker;
    if (!path_in(&blobs, layout->directory, "blobs/sha256", err) ||
        !path_in(&marker, layout->directory, "oci-layout", err))
        return false;
    if (access(marker.text, F_OK) == 0 && access(blobs.text, F_OK) == 0)
        return true;
    return directory_make(blobs.text, 0755, err) &&
           (access(marker.text, F_OK) == 0 || file_write_atomic(marker.text, version, 0644, err));
}

/* A file that a killed process can leave behind without harm, and that is swept after a day. */
static int open_temporary(const struct layout *layout, struct path *path, struct error *err)
{
    char name[64];
    snprintf(name, sizeof name, TEMPORARY_PREFIX "%016llx", (unsigned long long)random_u64());
    if (!path_in(path, layout->directory, name, err))
        return -1;
    int fd = open(path->text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        error_set_errno(err, errno, "cannot write '%s'", path->text);
    return fd;
}

static bool is_temporary(const char *name)
{
    static const char *const prefixes[] = { TEMPORARY_PREFIX, "index.json.", "oci-layout." };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void sweep(const struct layout *layout)
{
    AUTO(closedir) DIR *dir = opendir(layout->directory);
    struct stat st;
    if (!dir)
        return;
    for (const struct dirent *e; (e = readdir(dir));)
        if (is_temporary(e->d_name) && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime < clock_wall_ms() / 1000 - STALE_SECONDS)
            unlinkat(dirfd(dir), e->d_name, 0);
}

struct blob_writer {
    int fd;
    struct sha256 sha;
    int64_t written;
};

static bool write_piece(void *context, const void *data, size_t len, struct error *err)
{
    struct blob_writer *w = context;
    sha256_update(&w->sha, data, len);
    w->written += (int64_t)len;
    return file_write_all(w->fd, data, len, err);
}

/* The source's bytes, checked against the descriptor: a wrong blob in a layout would stay there for good. */
static bool write_checked(int fd, const struct descriptor *blob, const struct blob_source *source, struct error *err)
{
    struct blob_writer writer = { .fd = fd };
    uint8_t raw[SHA256_SIZE];
    char digest[DIGEST_TEXT_SIZE] = "sha256:";
    sha256_init(&writer.sha);
    bool copied = source->fd >= 0 ? stream(source->fd, write_piece, &writer, err)
                                  : write_piece(&writer, source->data.data, source->data.len, err);
    if (!copied)
        return false;
    sha256_final(&writer.sha, raw);
    hex_encode(digest + 7, raw, sizeof raw);
    if (writer.written != blob->size || strcmp(digest, blob->digest) != 0)
        return error_set(err, ERROR_INVALID, "the bytes are '%s' of %lld, the descriptor says '%s' of %lld", digest,
                         (long long)writer.written, blob->digest, (long long)blob->size);
    return true;
}

/* Into its place, on disk before it is seen there. */
static bool publish(const struct layout *layout, int fd, const char *temporary, const char *digest, struct error *err)
{
    struct path place, directory;
    if (!blob_path(&place, layout->directory, digest, err) ||
        !path_in(&directory, layout->directory, "blobs/sha256", err))
        return false;
    if (fsync(fd) != 0 || rename(temporary, place.text) != 0)
        return error_set_errno(err, errno, "cannot store '%s'", place.text);
    return sync_directory(directory.text, err);
}

static bool put_blob(void *self, const struct descriptor *blob, const struct blob_source *source, struct error *err)
{
    const struct layout *layout = self;
    struct path temporary;
    int64_t size;
    if (!blob_size(layout->directory, blob->digest, &size, err))
        return false;
    if (size == blob->size)
        return true;
    if (!make_layout(layout, err))
        return false;
    AUTO(close) int fd = open_temporary(layout, &temporary, err);
    if (fd < 0)
        return false;
    if (write_checked(fd, blob, source, err) && publish(layout, fd, temporary.text, blob->digest, err))
        return true;
    unlink(temporary.text);
    return false;
}

/* ---- mounting ---- */

static bool copy_from(struct layout *layout, const char *path, const struct descriptor *blob, struct error *err)
{
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    const struct blob_source source = { .data = { NULL, 0 }, .fd = fd };
    return fd >= 0 ? put_blob(layout, blob, &source, err) : error_set_errno(err, errno, "cannot open '%s'", path);
}

static bool link_from(struct layout *layout, const char *directory, const struct descriptor *blob, struct error *err)
{
    struct path from, to, blobs;
    if (!blob_path(&from, directory, blob->digest, err) || !blob_path(&to, layout->directory, blob->digest, err) ||
        !path_in(&blobs, layout->directory, "blobs/sha256", err) || !make_layout(layout, err))
        return false;
    if (link(from.text, to.text) == 0)
        return sync_directory(blobs.text, err);
    return errno == EEXIST || copy_from(layout, from.text, blob, err);
}

static bool mount_blob(void *self, const struct descriptor *blob, const struct reference *from, bool *done,
                       struct error *err)
{
    struct layout *layout = self;
    AUTO(free) char *directory = NULL;
    int64_t size;
    if (!blob_size(layout->directory, blob->digest, &size, err))
        return false;
    *done = size == blob->size;
    if (*done)
        return true;
    if (!layout_directory(from, layout->options, &directory, err))
        return false;
    if (directory && !blob_size(directory, blob->digest, &size, err))
        return false;
    if (size != blob->size)
        return true;
    *done = link_from(layout, directory, blob, err);
    return *done;
}

/* ---- tagging ---- */

static void write_entry(struct json_writer *w, const char *tag, const struct descriptor *d)
{
    json_open_object(w, NULL);
    json_add_string(w, "mediaType", d->media_type);
    json_add_string(w, "digest", d->digest);
    json_add_integer(w, "size", d->size);
    json_open_object(w, "annotations");
    json_add_string(w, REF_NAME, tag);
    json_close_object(w);
    json_close_object(w);
}

static bool add_raw(struct json_writer *w, const char *key, const struct json *value, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(INDEX_MAX);
    if (!json_print(&text, value, err))
        return false;
    json_add_raw(w, key, bytes_span(&text));
    return true;
}

/* The old index with the tag moved to its new manifest; all that others wrote there stays. */
static bool write_index(struct bytes *out, const struct json *old, const char *tag, const struct descriptor *d,
                        struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", MEDIA_OCI_INDEX);
    json_open_array(&w, "manifests");
    for (const struct json *e = json_first(json_get(old, "manifests")); e; e = json_next(e))
        if (!is_named(e, tag) && !add_raw(&w, NULL, e, err))
            return false;
    write_entry(&w, tag, d);
    json_close_array(&w);
    for (const struct json *m = json_first(old); m; m = json_next(m)) {
        const char *key = json_key(m);
        bool ours = strcmp(key, "schemaVersion") == 0 || strcmp(key, "mediaType") == 0 || strcmp(key, "manifests") == 0;
        if (!ours && !add_raw(&w, key, m, err))
            return false;
    }
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool replace_index(const struct layout *layout, const char *tag, const struct descriptor *d, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    AUTO(bytes_release) struct bytes text = BYTES(INDEX_MAX);
    struct path path;
    const struct json *old;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory for a layout's index");
    if (!read_index(layout, arena, &old, err))
        return false;
    const struct json *entry = find_entry(old, tag);
    if (entry && is_of(entry, d->digest))
        return true;
    sweep(layout);
    return path_in(&path, layout->directory, "index.json", err) && write_index(&text, old, tag, d, err) &&
           file_write_atomic(path.text, bytes_span(&text), 0644, err);
}

static bool put_manifest(void *self, const char *tag, struct span body, const struct descriptor *out, bool *listed,
                         struct error *err)
{
    struct layout *layout = self;
    const struct blob_source source = { .data = body, .fd = -1 };
    (void)listed;
    if (!put_blob(self, out, &source, err))
        return false;
    if (!tag)
        return true; /* found by its digest; an index that is tagged next holds on to it */
    AUTO(close) int lock = open(layout->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0)
        return error_set_errno(err, errno, "cannot open '%s'", layout->directory);
    while (flock(lock, LOCK_EX) != 0)
        if (errno != EINTR)
            return error_set_errno(err, errno, "cannot lock '%s'", layout->directory);
    return replace_index(layout, tag, out, err);
}

const struct store_backend layout_backend = {
    .free = layout_free,
    .resolve = resolve,
    .get_manifest = get_manifest,
    .get_blob = get_blob,
    .has_blob = has_blob,
    .list_tags = list_tags,
};

const struct store_writer layout_writer = {
    .mount_blob = mount_blob,
    .put_blob = put_blob,
    .put_manifest = put_manifest,
};
