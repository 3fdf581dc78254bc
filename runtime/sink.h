/* Where a function's events go: K_SINK of Knative, or PUSHWRIGHT_SINK; with retries, and a plain word about the result. */
#ifndef PUSHWRIGHT_RUNTIME_SINK_H
#define PUSHWRIGHT_RUNTIME_SINK_H

#include "runtime/event.h"
#include "shared/base/auto.h"

#include <stdint.h>

struct sink; /* safe for several threads: each delivery takes one of its clients */

/* An attempt that did not succeed. */
struct sink_failure {
    struct error err;
    int status;     /* of the answer; 0: there was none */
    bool uncertain; /* it may have arrived */
    bool final;     /* the sink refused: no use in trying again */
};

struct sink_options {
    const char *url;          /* http(s), or "unix:/path" (local chain) */
    const char *overrides;    /* K_CE_OVERRIDES: {"extensions":{...}}; NULL or "": none */
    const char *extra_ca_pem; /* K_CA_CERTS */
    const char *token_file;   /* re-read for each delivery, sent as Bearer; NULL: none (/oidc/token when it exists) */
    long attempt_timeout_ms;  /* 0: 10 s (K_SINK_TIMEOUT) */
    long budget_ms;           /* all attempts and pauses of one event; 0: 20 s */
};

/* From the environment: K_SINK, else PUSHWRIGHT_SINK; K_CE_OVERRIDES, K_CA_CERTS, K_SINK_TIMEOUT (seconds), the certificates in
 * /knative-custom-certs, the token in /oidc/token. NULL with ERROR_NONE left alone when no sink is named there. */
struct sink *sink_from_environment(struct error *err);
struct sink *sink_new(const struct sink_options *options, struct error *err);
void sink_free(struct sink *sink);
AUTO_FREE(struct sink, sink_free)

/* Set the overrides' extensions on an event that is about to be signed; sink_deliver sends what it is given. */
bool sink_override(const struct sink *sink, struct arena *arena, struct event *event, struct error *err);

/* Deliver in binary mode. True: the sink answered 2xx, it has the event. 404, 408, 409, 429, 5xx and failed connections are tried again with
 * exponential backoff, jitter and Retry-After within the budget; the receiver drops duplicates by source and id. Otherwise
 * false: ERROR_UNAVAILABLE (not accepted), ERROR_UNCERTAIN (it may have been), or by status for a final refusal.
 * Each attempt has a span of its own in the HTTP header traceparent, in the trace that the event's attribute names. */
bool sink_deliver(struct sink *sink, const struct event *event, struct error *err);
/* The same within a budget that may be shorter than the sink's own: what is left of a call. `first`: a first attempt that was made already, by
 * a post; NULL: none. *status: the last answer's, 0: there was none. */
bool sink_deliver_within(struct sink *sink, const struct event *event, const struct sink_failure *first,
                         int64_t budget_ms, int *status, struct error *err);

/* First attempts that nobody waits for, one at a time over a connection of the post's own; for a loop that watches descriptors. */
struct sink_post;
enum sink_progress {
    SINK_READS,    /* go on when there is something to read */
    SINK_WRITES,   /* ... or when more can be written */
    SINK_ACCEPTED, /* the sink has the event */
    SINK_FAILED,   /* see sink_post_failure(): to be given to sink_deliver_within() */
};

/* Not when the sink must be waited for: TLS, a proxy, a token. */
bool sink_takes_posts(const struct sink *sink);
struct sink_post *sink_post_new(struct sink *sink, struct error *err);
void sink_post_free(struct sink_post *post);
AUTO_FREE(struct sink_post, sink_post_free)
bool sink_post_begin(struct sink_post *post, const struct event *event); /* ready to be sent; false: SINK_FAILED */
enum sink_progress sink_post_continue(struct sink_post *post);
void sink_post_expire(struct sink_post *post); /* the attempt's time is up: it has failed */
void sink_post_disconnect(struct sink_post *post);
const struct sink_failure *sink_post_failure(const struct sink_post *post); /* NULL: nothing was tried */
int sink_post_status(const struct sink_post *post);
int sink_post_fd(const struct sink_post *post);          /* -1: not connected */
unsigned sink_post_opened(const struct sink_post *post); /* connections so far */
int64_t sink_attempt_ms(const struct sink *sink);        /* longest time of an attempt */

/* "https://host/path" or "unix:/path", for logs: no user information, no query. */
const char *sink_name(const struct sink *sink);

#endif
