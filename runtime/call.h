/* Private to the shim: one invocation of a handler and what the process around it is. */
#ifndef PUSHWRIGHT_RUNTIME_CALL_H
#define PUSHWRIGHT_RUNTIME_CALL_H

#include "runtime/function.h"
#include "runtime/manifest.h"
#include "runtime/metrics.h"
#include "runtime/platform.h"
#include "runtime/signature.h"
#include "runtime/sink.h"
#include "runtime/trace.h"

#include <pthread.h>
#include <stdatomic.h>

#define DECISION_SKIPPED "dev.cdeventsx.pushwright-decision.skipped.0.1.0"

/* A call's memory: event, JSON tree, what it emits. cJSON needs about ten times the text. */
enum { CALL_MEMORY_MAX = 16 * 1024 * 1024 };

/* Where events go: the sink, or standard output in one-shot mode. */
struct outlet {
    /* *status: what the receiver answered last, 0: nothing. */
    bool (*deliver)(void *context, const struct event *event, const struct sink_failure *first, int64_t budget_ms,
                    int *status, struct error *err);
    void *context;
};

struct shim {
    const struct function *function;
    struct manifest *manifest;
    void *state;
    const char *source; /* of emitted events */
    const struct platform *platform;
    struct platform_limits limits;
    struct keyring *keyring; /* NULL: no chain key */
    bool trust_platform;     /* incoming events are not verified here */
    struct sink *sink;       /* NULL: none */
    struct outlet outlet;    /* deliver NULL: none, one event may go back as the answer */
    int64_t drain_ms;        /* from the signal to the end */
    struct metrics *metrics;
    pthread_mutex_t lock;     /* guards arenas */
    struct arena *arenas[64]; /* idle ones, kept because musl's allocator is slow */
    size_t arena_count;
};

struct queued {
    struct event event;
    struct queued *next;
};

struct call {
    struct shim *shim;
    struct arena *arena;
    const struct event *event;                        /* NULL in serve */
    const struct json *data;                          /* parsed on first use */
    const char *parent_source, *parent_id, *chain_id; /* NULL until known or first used */
    const char *traceparent, *tracestate;             /* of emitted events */
    int64_t started_us, deadline_ms;                  /* monotonic */
    struct queued *first, *last, *undelivered;
    size_t queued, skipped;
    bool delivering_failed;                   /* what failed was the sink, not the handler */
    const struct sink_failure *first_attempt; /* of the event that is undelivered; NULL: none was made */
};

struct arena *shim_take_arena(struct shim *shim, struct error *err);
void shim_return_arena(struct shim *shim, struct arena *arena);

/* `http` are the request's own trace headers, absent when there are none. */
void call_begin(struct call *call, struct shim *shim, struct arena *arena, const struct event *event,
                struct span http_traceparent, struct span http_tracestate);

/* The platform waits no longer than this from now on. */
void call_limit(struct call *call, int64_t allowance_ms);

/* Verify, then run the handler on the event. Does not deliver. An event of a type that is not listed under "in" is ignored. */
bool call_handle(struct call *call, struct error *err);

/* What is left of the call for delivering an event, at least half a second. */
int64_t call_delivery_ms(struct call *call);

/* The event that was the next to be delivered has been accepted with this status. */
void call_accepted(struct call *call, int status);

/* Deliver what is queued. Every failure is temporary to the sender: ERROR_UNAVAILABLE or ERROR_UNCERTAIN. */
bool call_deliver(struct call *call, struct error *err);

/* "done" or "ignored", once the handler has returned true. */
const char *call_outcome(const struct call *call);

/* When the process was told to stop, on the monotonic clock; 0: not. Set by the signal handlers. */
int64_t stop_requested_ms(void);

#endif
