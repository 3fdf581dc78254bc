/* A directory of this machine that somebody else may change at any time: everything in it is opened part by part, and no symbolic
 * link is followed on the way. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_FOLDER_H
#define PUSHWRIGHT_SHARED_BUILDER_FOLDER_H

#include "shared/dockerfile/ignore.h"
#include "shared/http/client.h"

struct tree;
struct tree_node;
struct folder;

/* A link at `path` itself is followed: whoever names it means where it leads. */
struct folder *folder_open(const char *path, struct error *err);
void folder_free(struct folder *folder);
AUTO_FREE(struct folder, folder_free)

/* All that lies in it becomes nodes of the tree, whose contents are read by folder_read(). *newest_s: time of the newest file. */
bool folder_load(struct folder *folder, struct tree *tree, const struct ignore *ignore, int64_t *newest_s,
                 struct error *err);

/* The content of the file that the node was made of. From several threads. ERROR_UNAVAILABLE when it is another one by now. */
bool folder_read(struct folder *folder, const struct tree_node *node, http_body_fn *on_data, void *context,
                 struct error *err);

#endif
