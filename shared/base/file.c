#include "shared/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/random.h"

enum { READ_CHUNK = 64 * 1024 };

/* Read until the end, into the room that is there as long as there is some: a file of known size fills no more pages than it
 * needs. One byte of room beyond the ceiling's is not there, so a last read into nowhere tells "too large". */
static bool read_to_end(struct bytes *out, int fd, struct error *err)
{
    for (;;) {
        size_t room = out->capacity > out->len + 1 ? out->capacity - out->len - 1 : READ_CHUNK;
        if (room > out->max - out->len)
            room = out->max - out->len;
        if (room > 0 && !bytes_reserve(out, room, err))
            return false;
        char beyond;
        ssize_t n = room > 0 ? read(fd, out->data + out->len, room) : read(fd, &beyond, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read");
        if (n == 0)
            return true;
        if (room == 0)
            return error_set(err, ERROR_TOO_LARGE, "more than the %zu bytes allowed", out->max);
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

bool file_read(struct bytes *out, const char *path, struct error *err)
{
    bool standard_input = strcmp(path, "-") == 0;
    AUTO(close) int opened = standard_input ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!standard_input && opened < 0)
        return error_set_errno(err, errno, "cannot open '%s'", path);
    size_t before = out->len;
    struct stat st;
    if (opened >= 0 && fstat(opened, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size < out->max - out->len &&
        !bytes_reserve(out, (size_t)st.st_size + 1, err)) /* one more, so that its end is seen without growing */
        return error_wrap(err, "read '%s'", path);
    if (read_to_end(out, standard_input ? STDIN_FILENO : opened, err))
        return true;
    bytes_truncate(out, before);
    return error_wrap(err, "read '%s'", standard_input ? "standard input" : path);
}

bool file_write_all(int fd, const void *data, size_t len, struct error *err)
{
    const char *from = data;
    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot write");
        from += n;
        len -= (size_t)n;
    }
    return true;
}

/* A new file's name is on disk only when its directory is. */
static bool sync_parent(const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
    AUTO(free) char *parent = span_dup((struct span){ slash ? path : ".", len });
    if (!parent)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    AUTO(close) int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return error_set_errno(err, errno, "cannot sync directory '%s'", parent);
    return true;
}

static bool write_and_rename(int fd, const char *temporary, const char *path, struct span content, mode_t mode,
                             struct error *err)
{
    if (!file_write_all(fd, content.data, content.len, err))
        return false;
    if (fchmod(fd, mode) != 0)
        return error_set_errno(err, errno, "cannot set its mode");
    if (fsync(fd) != 0)
        return error_set_errno(err, errno, "cannot sync");
    if (rename(temporary, path) != 0)
        return error_set_errno(err, errno, "cannot rename into place");
    return true;
}

/* A new file with a name that begins as the path does; -1: none. The caller frees the name. */
static int open_beside(const char *path, char **name, struct error *err)
{
    if (asprintf(name, "%s.XXXXXX", path) < 0) {
        *name = NULL;
        error_set(err, ERROR_INTERNAL, "out of memory");
        return -1;
    }
    int fd = mkostemp(*name, O_CLOEXEC);
    if (fd < 0)
        error_set_errno(err, errno, "cannot write '%s'", path);
    return fd;
}

bool file_write_atomic(const char *path, struct span content, mode_t mode, struct error *err)
{
    AUTO(free) char *temporary = NULL;
    AUTO(close) int fd = open_beside(path, &temporary, err);
    if (fd < 0)
        return false;
    if (!write_and_rename(fd, temporary, path, content, mode, err)) {
        unlink(temporary);
        return error_wrap(err, "write '%s'", path);
    }
    return sync_parent(path, err) || error_wrap(err, "write '%s'", path);
}

bool file_write_cached(const char *path, struct span content, struct error *err)
{
    AUTO(free) char *temporary = NULL;
    AUTO(close) int fd = open_beside(path, &temporary, err);
    if (fd < 0)
        return false;
    if (file_write_all(fd, content.data, content.len, err) &&
        (rename(temporary, path) == 0 || error_set_errno(err, errno, "cannot rename into place")))
        return true;
    unlink(temporary);
    return error_wrap(err, "write '%s'", path);
}

bool directory_make(const char *path, mode_t mode, struct error *err)
{
    AUTO(free) char *partial = strdup(path);
    if (!partial)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (char *at = partial; *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char rest = *at;
        *at = '\0';
        if (mkdir(partial, mode) != 0 && errno != EEXIST && errno != EISDIR)
            return error_set_errno(err, errno, "cannot make directory '%s'", partial);
        *at = rest;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return error_set_errno(err, errno, "cannot make directory '%s'", path);
    if (!S_ISDIR(st.st_mode))
        return error_set_errno(err, ENOTDIR, "cannot make directory '%s'", path);
    return true;
}

/* Removing a tree holds one descriptor a level open. A tree that is deeper than this (only a hostile one is) has its deep
 * branches moved up into the top directory, which is walked again until nothing is left. */
enum { REMOVE_DEPTH_MAX = 48 };

struct removal {
    int top;    /* the directory that goes, empty or not, when the walk is over */
    bool moved; /* a branch was moved up: walk again */
};

/* Open a directory to empty it; one that its owner had locked is unlocked. -1 with errno, ENOTDIR for anything else. */
static int open_to_empty(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = openat(parent, name, flags);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        fchmod(fd, 0700); /* unlinking in it says it when this did not help */
    return fd;
}

static bool empty_directory(struct removal *removal, int fd, unsigned depth);

static bool move_up(struct removal *removal, int parent, const char *name)
{
    char fresh[32];
    snprintf(fresh, sizeof fresh, ".removing-%016llx", (unsigned long long)random_u64());
    removal->moved = true;
    return renameat(parent, name, removal->top, fresh) == 0;
}

static bool remove_entry(struct removal *removal, int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM) /* EPERM: POSIX's answer for a directory */
        return false;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
        return true;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return false;
    if (depth >= REMOVE_DEPTH_MAX)
        return move_up(removal, parent, name);
    int fd = open_to_empty(parent, name);
    if (fd < 0)
        return errno == ENOENT;
    return empty_directory(removal, fd, depth + 1) && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

/* Takes fd over. False with errno. */
static bool empty_directory(struct removal *removal, int fd, unsigned depth)
{
    AUTO(closedir) DIR *directory = fdopendir(fd);
    if (!directory) {
        close(fd);
        return false;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry)
            return errno == 0;
        bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!dots && !remove_entry(removal, fd, entry->d_name, depth))
            return false;
    }
}

bool directory_make_own(const char *path, struct error *err)
{
    struct stat found;
    if (mkdir(path, 0700) == 0 || errno != EEXIST)
        return true;
    return (lstat(path, &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == geteuid() &&
            (found.st_mode & (S_IWGRP | S_IWOTH)) == 0) ||
           error_set(err, ERROR_DENIED, "'%s' is not a directory of this user alone", path);
}

bool directory_remove(const char *path, struct error *err)
{
    AUTO(close) int top = open_to_empty(AT_FDCWD, path);
    if (top < 0)
        return errno == ENOENT || error_set_errno(err, errno, "cannot remove directory '%s'", path);
    struct removal removal = { .top = top };
    do {
        removal.moved = false;
        int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || !empty_directory(&removal, fd, 0))
            return error_set_errno(err, errno, "cannot remove directory '%s'", path);
    } while (removal.moved);
    if (rmdir(path) != 0 && errno != ENOENT)
        return error_set_errno(err, errno, "cannot remove directory '%s'", path);
    return true;
}

static const char *temporary_parent(void)
{
    const char *parent = getenv("TMPDIR");
    return parent && *parent ? parent : "/tmp";
}

void directory_clear_temporary(const char *prefix, int64_t older_than_s)
{
    const char *parent = temporary_parent();
    size_t len = strlen(prefix);
    AUTO(closedir) DIR *directory = opendir(parent);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
        struct stat is;
        AUTO(free) char *path = NULL;
        if (strncmp(entry->d_name, prefix, len) != 0 || strlen(entry->d_name) != len + strlen("-XXXXXX") ||
            fstatat(dirfd(directory), entry->d_name, &is, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(is.st_mode) ||
            is.st_uid != geteuid() || time(NULL) - is.st_mtim.tv_sec < older_than_s)
            continue;
        if (asprintf(&path, "%s/%s", parent, entry->d_name) < 0)
            path = NULL;
        else
            directory_remove(path, &(struct error){ 0 });
    }
}

char *directory_make_temporary(const char *prefix, struct error *err)
{
    AUTO(free) char *path = NULL;
    if (asprintf(&path, "%s/%s-XXXXXX", temporary_parent(), prefix) < 0) {
        path = NULL;
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    if (!mkdtemp(path)) {
        error_set_errno(err, errno, "cannot make a directory like '%s'", path);
        return NULL;
    }
    return TAKE(path);
}
