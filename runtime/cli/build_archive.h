/* An OCI layout as one tar, or its blobs with docker's own list of contents, for 'docker load' and 'podman load'. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_ARCHIVE_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_ARCHIVE_H

#include "shared/builder/engine.h"

struct archive_of_layout {
    const char *directory;
    bool docker; /* built, and the names it is to have there, are told in manifest.json */
    const struct built *built;
    const char *const *names;
    size_t name_count;
};

/* The same bytes for the same layout. */
bool archive_write(const struct archive_of_layout *archive, int fd, struct error *err);

#endif
