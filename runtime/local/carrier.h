/* Carries events between the functions of one machine: the local stand-in for a Broker and its Triggers.
 *
 * An event is on disk before its sender is told 202 (journal.h). Each function that lists its type under "in" gets it over its
 * unix socket, with retries and backoff as DESIGN section 5 says who tries again; what cannot be delivered goes to the
 * dead-letter folder, one file an event, which `pushwright replay` takes. The same event (source and id) twice is one. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_CARRIER_H
#define PUSHWRIGHT_RUNTIME_LOCAL_CARRIER_H

#include "runtime/function.h"
#include "shared/base/auto.h"

struct carrier;

/* A function as its fn.json tells it. */
struct receiver {
    const char *name;
    const char *url;          /* http://... */
    const char *socket;       /* path of its unix socket; NULL: the URL's host */
    const char *const *types; /* event types it takes */
    size_t type_count;
    unsigned concurrency; /* deliveries at once; further ones wait on disk */
    long timeout_ms;      /* of one delivery */
};

/* What happened, for those who watch (`pushwright up`). Called from the carrier's threads, one at a time. */
struct carrier_notice {
    const struct event *event;
    const char *by; /* NULL: accepted; else the function that was given it */
    bool dead;      /* given up */
    int status;     /* 0: no answer */
    unsigned attempts;
    int64_t duration_ms; /* of the delivery */
    const char *reason;  /* of a failure; NULL */
    int64_t retry_in_ms; /* a failure that will be tried again; 0: not */
};

struct carrier_options {
    const char *state_dir; /* journal and dead letters live here */
    const struct receiver *receivers;
    size_t receiver_count;
    void (*notice)(void *context, const struct carrier_notice *notice);
    void *context;
    int64_t give_up_after_ms; /* age at which a temporary failure becomes a dead letter; 0: one hour */
    int64_t journal_max; /* bytes above which the journal is shortened to a quarter of it (journal_compact); 0: 64 MB */
};

enum { CARRIER_QUEUE_MAX = 100000 }; /* events that wait; above it senders get 429 */

/* Reads the journal and takes up what was not delivered. Options and what they point to are borrowed until freed. */
struct carrier *carrier_new(const struct carrier_options *options, struct error *err);
void carrier_free(struct carrier *carrier);
AUTO_FREE(struct carrier, carrier_free)

/* A request with this header (any value) carries its event even when the same one was carried before. */
#define CARRIER_AGAIN "pushwright-again"

/* Handler for the server on the carrier's socket: POST an event (binary, structured or batched). */
void carrier_handle(struct carrier *carrier, const struct request *request, struct reply *reply);

/* Begin delivering. carrier_hold begins no further delivery; carrier_stop also waits for those that run. To end: hold, let the
 * functions finish what they have, stop. */
bool carrier_start(struct carrier *carrier, struct error *err);
void carrier_hold(struct carrier *carrier);
void carrier_stop(struct carrier *carrier);

#endif
