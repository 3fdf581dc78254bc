/* Notifications of a CNCF distribution registry (and those that speak its dialect): images that somebody pushed. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_IMAGES_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_IMAGES_H

#include "functions/webhook/state.h"

/* Emits artifact.published for each tagged manifest pushed and artifact.deleted for each deletion; the rest of an envelope (blobs, pulls, mounts,
 * signatures) is of no interest. ERROR_INVALID for a malformed envelope, or more than IMAGES_EVENTS_MAX events. */
enum { IMAGES_EVENTS_MAX = 1000 };
bool images_notified(struct call *call, const struct config_source *source, struct span json, struct verdict *verdict,
                     struct error *err);

#endif
