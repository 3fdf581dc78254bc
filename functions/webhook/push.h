/* Pushes read from the JSON of GitHub, GitLab, Gitea and Forgejo: one table of members a host, one pass over the body. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_PUSH_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_PUSH_H

#include "functions/webhook/change.h"
#include "shared/config/config.h"

/* event: the host's own word for what happened ("push", "Tag Push Hook"). Anything that is not a push of a ref is "ignored", with the
 * reason. ERROR_INVALID for a malformed body, or a push without repository, ref or commit. */
bool push_read(struct arena *arena, enum source_kind kind, struct span event, struct span json, struct change *out,
               struct error *err);

/* Does any listed path match? Also true when the list is not complete: unknown must never mean "nothing changed". */
bool push_touches(const struct change *change, const struct patterns *paths, bool *touches, struct error *err);

#endif
