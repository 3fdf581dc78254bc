/* What runs at a target, as deploy and people see it, whatever kind of cluster it is. */
#ifndef PUSHWRIGHT_TARGET_WORKLOAD_H
#define PUSHWRIGHT_TARGET_WORKLOAD_H

#include "shared/target/marks.h"

#include <stdint.h>

enum rollout { ROLLOUT_NONE, ROLLOUT_RUNNING, ROLLOUT_STARTING, ROLLOUT_FAILED };

/* Strings live in the arena of the call; NULL where there is none. */
struct workload {
    enum rollout rollout; /* of `image`. ROLLOUT_NONE: there is no such workload yet */
    int64_t generation;   /* the cluster's own count of changes */
    const char *image;    /* that was asked for last, with digest where it is known */
    const char *digest;
    const char *running_image,
        *running_digest; /* that serves: the same, or what ran before while it starts or when it failed */
    const char *reason;  /* of a failure; of what is not waited for; what is waited for */
    const char *url;
    const char *owner; /* who else looks after the object, and would change it back */
    bool serves;       /* pods are available, if not all of them, or not seen yet since the last change */
    bool kept;         /* what ran before goes on by itself when its successor does not come up */
    bool foreign; /* somebody else has set another image since: what stands there is not what marks.event asked for */
    struct marks marks;
};

/* From what a cluster tells (rollout, image as it stands in the object, reason, what runs where it is known, kept, marks): what was asked for, what
 * became of it, and what serves. An image that was given up has failed, once what was there before is back. */
bool workload_view(struct workload *workload, struct arena *arena, struct error *err);

#endif
