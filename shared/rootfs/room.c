#include "shared/rootfs/room.h"

#include "shared/base/file.h"
#include "shared/base/random.h"
#include "shared/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

static const int64_t boundless = INT64_C(1) << 50;

enum { HEX = 64, PATH = 4096, CONSIDERED_MAX = 4096, DEPTH_MAX = 200 };

struct candidate {
    char name[HEX + 1];
    int64_t size; /* -1: not known */
    struct timespec used;
};

static void path_of(const char *store, const char *name, const char *file, char out[static PATH])
{
    snprintf(out, PATH, "%s/%s%s", store, name, file);
}

/* ---- one directory ---- */

int room_open(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool room_is_named(int fd, const char *path)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

static bool note(const char *path, const char *text, struct error *err)
{
    char file[PATH];
    path_of(path, "size", "", file);
    AUTO(close) int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? error_set_errno(err, errno, "write '%s'", file) : file_write_all(fd, text, strlen(text), err);
}

bool room_use(const char *path, struct error *err)
{
    char file[PATH];
    path_of(path, "size", "", file);
    return note(path, "", err) &&
           (utimensat(AT_FDCWD, file, NULL, 0) == 0 || error_set_errno(err, errno, "'%s'", file));
}

bool room_retire(const char *store, const char *name)
{
    char path[PATH], dead[PATH];
    struct error ignored;
    path_of(store, name, "", path);
    snprintf(dead, sizeof dead, "%s/" ROOM_DEAD "%016llx", store, (unsigned long long)random_u64());
    AUTO(close) int fd = room_open(path);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || rename(path, dead) < 0)
        return false;
    sandbox_remove_tree(dead, &ignored);
    return true;
}

void room_clear(const char *store, const char *prefix)
{
    AUTO(closedir) DIR *dir = opendir(store);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            room_retire(store, entry->d_name);
}

/* ---- measuring ---- */

/* Bytes on the disk, a file with several names by parts. What is nested so deep that it cannot be followed counts as more than anybody allows. */
static int64_t bytes_below(int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO(closedir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct stat is;
    int64_t bytes = 0;
    if (!dir && fd >= 0)
        close(fd);
    if (!dir || depth == DEPTH_MAX)
        return depth == DEPTH_MAX ? boundless : 0;
    for (struct dirent *entry = readdir(dir); entry && bytes < boundless; entry = readdir(dir)) {
        if (strcmp(entry->d_name, "..") == 0 || fstatat(fd, entry->d_name, &is, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        bool below = S_ISDIR(is.st_mode) && strcmp(entry->d_name, ".") != 0;
        bytes += below ? bytes_below(fd, entry->d_name, depth + 1)
                       : is.st_blocks * 512 / (S_ISDIR(is.st_mode) ? 1 : (int64_t)is.st_nlink);
    }
    return bytes;
}

/* Not while somebody changes it: he, or who comes after him, will. 0: unknown still. The time of the last use stays. */
static int64_t measure(const char *path)
{
    char text[24], file[PATH];
    struct error ignored;
    struct stat was;
    AUTO(close) int fd = room_open(path);
    path_of(path, "size", "", file);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !room_is_named(fd, path) || stat(file, &was) < 0)
        return 0;
    int64_t bytes = bytes_below(fd, ".", 0);
    snprintf(text, sizeof text, "%lld", (long long)bytes);
    if (note(path, text, &ignored))
        utimensat(AT_FDCWD, file, (struct timespec[2]){ was.st_atim, was.st_mtim }, 0);
    return bytes;
}

/* ---- all of them ---- */

static int by_use(const void *a, const void *b)
{
    const struct timespec *left = &((const struct candidate *)a)->used, *right = &((const struct candidate *)b)->used;
    if (left->tv_sec != right->tv_sec)
        return left->tv_sec < right->tv_sec ? -1 : 1;
    return (left->tv_nsec > right->tv_nsec) - (left->tv_nsec < right->tv_nsec);
}

static bool consider(const char *store, const char *name, struct candidate *out)
{
    char path[PATH];
    struct error ignored;
    struct stat about;
    AUTO(bytes_release) struct bytes text = BYTES(63);
    path_of(store, name, "/size", path);
    if (strlen(name) != HEX || stat(path, &about) < 0 || !file_read(&text, path, &ignored))
        return false;
    memcpy(out->name, name, HEX + 1);
    out->used = about.st_mtim;
    out->size = strtoll(bytes_text(&text), NULL, 10);
    if (text.len == 0) {
        path_of(store, name, "", path);
        out->size = measure(path);
    }
    return true;
}

static size_t list(const char *store, struct candidate *out, int64_t *total)
{
    AUTO(closedir) DIR *dir = opendir(store);
    size_t count = 0;
    *total = 0;
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry && count < CONSIDERED_MAX; entry = readdir(dir)) {
        if (consider(store, entry->d_name, &out[count]))
            *total += out[count++].size;
    }
    return count;
}

void room_make(const char *store, int64_t bytes_max)
{
    int64_t total;
    AUTO(free) struct candidate *candidates = calloc(CONSIDERED_MAX, sizeof *candidates);
    if (!candidates)
        return;
    size_t count = list(store, candidates, &total);
    qsort(candidates, count, sizeof *candidates, by_use);
    for (size_t i = 0; i < count && total > bytes_max; i++)
        if (room_retire(store, candidates[i].name))
            total -= candidates[i].size;
}
