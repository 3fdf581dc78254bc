/* Where a function's events go: K_SINK of Knative, or PUSHWRIGHT_SINK; with retries, and a plain word about the result. */
#ifndef PUSHWRIGHT_RUNTIME_SINK_H
#define PUSHWRIGHT_RUNTIME_SINK_H

#include "runtime/event.h"
#include "shared/base/auto.h"

struct sink; /* safe for several threads: each delivery takes one of its clients */

struct sink_options {
    const char *url;            /* http(s), or "unix:/path" (local chain) */
    const char *overrides;      /* K_CE_OVERRIDES: {"extensions":{...}}; NULL or "": none */
    const char *extra_ca_pem;   /* K_CA_CERTS */
    const char *token_file;     /* re-read for each delivery, sent as Bearer; NULL: none (/oidc/token when it exists) */
    long attempt_timeout_ms;    /* 0: 10 s (K_SINK_TIMEOUT) */
    long budget_ms;             /* all attempts and pauses of one event; 0: 20 s */
};

/* From the environment; NULL with ERROR_NONE left alone when no sink is named there. */
struct sink *sink_from_environment(struct error *err);
struct sink *sink_new(const struct sink_options *options, struct error *err);
void sink_free(struct sink *sink);
AUTO_FREE(struct sink, sink_free)

/* Deliver in binary mode. True: the sink answered 2xx, it has the event. 408, 409, 429, 5xx and failed connections are tried again with
 * exponential backoff, jitter and Retry-After within the budget; the receiver drops duplicates by source and id. Otherwise
 * false: ERROR_UNAVAILABLE (not accepted), ERROR_UNCERTAIN (it may have been), or by status for a final refusal. */
bool sink_deliver(struct sink *sink, const struct event *event, struct error *err);

#endif
