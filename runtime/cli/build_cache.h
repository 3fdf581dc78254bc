/* --cache-from and --cache-to, as buildx has them: where else than on this machine the build cache is read, and where it is kept. What lies
 * there is pushwright's own (shared/builder/cache_registry.h), no cache of BuildKit's. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_CACHE_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_CACHE_H

#include "shared/builder/cache_registry.h"

enum { BUILD_CACHES_MAX = 16 };

struct build_caches {
    struct cache_place from[BUILD_CACHES_MAX];
    size_t from_count;
    struct cache_place to; /* repository NULL: nowhere */
    bool beside_image;     /* type=inline: to is not known before all tags are */
    bool all_stages;       /* mode=max */
    bool ignore_error;
};

/* The value of an option. Strings are made in the arena. */
bool build_cache_from(struct build_caches *caches, struct arena *arena, const char *value, struct error *err);
bool build_cache_to(struct build_caches *caches, struct arena *arena, const char *value, struct error *err);

/* Once the image's name is known; NULL: it has none. */
bool build_cache_settle(struct build_caches *caches, struct arena *arena, const char *image, struct error *err);

#endif
