/* What a registry is shown: found when it answers 401, shared with the stores of the same session, renewed before it
 * expires. */
#ifndef PUSHWRIGHT_OCI_REGISTRY_TOKEN_H
#define PUSHWRIGHT_OCI_REGISTRY_TOKEN_H

#include "shared/oci/registry_wire.h"

/* Before a request: what the session knows by now, or a new token where the last one is about to expire, is in
 * registry->authorization. */
bool token_ready(struct registry *registry, struct error *err);

/* Find the answer to a 401; true when the request is worth another try. A refused answer is for good: the same one is
 * not given twice. */
bool token_answer(struct registry *registry, const struct http_response *response, struct error *err);

/* What the next token must be good for, besides pulling from the repository. */
void token_want_push(struct registry *registry);
bool token_want_mount(struct registry *registry, const char *repository, struct error *err);

void token_release(struct registry *registry);

#endif
