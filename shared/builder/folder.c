#include "shared/builder/folder.h"

#include "shared/builder/files.h"
#include "shared/builder/numbering.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum { PIECE = 32 * 1024, CAPABILITY_MAX = 1024 };

struct folder {
    int fd;
    pthread_mutex_t lock;
    const struct tree_node *open_node; /* whose directory is open as open_fd; NULL: none */
    int open_fd;
};

struct folder *folder_open(const char *path, struct error *err)
{
    AUTO(folder_free) struct folder *folder = calloc(1, sizeof(*folder));

    if (!folder) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&folder->lock, NULL);
    folder->open_fd = -1;
    folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->fd < 0) {
        error_set_errno(err, errno, "directory '%s'", path);
        return NULL;
    }
    return TAKE(folder);
}

void folder_free(struct folder *folder)
{
    if (!folder)
        return;
    if (folder->fd >= 0)
        close(folder->fd);
    if (folder->open_fd >= 0)
        close(folder->open_fd);
    pthread_mutex_destroy(&folder->lock);
    free(folder);
}

/* ---- making the tree ---- */

struct loading {
    struct folder *folder;
    struct tree *tree;
    const struct ignore *ignore;
    struct bytes path;
    size_t entries;
    int64_t newest_s;
    struct numbering numbers; /* of files with several names */
    uint64_t last_number;
};

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "more files than fit into memory");
}

static bool read_link(struct loading *loading, int parent, const char *name, struct attributes *is, struct error *err)
{
    char target[TAR_PATH_MAX + 1];
    ssize_t n = readlinkat(parent, name, target, sizeof(target));

    if (n < 0)
        return error_set_errno(err, errno, "cannot read the link");
    if (n == 0 || n > TAR_PATH_MAX)
        return error_set(err, ERROR_INVALID, "the target of the link is longer than %d bytes", TAR_PATH_MAX);
    is->target = arena_dup(tree_arena(loading->tree), (struct span){ target, (size_t)n });
    return is->target || out_of_memory(err);
}

/* Only what can be executed has capabilities that mean something. A file system without such attributes is none that holds one. */
static bool read_capability(struct loading *loading, int parent, const char *name, struct attributes *is,
                            struct error *err)
{
    char place[64 + TAR_PATH_MAX], value[CAPABILITY_MAX];

    snprintf(place, sizeof(place), "/proc/self/fd/%d/%s", parent, name);
    ssize_t n = lgetxattr(place, "security.capability", value, sizeof(value));
    if (n <= 0)
        return true;
    is->capability =
        (struct span){ arena_dup(tree_arena(loading->tree), (struct span){ value, (size_t)n }), (size_t)n };
    return is->capability.data || out_of_memory(err);
}

static bool read_file(struct loading *loading, const struct stat *about, struct tree_node *node, struct error *err)
{
    struct content *content = arena_take(tree_arena(loading->tree), sizeof(*content));

    if (!content)
        return out_of_memory(err);
    content->kind = about->st_size > 0 ? CONTENT_FOLDER : CONTENT_EMPTY;
    content->size = about->st_size;
    content->folder.folder = loading->folder;
    content->folder.node = node;
    node->is.content = content;
    return about->st_nlink == 1 || numbering_get(&loading->numbers, about->st_dev, about->st_ino, &node->is.file, err);
}

static bool type_of(mode_t mode, enum tar_type *type)
{
    static const struct {
        mode_t mode;
        enum tar_type type;
    } types[] = { { S_IFREG, TAR_FILE },      { S_IFDIR, TAR_DIRECTORY }, { S_IFLNK, TAR_SYMLINK },
                  { S_IFCHR, TAR_CHARACTER }, { S_IFBLK, TAR_BLOCK },     { S_IFIFO, TAR_FIFO } };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if ((mode & S_IFMT) == types[i].mode) {
            *type = types[i].type;
            return true;
        }
    }
    return false; /* a socket */
}

static bool load_below(struct loading *loading, int fd, struct tree_node *into, struct error *err);

static bool load_directory(struct loading *loading, int parent, const char *name, struct tree_node *node,
                           struct error *err)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return error_set_errno(err, errno, "cannot read the directory");
    return load_below(loading, fd, node, err);
}

static bool load_entry(struct loading *loading, int parent, const char *name, struct tree_node *into, struct error *err)
{
    struct stat about;
    struct attributes is = { 0 };
    struct span path = bytes_span(&loading->path);
    bool excluded = ignore_excludes(loading->ignore, path);

    if (excluded && !ignore_may_include_below(loading->ignore, path))
        return true;
    if (fstatat(parent, name, &about, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set_errno(err, errno, "cannot look at it");
    if (!type_of(about.st_mode, &is.type) || (excluded && is.type != TAR_DIRECTORY))
        return true;
    if (++loading->entries > FILES_ENTRIES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d files", FILES_ENTRIES_MAX);
    is.mode = about.st_mode & 07777;
    is.mtime_s = about.st_mtim.tv_sec;
    if (is.type == TAR_CHARACTER || is.type == TAR_BLOCK) {
        is.device_major = major(about.st_rdev);
        is.device_minor = minor(about.st_rdev);
    }
    if ((is.type == TAR_SYMLINK && !read_link(loading, parent, name, &is, err)) ||
        (is.type == TAR_FILE && (is.mode & 0111) && !read_capability(loading, parent, name, &is, err)))
        return false;
    struct tree_node *node = tree_add(loading->tree, into, span_of(name), err);
    if (!node)
        return false;
    node->is = is;
    if (is.type != TAR_DIRECTORY && is.mtime_s > loading->newest_s)
        loading->newest_s = is.mtime_s;
    return is.type == TAR_FILE        ? read_file(loading, &about, node, err)
           : is.type == TAR_DIRECTORY ? load_directory(loading, parent, name, node, err)
                                      : true;
}

/* Takes fd. */
static bool load_below(struct loading *loading, int fd, struct tree_node *into, struct error *err)
{
    AUTO(closedir) DIR *directory = fdopendir(fd);
    size_t len = loading->path.len;

    if (!directory) {
        close(fd);
        return error_set_errno(err, errno, "cannot read the directory");
    }
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((len > 0 && !bytes_append_char(&loading->path, '/', err)) ||
            !bytes_append_text(&loading->path, entry->d_name, err))
            return false;
        if (!load_entry(loading, fd, entry->d_name, into, err))
            return false;
        bytes_truncate(&loading->path, len);
    }
    return true;
}

bool folder_load(struct folder *folder, struct tree *tree, const struct ignore *ignore, int64_t *newest_s,
                 struct error *err)
{
    struct loading loading = { .folder = folder, .tree = tree, .ignore = ignore, .path = BYTES(TAR_PATH_MAX - 1) };
    struct stat about;

    loading.numbers.last = &loading.last_number;
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &about) < 0)
        return error_set_errno(err, errno, "cannot read the directory");
    tree_root(tree)->is.mtime_s = about.st_mtim.tv_sec;
    bool good = load_below(&loading, fd, tree_root(tree), err) || error_wrap(err, "'%s'", bytes_text(&loading.path));
    *newest_s = loading.newest_s > 0 ? loading.newest_s : about.st_mtim.tv_sec; /* of an empty one: its own */
    bytes_release(&loading.path);
    numbering_release(&loading.numbers);
    return good;
}

/* ---- reading ---- */

/* The directory of a node, opened from the top without following a link. */
static int open_chain(const struct folder *folder, const struct tree_node *node)
{
    if (!node->parent)
        return dup(folder->fd);
    AUTO(close) int parent = open_chain(folder, node->parent);
    return parent < 0 ? -1 : openat(parent, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Layers are written in the order of paths: the directory of the file before is mostly this one's too. */
static int open_file(struct folder *folder, const struct tree_node *node)
{
    int fd = -1;

    pthread_mutex_lock(&folder->lock);
    if (folder->open_node != node->parent) {
        if (folder->open_fd >= 0)
            close(folder->open_fd);
        folder->open_fd = open_chain(folder, node->parent);
        folder->open_node = folder->open_fd >= 0 ? node->parent : NULL;
    }
    if (folder->open_fd >= 0)
        fd = openat(folder->open_fd, node->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    pthread_mutex_unlock(&folder->lock);
    return fd;
}

bool folder_read(struct folder *folder, const struct tree_node *node, http_body_fn *on_data, void *context,
                 struct error *err)
{
    AUTO(close) int fd = open_file(folder, node);
    char piece[PIECE]; /* not from the heap: with small files that would cost more than reading them */
    int64_t size = node->is.content->size;
    struct stat about;

    if (fd < 0 || fstat(fd, &about) < 0)
        return error_set_errno(err, errno, "cannot read '%s' of the context", node->name);
    if (!S_ISREG(about.st_mode) || about.st_size != size)
        return error_set(err, ERROR_UNAVAILABLE, "'%s' changed while the build ran", node->name);
    for (int64_t done = 0; done < size;) {
        ssize_t n = read(fd, piece, size - done < PIECE ? (size_t)(size - done) : PIECE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read '%s' of the context", node->name);
        if (n == 0)
            return error_set(err, ERROR_UNAVAILABLE, "'%s' changed while the build ran", node->name);
        if (!on_data(context, piece, (size_t)n, err))
            return false;
        done += n;
    }
    return true;
}
