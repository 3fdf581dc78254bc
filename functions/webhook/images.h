/* Notifications of a CNCF distribution registry (and those that speak its dialect): images that somebody pushed. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_IMAGES_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_IMAGES_H

#include "functions/webhook/state.h"

/* Emits artifact.published for each tagged manifest pushed and artifact.deleted for each deletion; the rest of an envelope (blobs, pulls, mounts,
 * signatures, names that are none) is of no interest: a refusal would stop the registry's queue, which tries one envelope for ever.
 * ERROR_INVALID for what is no envelope, or one of more than IMAGES_EVENTS_MAX events; ERROR_TOO_LARGE when it takes too much memory. */
enum { IMAGES_EVENTS_MAX = 1000 };
bool images_notified(struct call *call, const struct config_source *source, struct span json, struct verdict *verdict,
                     struct error *err);

#endif
