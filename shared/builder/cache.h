/* Layers of steps that were made before: asked by the keys of cache_key.h before an instruction runs, told of what it has made. The disk is
 * asked first, a registry once. Nothing that is wrong with the cache fails a build. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_H

#include "shared/builder/engine.h"

struct cache; /* one thread at a time */

/* What is looked for. */
struct cache_wish {
    const char *key;
    int64_t time_s; /* of what the build makes; 0: times do not matter */
    bool retimed;   /* a layer for another time will do where it differs from the wanted one in that alone */
};

struct cache_hit {
    struct cache_record record;
    const char *place; /* where it lies, as reference_parse() takes it; the cache's */
    int hold;          /* descriptor that keeps it there, the caller's; -1: none is needed */
};

/* How many bytes of layers are kept on the disk, and as many of cache mounts. */
int64_t cache_bytes_max(const struct engine_options *options);

/* Borrows the options. */
struct cache *cache_new(const struct engine_options *options, struct error *err);
void cache_free(struct cache *cache);
AUTO_FREE(struct cache, cache_free)

/* Of cache_disk.h; NULL: nothing is kept on a disk. */
const char *cache_directory(const struct cache *cache);
const struct engine_options *cache_options(const struct cache *cache);

bool cache_find(struct cache *cache, const struct cache_wish *wish, struct cache_hit *out);

/* A new layer, by its keys; the step is told when it cannot be kept. */
void cache_keep(struct cache *cache, const struct built_layer *layer, struct progress_step *step);

/* Keep these at the registry, if it does not hold all of them. image: the repository that has those of the image. */
bool cache_export(struct cache *cache, const struct built_layer *const *layers, size_t count, const char *image,
                  struct error *err);

#endif
