/* Layers of steps that were made before: asked by the keys of cache_key.h before an instruction runs, told of what it has made. The disk is
 * asked first, a registry once. Nothing that is wrong with the cache fails a build. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_H

#include "shared/builder/engine.h"

struct cache; /* one thread at a time */

struct cache_hit {
    struct image_layer layer;
    const char *place; /* where it lies, as reference_parse() takes it; the cache's */
    int hold;          /* descriptor that keeps it there, the caller's; -1: none is needed */
};

/* Borrows the options. */
struct cache *cache_new(const struct engine_options *options, struct error *err);
void cache_free(struct cache *cache);
AUTO_FREE(struct cache, cache_free)

bool cache_find(struct cache *cache, const char *key, struct cache_hit *out);

/* A new layer, by its keys; the step is told when it cannot be kept. */
void cache_keep(struct cache *cache, const struct built_layer *layer, struct progress_step *step);

/* Keep these at the registry, if it does not hold all of them. image: the repository that has those of the image. */
bool cache_export(struct cache *cache, const struct built_layer *const *layers, size_t count, const char *image,
                  struct error *err);

#endif
