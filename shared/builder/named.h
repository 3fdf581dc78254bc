/* Named contexts (shared/dockerfile/context.h): what --build-context says that a name of the Dockerfile means. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_NAMED_H
#define PUSHWRIGHT_SHARED_BUILDER_NAMED_H

#include "shared/builder/stage.h"
#include "shared/dockerfile/plan.h"

/* One that is an image becomes DOCKERFILE_IMAGE, other sources stay as they are. ERROR_UNSUPPORTED for targets, and for downloads
 * where the options do not say how they are read. */
bool named_settle(struct build *build, struct dockerfile_source *source, struct error *err);

/* The files of one that is a directory (without what its .dockerignore leaves out), a git repository or a download; read on the first call. */
bool named_files(struct build *build, const struct named_context *context, const struct tree **tree,
                 struct tree_node **root, struct error *err);

#endif
