/* What RUN --mount=type=cache holds, kept at the registry of the build cache: each mount a layer with a record of its name, as the last build
 * has left it. For builders whose disk does not outlive them. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_MOUNTS_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_MOUNTS_H

#include "shared/builder/engine.h"
#include "shared/sandbox/sandbox.h"

static const int64_t cache_mount_max = INT64_C(4) << 30; /* bytes of one, not compressed, that are kept */

struct cache_mount {
    const char *name;              /* of 64 hexadecimal digits */
    const char *data;              /* directory, as long as the build */
    char digest[DIGEST_TEXT_SIZE]; /* of what it was restored from; "": of nothing */
    struct cache_mount *next;
};

/* A mount that is used now; NULL when memory is out. Known ones are told again. */
struct cache_mount *cache_mount_use(struct build *build, const char *name, const char *data, struct error *err);

/* Fill the empty directory with what is kept; false, and an empty directory, when there is nothing that can be had and believed. */
bool cache_mount_restore(const struct build *build, struct cache_mount *mount, const char *directory,
                         enum sandbox_mode mode);

/* Keep what the mounts of these builds hold now; of one that another build changes at the moment, that one will. */
bool cache_mounts_save(const struct built *built, size_t count, struct error *err);

/* At the end of a build: of all that lie in the cache directory, the longest unused ones that nobody holds go until the rest has no more bytes. */
void cache_mounts_bound(const char *directory, int64_t bytes_max);

#endif
