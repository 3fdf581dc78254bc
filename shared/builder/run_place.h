/* Nodes of a tree put on the disk: what COPY and the like made becomes a layer that RUN stands on, and what RUN --mount takes from a tree
 * becomes a directory or file. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_RUN_PLACE_H
#define PUSHWRIGHT_SHARED_BUILDER_RUN_PLACE_H

#include "shared/builder/tree.h"
#include "shared/sandbox/owners.h"

struct place_how {
    bool owners;          /* give files to their users; otherwise everything is ours */
    struct owners *notes; /* where it is noted whose they are, if not `own`; NULL: nowhere */
    struct owner own;
    uint32_t after; /* only what layers with a greater number touched; with all set everything */
    bool all;
    bool
        separate; /* names of one file become files of their own, as they do for overlayfs as soon as one is written to */
    bool (*cancelled)(void *context); /* NULL: never */
    void *context;
};

/* Is there anything below the node that a layer after this one touched? */
bool place_needed(const struct tree_node *node, uint32_t after);

/* The children of the node into the empty directory, which takes the node's own attributes too. */
bool place_below(const struct tree_node *node, const char *directory, const struct place_how *how, struct error *err);

/* These directories (paths, each with its NUL) and those above them, without what is in them, as the tree has them. */
bool place_directories(const struct tree *tree, struct span paths, const char *directory, const struct place_how *how,
                       struct error *err);

/* The node, which is no directory, as a file of that path. Links are not followed: a symbolic link is made again. */
bool place_file(const struct tree_node *node, const char *path, const struct place_how *how, struct error *err);

#endif
