/* What a layer of a base image holds, known from its headers: the layer is streamed once, verified against its digest and diff id,
 * and nothing is unpacked. Kept on disk by the layer's digest, so that the next build does not read the layer at all. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_BASEINDEX_H
#define PUSHWRIGHT_SHARED_BUILDER_BASEINDEX_H

#include "shared/builder/tree.h"
#include "shared/oci/image.h"
#include "shared/rootfs/unpack.h"

enum { BASEINDEX_MAX = 256 * 1024 * 1024, BASEINDEX_KEPT = 1000 /* in the cache; the longest unused go first */ };
static const int64_t baseindex_plain_max = INT64_C(64) << 30; /* of one layer, inflated */

struct baseindex {
    struct span entries;
    struct bytes made; /* where they are, */
    void *mapped;      /* or the file of the cache that they are in */
    size_t mapped_size;
};
void baseindex_release(struct baseindex *index);
AUTO_RELEASE(struct baseindex, baseindex_release)

/* The index of the layer: from the cache directory, else made and kept there (a cache that cannot be written is no error).
 * cache_directory NULL: no cache. Errors as store_get_blob, or ERROR_INVALID for an archive that is none. */
bool baseindex_get(struct store *store, const struct image_layer *layer, const char *cache_directory,
                   struct baseindex *out, struct error *err);

/* Make the index beside, while the layer is unpacked, unless it is in the cache directory (a const char *) already: layers_options.watch. */
bool baseindex_watch(void *cache_directory, const struct image_layer *layer, struct unpack_watch *out);

/* The same of the cache alone: whether it seems to hold it, what it holds, and keeping what was had elsewhere. */
bool baseindex_is_kept(const struct image_layer *layer, const char *cache_directory);
bool baseindex_look(const struct image_layer *layer, const char *cache_directory, struct baseindex *out);
void baseindex_keep(const struct image_layer *layer, const char *cache_directory, struct span entries);

/* Lay the layer over the tree, as unpacking it would: whiteouts, opaque directories, what hides what. Names and targets stay in the
 * index, which must outlive the tree. `base` and `layer` are where the content of its files is to be had from (NULL: nobody reads
 * any). ERROR_INVALID for paths that lead out and for hard links to
 * nothing. */
bool baseindex_apply(struct span index, struct tree *tree, struct base *base, uint32_t layer, struct error *err);

/* Where indexes are kept: $PUSHWRIGHT_CACHE_DIR, $XDG_CACHE_HOME/pushwright, or /tmp/pushwright-cache-UID, made for this user alone. In
 * the arena. ERROR_DENIED when somebody else has put something there before. */
const char *baseindex_default_directory(struct arena *arena, struct error *err);

#endif
