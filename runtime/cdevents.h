/* Our events' data: CDEvents 0.5.1, written so that every one validates against the published schemas.
 * Source: CDEvents 0.5.1 core and links; reference of the CloudEvents binding. */
#ifndef PUSHWRIGHT_RUNTIME_CDEVENTS_H
#define PUSHWRIGHT_RUNTIME_CDEVENTS_H

#include "runtime/function.h"

struct cdevent {
    const char *id, *source, *type, *timestamp, *chain_id;
    const char *parent_id; /* the event that caused it: a link of kind TRIGGER; NULL: none */
    const char *subject, *subject_source;
    struct span content, custom; /* JSON objects, taken as they are; custom absent: none */
};

bool cdevent_write(struct bytes *out, const struct cdevent *event, struct error *err);

/* context.chainId of an event's data; NULL when it has none or is no CDEvent. Made in the arena. */
const char *cdevent_chain_id(struct arena *arena, struct span data);

#endif
