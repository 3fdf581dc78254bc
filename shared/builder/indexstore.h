/* Indexes of layers kept at a registry, as referrers of the layers in the repository that is built for: a runner that comes up empty
 * need not read the base again. Whoever may push there could write one that leads a copy astray, so each is sealed by its maker, and one whose
 * seal is not ours counts as none. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_INDEXSTORE_H
#define PUSHWRIGHT_SHARED_BUILDER_INDEXSTORE_H

#include "shared/oci/image.h"

enum { SEAL_SIZE = 32 };

/* A message authentication code under a key that only the caller knows. */
struct seal {
    bool (*make)(void *context, struct span data, uint8_t mac[static SEAL_SIZE]); /* false: there is no key */
    bool (*check)(void *context, struct span data, const uint8_t mac[static SEAL_SIZE]);
    void *context;
};

struct indexstore_options {
    const char *image; /* NULL: no indexes are kept at a registry */
    struct seal seal;
};

/* Appended to *entries. False: there is none that can be had and believed, whatever the reason; *entries is as it was. */
bool indexstore_get(const struct indexstore_options *options, const struct registry_options *registries,
                    const struct image_layer *layer, struct bytes *entries);

/* Kept for the next one, if it can be. */
void indexstore_put(const struct indexstore_options *options, const struct registry_options *registries,
                    const struct image_layer *layer, struct span entries);

#endif
