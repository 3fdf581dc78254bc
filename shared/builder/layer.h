/* A new layer: what one instruction changed in a tree, as a compressed tar that is the same bytes for the same input. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_LAYER_H
#define PUSHWRIGHT_SHARED_BUILDER_LAYER_H

#include "shared/builder/times.h"
#include "shared/builder/tree.h"
#include "shared/oci/compress.h"
#include "shared/oci/image.h"

static const int64_t layer_plain_max = INT64_C(16) << 30; /* of one layer, before it is compressed */

struct layer {
    struct descriptor blob;
    char diff_id[DIGEST_TEXT_SIZE];
    struct spool *spool; /* the compressed bytes */
    int64_t
        shortened_s; /* layer_retime(): the least of the times that were later than the new one, and not the old; 0: none */
};

void layer_free(struct layer *layer);
AUTO_FREE(struct layer, layer_free)

/* What layer_write() with these reads is brought here: contents that still lie in base images are fetched. After that a layer can be written
 * while others change what the tree shares its contents with. */
bool layer_gather(const struct tree *tree, uint32_t number, struct error *err);

/* Everything in the tree that was touched by layer `number`, sorted by path, parents first; hard links among it stay hard links. Contents
 * that still lie in base images are fetched. A name that begins with ".wh." is written as it stands, as BuildKit does: who unpacks
 * the image will take it for an order to delete. cancelled (may be NULL) is asked before each file: ERROR_UNAVAILABLE "cancelled". */
struct layer *layer_write(const struct tree *tree, uint32_t number, const struct compression *compression,
                          bool (*cancelled)(void *), void *cancelled_context, struct error *err);

/* One that was written before, with other times: what layer_write() would have made of such a tree. */
struct layer *layer_retime(struct store *store, const struct image_layer *from, struct retiming times,
                           const struct compression *compression, bool (*cancelled)(void *), void *cancelled_context,
                           struct error *err);

#endif
