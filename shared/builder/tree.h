/* A file system without files: names, types, owners and modes of what an image or a context holds, and where each file's bytes come
 * from. What a base image looks like is known from its layers' headers alone, and nothing is ever unpacked.
 *
 * The tree of a stage also remembers which of its layers touched a node last, which is how a layer is told from the rest. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_TREE_H
#define PUSHWRIGHT_SHARED_BUILDER_TREE_H

#include "shared/base/arena.h"
#include "shared/builder/content.h"
#include "shared/oci/tar.h"

enum {
    TREE_MEMORY_MAX = 512 * 1024 * 1024,
    TREE_LINKS_MAX = 255, /* symbolic links followed in one path; BuildKit's number */
};

struct attributes {
    enum tar_type type; /* never TAR_HARDLINK: names of one file have the same `file` number */
    uint32_t mode, uid, gid;
    uint32_t device_major, device_minor;
    int64_t mtime_s;
    const char *target;      /* of a symbolic link */
    struct span capability;  /* absent: none */
    uint64_t file;           /* names with the same number, not 0, are hard links of each other */
    struct content *content; /* of a regular file */
};

struct tree_node {
    const char *name;                                   /* "" for the root */
    struct tree_node *parent, *first, *next, *previous; /* children in no order */
    struct tree_node *same_hash;
    struct attributes is;
    uint32_t hash;
    bool whiteout;  /* no file, but ".wh.NAME": in the layer at hand NAME is deleted; gone when the layer is written */
    uint32_t layer; /* that touched it last: 0 is the base, a new layer has the next number */
};

struct tree; /* one thread at a time */

struct tree *tree_new(struct error *err); /* with a root: a directory, 0755, 0:0 */
void tree_free(struct tree *tree);
AUTO_FREE(struct tree, tree_free)
struct tree *tree_clone(const struct tree *tree, struct error *err); /* contents are shared, and must outlive both */

struct tree_node *tree_root(const struct tree *tree);
struct arena *tree_arena(struct tree *tree); /* for what nodes refer to */
struct tree_node *tree_child(const struct tree *tree, const struct tree_node *directory, struct span name);

/* The child of that name, made (with zeroed attributes) when there is none. NULL: ERROR_TOO_LARGE or out of memory. */
struct tree_node *tree_add(struct tree *tree, struct tree_node *directory, struct span name, struct error *err);
/* The same with a name that is terminated and outlives the tree. */
struct tree_node *tree_add_borrowed(struct tree *tree, struct tree_node *directory, struct span name,
                                    struct error *err);
void tree_expect(struct tree *tree,
                 size_t more); /* about so many nodes will be added: room for finding them is made at once */
void tree_remove(struct tree *tree, struct tree_node *node); /* with everything below it; never the root */
void tree_clear(struct tree *tree, struct tree_node *directory);

/* Mark the node and its parents as changed by this layer. */
void tree_touch(struct tree_node *node, uint32_t layer);

/* The children sorted by name; NULL with *count 0 when there are none, or with *err out of memory. The caller frees it. */
struct tree_node **tree_sorted(const struct tree_node *directory, size_t *count, struct error *err);

/* "/usr/bin/x" of a node; "/" for the root. Appended to *out. */
bool tree_path(const struct tree_node *node, struct bytes *out, struct error *err);

/* Where a path leads inside `root`, symbolic links followed as if root were "/": no path leads out of it. */
struct tree_place {
    struct tree_node *node;     /* the last part that exists */
    char missing[TAR_PATH_MAX]; /* what of the path does not exist yet, below node; "": the whole path exists */
};
/* With follow_last the last part is followed too when it is a link. ERROR_INVALID: too many links, path too long. */
bool tree_resolve(const struct tree *tree, struct tree_node *root, const char *path, bool follow_last,
                  struct tree_place *place, struct error *err);

/* The directory of a place, its missing part made with these attributes (type is set). Below a directory with the setgid bit they have
 * it too, and its group unless the owner was said. ERROR_INVALID "mkdir /etc/passwd: not a directory". */
struct tree_node *tree_make_directories(struct tree *tree, const struct tree_place *place,
                                        const struct attributes *made, bool owner_said, uint32_t layer,
                                        struct error *err);

static inline bool tree_is_directory(const struct tree_node *node)
{
    return node->is.type == TAR_DIRECTORY;
}

#endif
