/* An image as a whole: the manifest for one platform, its configuration and its layers, read from a store and
 * verified. */
#ifndef PUSHWRIGHT_OCI_IMAGE_H
#define PUSHWRIGHT_OCI_IMAGE_H

#include "shared/oci/store.h"

enum { IMAGE_LAYERS_MAX = 127 }; /* what overlayfs mounts at most, and every runtime takes */

struct image_layer {
    struct descriptor blob;         /* as it lies in the store, compressed or not */
    char diff_id[DIGEST_TEXT_SIZE]; /* digest of the plain tar, from the configuration */
};

struct image {
    struct descriptor manifest;   /* of the chosen platform; media_type tells Docker's format from OCI's */
    char named[DIGEST_TEXT_SIZE]; /* of what stands behind the name: of the index, where there is one */
    struct bytes body;            /* the manifest's exact JSON */
    struct descriptor config_blob;
    struct bytes config;        /* the configuration's exact JSON */
    struct image_layer *layers; /* lowest first; NULL when there are none */
    size_t layer_count;
    char os[32];
    char architecture[32];
    char variant[32]; /* "" when none */
};

/* What stands behind a tag or digest, for "os/architecture[/variant]" such as "linux/amd64" (an index is searched
 * for it, NULL takes the first that is not an attestation; an image of one platform is taken whatever it is for). Docker's and
 * OCI's formats. Fails as the store does, with ERROR_NOT_FOUND when there is no such platform (the message lists
 * those there are), ERROR_UNSUPPORTED for schema 1, foreign layers, artifacts that are no images, and more than
 * IMAGE_LAYERS_MAX layers, ERROR_INVALID for contents that contradict themselves. */
bool image_load(struct store *store, const char *tag_or_digest, const char *platform, struct image *out,
                struct error *err);
/* The same of a manifest that was had before; the body's digest and size must be those of the descriptor. Its configuration is read
 * from the store. `named` as in struct image. */
bool image_read(struct store *store, const struct descriptor *manifest, const char *named, struct span body,
                struct image *out, struct error *err);
/* ERROR_NOT_FOUND when it is for another platform than this. */
bool image_check_platform(const struct image *image, const char *platform, struct error *err);
void image_release(struct image *image);
AUTO_RELEASE(struct image, image_release)

#endif
