/* dev.cdeventsx.pushwright-deploy.requested: an image is to go into service at one target of a trigger. trigger asks; deploy goes on with it
 * where targets come one after the other. */
#ifndef PUSHWRIGHT_RUNTIME_DEPLOYMENT_H
#define PUSHWRIGHT_RUNTIME_DEPLOYMENT_H

#include "runtime/function.h"
#include "shared/config/config.h"

/* What is NULL is not told. */
struct deployment {
    const struct config_trigger *trigger;
    const char *artifact; /* purl of the image */
    const char *image;    /* "registry/repository:tag@digest" */
    const char *digest, *tag;
    const char *sequence, *commit, *ref, *build; /* of the push */
    const char *reason;
    const char *person; /* who asked by hand */
    const char *undo;   /* not into service but out of it, and why */
};

enum { DEPLOYMENT_NO_TARGET = -1 };

/* As the event's customData; of the trigger as a whole without a target. */
bool deployment_write(struct bytes *out, const struct deployment *deployment, long target, struct error *err);

/* Emit it for the target of that index. */
bool deployment_ask(struct call *call, const struct deployment *deployment, size_t target, struct error *err);

#endif
