#include "shared/builder/content.h"

#include "shared/builder/folder.h"

#include "shared/base/digest.h"
#include "shared/oci/zlib_stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* linux/openat2.h */
struct open_how_v0 {
    uint64_t flags, mode, resolve;
};
enum { RESOLVE_WITHOUT_LINKS = 0x04, RESOLVE_BELOW = 0x08, PIECE = 64 * 1024 };

bool content_size(struct content *content, struct error *err)
{
    if (content->size < 0) {
        assert(content->kind == CONTENT_GIT);
        if (!git_snapshot_blob_size(content->git.snapshot, content->git.oid, &content->size, err))
            return false;
    }
    if (content->size > content_max && content->kind == CONTENT_GIT)
        return error_set(err, ERROR_TOO_LARGE,
                         "%lld bytes, more than the %lld of a file of the context that are allowed",
                         (long long)content->size, (long long)content_max);
    return true;
}

static int disk_open(const char *root, const char *path)
{
    struct open_how_v0 how = { .flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                               .resolve = RESOLVE_WITHOUT_LINKS | RESOLVE_BELOW };
    AUTO(close) int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (directory < 0)
        return -1;
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

bool content_on_disk(struct content *content, const char *root, const char *path)
{
    AUTO(close) int fd = disk_open(root, path);
    struct stat is;

    if (fd < 0 || fstat(fd, &is) < 0 || !S_ISREG(is.st_mode) || is.st_size != content->size)
        return false;
    content->kind = CONTENT_DISK;
    content->disk.root = root;
    content->disk.path = path;
    return true;
}

static bool disk_read(const struct content *content, http_body_fn *on_data, void *context, struct error *err)
{
    AUTO(close) int fd = disk_open(content->disk.root, content->disk.path);
    AUTO(free) char *piece = malloc(PIECE);

    if (fd < 0)
        return error_set_errno(err, errno, "open '/%s'", content->disk.path);
    if (!piece)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (int64_t left = content->size; left > 0;) {
        ssize_t n = read(fd, piece, left < PIECE ? (size_t)left : PIECE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_errno(err, n < 0 ? errno : ENODATA, "read '/%s'", content->disk.path);
        if (!on_data(context, piece, (size_t)n, err))
            return false;
        left -= n;
    }
    return true;
}

enum { STREAM_FROM = 1024 * 1024 };

static bool on_packed(void *context, const void *data, size_t len, bool *done, struct error *err)
{
    return zlib_stream_feed(context, data, len, done, err);
}

/* Large ones in pieces, wherever they lie. */
static bool git_read(const struct content *content, http_body_fn *on_data, void *context, struct error *err)
{
    struct git_snapshot *snapshot = content->git.snapshot;
    int64_t size = content->size;
    bool found;

    if (size < 0 && !git_snapshot_blob_size(snapshot, content->git.oid, &size, err))
        return false;
    if (size < STREAM_FROM)
        return git_snapshot_blob_each(snapshot, content->git.oid, on_data, context, err);
    AUTO(zlib_stream_free) struct zlib_stream *stream = zlib_stream_new(on_data, context, size, err);
    if (!stream || !git_snapshot_blob_packed(snapshot, content->git.oid, on_packed, stream, &found, err))
        return false;
    return found || git_snapshot_blob_each(snapshot, content->git.oid, on_data, context, err);
}

bool content_read(const struct content *content, http_body_fn *on_data, void *context, struct error *err)
{
    switch (content->kind) {
    case CONTENT_EMPTY:
        return true;
    case CONTENT_MEMORY:
        return on_data(context, content->memory, (size_t)content->size, err);
    case CONTENT_GIT:
        return git_read(content, on_data, context, err);
    case CONTENT_FOLDER:
        return folder_read(content->folder.folder, content->folder.node, on_data, context, err);
    case CONTENT_SPOOL:
        return spool_read(content->spool.spool, content->spool.offset, content->size, on_data, context, err);
    case CONTENT_DISK:
        return disk_read(content, on_data, context, err);
    case CONTENT_BASE:
        break;
    }
    assert(false && "content of a base is extracted before it is read");
    return false;
}

static bool on_piece(void *context, const void *data, size_t len, struct error *err)
{
    (void)err;
    sha256_update(context, data, len);
    return true;
}

bool content_digest(const struct content *content, uint8_t sha256[static 32], struct error *err)
{
    struct sha256 sha;

    sha256_init(&sha);
    if (!content_read(content, on_piece, &sha, err))
        return false;
    sha256_final(&sha, sha256);
    return true;
}
