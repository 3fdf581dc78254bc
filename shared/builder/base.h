/* An image that a stage stands on or copies from: its configuration, its layers as they lie at their registry, and, once somebody asks,
 * what they hold. A single layer that lies in a cache is one too. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_BASE_H
#define PUSHWRIGHT_SHARED_BUILDER_BASE_H

#include "shared/base/json.h"
#include "shared/builder/guess.h"
#include "shared/builder/indexstore.h"
#include "shared/builder/times.h"
#include "shared/builder/tree.h"
#include "shared/oci/image.h"

struct base {
    const char *name, *platform; /* as asked for */
    struct reference reference;
    struct store *store;
    struct image image;
    struct arena *arena;
    const struct json *config;   /* of the image, parsed */
    struct baseindex *read;      /* of each layer, once it is known; NULL: none is */
    struct tree *tree;           /* NULL until base_tree() */
    struct spool *extracted;     /* contents that were taken out of layers */
    const char *const *unpacked; /* directories of the layers, for RUN; NULL: they are not on this machine */
    const struct indexstore_options *indexes; /* where indexes are kept beside the cache; NULL: nowhere */
    const struct registry_options *registries;
    uint64_t first_file;   /* numbers of files with several names are above it */
    struct retiming times; /* of what base_lay_over() lays */
    struct guess *guess;   /* that the image is what it was the last time; NULL: it is known to be */
    int hold;              /* descriptor that is open as long; -1: none */
};

/* ERROR_NOT_FOUND when there is no such image or platform. What the name stands for is remembered in the cache directory (NULL: nowhere);
 * with may_guess the answer may be from there, see base_is_sure(). */
struct base *base_open(const struct guess_name *name, bool may_guess, const struct registry_options *registries,
                       struct error *err);
/* Waits until the registry has said what the name stands for; false when that is another image, or nothing was said: it is to be opened
 * again without guessing. Any number of threads. */
bool base_is_sure(struct base *base);
/* A layer by itself, in the repository or layout `place`; `number` is not that of any other. Takes `hold`, also when it fails. */
struct base *base_of_layer(const char *place, const struct image_layer *layer, uint32_t number, int hold,
                           const struct registry_options *registries, struct error *err);
void base_free(struct base *base);
AUTO_FREE(struct base, base_free)

/* What the image holds; read on the first call. Borrowed. */
const struct tree *base_tree(struct base *base, const char *cache_directory, struct error *err);

/* The same for who changes it. */
struct tree *base_tree_copy(struct base *base, const char *cache_directory, struct error *err);

/* Lay what its layers hold over a tree. */
bool base_lay_over(struct base *base, struct tree *tree, const char *cache_directory, struct error *err);

/* Fetch the bytes of all contents of kind CONTENT_BASE in the list, of whatever base: each layer that holds one is streamed once. */
bool base_extract(struct content **contents, size_t count, struct error *err);

#endif
