#include "shared/rootfs/unpack.h"

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/oci/compress.h"
#include "shared/oci/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

/* A directory's mode and time are set when everything is in it: a mode may forbid writing, and writing changes the time. */
struct pending_directory {
    char *path;
    mode_t mode;
    int64_t mtime_s;
};

struct unpacking {
    int root;
    enum sandbox_mode mode;
    struct tar_reader *reader;
    struct sha256 plain;
    int file;                           /* being written, -1: none */
    struct tar_entry entry;             /* of the file; its strings are not kept */
    struct bytes capability;            /* of the file: a change of owner takes it away, so it is set last */
    char parent_path[TAR_PATH_MAX + 1]; /* of the directory that is open, because neighbours follow each other */
    int parent;
    struct pending_directory *directories;
    size_t directory_count, directory_room, entries;
    int64_t disk_bytes;
    const struct unpack_how *how;
    const struct tar_events *watch; /* NULL: nobody watches, or no more */
    bool watch_failed;
};

static void unpacking_release(struct unpacking *unpacking)
{
    if (unpacking->file >= 0)
        close(unpacking->file);
    if (unpacking->parent >= 0)
        close(unpacking->parent);
    if (unpacking->root >= 0)
        close(unpacking->root);
    for (size_t i = 0; i < unpacking->directory_count; i++)
        free(unpacking->directories[i].path);
    free(unpacking->directories);
    bytes_release(&unpacking->capability);
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
    if (unlinkat(unpacking->parent, name, 0) == 0 || errno == ENOENT)
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
    char *copy = strdup(path);
    if (!copy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    unpacking->directories[unpacking->directory_count++] =
        (struct pending_directory){ .path = copy, .mode = entry->mode & 07777, .mtime_s = entry->mtime_s };
    return true;
}

static bool set_owner(const struct unpacking *unpacking, const char *name, const struct tar_entry *entry,
                      struct error *err)
{
    if (!sandbox_has_ids(unpacking->mode))
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
    return set_owner(unpacking, name, entry, err) && remember_directory(unpacking, path, entry, err);
}

static bool put_file(struct unpacking *unpacking, const char *path, const char *name, const struct tar_entry *entry,
                     struct error *err)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
    unpacking->file = openat(unpacking->parent, name, FLAGS, 0600);
    if (unpacking->file < 0 && errno == EEXIST) {
        if (!remove_existing(unpacking, name, err))
            return false;
        unpacking->file = openat(unpacking->parent, name, FLAGS, 0600);
    }
    unpacking->entry = *entry;
    unpacking->disk_bytes += (entry->size + 4095) / 4096 * 4096;
    bytes_clear(&unpacking->capability);
    if (!bytes_append_span(&unpacking->capability, entry->capability, err))
        return false;
    return unpacking->file >= 0 || error_set_errno(err, errno, "make file '%.200s'", path);
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
    bool done = put_entry(unpacking, path, name, entry, err);
    if (entry->type != TAR_FILE)
        forget_parent(unpacking); /* a link may have taken the place of a directory on the way */
    return done;
}

static bool on_content(void *context, const void *data, size_t len, struct error *err)
{
    struct unpacking *unpacking = context;
    struct error ignored;
    if (unpacking->watch)
        watched(unpacking, unpacking->watch->content(unpacking->watch->context, data, len, &ignored));
    return unpacking->file < 0 || file_write_all(unpacking->file, data, len, err);
}

static bool on_entry_end(void *context, struct error *err)
{
    struct unpacking *unpacking = context;
    struct error ignored;
    if (unpacking->watch)
        watched(unpacking, unpacking->watch->entry_end(unpacking->watch->context, &ignored));
    if (unpacking->file < 0)
        return true;
    AUTO(close) int fd = unpacking->file;
    unpacking->file = -1;
    const struct tar_entry *entry = &unpacking->entry;
    if (sandbox_has_ids(unpacking->mode) && fchown(fd, entry->uid, entry->gid) < 0)
        return error_set_errno(err, errno, "give a file to user %u", entry->uid);
    const struct timespec times[2] = { { .tv_sec = entry->mtime_s }, { .tv_sec = entry->mtime_s } };
    if (fchmod(fd, (mode_t)(entry->mode & 07777)) < 0 || futimens(fd, times) < 0)
        return error_set_errno(err, errno, "set the mode of a file");
    /* Only root may give one; without it the file is merely less able. */
    if (unpacking->capability.len > 0)
        fsetxattr(fd, "security.capability", unpacking->capability.data, unpacking->capability.len, 0);
    return true;
}

static bool on_plain(struct unpacking *unpacking, const char *data, size_t len, struct error *err)
{
    const struct unpack_how *how = unpacking->how;
    if (how->cancelled && how->cancelled(how->context))
        return error_set(err, ERROR_UNAVAILABLE, "stopped");
    sha256_update(&unpacking->plain, data, len);
    return tar_reader_feed(unpacking->reader, data, len, err);
}

/* --- two threads: plain bytes go from the one that inflates to the one that writes ----------------------------------- */

enum { PIECES = 4, PIECE_SIZE = 256 * 1024 };

struct conveyor {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct piece {
        size_t len;
        char data[PIECE_SIZE];
    } *pieces;
    unsigned filled, emptied; /* counted up; they lie in [n % PIECES] */
    bool over;                /* nothing more comes */
    bool broken;              /* the writer has failed, with: */
    struct error failure;
    struct unpacking *unpacking;
    size_t fill; /* of the piece that is being filled */
};

static bool conveyor_wait_room(struct conveyor *conveyor)
{
    pthread_mutex_lock(&conveyor->lock);
    while (!conveyor->broken && conveyor->filled - conveyor->emptied == PIECES)
        pthread_cond_wait(&conveyor->moved, &conveyor->lock);
    bool good = !conveyor->broken;
    pthread_mutex_unlock(&conveyor->lock);
    return good;
}

static void conveyor_pass_on(struct conveyor *conveyor, bool over)
{
    pthread_mutex_lock(&conveyor->lock);
    if (conveyor->fill > 0) {
        conveyor->pieces[conveyor->filled % PIECES].len = conveyor->fill;
        conveyor->filled++;
        conveyor->fill = 0;
    }
    conveyor->over = over;
    pthread_cond_signal(&conveyor->moved);
    pthread_mutex_unlock(&conveyor->lock);
}

static bool on_inflated(void *context, const void *data, size_t len, struct error *err)
{
    struct conveyor *conveyor = context;
    for (const char *from = data; len > 0;) {
        if (conveyor->fill == 0 && !conveyor_wait_room(conveyor)) {
            *err = conveyor->failure;
            return false;
        }
        size_t room = PIECE_SIZE - conveyor->fill, n = len < room ? len : room;
        memcpy(conveyor->pieces[conveyor->filled % PIECES].data + conveyor->fill, from, n);
        conveyor->fill += n;
        from += n;
        len -= n;
        if (conveyor->fill == PIECE_SIZE)
            conveyor_pass_on(conveyor, false);
    }
    return true;
}

static void *write_main(void *context)
{
    struct conveyor *conveyor = context;
    for (;;) {
        pthread_mutex_lock(&conveyor->lock);
        while (conveyor->filled == conveyor->emptied && !conveyor->over)
            pthread_cond_wait(&conveyor->moved, &conveyor->lock);
        bool more = conveyor->filled != conveyor->emptied;
        pthread_mutex_unlock(&conveyor->lock);
        if (!more)
            return NULL;
        const struct piece *piece = &conveyor->pieces[conveyor->emptied % PIECES];
        bool good = on_plain(conveyor->unpacking, piece->data, piece->len, &conveyor->failure);
        pthread_mutex_lock(&conveyor->lock);
        conveyor->emptied++;
        conveyor->broken = !good;
        pthread_cond_signal(&conveyor->moved);
        pthread_mutex_unlock(&conveyor->lock);
        if (!good)
            return NULL;
    }
}

static bool on_stored(void *context, const void *data, size_t len, struct error *err)
{
    return inflater_feed(context, data, len, err);
}

static bool fetch(struct conveyor *conveyor, struct store *store, const struct image_layer *layer, struct error *err)
{
    AUTO(inflater_free) struct inflater *inflater = inflater_new(on_inflated, conveyor, LAYER_BYTES_MAX, err);
    return inflater && store_get_blob(store, &layer->blob, on_stored, inflater, err) && inflater_end(inflater, err);
}

static bool convey(struct unpacking *unpacking, struct store *store, const struct image_layer *layer, struct error *err)
{
    AUTO(free) struct piece *pieces = malloc(PIECES * sizeof *pieces);
    struct conveyor conveyor = {
        .pieces = pieces, .unpacking = unpacking, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER
    };
    pthread_t writer;
    if (!pieces)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    int failed = pthread_create(&writer, NULL, write_main, &conveyor);
    if (failed)
        return error_set_errno(err, failed, "start a thread");
    bool fetched = fetch(&conveyor, store, layer, err);
    if (!fetched)
        conveyor.fill = 0;
    conveyor_pass_on(&conveyor, true);
    pthread_join(writer, NULL);
    if (fetched && conveyor.broken)
        *err = conveyor.failure;
    return fetched && !conveyor.broken;
}

static bool finish_directories(const struct unpacking *unpacking, struct error *err)
{
    for (size_t i = unpacking->directory_count; i-- > 0;) {
        const struct pending_directory *pending = &unpacking->directories[i];
        AUTO(close) int fd = open_inside(unpacking->root, pending->path, O_RDONLY | O_DIRECTORY);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES))
            continue; /* something else took its place later, or an entry for it came before */
        const struct timespec times[2] = { { .tv_sec = pending->mtime_s }, { .tv_sec = pending->mtime_s } };
        if (fd < 0 || fchmod(fd, pending->mode) < 0 || futimens(fd, times) < 0)
            return error_set_errno(err, errno, "set the mode of directory '%.200s'", pending->path);
    }
    return true;
}

static bool check_plain(struct unpacking *unpacking, const char *diff_id, struct error *err)
{
    uint8_t sum[SHA256_SIZE];
    char text[DIGEST_TEXT_SIZE] = "sha256:";
    sha256_final(&unpacking->plain, sum);
    hex_encode(text + strlen(text), sum, sizeof sum);
    return strcmp(text, diff_id) == 0 ||
           error_set(err, ERROR_INVALID, "its content is %s, the image says %s", text, diff_id);
}

bool layer_unpack(struct store *store, const struct image_layer *layer, const char *directory,
                  const struct unpack_how *how, struct error *err)
{
    AUTO(unpacking_release)
    struct unpacking unpacking = {
        .root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .mode = how->mode,
        .file = -1,
        .parent = -1,
        .capability = BYTES(4096),
        .how = how,
    };
    const struct tar_events events = { on_entry, on_content, on_entry_end, &unpacking };
    if (unpacking.root < 0) {
        if (how->watch)
            how->watch->done(how->watch->events.context, false);
        return error_set_errno(err, errno, "open '%s'", directory);
    }
    sha256_init(&unpacking.plain);
    unpacking.reader = tar_reader_new(&events, err);
    if (!unpacking.reader) {
        if (how->watch)
            how->watch->done(how->watch->events.context, false);
        return false;
    }
    unpacking.watch = how->watch ? &how->watch->events : NULL;
    bool whole = convey(&unpacking, store, layer, err) && tar_reader_end(unpacking.reader, err) &&
                 check_plain(&unpacking, layer->diff_id, err);
    if (how->watch)
        how->watch->done(how->watch->events.context, whole && !unpacking.watch_failed);
    if (!whole || !finish_directories(&unpacking, err))
        return error_wrap(err, "layer %.19s", layer->blob.digest);
    if (how->disk_bytes)
        *how->disk_bytes = unpacking.disk_bytes + 1024 * (int64_t)unpacking.entries;
    return true;
}
