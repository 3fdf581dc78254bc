#include "shared/builder/run_place.h"

#include "shared/base/file.h"
#include "shared/builder/base.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* The first name of a file that has several. */
struct named {
    uint64_t file;
    char *path; /* below the directory that is filled */
};

struct placing {
    const struct place_how *how;
    int top;        /* the directory that is filled */
    size_t top_len; /* of its path in the tree */
    void *names;    /* tsearch() of struct named */
    struct content **contents;
    size_t content_count, content_room;
};

static int by_file(const void *a, const void *b)
{
    const struct named *left = a, *right = b;
    return (left->file > right->file) - (left->file < right->file);
}

static void named_free(void *item)
{
    struct named *named = item;
    free(named->path);
    free(named);
}

static void placing_release(struct placing *placing)
{
    tdestroy(placing->names, named_free);
    free(placing->contents);
}
AUTO_RELEASE(struct placing, placing_release)

bool place_needed(const struct tree_node *node, uint32_t after)
{
    for (const struct tree_node *child = node->first; child; child = child->next) {
        if (child->layer > after)
            return true;
    }
    return false;
}

static bool wanted(const struct placing *placing, const struct tree_node *node)
{
    return placing->how->all || node->layer > placing->how->after;
}

/* ---- contents that still lie in base images ---- */

static bool gather(struct placing *placing, const struct tree_node *node, struct error *err)
{
    for (const struct tree_node *child = node->first; child; child = child->next) {
        if (!wanted(placing, child))
            continue;
        if (!gather(placing, child, err))
            return false;
        if (child->is.type != TAR_FILE || child->is.content->kind != CONTENT_BASE)
            continue;
        if (placing->content_count == placing->content_room) {
            size_t room = placing->content_room ? 2 * placing->content_room : 64;
            struct content **grown = reallocarray(placing->contents, room, sizeof(grown[0]));
            if (!grown)
                return error_set(err, ERROR_INTERNAL, "out of memory");
            placing->contents = grown;
            placing->content_room = room;
        }
        placing->contents[placing->content_count++] = child->is.content;
    }
    return true;
}

/* ---- files ---- */

static bool on_data(void *context, const void *data, size_t len, struct error *err)
{
    return file_write_all(*(const int *)context, data, len, err);
}

/* The owner first: a change of owner takes set-user-id bits and capabilities away. */
static bool finish(const struct placing *placing, int directory, const char *name, const struct attributes *is,
                   struct error *err)
{
    const struct timespec times[2] = { { .tv_sec = is->mtime_s }, { .tv_sec = is->mtime_s } };
    const struct owner owner = { is->uid, is->gid };
    if (placing->how->notes && !owner_is(owner, placing->how->own) &&
        !owners_note(placing->how->notes, directory, name, owner))
        return error_set_errno(err, errno, "note whose '%s' is", name);
    if (placing->how->owners && fchownat(directory, name, is->uid, is->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set_errno(err, errno, "give '%s' to user %u", name, is->uid);
    if (is->type != TAR_SYMLINK && fchmodat(directory, name, is->mode & 07777, 0) < 0)
        return error_set_errno(err, errno, "set the mode of '%s'", name);
    return utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) == 0 ||
           error_set_errno(err, errno, "set the time of '%s'", name);
}

static bool write_file(const struct placing *placing, int directory, const char *name, const struct attributes *is,
                       struct error *err)
{
    AUTO(close) int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "make '%s'", name);
    if (!content_read(is->content, on_data, &fd, err) || !finish(placing, directory, name, is, err))
        return false;
    if (is->capability.len > 0 && placing->how->owners)
        fsetxattr(fd, "security.capability", is->capability.data, is->capability.len, 0);
    return true;
}

static bool make_special(const struct placing *placing, int directory, const char *name, const struct attributes *is,
                         struct error *err)
{
    mode_t kind = is->type == TAR_FIFO ? S_IFIFO : is->type == TAR_BLOCK ? S_IFBLK : S_IFCHR;
    dev_t device = is->type == TAR_FIFO ? 0 : makedev(is->device_major, is->device_minor);
    if (is->type == TAR_SYMLINK) {
        if (symlinkat(is->target, directory, name) < 0)
            return error_set_errno(err, errno, "make link '%s'", name);
    } else if (kind == S_IFCHR && device == makedev(0, 0)) {
        return true; /* overlayfs would take it for a deletion */
    } else if (mknodat(directory, name, kind | 0600, device) < 0) {
        return (kind != S_IFIFO && errno == EPERM) || error_set_errno(err, errno, "make '%s'", name);
    }
    return finish(placing, directory, name, is, err);
}

/* *done: it was a further name of a file that is there. */
static bool link_again(struct placing *placing, const struct tree_node *node, int directory, const char *name,
                       bool *done, struct error *err)
{
    struct named key = { .file = node->is.file };
    struct named *const *found = key.file ? tfind(&key, &placing->names, by_file) : NULL;
    *done = found != NULL;
    if (!key.file || placing->how->separate)
        return true;
    if (found)
        return linkat(placing->top, (*found)->path, directory, name, 0) == 0 ||
               error_set_errno(err, errno, "link '%s'", name);
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);
    if (!tree_path(node, &path, err))
        return false;
    struct named *named = calloc(1, sizeof(*named));
    if (named)
        *named = (struct named){ key.file, strdup(path.data + placing->top_len + 1) };
    if (named && named->path && tsearch(named, &placing->names, by_file))
        return true;
    if (named)
        free(named->path);
    free(named);
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool place_node(struct placing *placing, const struct tree_node *node, int directory, const char *name,
                       struct error *err)
{
    bool linked;
    if (!link_again(placing, node, directory, name, &linked, err) || linked)
        return linked;
    return node->is.type == TAR_FILE ? write_file(placing, directory, name, &node->is, err)
                                     : make_special(placing, directory, name, &node->is, err);
}

static bool place_children(struct placing *placing, const struct tree_node *node, int directory, struct error *err);

static bool place_directory(struct placing *placing, const struct tree_node *node, int directory, struct error *err)
{
    if (mkdirat(directory, node->name, 0700) < 0)
        return error_set_errno(err, errno, "make directory '%s'", node->name);
    AUTO(close) int fd = openat(directory, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "open directory '%s'", node->name);
    return place_children(placing, node, fd, err) && finish(placing, directory, node->name, &node->is, err);
}

static bool place_children(struct placing *placing, const struct tree_node *node, int directory, struct error *err)
{
    const struct place_how *how = placing->how;
    for (const struct tree_node *child = node->first; child; child = child->next) {
        if (!wanted(placing, child))
            continue;
        if (how->cancelled && how->cancelled(how->context))
            return error_set(err, ERROR_UNAVAILABLE, "cancelled");
        if (tree_is_directory(child) ? !place_directory(placing, child, directory, err)
                                     : !place_node(placing, child, directory, child->name, err))
            return false;
    }
    return true;
}

bool place_below(const struct tree_node *node, const char *directory, const struct place_how *how, struct error *err)
{
    AUTO(placing_release) struct placing placing = { .how = how };
    AUTO(close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "open '%s'", directory);
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);
    if (!tree_path(node, &path, err))
        return false;
    placing.top = fd;
    placing.top_len = node->parent ? path.len : 0;
    return gather(&placing, node, err) && base_extract(placing.contents, placing.content_count, err) &&
           place_children(&placing, node, fd, err) && finish(&placing, fd, ".", &node->is, err);
}

/* How much of the way to the path was the way to the one before it. */
static size_t common_way(const char *path, const char *before)
{
    size_t common = 0, i = 0;

    for (; path[i] && path[i] == before[i]; i++)
        common = path[i] == '/' ? i : common;
    return !before[i] && (!path[i] || path[i] == '/') ? i : common;
}

/* Make the directories on the way to the path, or (finishing) give them their attributes; those of the first `done` bytes have it. What is
 * no directory in the tree ends it. */
static bool place_way(const struct placing *placing, const struct tree *tree, const char *path, size_t done,
                      bool finishing, struct error *err)
{
    const struct tree_node *node = tree_root(tree);
    char way[TAR_PATH_MAX];

    for (size_t from = 0, to; path[from] && from < sizeof(way); from = to + (path[to] == '/')) {
        to = from + strcspn(path + from, "/");
        node = tree_child(tree, node, (struct span){ path + from, to - from });
        if (!node || !tree_is_directory(node) || to >= sizeof(way))
            return true;
        memcpy(way, path, to);
        way[to] = '\0';
        if (to <= done)
            continue;
        if (finishing ? !finish(placing, placing->top, way, &node->is, err)
                      : mkdirat(placing->top, way, 0755) < 0 && errno != EEXIST)
            return finishing ? false : error_set_errno(err, errno, "make directory '%s'", way);
    }
    return true;
}

bool place_directories(const struct tree *tree, struct span paths, const char *directory, const struct place_how *how,
                       struct error *err)
{
    struct placing placing = { .how = how };
    AUTO(close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "open '%s'", directory);
    placing.top = fd;
    for (int finishing = 0; finishing < 2; finishing++) {
        const char *before = "";
        for (size_t at = 0; at < paths.len; at += strlen(before) + 1) {
            const char *path = paths.data + at;
            if (!place_way(&placing, tree, path, common_way(path, before), finishing, err))
                return false;
            before = path;
        }
    }
    return finish(&placing, fd, ".", &tree_root(tree)->is, err);
}

bool place_file(const struct tree_node *node, const char *path, const struct place_how *how, struct error *err)
{
    AUTO(placing_release) struct placing placing = { .how = how };
    struct content *contents[1] = { node->is.content };
    if (node->is.type == TAR_FILE && !base_extract(contents, 1, err))
        return false;
    return node->is.type == TAR_FILE ? write_file(&placing, AT_FDCWD, path, &node->is, err)
                                     : make_special(&placing, AT_FDCWD, path, &node->is, err);
}
