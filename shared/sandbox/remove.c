/* Removing what a program left behind: any modes, any depth. */
#include "shared/sandbox/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct removal {
    int top;
    unsigned moved; /* names given to directories that were moved up */
};

static bool is_directory(int parent, const char *name)
{
    struct stat found;
    return fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(found.st_mode);
}

/* A directory that its owner may not enter (overlayfs leaves one, images may have them) is opened up first. */
static DIR *open_child(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && is_directory(parent, name) && fchmodat(parent, name, 0700, 0) == 0)
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    fchmod(fd, 0700);
    DIR *dir = fdopendir(fd);
    if (!dir)
        close(fd);
    return dir;
}

/* Directories move up instead of being descended into: two descriptors are enough for any depth. */
static bool move_up(struct removal *removal, int parent, const char *name)
{
    for (;;) {
        char target[32];
        snprintf(target, sizeof target, ".removed-%u", removal->moved++);
        AUTO(closedir) DIR *opened = open_child(parent, name); /* made writable: its ".." changes */
        if (renameat(parent, name, removal->top, target) == 0)
            return true;
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return false;
    }
}

static bool remove_entry(struct removal *removal, int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || move_up(removal, parent, name);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool empty_child(struct removal *removal, const char *name)
{
    if (unlinkat(removal->top, name, 0) == 0 || errno == ENOENT)
        return true;
    AUTO(closedir) DIR *dir = open_child(removal->top, name);
    if (!dir)
        return false;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (!is_dots(entry->d_name) && !remove_entry(removal, dirfd(dir), entry->d_name))
            return false;
    return unlinkat(removal->top, name, AT_REMOVEDIR) == 0;
}

bool sandbox_remove_tree(const char *path, struct error *err)
{
    AUTO(closedir) DIR *dir = open_child(AT_FDCWD, path);
    if (!dir)
        return errno == ENOENT || error_set_errno(err, errno, "remove '%s'", path);
    struct removal removal = { .top = dirfd(dir) };
    for (bool found = true; found;) {
        found = false;
        rewinddir(dir);
        for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
            if (is_dots(entry->d_name))
                continue;
            found = true;
            if (!empty_child(&removal, entry->d_name))
                return error_set_errno(err, errno, "remove '%s/%s'", path, entry->d_name);
        }
    }
    return rmdir(path) == 0 || error_set_errno(err, errno, "remove '%s'", path);
}
