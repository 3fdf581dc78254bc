/* Private to the service agent: a layer's archive laid out as a directory that overlayfs can stack. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_LAYER_H
#define PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_LAYER_H

#include "shared/oci/image.h"
#include "shared/sandbox/sandbox.h"

/* More than any image in use holds; a bomb ends here. */
#define LAYER_BYTES_MAX (INT64_C(32) * 1024 * 1024 * 1024)
enum { LAYER_ENTRIES_MAX = 4 * 1000 * 1000 };

/* Stream the layer from the store into the empty directory, checking its digest both as stored and as plain tar. Paths that
 * leave the directory, by "..", through links or however, stay inside or are refused. As root, owners are those of the archive; as
 * an ordinary user, everything is that user's. Devices are left out. On failure the directory holds something of no use.
 * cancelled: asked now and then; true stops with ERROR_UNAVAILABLE. */
bool layer_unpack(struct store *store, const struct image_layer *layer, const char *directory, enum sandbox_mode mode,
                  bool (*cancelled)(void *context), void *context, struct error *err);

#endif
