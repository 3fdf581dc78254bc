/* What webhook keeps between requests: the configuration and its senders, unchanged after start. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_STATE_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_STATE_H

#include "functions/webhook/sender.h"

struct webhook_state {
    struct config *config;
    struct sender *senders;   /* one a source, in the configuration's order */
    struct secret *api_token; /* NULL: POST /builds/NAME is refused */
    struct reconciler *reconciler;
};

/* Why a build rule did not want a push. */
struct decision {
    const char *build, *reason;
    struct decision *next;
};

/* What a request came to; becomes the reply's JSON. */
struct verdict {
    const char *reason; /* one sentence why nothing was accepted */
    size_t queued;      /* builds */
    size_t published;   /* images, deletions too */
    struct decision *skipped, *last_skipped;
};

#endif
