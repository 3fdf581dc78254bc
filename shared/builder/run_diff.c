#include "shared/builder/run_diff.h"

#include "shared/base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { CAPABILITY_MAX = 256, LINK_MAX = TAR_PATH_MAX, COMPARED = 64 * 1024, DEPTH_MAX = 500 };

/* A file with several names, known by its inode. */
struct several {
    ino_t inode;
    uint64_t file;
};

struct reading {
    const struct diff *diff;
    struct bytes path; /* of what is looked at, from the root, without a leading slash */
    void *several;     /* tsearch() */
    unsigned depth;
};

static void reading_release(struct reading *reading)
{
    bytes_release(&reading->path);
    tdestroy(reading->several, free);
}
AUTO_RELEASE(struct reading, reading_release)

static bool failed(const struct reading *reading, const char *what, struct error *err)
{
    return error_set_errno(err, errno, "%s '/%.300s'", what, bytes_text(&reading->path));
}

/* ---- what an entry is ---- */

static int64_t below(const struct diff *diff, int64_t time_s)
{
    for (size_t i = 0; i < diff->lower_time_count; i++)
        time_s = retimed(diff->lower_times[i], time_s);
    return time_s;
}

/* What was written just now is known by it, even where the time to hold on to lies in the future. */
static int64_t clamp(const struct diff *diff, int64_t time_s)
{
    bool later = diff->time_s > 0 && time_s > diff->time_s;
    return later || time_s >= diff->started_s ? diff->time_s : below(diff, time_s);
}

static bool is_of_lowers(const struct diff *diff, int64_t time_s)
{
    for (size_t i = 0; i < diff->lower_time_count; i++) {
        if (time_s == diff->lower_times[i].was_s)
            return true;
    }
    return false;
}

/* Made for a later time, this entry would keep its own. */
static void note_time(const struct diff *diff, const struct stat *is)
{
    int64_t time_s = is->st_mtim.tv_sec;
    if (diff->until_s && time_s > diff->time_s && time_s < diff->started_s && !is_of_lowers(diff, time_s) &&
        (*diff->until_s == 0 || time_s < *diff->until_s))
        *diff->until_s = time_s;
}

static enum tar_type type_of(mode_t mode)
{
    static const struct {
        mode_t mode;
        enum tar_type type;
    } rows[] = {
        { S_IFDIR, TAR_DIRECTORY }, { S_IFLNK, TAR_SYMLINK }, { S_IFCHR, TAR_CHARACTER },
        { S_IFBLK, TAR_BLOCK },     { S_IFIFO, TAR_FIFO },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((mode & S_IFMT) == rows[i].mode)
            return rows[i].type;
    }
    return TAR_FILE;
}

/* By the name below the open directory: "/proc/self/fd/N/NAME", because there is no fgetxattrat() and links must not be followed. */
static ssize_t attribute(int directory, const char *name, const char *key, char *out, size_t size)
{
    char path[NAME_MAX + 64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", directory, name);
    return lgetxattr(path, key, out, size);
}

static bool is_whiteout(const struct stat *is)
{
    return S_ISCHR(is->st_mode) && is->st_rdev == makedev(0, 0);
}

/* Does what is not in the directory hide what the tree has? */
static bool is_opaque(const struct diff *diff, int directory, const char *name)
{
    if (diff->whole)
        return true;
    char value[8];
    return attribute(directory, name, sandbox_opaque_attribute(diff->mode), value, sizeof(value)) == 1 &&
           value[0] == 'y';
}

static int by_inode(const void *a, const void *b)
{
    const struct several *left = a, *right = b;
    return (left->inode > right->inode) - (left->inode < right->inode);
}

static bool file_number(struct reading *reading, const struct stat *is, uint64_t *out, struct error *err)
{
    struct several *item = malloc(sizeof(*item));
    if (!item)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    *item = (struct several){ is->st_ino, 0 };
    struct several *const *found = tsearch(item, &reading->several, by_inode);
    if (!found || *found != item)
        free(item);
    if (!found)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if ((*found)->file == 0)
        (*found)->file = ++*reading->diff->file_number;
    *out = (*found)->file;
    return true;
}

static bool read_target(struct reading *reading, int directory, const char *name, struct attributes *is,
                        struct error *err)
{
    char target[LINK_MAX];
    ssize_t n = readlinkat(directory, name, target, sizeof(target));
    if (n < 0)
        return failed(reading, "read link", err);
    is->target = arena_dup(tree_arena(reading->diff->tree), (struct span){ target, (size_t)n });
    return is->target || error_set(err, ERROR_TOO_LARGE, "more files than fit into memory");
}

static bool read_content(struct reading *reading, const struct stat *is, struct attributes *out, struct error *err)
{
    struct arena *arena = tree_arena(reading->diff->tree);
    struct content *content = arena_take(arena, sizeof(*content));
    if (content) {
        *content = (struct content){ .kind = is->st_size > 0 ? CONTENT_DISK : CONTENT_EMPTY, .size = is->st_size };
        content->disk.root = reading->diff->upper;
        content->disk.path = arena_dup(arena, bytes_span(&reading->path));
    }
    out->content = content;
    return (content && content->disk.path) || error_set(err, ERROR_TOO_LARGE, "more files than fit into memory");
}

bool diff_owner_below(void *context, const char *path, mode_t type, bool marked, struct owner *out)
{
    const struct tree *tree = context;
    const struct tree_node *node = tree_root(tree);
    struct span rest = span_of(path);
    for (struct span name = span_cut(&rest, '/'); node && name.len > 0; name = span_cut(&rest, '/'))
        node = tree_child(tree, node, name);
    if (!node || node->is.type != type_of(type) || (!marked && !node->is.file))
        return false;
    *out = (struct owner){ node->is.uid, node->is.gid };
    return true;
}

/* Is it what the layers below have there, or its copy? Only files and directories can be marked as copies, and of files only those that had one
 * name. Where everything was copied, all that is not the command's own is noted, so that nobody needs to know. */
static bool is_of_tree(const struct diff *diff, int directory, const char *name, const struct tree_node *node,
                       const struct stat *is)
{
    if (!node || node->is.type != type_of(is->st_mode) || (diff->whole && diff->notes))
        return false;
    return !diff->notes || node->is.file || (!S_ISREG(is->st_mode) && !S_ISDIR(is->st_mode)) ||
           attribute(directory, name, SANDBOX_COPIED_ATTRIBUTE, NULL, 0) >= 0;
}

/* Of one whose only user stands for all. A file of the tree has no capabilities on the disk there: it has lost them when it was written or given
 * away. Those of a user namespace (version 3 of linux/capability.h) name its root, which is everybody's. */
static void read_owner(const struct diff *diff, int directory, const char *name, const struct tree_node *node,
                       const struct stat *is, struct attributes *out)
{
    struct owner owner = diff->own;
    bool noted = diff->notes && owners_find(diff->notes, directory, name, &owner);
    bool of_tree = !noted && is_of_tree(diff, directory, name, node, is);
    if (of_tree)
        owner = (struct owner){ node->is.uid, node->is.gid };
    if ((of_tree || (diff->whole && node && owner_is(owner, (struct owner){ node->is.uid, node->is.gid }))) &&
        node->is.mtime_s == below(diff, is->st_mtim.tv_sec) && is->st_mtim.tv_nsec == 0)
        out->capability = node->is.capability;
    out->uid = owner.uid;
    out->gid = owner.gid;
}

static size_t capability_of_all(char *capability, size_t len)
{
    enum { REVISION = 3, OF_ROOT = 3, OF_ALL = 2, SIZE_OF_ROOT = 24, SIZE_OF_ALL = 20 };
    if (len != SIZE_OF_ROOT || capability[REVISION] != OF_ROOT)
        return len;
    capability[REVISION] = OF_ALL;
    return SIZE_OF_ALL;
}

/* node: what was there by that name; NULL: nothing. */
static bool read_attributes(struct reading *reading, int directory, const char *name, const struct tree_node *node,
                            const struct stat *is, struct attributes *out, struct error *err)
{
    const struct diff *diff = reading->diff;
    char capability[CAPABILITY_MAX];
    *out = (struct attributes){ .type = type_of(is->st_mode),
                                .mode = is->st_mode & 07777,
                                .uid = is->st_uid,
                                .gid = is->st_gid,
                                .mtime_s = clamp(diff, is->st_mtim.tv_sec) };
    if (!sandbox_has_ids(diff->mode))
        read_owner(diff, directory, name, node, is, out);
    if (S_ISCHR(is->st_mode) || S_ISBLK(is->st_mode)) {
        out->device_major = major(is->st_rdev);
        out->device_minor = minor(is->st_rdev);
    }
    if (!S_ISREG(is->st_mode))
        return !S_ISLNK(is->st_mode) || read_target(reading, directory, name, out, err);
    ssize_t n = attribute(directory, name, "security.capability", capability, sizeof(capability));
    if (n > 0) {
        struct arena *arena = tree_arena(diff->tree);
        size_t len = sandbox_has_ids(diff->mode) ? (size_t)n : capability_of_all(capability, (size_t)n);
        out->capability = (struct span){ arena_dup(arena, (struct span){ capability, len }), len };
        if (!out->capability.data)
            return error_set(err, ERROR_TOO_LARGE, "more files than fit into memory");
    }
    return true;
}

/* ---- is it what was there? ---- */

static bool same_bytes(int a, int b)
{
    AUTO(free) char *pieces = malloc((size_t)2 * COMPARED);
    for (;;) {
        ssize_t n = pieces ? read(a, pieces, COMPARED) : -1;
        if (n < 0)
            return false;
        for (ssize_t got = 0; got < n;) {
            ssize_t m = read(b, pieces + COMPARED + got, (size_t)(n - got));
            if (m <= 0)
                return false;
            got += m;
        }
        if (n == 0)
            return true;
        if (memcmp(pieces, pieces + COMPARED, (size_t)n) != 0)
            return false;
    }
}

static bool same_digest(int directory, const char *name, const struct content *content)
{
    uint8_t was[SHA256_SIZE], now[SHA256_SIZE];
    struct error ignored;
    struct sha256 sha;
    AUTO(close) int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    AUTO(free) char *piece = malloc(COMPARED);
    sha256_init(&sha);
    ssize_t n = fd < 0 || !piece ? -1 : 1;
    while (n > 0) {
        n = read(fd, piece, COMPARED);
        sha256_update(&sha, piece, n > 0 ? (size_t)n : 0);
    }
    sha256_final(&sha, now);
    return n == 0 && content_digest(content, was, &ignored) && memcmp(was, now, sizeof(now)) == 0;
}

/* Against the topmost layer below that has the path; none follows a link, because the tree knows that no directory on the path is one. */
static bool same_content(const struct reading *reading, int directory, const char *name, const struct tree_node *node,
                         const struct stat *is)
{
    const struct diff *diff = reading->diff;
    if (diff->whole)
        return is->st_ctim.tv_sec * INT64_C(1000000000) + is->st_ctim.tv_nsec < diff->placed_ns ||
               same_digest(directory, name, node->is.content);
    AUTO(close) int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    for (size_t i = diff->lower_count; fd >= 0 && i-- > 0;) {
        AUTO(close) int lower = open(diff->lowers[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO(close)
        int below = openat(lower, bytes_text(&reading->path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat found;
        if (below >= 0 && fstat(below, &found) == 0 && S_ISREG(found.st_mode))
            return same_bytes(fd, below);
    }
    return false;
}

/* As BuildKit's overlay differ: attributes, and where times are whole seconds the content itself. */
static bool is_same(const struct reading *reading, int directory, const char *name, const struct tree_node *node,
                    const struct attributes *now, const struct stat *is)
{
    const struct attributes *was = &node->is;
    bool modes_differ = was->mode != now->mode && was->type != TAR_SYMLINK; /* on a disk links have one and the same */
    if (was->type != now->type || modes_differ || was->uid != now->uid || was->gid != now->gid ||
        was->device_major != now->device_major || was->device_minor != now->device_minor ||
        !span_equal(was->capability, now->capability))
        return false;
    if (now->type == TAR_DIRECTORY)
        return true;
    if (was->mtime_s != below(reading->diff, is->st_mtim.tv_sec) || is->st_mtim.tv_nsec != 0)
        return false;
    if (now->type == TAR_SYMLINK)
        return strcmp(was->target, now->target) == 0;
    if (now->type != TAR_FILE)
        return true;
    return was->content->size == is->st_size && (is->st_size == 0 || same_content(reading, directory, name, node, is));
}

/* ---- changes ---- */

static bool put_time(const struct reading *reading, int directory, const char *name, int64_t time_s, struct error *err)
{
    const struct timespec times[2] = { { .tv_sec = time_s }, { .tv_sec = time_s } };
    return reading->diff->untouched || utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) == 0 ||
           failed(reading, "set the time of", err);
}

/* NAME of the directory is deleted, which was there. */
static bool delete(struct reading *reading, struct tree_node *directory, struct tree_node *node, struct error *err)
{
    static struct content nothing = { .kind = CONTENT_EMPTY };
    char name[NAME_MAX + 8];
    struct tree *tree = reading->diff->tree;
    int n = snprintf(name, sizeof(name), ".wh.%s", node->name);
    if (n > NAME_MAX)
        return error_set(err, ERROR_INVALID, "'/%.300s': a name of more than %d bytes cannot be deleted in a layer",
                         bytes_text(&reading->path), NAME_MAX - 4);
    tree_remove(tree, node);
    struct tree_node *mark = tree_add(tree, directory, span_of(name), err);
    if (!mark)
        return false;
    mark->is = (struct attributes){ .type = TAR_FILE, .content = &nothing };
    mark->whiteout = true;
    tree_touch(mark, reading->diff->layer);
    return true;
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* A directory that took the place of another one: what it does not have is deleted. */
static bool delete_others(struct reading *reading, struct tree_node *node, int directory, struct error *err)
{
    for (struct tree_node *child = node->first, *next; child; child = next) {
        struct stat is;
        next = child->next;
        if (!child->whiteout && fstatat(directory, child->name, &is, AT_SYMLINK_NOFOLLOW) < 0 &&
            !delete (reading, node, child, err))
            return false;
    }
    return true;
}

static const struct diff_stub *stub_at(const struct reading *reading)
{
    for (size_t i = 0; i < reading->diff->stub_count; i++) {
        if (strcmp(reading->diff->stubs[i].path, bytes_text(&reading->path)) == 0)
            return &reading->diff->stubs[i];
    }
    return NULL;
}

static bool read_directory(struct reading *reading, int directory, struct tree_node *node, struct error *err);

/* Below a directory of the upper one. node: NULL when there was none of that name, or no directory. */
static bool enter(struct reading *reading, int parent, const char *name, struct tree_node *into, struct tree_node *node,
                  const struct stat *is, struct error *err)
{
    const struct diff *diff = reading->diff;
    const struct diff_stub *stub = stub_at(reading);
    bool was = node && tree_is_directory(node);
    struct attributes now;
    if (++reading->depth > DEPTH_MAX)
        return error_set(err, ERROR_INVALID, "'/%.200s...' is nested too deeply", bytes_text(&reading->path));
    AUTO(close) int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !read_attributes(reading, parent, name, node, is, &now, err))
        return fd < 0 ? failed(reading, "open", err) : false;
    bool changed = !was || !is_same(reading, parent, name, node, &now, is);
    if (!was && node)
        tree_clear(diff->tree, node);
    if (!node && !(node = tree_add(diff->tree, into, span_of(name), err)))
        return false;
    if (!was)
        node->is = now; /* children need a directory */
    if (was && is_opaque(diff, parent, name) && !delete_others(reading, node, fd, err))
        return false;
    if (!read_directory(reading, fd, node, err))
        return false;
    reading->depth--;
    if (!was && stub && stub->directory && unlinkat(parent, name, AT_REMOVEDIR) == 0) {
        tree_remove(diff->tree, node);
        return true;
    }
    if (changed)
        tree_touch(node, diff->layer);
    if (node->layer == diff->layer) {
        node->is = now;
        note_time(diff, is);
    }
    node->is.mtime_s = now.mtime_s; /* though nothing is told of it as long as that is all */
    return put_time(reading, parent, name, now.mtime_s, err);
}

static bool read_file(struct reading *reading, int parent, const char *name, struct tree_node *into,
                      struct tree_node *node, const struct stat *is, struct error *err)
{
    const struct diff *diff = reading->diff;
    const struct diff_stub *stub = stub_at(reading);
    struct attributes now;
    if (!node && stub && !stub->directory && S_ISREG(is->st_mode) && is->st_size == 0)
        return unlinkat(parent, name, 0) == 0 || failed(reading, "remove", err);
    if (!read_attributes(reading, parent, name, node, is, &now, err))
        return false;
    if (is->st_nlink > 1 && !file_number(reading, is, &now.file, err))
        return false;
    if (node && is_same(reading, parent, name, node, &now, is)) {
        if (!diff->whole || now.file)
            node->is.file = now.file; /* its names are no longer those that the layers below gave it */
        return true;
    }
    if (now.type == TAR_FILE && !read_content(reading, is, &now, err))
        return false;
    if (node)
        tree_clear(diff->tree, node);
    else if (!(node = tree_add(diff->tree, into, span_of(name), err)))
        return false;
    node->is = now;
    note_time(diff, is);
    tree_touch(node, diff->layer);
    return put_time(reading, parent, name, now.mtime_s, err);
}

static bool read_entry(struct reading *reading, int directory, const char *name, struct tree_node *into,
                       struct error *err)
{
    const struct diff *diff = reading->diff;
    struct stat is;
    struct tree_node *node = tree_child(diff->tree, into, span_of(name));
    if (diff->cancelled && diff->cancelled(diff->context))
        return error_set(err, ERROR_UNAVAILABLE, "cancelled");
    if (fstatat(directory, name, &is, AT_SYMLINK_NOFOLLOW) < 0)
        return failed(reading, "look at", err);
    if (is_whiteout(&is) || S_ISSOCK(is.st_mode)) /* no layer can hold a socket */
        return !node || delete (reading, into, node, err);
    return S_ISDIR(is.st_mode) ? enter(reading, directory, name, into, node, &is, err)
                               : read_file(reading, directory, name, into, node, &is, err);
}

static bool read_directory(struct reading *reading, int directory, struct tree_node *node, struct error *err)
{
    AUTO(closedir) DIR *dir = fdopendir(fcntl(directory, F_DUPFD_CLOEXEC, 3));
    size_t len = reading->path.len;
    if (!dir)
        return failed(reading, "open", err);
    rewinddir(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (is_dots(entry->d_name))
            continue;
        if ((len > 0 && !bytes_append_char(&reading->path, '/', err)) ||
            !bytes_append_text(&reading->path, entry->d_name, err) ||
            !read_entry(reading, directory, entry->d_name, node, err))
            return false;
        reading->path.len = len;
        reading->path.data[len] = '\0';
    }
    return true;
}

bool diff_read(const struct diff *diff, struct error *err)
{
    AUTO(reading_release) struct reading reading = { .diff = diff, .path = BYTES(1024 * 1024) };
    struct tree_node *root = tree_root(diff->tree);
    AUTO(close) int upper = open(diff->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (upper < 0)
        return error_set_errno(err, errno, "open '%s'", diff->upper);
    if (diff->whole && !delete_others(&reading, root, upper, err))
        return false;
    return read_directory(&reading, upper, root, err);
}

void diff_forget_whiteouts(struct tree *tree, uint32_t layer)
{
    struct tree_node *node = tree_root(tree);
    while (node) {
        bool below = node->first && node->layer == layer;
        struct tree_node *next = below ? node->first : node;
        if (!below) {
            while (next && !next->next)
                next = next->parent;
            next = next ? next->next : NULL;
        }
        if (node->whiteout)
            tree_remove(tree, node);
        node = next;
    }
}
