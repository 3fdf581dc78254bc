/* A layer of an image, read whole: fetched, inflated and used by three threads at a time. */
#ifndef PUSHWRIGHT_OCI_LAYER_READ_H
#define PUSHWRIGHT_OCI_LAYER_READ_H

#include "shared/oci/image.h"

/* on_plain receives the plain archive, at most max bytes of it, in another thread than the caller's; only after this has returned true is
 * it sure that what it received is the layer, by its digest as stored and by that of the archive. Fails as the store does, as
 * inflater_feed() does, as on_plain does, and with ERROR_INVALID when the archive is not what the image's configuration says. */
bool layer_read(struct store *store, const struct image_layer *layer, int64_t max, http_body_fn *on_plain,
                void *context, struct error *err);

#endif
