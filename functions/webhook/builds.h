/* From a change, or a person's wish, to queued builds. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_BUILDS_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_BUILDS_H

#include "functions/webhook/change.h"
#include "functions/webhook/state.h"

/* Emits what happened (change.merged, branch.created, ...), then build.queued for every rule that wants it; every rule that
 * does not leaves its reason. */
bool builds_for_push(struct call *call, const struct config_source *source, const struct change *change,
                     struct span json, struct verdict *verdict, struct error *err);

/* POST /builds/NAME, body {"ref": "main" or a full name, "commit": optional}: a new build whatever the rule's conditions say. */
bool builds_on_request(struct call *call, const struct config_build *build, struct span body, struct verdict *verdict,
                       struct error *err);

#endif
