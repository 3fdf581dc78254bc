/* The whole contract that the author of a function reads.
 *
 * A function is a handler: an event in, events out, an outcome. It sees no HTTP, no platform and no delivery: the same handler
 * runs behind HTTP, as a Knative JobSink job, or in the local chain. Copy templates/function/ to begin one.
 *
 *     #include "runtime/function.h"
 *
 *     static bool greet(struct call *call, struct error *err)
 *     {
 *         return call_emit(call, &(struct draft){ .type = "dev.cdeventsx.example-greeting.sent.0.1.0",
 *                                                 .subject = call_event(call)->subject, .content = SPAN("{}") }, err);
 *     }
 *
 *     FUNCTION(.handle = greet)
 */
#ifndef PUSHWRIGHT_RUNTIME_FUNCTION_H
#define PUSHWRIGHT_RUNTIME_FUNCTION_H

#include "runtime/event.h"
#include "shared/base/arena.h"
#include "shared/base/bytes.h"
#include "shared/base/error.h"
#include "shared/base/json.h"

/* A timer's tick: what Knative's PingSource sends, and whoever else has a clock. It says that time has passed and nothing else, so that it
 * needs no signature where fn.json lists it under "timer". */
#define TIMER_EVENT "dev.knative.sources.ping"

struct call; /* one invocation; everything it hands out lives until the handler returns */

/* A header of an HTTP request, name as sent; names compare without case. */
struct request_header {
    struct span name, value;
};

/* HTTP as the functions that face the outside see it. */
struct request {
    struct span method, path, query; /* path percent-encoded as sent, query without '?', absent when none */
    const struct request_header *headers;
    size_t header_count;
    struct span body;
};
/* The header's value; absent when there is none. *count (may be NULL) tells how often it stands there. */
struct span request_header(const struct request *request, const char *name, size_t *count);

struct reply {
    int status;               /* 200 unless set */
    const char *content_type; /* NULL without a body; static text */
    struct bytes body;
    unsigned retry_after_s;
    const char *allow;    /* Allow header of a 405 or OPTIONS; static text */
    struct bytes headers; /* further header lines, each "Name: value\r\n"; checked for CR, LF and NUL by the writer */
};

struct function {
    /* Once, before the first event: read configuration and secrets into *state. False ends the process with the error. */
    bool (*start)(void **state, struct error *err);
    void (*stop)(void *state);

    /* An event of a type that fn.json lists under "in", its signature checked. True: done. False: *err decides what the sender is
     * told and whether it tries again (DESIGN: bad event 400, forbidden 403, conflict 409, busy 429, a peer is down 503 ...). In a job
     * that is the exit code: 0, EXIT_PERMANENT (42) where another try is of no use, else 1. What is wrong with the work itself, and stays wrong (a
     * Dockerfile that cannot be built), is no failure of the handler: it emits what came of it and returns true, so that no platform
     * tries again, whatever its policy for failed jobs. */
    bool (*handle)(struct call *call, struct error *err);

    /* Instead of handle, for functions that face git hosts, registries and people: any request that is not a health check. Events emitted are
     * accepted by the sink before the reply is sent; when one is not, the sender gets 503 whatever the reply says. False:
     * as with handle, told as application/problem+json. */
    bool (*serve)(struct call *call, const struct request *request, struct reply *reply, struct error *err);

    const char *manifest; /* the text of fn.json; set by FUNCTION */
};

/* An event to be sent. The runtime adds id (a hash of the parent's source and id, this function, type, rule and target: a retry
 * makes the same event again), source, time, chain id, links, trace context and signature. */
struct draft {
    const char *type;                   /* CDEvents type, listed in fn.json under "out" */
    const char *subject;                /* subject.id */
    const char *subject_source;         /* NULL: none */
    struct span content;                /* JSON object: subject.content */
    struct span custom;                 /* JSON object: customData; absent: none */
    const char *rule;                   /* the build or trigger it is about; part of the id; NULL: none */
    const char *target;                 /* what tells two events of one rule apart; part of the id; NULL: none */
    const struct attribute *attributes; /* routing keys: extension attributes, names [a-z0-9]{1,20} */
    size_t attribute_count;
};

void *call_state(struct call *call);
const struct event *call_event(struct call *call); /* NULL in serve */
const struct json *call_data(struct call *call,
                             struct error *err); /* the event's data as JSON: the CDEvent; NULL with ERROR_INVALID */
struct arena *call_arena(struct call *call);
const char *call_chain_id(struct call *call);

/* In serve: what the events come from, so that a redelivery makes the same events: the sender's URL and its delivery id. */
bool call_set_parent(struct call *call, const char *source, const char *id, struct error *err);
/* Where a handler goes on with what another event began: what is emitted from now on comes from that one, and is of its chain. */
bool call_go_on_with(struct call *call, const char *source, const char *id, const char *chain_id, struct error *err);

/* Milliseconds until the platform gives up on this call; long work ends itself before. */
int64_t call_remaining_ms(struct call *call);
/* Has the process been told to stop, or the time run out? Signature fits git_remote_options.cancelled. */
bool call_cancelled(void *call);

/* Queue an event: delivered in this order when the handler returns true, before the sender is told. */
bool call_emit(struct call *call, const struct draft *draft, struct error *err);
/* Deliver what is queued now (before long work); without a sink it waits for the end. ERROR_UNAVAILABLE: the sink did not accept. */
bool call_flush(struct call *call, struct error *err);

/* Nothing is to be done, and why, in one sentence: emits pushwright-decision.skipped about `rule` (NULL: none), logs it, and
 * makes the outcome "ignored". `target` as in draft. Returns what call_emit returns. */
__attribute__((format(printf, 5, 6))) bool call_skip(struct call *call, const char *rule, const char *target,
                                                     struct error *err, const char *format, ...);

/* A code under the chain's key over what the function leaves with others and reads again; false: there is no key. And is it one? Their
 * signatures fit struct seal (shared/builder/indexstore.h). */
bool call_seal(void *call, struct span data, uint8_t mac[static 32]);
bool call_sealed(void *call, struct span data, const uint8_t mac[static 32]);

/* One JSON line on standard output, with the event's and the chain's id. Never a secret. */
__attribute__((format(printf, 2, 3))) void call_log(struct call *call, const char *format, ...);

/* main() of every function. */
int function_main(int argc, char **argv, const struct function *function);

/* FUNCTION(.handle = my_handler, .start = my_start) stands once in the function's own file; fn.json beside it is compiled
 * in (the Makefile defines FN_JSON as its path). */
#define FUNCTION(...)                                                                                                  \
    __asm__(".section .rodata\n.balign 8\nfn_json_text:\n.incbin \"" FN_JSON "\"\n.byte 0\n.previous\n");              \
    extern const char fn_json_text[];                                                                                  \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        const struct function function = { .manifest = fn_json_text, __VA_ARGS__ };                                    \
        return function_main(argc, argv, &function);                                                                   \
    }

#endif
