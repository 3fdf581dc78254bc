/* The context of a build: the commit's tree below the context directory, without what .dockerignore leaves out. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CONTEXT_H
#define PUSHWRIGHT_SHARED_BUILDER_CONTEXT_H

#include "shared/builder/tree.h"

enum { CONTEXT_ENTRIES_MAX = 200000, IGNORE_FILE_MAX = 1024 * 1024 };

struct context {
    struct tree *tree;      /* of the whole commit */
    struct tree_node *root; /* the context directory in it: no path of an instruction leads above it */
    struct bytes dockerfile;
    size_t submodules; /* left empty */
};

/* `dockerfile` and `directory` are paths from the repository's root; symbolic links are followed inside the repository only.
 * Directories and files have git's modes (0755, 0644, 0755 for executables), owner 0:0 and the commit's time. The snapshot must outlive
 * the context. ERROR_INVALID names what is missing or hostile, ERROR_TOO_LARGE over CONTEXT_ENTRIES_MAX. */
bool context_load(struct git_snapshot *snapshot, const char *dockerfile, const char *directory, struct context *out,
                  struct error *err);
void context_release(struct context *context);
AUTO_RELEASE(struct context, context_release)

#endif
