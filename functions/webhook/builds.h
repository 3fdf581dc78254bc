/* From a change, or a person's wish, to queued builds. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_BUILDS_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_BUILDS_H

#include "functions/webhook/change.h"
#include "functions/webhook/state.h"

/* Emits what happened (change.merged, branch.created, ...), then build.queued for every rule that wants it; every rule that
 * does not leaves its reason. */
bool builds_for_push(struct call *call, const struct config_source *source, const struct change *change,
                     struct verdict *verdict, struct error *err);

/* POST /builds/NAME, body {"ref": ..., "commit": optional}: a new build whatever the rule's conditions say. The ref is a full name of any
 * kind ("refs/pull/1/head"), a short one (a branch, else a tag, else "refs/NAME"), "HEAD", or the full id of a commit, which the
 * git host must give out by id. Whether there is such a thing is told by the build's events. */
bool builds_on_request(struct call *call, const struct config_build *build, struct span body, struct verdict *verdict,
                       struct error *err);

/* Does the rule want this branch or tag (short name)? ERROR_INVALID: a pattern takes too long. */
bool builds_want(const struct config_build *build, bool is_tag, const char *name, bool *wanted, struct error *err);

/* A build that nobody asked for although the ref (full name) points to this commit; the reason goes into its event, and so does the
 * image ("NAME:TAG") that has moved to this digest (both NULL: none). */
struct wanted_build {
    const char *ref, *commit, *reason, *base, *base_digest;
};
bool builds_missing(struct call *call, const struct config_build *build, const struct wanted_build *wanted,
                    struct error *err);

#endif
