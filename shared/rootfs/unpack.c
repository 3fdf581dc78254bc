#include "shared/rootfs/unpack.h"

#include "shared/base/conveyor.h"
#include "shared/base/file.h"
#include "shared/oci/layer_read.h"
#include "shared/oci/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* linux/openat2.h */
struct open_how_v0 {
    uint64_t flags, mode, resolve;
};
enum { RESOLVE_WITHOUT_MAGIC_LINKS = 0x02, RESOLVE_INSIDE_ROOT = 0x10 };

#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_PRIVATE ".wh..wh."

/* What a file or directory is to be beside its name and content. */
struct traits {
    mode_t mode;
    uint32_t uid, gid;
    int64_t mtime_s;
};

/* A directory's traits are set when everything is in it: a mode may forbid writing, writing changes the time, and some file systems give
 * what is new in a directory to the directory's group. */
struct pending_directory {
    char *path;
    size_t order;
    struct traits traits;
};
enum { PENDING_PATHS_MAX = 64 * 1024 * 1024 };

/* Names are made by the thread that reads the archive, one after the other; what is in files is written by another one behind it, which
 * knows them by their descriptors and so does not care what becomes of their names. */
enum { CONTENT_BOUND = 1024 * 1024, OPEN_FILES = CONTENT_BOUND / (64 * 1024) + 2, CAPABILITY_MAX = 64 };

/* Stands before a file's content. */
struct file_head {
    size_t number; /* of the file; its descriptor is open_files[number % OPEN_FILES] */
    int64_t size;
    struct traits traits;
    size_t capability_length;
    char capability[CAPABILITY_MAX];
};

struct unpacking {
    int root;
    enum sandbox_mode mode;
    struct tar_reader *reader;
    struct stat fresh; /* what a new file is here when it is asked to be 0777 */
    struct conveyor *contents;
    size_t files; /* so far */
    bool in_file; /* its content is being put on the conveyor */
    int open_files
        [OPEN_FILES]; /* -1: none. Filled by one thread, emptied by the other when it is done with what the conveyor held */
    struct file_head head; /* of the file that is being written, with: */
    int64_t left;
    bool writing;
    char parent_path[TAR_PATH_MAX + 1]; /* of the directory that is open, because neighbours follow each other */
    int parent;
    bool replaced; /* by this entry: a link may have taken the place of a directory on the way */
    struct pending_directory *directories;
    size_t directory_count, directory_room, entries;
    size_t paths_size; /* of the directories */
    int64_t disk_bytes;
    const struct unpack_how *how;
    const struct tar_events *watch; /* NULL: nobody watches, or no more */
    bool watch_failed;
};

static void unpacking_release(struct unpacking *unpacking)
{
    conveyor_free(unpacking->contents);
    for (size_t i = 0; i < OPEN_FILES; i++)
        if (unpacking->open_files[i] >= 0)
            close(unpacking->open_files[i]);
    if (unpacking->parent >= 0)
        close(unpacking->parent);
    if (unpacking->root >= 0)
        close(unpacking->root);
    for (size_t i = 0; i < unpacking->directory_count; i++)
        free(unpacking->directories[i].path);
    free(unpacking->directories);
    tar_reader_free(unpacking->reader);
}
AUTO_RELEASE(struct unpacking, unpacking_release)

/* Links are followed as they would be with the layer as root directory. */
static int open_inside(int root, const char *path, int flags)
{
    struct open_how_v0 how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_INSIDE_ROOT | RESOLVE_WITHOUT_MAGIC_LINKS,
    };
    return (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);
}

/* "./a//b/" becomes "a/b"; "" is the root. */
static bool clean_path(const char *path, char out[static TAR_PATH_MAX + 1], struct error *err)
{
    struct span rest = span_of(path);
    size_t len = 0;
    for (struct span part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/')) {
        if (part.len == 0 || span_is(part, "."))
            continue;
        if (span_is(part, ".."))
            return error_set(err, ERROR_INVALID, "path '%.200s' leaves the image", path);
        if (part.len > 255 || len + part.len + 2 > TAR_PATH_MAX)
            return error_set(err, ERROR_INVALID, "path '%.200s...' is too long", path);
        if (len > 0)
            out[len++] = '/';
        memcpy(out + len, part.data, part.len);
        len += part.len;
    }
    out[len] = '\0';
    return true;
}

/* Parents that the archive does not list are made with root's defaults, as tar does. */
static int make_parents(int root, const char *path, struct bytes *implied, struct error *err)
{
    char partial[TAR_PATH_MAX + 1];
    int at = open_inside(root, "", O_PATH | O_DIRECTORY);
    for (size_t i = 0; at >= 0 && path[0]; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(partial, path, i);
        partial[i] = '\0';
        int next = open_inside(root, partial, O_PATH | O_DIRECTORY);
        const char *name = strrchr(partial, '/');
        if (next < 0 && errno == ENOENT && mkdirat(at, name ? name + 1 : partial, 0755) == 0) {
            next = open_inside(root, partial, O_PATH | O_DIRECTORY);
            if (implied && !bytes_append(implied, partial, i + 1, err)) {
                close(at);
                close(next);
                return -1;
            }
        }
        int saved = errno;
        close(at);
        errno = saved;
        at = next;
        if (path[i] == '\0')
            break;
    }
    if (at < 0)
        error_set_errno(err, errno, "make directory '%.200s'", path);
    return at;
}

static void forget_parent(struct unpacking *unpacking)
{
    if (unpacking->parent >= 0)
        close(unpacking->parent);
    unpacking->parent = -1;
}

/* Opens the directory that holds the path, and finds the last name in it. */
static bool enter_parent(struct unpacking *unpacking, const char *path, const char **name, struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (unpacking->parent >= 0 && strlen(unpacking->parent_path) == len &&
        memcmp(unpacking->parent_path, path, len) == 0)
        return true;
    forget_parent(unpacking);
    memcpy(unpacking->parent_path, path, len);
    unpacking->parent_path[len] = '\0';
    unpacking->parent = open_inside(unpacking->root, unpacking->parent_path, O_PATH | O_DIRECTORY);
    if (unpacking->parent < 0)
        unpacking->parent = make_parents(unpacking->root, unpacking->parent_path, unpacking->how->implied, err);
    return unpacking->parent >= 0;
}

static bool remove_existing(struct unpacking *unpacking, const char *name, struct error *err)
{
    bool gone = unlinkat(unpacking->parent, name, 0) == 0;
    if (!gone && errno == ENOENT)
        return true;
    unpacking->replaced = true;
    if (gone)
        return true;
    char path[TAR_PATH_MAX + 64];
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", unpacking->parent, name);
    return sandbox_remove_tree(path, err);
}

static bool set_opaque(const struct unpacking *unpacking, int parent, const char *name, struct error *err)
{
    const char *attribute = sandbox_opaque_attribute(unpacking->mode);
    AUTO(close) int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsetxattr(fd, attribute, "y", 1, 0) < 0)
        return error_set_errno(err, errno, "mark directory '%.200s' as hiding what is below", name);
    return true;
}

static bool is_whiteout(const struct stat *found)
{
    return S_ISCHR(found->st_mode) && found->st_rdev == makedev(0, 0);
}

/* Hides what the layers below have under that name. A directory of this layer under it hides theirs by being opaque. */
static bool put_whiteout(struct unpacking *unpacking, const char *name, struct error *err)
{
    struct stat found;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return error_set(err, ERROR_INVALID, "whiteout of '%s'", name);
    if (fstatat(unpacking->parent, name, &found, AT_SYMLINK_NOFOLLOW) == 0)
        return !S_ISDIR(found.st_mode) || set_opaque(unpacking, unpacking->parent, name, err);
    if (unpacking->how->without_whiteouts)
        return true;
    if (mknodat(unpacking->parent, name, S_IFCHR, makedev(0, 0)) < 0)
        return error_set_errno(err, errno, "make a whiteout for '%.200s'", name);
    return true;
}

static struct traits traits_of(const struct tar_entry *entry)
{
    return (struct traits){ entry->mode & 07777, entry->uid, entry->gid, entry->mtime_s };
}

/* What is new belongs to whoever makes it, who is mostly the one it is for. */
static bool is_given(const struct unpacking *unpacking, uint32_t uid, uint32_t gid)
{
    return !sandbox_has_ids(unpacking->mode) || (unpacking->fresh.st_uid == uid && unpacking->fresh.st_gid == gid);
}

static bool remember_directory(struct unpacking *unpacking, const char *path, const struct tar_entry *entry,
                               struct error *err)
{
    if (unpacking->directory_count == unpacking->directory_room) {
        size_t room = unpacking->directory_room ? 2 * unpacking->directory_room : 64;
        struct pending_directory *grown = reallocarray(unpacking->directories, room, sizeof *grown);
        if (!grown)
            return error_set(err, ERROR_INTERNAL, "out of memory");
        unpacking->directories = grown;
        unpacking->directory_room = room;
    }
    unpacking->paths_size += strlen(path) + 1;
    if (unpacking->paths_size > PENDING_PATHS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "the names of its directories take more than %d MB",
                         PENDING_PATHS_MAX / (1024 * 1024));
    char *copy = strdup(path);
    if (!copy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    size_t order = unpacking->directory_count++;
    unpacking->directories[order] = (struct pending_directory){ copy, order, traits_of(entry) };
    return true;
}

static bool set_owner(const struct unpacking *unpacking, const char *name, const struct tar_entry *entry,
                      struct error *err)
{
    if (is_given(unpacking, entry->uid, entry->gid))
        return true;
    return fchownat(unpacking->parent, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) == 0 ||
           error_set_errno(err, errno, "give '%.200s' to user %u", name, entry->uid);
}

static bool set_time(const struct unpacking *unpacking, const char *name, const struct tar_entry *entry,
                     struct error *err)
{
    const struct timespec times[2] = { { .tv_sec = entry->mtime_s }, { .tv_sec = entry->mtime_s } };
    return utimensat(unpacking->parent, name, times, AT_SYMLINK_NOFOLLOW) == 0 ||
           error_set_errno(err, errno, "set the time of '%.200s'", name);
}

static bool put_directory(struct unpacking *unpacking, const char *path, const char *name,
                          const struct tar_entry *entry, struct error *err)
{
    struct stat found;
    bool exists = fstatat(unpacking->parent, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
    bool hidden = exists && is_whiteout(&found);
    if (exists && !S_ISDIR(found.st_mode)) {
        if (!remove_existing(unpacking, name, err))
            return false;
        exists = false;
    }
    if (!exists && mkdirat(unpacking->parent, name, 0700) < 0)
        return error_set_errno(err, errno, "make directory '%.200s'", path);
    if (hidden && !set_opaque(unpacking, unpacking->parent, name, err))
        return false;
    return remember_directory(unpacking, path, entry, err);
}

/* The writer is at most as many files behind as the conveyor has pieces, and each ends one. */
static bool put_file(struct unpacking *unpacking, const char *path, const char *name, const struct tar_entry *entry,
                     struct error *err)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
    struct file_head head = { .number = unpacking->files, .size = entry->size, .traits = traits_of(entry) };
    int fd = openat(unpacking->parent, name, FLAGS, head.traits.mode & 0777);
    if (fd < 0 && errno == EEXIST) {
        if (!remove_existing(unpacking, name, err))
            return false;
        fd = openat(unpacking->parent, name, FLAGS, head.traits.mode & 0777);
    }
    if (fd < 0)
        return error_set_errno(err, errno, "make file '%.200s'", path);
    unpacking->open_files[unpacking->files++ % OPEN_FILES] = fd;
    unpacking->disk_bytes += (entry->size + 4095) / 4096 * 4096;
    unpacking->in_file = true;
    head.capability_length = entry->capability.len;
    if (head.capability_length > CAPABILITY_MAX)
        return error_set(err, ERROR_INVALID, "the capability of '%.200s' is longer than %d bytes", path,
                         CAPABILITY_MAX);
    if (head.capability_length > 0)
        memcpy(head.capability, entry->capability.data, head.capability_length);
    return conveyor_put(unpacking->contents, &head, sizeof head, err);
}

static bool put_hardlink(struct unpacking *unpacking, const char *path, const char *name, const char *target,
                         struct error *err)
{
    char cleaned[TAR_PATH_MAX + 1];
    if (!clean_path(target, cleaned, err))
        return false;
    char *slash = strrchr(cleaned, '/');
    if (slash)
        *slash = '\0';
    AUTO(close) int from = open_inside(unpacking->root, slash ? cleaned : "", O_PATH | O_DIRECTORY);
    if (from < 0 || linkat(from, slash ? slash + 1 : cleaned, unpacking->parent, name, 0) < 0)
        return error_set_errno(err, errno, "link '%.200s' to '%.200s'", path, target);
    return true;
}

static bool put_symlink(struct unpacking *unpacking, const char *path, const char *name, const struct tar_entry *entry,
                        struct error *err)
{
    if (symlinkat(entry->link, unpacking->parent, name) < 0)
        return error_set_errno(err, errno, "make link '%.200s'", path);
    return set_owner(unpacking, name, entry, err) && set_time(unpacking, name, entry, err);
}

static bool put_fifo(struct unpacking *unpacking, const char *path, const char *name, const struct tar_entry *entry,
                     struct error *err)
{
    if (mkfifoat(unpacking->parent, name, (mode_t)(entry->mode & 0777)) < 0)
        return error_set_errno(err, errno, "make fifo '%.200s'", path);
    return set_owner(unpacking, name, entry, err) && set_time(unpacking, name, entry, err);
}

/* It can be looked at and copied, not opened: layers are mounted without devices. 0:0 would hide what is below. */
static bool put_device(struct unpacking *unpacking, const char *path, const char *name, const struct tar_entry *entry,
                       struct error *err)
{
    mode_t kind = entry->type == TAR_BLOCK ? S_IFBLK : S_IFCHR;
    dev_t device = makedev(entry->device_major, entry->device_minor);
    if (kind == S_IFCHR && device == makedev(0, 0))
        return true;
    if (mknodat(unpacking->parent, name, kind | 0600, device) < 0)
        return errno == EPERM || error_set_errno(err, errno, "make device '%.200s'", path);
    if (fchmodat(unpacking->parent, name, (mode_t)(entry->mode & 07777), 0) < 0)
        return error_set_errno(err, errno, "set the mode of device '%.200s'", path);
    return set_owner(unpacking, name, entry, err) && set_time(unpacking, name, entry, err);
}

static bool put_entry(struct unpacking *unpacking, const char *path, const char *name, const struct tar_entry *entry,
                      struct error *err)
{
    if (entry->type == TAR_DIRECTORY)
        return put_directory(unpacking, path, name, entry, err);
    if ((entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK) && !sandbox_has_ids(unpacking->mode))
        return true;
    if (entry->type == TAR_FILE)
        return put_file(unpacking, path, name, entry, err);
    if (!remove_existing(unpacking, name, err))
        return false;
    switch (entry->type) {
    case TAR_HARDLINK:
        return put_hardlink(unpacking, path, name, entry->link, err);
    case TAR_SYMLINK:
        return put_symlink(unpacking, path, name, entry, err);
    case TAR_CHARACTER:
    case TAR_BLOCK:
        return put_device(unpacking, path, name, entry, err);
    default:
        return put_fifo(unpacking, path, name, entry, err);
    }
}

static void watched(struct unpacking *unpacking, bool good)
{
    if (good)
        return;
    unpacking->watch = NULL;
    unpacking->watch_failed = true;
}

static bool on_entry(void *context, const struct tar_entry *entry, struct error *err)
{
    struct unpacking *unpacking = context;
    struct error ignored;
    if (unpacking->watch)
        watched(unpacking, unpacking->watch->entry(unpacking->watch->context, entry, &ignored));
    char path[TAR_PATH_MAX + 1];
    const char *name;
    if (++unpacking->entries > LAYER_ENTRIES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d entries", LAYER_ENTRIES_MAX);
    if (!clean_path(entry->path, path, err))
        return false;
    if (path[0] == '\0')
        return entry->type != TAR_DIRECTORY || remember_directory(unpacking, path, entry, err);
    if (!enter_parent(unpacking, path, &name, err))
        return false;
    if (strcmp(name, WHITEOUT_OPAQUE) == 0)
        return set_opaque(unpacking, unpacking->parent, ".", err);
    if (strncmp(name, WHITEOUT_PRIVATE, strlen(WHITEOUT_PRIVATE)) == 0)
        return true; /* aufs' own notes, which no other file system has a use for */
    if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0)
        return put_whiteout(unpacking, name + strlen(WHITEOUT), err);
    unpacking->replaced = false;
    bool done = put_entry(unpacking, path, name, entry, err);
    if (unpacking->replaced)
        forget_parent(unpacking);
    return done;
}

static bool on_content(void *context, const void *data, size_t len, struct error *err)
{
    struct unpacking *unpacking = context;
    struct error ignored;
    if (unpacking->watch)
        watched(unpacking, unpacking->watch->content(unpacking->watch->context, data, len, &ignored));
    return !unpacking->in_file || conveyor_put(unpacking->contents, data, len, err);
}

static bool on_entry_end(void *context, struct error *err)
{
    struct unpacking *unpacking = context;
    struct error ignored;
    (void)err;
    if (unpacking->watch)
        watched(unpacking, unpacking->watch->entry_end(unpacking->watch->context, &ignored));
    if (unpacking->in_file)
        conveyor_flush(unpacking->contents);
    unpacking->in_file = false;
    return true;
}

static bool on_plain(void *context, const void *data, size_t len, struct error *err)
{
    struct unpacking *unpacking = context;
    const struct unpack_how *how = unpacking->how;
    if (how->cancelled && how->cancelled(how->context))
        return error_set(err, ERROR_UNAVAILABLE, "stopped");
    return tar_reader_feed(unpacking->reader, data, len, err);
}

/* ---- what is in files, and what they are ---- */

/* A change of owner takes special bits and capabilities away: they come behind it. */
static bool set_traits(const struct unpacking *unpacking, int fd, const struct traits *traits, bool new,
                       struct error *err)
{
    const struct timespec times[2] = { { .tv_sec = traits->mtime_s }, { .tv_sec = traits->mtime_s } };
    if (!is_given(unpacking, traits->uid, traits->gid) && fchown(fd, traits->uid, traits->gid) < 0)
        return error_set_errno(err, errno, "give a file to user %u", traits->uid);
    bool has_mode = new && traits->mode == (traits->mode & unpacking->fresh.st_mode & 0777);
    if ((!has_mode && fchmod(fd, traits->mode) < 0) || futimens(fd, times) < 0)
        return error_set_errno(err, errno, "set the mode of a file");
    return true;
}

static bool finish_file(struct unpacking *unpacking, int fd, struct error *err)
{
    const struct file_head *head = &unpacking->head;
    unpacking->writing = false;
    if (!set_traits(unpacking, fd, &head->traits, true, err))
        return false;
    /* Only root may give one; without it the file is merely less able. */
    if (head->capability_length > 0)
        fsetxattr(fd, "security.capability", head->capability, head->capability_length, 0);
    close(fd);
    unpacking->open_files[head->number % OPEN_FILES] = -1;
    return true;
}

/* A piece of one file; its first one begins with the head. */
static bool on_file(void *context, const void *data, size_t len, struct error *err)
{
    struct unpacking *unpacking = context;
    const char *content = data;
    if (!unpacking->writing) {
        memcpy(&unpacking->head, data, sizeof unpacking->head);
        content += sizeof unpacking->head;
        len -= sizeof unpacking->head;
        unpacking->left = unpacking->head.size;
        unpacking->writing = true;
    }
    int fd = unpacking->open_files[unpacking->head.number % OPEN_FILES];
    unpacking->left -= (int64_t)len;
    return file_write_all(fd, content, len, err) && (unpacking->left > 0 || finish_file(unpacking, fd, err));
}

/* What a file becomes here depends on the process, on the directory and on how the file system is mounted. */
static bool look_at_fresh_file(struct unpacking *unpacking, struct error *err)
{
    static const char name[] = ".new";
    AUTO(close) int fd = openat(unpacking->root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0777);
    bool seen = fd >= 0 && fstat(fd, &unpacking->fresh) == 0;
    if (!seen)
        error_set_errno(err, errno, "make a file");
    return seen && (unlinkat(unpacking->root, name, 0) == 0 || error_set_errno(err, errno, "remove a file"));
}

/* What is below before what it is in; of several entries for one directory the last one, which counts, first. */
static int from_below(const void *a, const void *b)
{
    const struct pending_directory *left = a, *right = b;
    int paths = strcmp(right->path, left->path);
    return paths != 0 ? paths : (right->order > left->order) - (right->order < left->order);
}

static bool finish_directory(const struct unpacking *unpacking, const struct pending_directory *pending,
                             struct error *err)
{
    AUTO(close) int fd = open_inside(unpacking->root, pending->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES))
        return true; /* something else took its place later, or an entry for it came before */
    if (fd < 0)
        return error_set_errno(err, errno, "open directory '%.200s'", pending->path);
    return set_traits(unpacking, fd, &pending->traits, false, err) ||
           error_wrap(err, "directory '%.200s'", pending->path);
}

static bool finish_directories(const struct unpacking *unpacking, struct error *err)
{
    if (unpacking->directory_count > 0)
        qsort(unpacking->directories, unpacking->directory_count, sizeof(struct pending_directory), from_below);
    for (size_t i = 0; i < unpacking->directory_count; i++) {
        const struct pending_directory *pending = &unpacking->directories[i];
        bool again = i > 0 && strcmp(pending->path, pending[-1].path) == 0;
        if (!again && !finish_directory(unpacking, pending, err))
            return false;
    }
    return true;
}

static bool unpack_whole(struct unpacking *unpacking, struct store *store, const struct image_layer *layer,
                         struct error *err)
{
    const struct tar_events events = { on_entry, on_content, on_entry_end, unpacking };
    unpacking->reader = tar_reader_new(&events, err);
    if (!unpacking->reader || !look_at_fresh_file(unpacking, err))
        return false;
    unpacking->contents = conveyor_new(CONTENT_BOUND, on_file, unpacking, err);
    return unpacking->contents && layer_read(store, layer, LAYER_BYTES_MAX, on_plain, unpacking, err) &&
           tar_reader_end(unpacking->reader, err) && conveyor_end(unpacking->contents, err);
}

bool layer_unpack(struct store *store, const struct image_layer *layer, const char *directory,
                  const struct unpack_how *how, struct error *err)
{
    AUTO(unpacking_release)
    struct unpacking unpacking = {
        .root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .mode = how->mode,
        .parent = -1,
        .how = how,
        .watch = how->watch ? &how->watch->events : NULL,
    };
    memset(unpacking.open_files, -1, sizeof unpacking.open_files);
    bool whole = unpacking.root >= 0 ? unpack_whole(&unpacking, store, layer, err)
                                     : error_set_errno(err, errno, "open '%s'", directory);
    if (how->watch)
        how->watch->done(how->watch->events.context, whole && !unpacking.watch_failed);
    if (!whole || !finish_directories(&unpacking, err))
        return error_wrap(err, "layer %.19s", layer->blob.digest);
    if (how->disk_bytes)
        *how->disk_bytes = unpacking.disk_bytes + 1024 * (int64_t)unpacking.entries;
    return true;
}
