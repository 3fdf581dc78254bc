/* What trigger reads from artifact.published, and the events it makes of it. */
#ifndef PUSHWRIGHT_FUNCTIONS_TRIGGER_REQUEST_H
#define PUSHWRIGHT_FUNCTIONS_TRIGGER_REQUEST_H

#include "runtime/function.h"
#include "shared/config/config.h"

enum { REASON_MAX = 4096, TAGS_MAX = 64 };

/* An image that somebody published. Strings belong to the call. */
struct publication {
    struct reference reference;
    const char *name;   /* as reference_name() writes it: what triggers are compared by */
    const char *digest; /* what the event says; NULL: nothing */
    const char *tags[TAGS_MAX];
    size_t tag_count;
    const char *sequence, *commit, *ref, *build; /* NULL: uploaded by hand */
};

/* Reads subject.id (a purl) and customData of the event. ERROR_INVALID when it names no image, or more than TAGS_MAX tags. */
bool publication_read(struct call *call, struct publication *out, struct error *err);
void publication_release(struct publication *publication);
AUTO_RELEASE(struct publication, publication_release)

/* trigger.matched, then one deploy.requested for each target, for the first alone where they come one after the other. `reason` is the condition's
 * sentence. */
bool request_deployments(struct call *call, const struct config_trigger *trigger, const struct publication *image,
                         const char *tag, const struct descriptor *now, const char *reason, struct error *err);

#endif
