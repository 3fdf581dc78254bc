/* Who sends: which source of the configuration a request claims to come from, and whether it does. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_SENDER_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_SENDER_H

#include "runtime/function.h"
#include "shared/config/config.h"

/* A source with its secrets loaded; immutable after start: safe for several threads. */
struct sender {
    const struct config_source *source;
    struct secret *secret;  /* NULL: none configured, every delivery is refused */
    struct secret *signing; /* GitLab's signing token, decoded; NULL: none */
};

bool sender_load(struct sender *sender, const struct config_source *source, struct error *err);
void sender_release(struct sender *sender);

/* The kind that a request's headers speak of, for the route that names no source; SOURCE_KINDS: none known. Gitea and Forgejo also send GitHub's
 * headers, so the order matters. */
enum source_kind sender_detect(const struct request *request);

/* Over the raw body, before anything is parsed, in constant time. `json` is what a form carries, where the host signs that; absent when the form
 * has none. ERROR_DENIED: no secret configured; signature missing, twice there, malformed or wrong; too old. The text never tells what would
 * have been right. */
bool sender_verify(const struct sender *sender, const struct request *request, struct span json, struct error *err);

/* The host's own word for the event, and the delivery's id (absent: none sent). */
struct span sender_event(const struct sender *sender, const struct request *request);
struct span sender_delivery(const struct sender *sender, const struct request *request);

#endif
