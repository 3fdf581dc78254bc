#include "shared/builder/cache_disk.h"

#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW ".new-"

enum {
    PATH = CACHE_DISK_PATH_MAX,
    HEX = SHA256_HEX_SIZE - 1,
    PIECE = 256 * 1024,
    CONSIDERED_MAX = 20000,
    LOOK_ONE_IN = 64,
    STALE_S = 3600
};

static bool path_of(char out[static PATH], const char *directory, const char *folder, const char *name)
{
    return snprintf(out, PATH, "%s/%s/%s", directory, folder, name) < PATH;
}

static const char *hex_of(const char *digest)
{
    return digest + strlen("sha256:");
}

/* ---- finding ---- */

static bool read_whole(int fd, char *piece, struct sha256 *sha)
{
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, piece, PIECE, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        sha256_update(sha, piece, (size_t)n);
        at += n;
    }
}

static bool is_its_digest(int fd, const char *digest)
{
    AUTO(free) char *piece = malloc(PIECE);
    struct sha256 sha;
    uint8_t raw[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];

    sha256_init(&sha);
    if (!piece || !read_whole(fd, piece, &sha))
        return false;
    sha256_final(&sha, raw);
    hex_encode(hex, raw, sizeof(raw));
    return strcmp(hex, hex_of(digest)) == 0;
}

/* What is wrong with it is not tried again. */
int cache_disk_hold(const char *directory, const struct descriptor *blob)
{
    char path[PATH];
    AUTO(close)
    int fd = path_of(path, directory, "blobs/sha256", hex_of(blob->digest))
                 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
                 : -1;
    struct stat is;

    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0 || fstat(fd, &is) < 0 || is.st_nlink == 0)
        return -1;
    if (!S_ISREG(is.st_mode) || is.st_size != blob->size || !is_its_digest(fd, blob->digest)) {
        unlink(path);
        return -1;
    }
    utimensat(AT_FDCWD, path, NULL, 0); /* used now */
    int held = fd;
    fd = -1; /* the caller's */
    return held;
}

bool cache_disk_find(const char *directory, const char *key, bool (*suits)(void *, const struct cache_record *),
                     void *context, struct cache_record *out, int *hold)
{
    AUTO(bytes_release) struct bytes text = BYTES(CACHE_RECORD_MAX);
    char record[PATH];
    struct error ignored;

    if (!path_of(record, directory, "records", key) || !file_read(&text, record, &ignored))
        return false;
    bool good = cache_record_unseal(bytes_span(&text), out) && strcmp(out->key, key) == 0;
    if (good && !suits(context, out))
        return false;
    *hold = good ? cache_disk_hold(directory, &out->layer.blob) : -1;
    if (*hold < 0)
        unlink(record);
    else
        utimensat(AT_FDCWD, record, NULL, 0);
    return *hold >= 0;
}

/* ---- room ---- */

struct aged {
    struct timespec used;
    int64_t size;
    char name[SHA256_HEX_SIZE];
};

static int by_age(const void *a, const void *b)
{
    const struct timespec *left = &((const struct aged *)a)->used, *right = &((const struct aged *)b)->used;

    if (left->tv_sec != right->tv_sec)
        return left->tv_sec < right->tv_sec ? -1 : 1;
    return (left->tv_nsec > right->tv_nsec) - (left->tv_nsec < right->tv_nsec);
}

static bool is_stale(const struct dirent *entry, const struct stat *about)
{
    return strncmp(entry->d_name, NEW, strlen(NEW)) == 0 && about->st_ctim.tv_sec < time(NULL) - STALE_S;
}

/* The files of a folder, longest unused first; what a process that has ended left half is removed. */
static struct aged *list(DIR *folder, size_t *count, int64_t *total)
{
    struct aged *files = calloc(CONSIDERED_MAX, sizeof(files[0]));
    struct stat about;

    *count = 0;
    *total = 0;
    for (const struct dirent *entry; files && *count < CONSIDERED_MAX && (entry = readdir(folder));) {
        if (fstatat(dirfd(folder), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (is_stale(entry, &about))
            unlinkat(dirfd(folder), entry->d_name, 0);
        if (strlen(entry->d_name) != HEX)
            continue;
        struct aged *file = &files[(*count)++];
        file->used = about.st_mtim;
        file->size = about.st_size;
        memcpy(file->name, entry->d_name, SHA256_HEX_SIZE);
        *total += about.st_size;
    }
    if (files)
        qsort(files, *count, sizeof(files[0]), by_age);
    return files;
}

/* False: somebody uses it. */
static bool remove_unused(int folder, const char *name)
{
    AUTO(close) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(folder, name, 0) == 0;
}

/* To look at all that is there takes longer than to add to it. The more is added the sooner it is done, so that the bound is passed by
 * little. */
static bool is_time_to_look(int64_t bytes, int64_t bytes_max)
{
    uint64_t chance = random_u64();

    return chance % LOOK_ONE_IN == 0 || (bytes_max > 0 && chance % (uint64_t)bytes_max < (uint64_t)bytes * LOOK_ONE_IN);
}

static void make_room(const char *directory, int64_t bytes, int64_t bytes_max)
{
    char path[PATH];
    size_t count;
    int64_t total;

    if (!is_time_to_look(bytes, bytes_max) || !path_of(path, directory, "blobs", "sha256"))
        return;
    AUTO(closedir) DIR *folder = opendir(path);
    AUTO(free) struct aged *files = folder ? list(folder, &count, &total) : NULL;
    for (size_t i = 0; files && i < count && total + bytes > bytes_max; i++) {
        if (remove_unused(dirfd(folder), files[i].name))
            total -= files[i].size;
    }
}

static void forget_oldest(const char *directory, const char *from)
{
    char path[PATH];
    size_t count;
    int64_t total;

    if (!is_time_to_look(1, CACHE_DISK_RECORDS_MAX) || !path_of(path, directory, from, ""))
        return;
    AUTO(closedir) DIR *folder = opendir(path);
    AUTO(free) struct aged *files = folder ? list(folder, &count, &total) : NULL;
    for (size_t i = 0; files && i + CACHE_DISK_RECORDS_MAX <= count; i++)
        unlinkat(dirfd(folder), files[i].name, 0);
}

/* ---- keeping ---- */

static bool copy_into(int to, int from, struct error *err)
{
    AUTO(free) char *piece = malloc(PIECE);

    if (!piece)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (off_t at = 0;;) {
        ssize_t n = pread(from, piece, PIECE, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 || error_set_errno(err, errno, "read a layer");
        if (!file_write_all(to, piece, (size_t)n, err))
            return false;
        at += n;
    }
}

static bool copy_file(const char *path, int from, struct error *err)
{
    AUTO(close) int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (to < 0)
        return error_set_errno(err, errno, "write '%s'", path);
    if (copy_into(to, from, err))
        return true;
    unlink(path);
    return false;
}

/* An unnamed file of the same file system only needs a name. */
static bool name_file(const char *path, int fd)
{
    char self[64];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

static bool put_blob(const char *directory, const struct descriptor *blob, int fd, struct error *err)
{
    char final[PATH], temporary[PATH], name[64];
    struct stat is;

    snprintf(name, sizeof(name), NEW "%016llx", (unsigned long long)random_u64());
    if (!path_of(final, directory, "blobs/sha256", hex_of(blob->digest)) ||
        !path_of(temporary, directory, "blobs/sha256", name))
        return error_set(err, ERROR_INVALID, "the path of the cache is too long");
    if (stat(final, &is) == 0 && is.st_size == blob->size)
        return true;
    if (!name_file(temporary, fd) && !copy_file(temporary, fd, err))
        return false;
    if (rename(temporary, final) == 0)
        return true;
    error_set_errno(err, errno, "write '%s'", final);
    unlink(temporary);
    return false;
}

/* Not synced to the disk: a record that a crash of the machine has damaged is known by its checksum. */
static bool put_text(const char *directory, const char *folder, const char *as, struct span text, struct error *err)
{
    char final[PATH], temporary[PATH], name[64];

    snprintf(name, sizeof(name), NEW "%016llx", (unsigned long long)random_u64());
    if (!path_of(final, directory, folder, as) || !path_of(temporary, directory, folder, name))
        return error_set(err, ERROR_INVALID, "the path of the cache is too long");
    AUTO(close) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "write '%s'", temporary);
    if (file_write_all(fd, text.data, text.len, err)) {
        if (rename(temporary, final) == 0)
            return true;
        error_set_errno(err, errno, "write '%s'", final);
    }
    unlink(temporary);
    return false;
}

static bool make_folder(const char *directory, const char *folder, struct error *err)
{
    char path[PATH];

    if (!path_of(path, directory, folder, ""))
        return error_set(err, ERROR_INVALID, "the path of the cache is too long");
    return directory_make(path, 0700, err);
}

bool cache_disk_note(const char *directory, const char *folder, const char *name, struct span text, struct error *err)
{
    if (!make_folder(directory, folder, err))
        return false;
    forget_oldest(directory, folder);
    return put_text(directory, folder, name, text, err);
}

bool cache_disk_name(const char *directory, const struct cache_record *record, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(CACHE_RECORD_MAX);

    return cache_record_seal(record, &text, err) && put_text(directory, "records", record->key, bytes_span(&text), err);
}

bool cache_disk_put(const char *directory, int64_t bytes_max, const struct descriptor *blob, int fd, struct error *err)
{
    if (!make_folder(directory, "blobs/sha256", err))
        return false;
    make_room(directory, blob->size, bytes_max);
    return put_blob(directory, blob, fd, err);
}

bool cache_disk_keep(const char *directory, int64_t bytes_max, const struct cache_record *record, int fd,
                     struct error *err)
{
    if (record->layer.blob.size > bytes_max)
        return true;
    if (!cache_disk_put(directory, bytes_max, &record->layer.blob, fd, err) || !make_folder(directory, "records", err))
        return false;
    forget_oldest(directory, "records");
    return cache_disk_name(directory, record, err);
}
