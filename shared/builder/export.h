/* The files of what was built, taken out of it: layers laid over each other, as a container would see them. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_EXPORT_H
#define PUSHWRIGHT_SHARED_BUILDER_EXPORT_H

#include "shared/builder/engine.h"

/* Into a directory, which must be empty or not there. owners: files are their users', which takes root; else all are ours. */
bool export_directory(const struct built *built, const char *directory, bool owners, struct error *err);

/* A tar, the same bytes for the same image; written to the descriptor. */
bool export_tar(const struct built *built, int fd, struct error *err);

#endif
