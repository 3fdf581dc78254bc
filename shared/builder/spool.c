#include "shared/builder/spool.h"

#include "shared/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 32 * 1024 };

struct spool {
    int fd;
    int64_t size, max;
};

static int open_unnamed(struct error *err)
{
    const char *directory = getenv("TMPDIR");
    char path[4096];

    if (!directory || !*directory)
        directory = "/tmp";
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    /* Not every file system has O_TMPFILE. */
    if (snprintf(path, sizeof(path), "%s/pushwright-XXXXXX", directory) >= (int)sizeof(path)) {
        error_set(err, ERROR_INTERNAL, "TMPDIR is too long");
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        error_set_errno(err, errno, "cannot make a temporary file in '%s'", directory);
    else
        unlink(path);
    return fd;
}

struct spool *spool_new(int64_t max, struct error *err)
{
    struct spool *spool = calloc(1, sizeof(*spool));

    if (!spool) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    spool->max = max;
    spool->fd = open_unnamed(err);
    if (spool->fd < 0) {
        free(spool);
        return NULL;
    }
    return spool;
}

void spool_free(struct spool *spool)
{
    if (!spool)
        return;
    close(spool->fd);
    free(spool);
}

bool spool_append(struct spool *spool, const void *data, size_t len, struct error *err)
{
    if ((int64_t)len > spool->max - spool->size)
        return error_set(err, ERROR_TOO_LARGE, "more than the %lld bytes that are allowed", (long long)spool->max);
    if (!file_write_all(spool->fd, data, len, err))
        return false;
    spool->size += (int64_t)len;
    return true;
}

int64_t spool_size(const struct spool *spool)
{
    return spool->size;
}

int spool_fd(const struct spool *spool)
{
    return spool->fd;
}

bool spool_read(const struct spool *spool, int64_t offset, int64_t size, http_body_fn *on_data, void *context,
                struct error *err)
{
    char piece[PIECE]; /* not from the heap: with small files that would cost more than reading them */

    while (size > 0) {
        ssize_t n = pread(spool->fd, piece, size < PIECE ? (size_t)size : PIECE, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read a temporary file");
        if (n == 0)
            return error_set(err, ERROR_INTERNAL, "a temporary file ends too early");
        if (!on_data(context, piece, (size_t)n, err))
            return false;
        offset += n;
        size -= n;
    }
    return true;
}

bool spool_cut(struct spool *spool, int64_t size, struct error *err)
{
    if (ftruncate(spool->fd, size) < 0 || lseek(spool->fd, size, SEEK_SET) < 0)
        return error_set_errno(err, errno, "cannot shorten a temporary file");
    spool->size = size;
    return true;
}
