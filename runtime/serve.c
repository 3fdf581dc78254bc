#include "runtime/serve.h"

#include "runtime/courier.h"
#include "runtime/log.h"
#include "runtime/outcome.h"
#include "runtime/platform.h"
#include "runtime/report.h"
#include "runtime/scrape.h"
#include "runtime/server.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static const char EVENT_METHODS[] = "POST, OPTIONS";

/* The signal handler's only way to the server. */
static _Atomic(struct server *) running;

static void fail(struct reply *reply, const struct error *err)
{
    bytes_clear(&reply->headers);
    reply->allow = NULL;
    outcome_reply(reply, err);
}

/* CloudEvents webhook specification section 4: who asks may send, as much as it likes; what it sends must still be signed. */
static void answer_options(const struct request *request, struct reply *reply)
{
    struct error ignored = { 0 };
    reply->status = 200;
    reply->allow = EVENT_METHODS;
    if (request_header(request, "WebHook-Request-Origin", NULL).len > 0)
        bytes_append_text(&reply->headers, "WebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: *\r\n", &ignored);
}

static bool decode(struct arena *arena, const struct request *request, struct event **events, size_t *count,
                   struct error *err)
{
    struct event_header *headers = arena_take(arena, (request->header_count + 1) * sizeof *headers);
    if (!headers)
        return arena_no_room(arena, "the event", err);
    for (size_t i = 0; i < request->header_count; i++)
        headers[i] = (struct event_header){ request->headers[i].name, request->headers[i].value };
    return event_decode(arena, headers, request->header_count, request->body, events, count, err);
}

/* The one event of a call is the answer when there is no sink to take it. */
static bool answer_with_event(const struct call *call, struct reply *reply, struct error *err)
{
    struct event event = call->undelivered->event;
    reply->content_type = event.datacontenttype; /* static text: the runtime's own events are all of one type */
    event.datacontenttype = NULL;
    reply->status = 200;
    return event_encode_headers(&reply->headers, &event, err) && bytes_append_span(&reply->body, event.data, err);
}

static bool finish(struct call *call, struct reply *reply, bool alone, struct error *err)
{
    reply->status = 202;
    if (alone && call->queued == 1 && call->undelivered && !call->shim->outlet.deliver)
        return answer_with_event(call, reply, err);
    return call_deliver(call, err);
}

/* What the platform allows this request, or any. */
static int64_t allowance_ms(const struct shim *shim, const struct request *request)
{
    int64_t told_ms = platform_allowance_ms(shim->platform, request), limit_ms = shim->limits.exec_ms;
    return limit_ms > 0 && limit_ms < told_ms ? limit_ms : told_ms;
}

static bool handle_event(struct shim *shim, struct arena *arena, const struct request *request,
                         const struct event *event, bool alone, struct reply *reply)
{
    struct error err = { 0 };
    struct call call;
    call_begin(&call, shim, arena, event, request_header(request, "traceparent", NULL),
               request_header(request, "tracestate", NULL));
    call_limit(&call, allowance_ms(shim, request));
    bool good = call_handle(&call, &err) && finish(&call, reply, alone, &err);
    if (!good)
        fail(reply, &err);
    report_outcome(&call, reply->status, good ? NULL : &err);
    return good;
}

static void handle_events(struct shim *shim, struct arena *arena, const struct request *request, struct reply *reply)
{
    struct error err = { 0 };
    if (span_is(request->method, "OPTIONS")) {
        answer_options(request, reply);
        return;
    }
    if (!span_is(request->method, "POST")) {
        outcome_wrong_method(reply, EVENT_METHODS);
        return;
    }
    struct event *events;
    size_t count;
    if (!decode(arena, request, &events, &count, &err)) {
        fail(reply, &err);
        report_refusal(shim, reply->status, &err);
        return;
    }
    reply->status = 202; /* what an empty batch is told */
    for (size_t i = 0; i < count; i++)
        if (!handle_event(shim, arena, request, &events[i], count == 1, reply))
            return;
}

/* For functions that face the outside. */
static bool serve_http(struct call *call, struct shim *shim, struct arena *arena, const struct request *request,
                       struct reply *reply, struct error *err)
{
    call_begin(call, shim, arena, NULL, request_header(request, "traceparent", NULL),
               request_header(request, "tracestate", NULL));
    call_limit(call, allowance_ms(shim, request));
    return shim->function->serve(call, request, reply, err);
}

/* With the events that are still to be delivered. */
static void finish_http(struct call *call, bool good, struct reply *reply, struct error *err)
{
    if (good && !call_deliver(call, err)) {
        good = false;
        /* Whatever kept the event from being accepted, the sender is not the one who did something wrong. */
        if (!error_is_temporary(err) || err->kind == ERROR_INTERNAL)
            err->kind = ERROR_UNAVAILABLE;
    }
    if (!good)
        fail(reply, err);
    report_outcome(call, reply->status ? reply->status : 200, good ? NULL : err);
}

static void handle_http(struct shim *shim, struct arena *arena, const struct request *request, struct reply *reply)
{
    struct error err = { 0 };
    struct call call;
    bool good = serve_http(&call, shim, arena, request, reply, &err);
    finish_http(&call, good, reply, &err);
}

static void handle_opened(struct shim *shim, struct arena *arena, const struct request *request, struct reply *reply)
{
    if (shim->manifest->serves_http)
        handle_http(shim, arena, request, reply);
    else
        handle_events(shim, arena, request, reply);
}

static void handle_in(struct shim *shim, struct arena *arena, const struct request *request, struct reply *reply)
{
    const struct envelope *envelope = shim->platform->envelope;
    struct request opened = *request;
    struct error err = { 0 };
    if (!envelope || !envelope->open || envelope->open(arena, request, &opened, &err)) {
        handle_opened(shim, arena, &opened, reply);
    } else {
        fail(reply, &err);
        report_refusal(shim, reply->status, &err);
    }
    if (envelope)
        envelope->close(request, reply);
}

static void handle_request(struct shim *shim, const struct request *request, struct reply *reply)
{
    struct error err = { 0 };
    struct arena *arena = shim_take_arena(shim, &err);
    if (!arena) {
        fail(reply, &err);
        report_refusal(shim, reply->status, &err);
        return;
    }
    handle_in(shim, arena, request, reply);
    shim_return_arena(shim, arena);
}

/* --- what the server calls ------------------------------------------------------------------------------------------------ */

struct serving {
    struct shim *shim;
    struct server *server;
    struct courier *courier; /* NULL: workers do everything */
    atomic_uint tasks;       /* begun here and not answered yet */
    const char *listen;
    bool marked; /* the platform's file that says "ready" was made */
    bool tells;  /* metrics, to whoever reaches this port */
};

static void handle(void *context, const struct request *request, struct reply *reply)
{
    struct serving *serving = context;
    metrics_in_flight(serving->shim->metrics, 1);
    handle_request(serving->shim, request, reply);
    metrics_in_flight(serving->shim->metrics, -1);
}

/* --- handlers that wait for nothing --- */

/* What takes long even so is for a worker: the thread that reads requests is needed by all. */
enum { AT_ONCE_BODY_MAX = 256 * 1024, AT_ONCE_PATIENCE_MS = 50 };

/* A call whose events are on their way; lives in its arena. */
struct task {
    struct serving *serving;
    struct parked *parked;
    struct reply *reply;
    struct call call;
};

/* The task and its memory are gone after this. */
static void finish_task(struct task *task)
{
    struct serving *serving = task->serving;
    struct arena *arena = task->call.arena;
    struct error err = { 0 };
    finish_http(&task->call, true, task->reply, &err);
    shim_return_arena(serving->shim, arena);
    metrics_in_flight(serving->shim->metrics, -1);
    atomic_fetch_sub(&serving->tasks, 1);
}

static void delivered(void *context, bool all)
{
    struct task *task = context;
    struct server *server = task->serving->server;
    struct parked *parked = task->parked;
    if (!all) {
        server_hand_over(server, parked, task);
        return;
    }
    finish_task(task);
    server_answer(server, parked);
}

static void resume(void *context, void *work, struct reply *reply)
{
    (void)context, (void)reply; /* the task knows them */
    finish_task(work);
}

/* A timer's event starts what takes a while, whatever the handler does otherwise; it comes in either of two modes. */
static bool may_tell_time(const struct shim *shim, const struct request *request)
{
    static const char structured[] = "application/cloudevents";
    struct span type = request_header(request, "Content-Type", NULL);
    return shim->manifest->timer.count > 0 &&
           (request_header(request, "ce-type", NULL).data ||
            (type.len >= sizeof structured - 1 && strncasecmp(type.data, structured, sizeof structured - 1) == 0));
}

static enum begun begin(void *context, const struct request *request, struct reply *reply, struct parked *parked)
{
    struct serving *serving = context;
    struct shim *shim = serving->shim;
    struct error err = { 0 };
    if (request->body.len > AT_ONCE_BODY_MAX || may_tell_time(shim, request) ||
        atomic_load(&serving->tasks) >= COURIER_CALLS_MAX)
        return BEGUN_NOT;
    struct arena *arena = shim_take_arena(shim, &err);
    struct task *task = arena ? arena_take(arena, sizeof *task) : NULL;
    if (!task) {
        if (arena)
            shim_return_arena(shim, arena);
        return BEGUN_NOT;
    }
    *task = (struct task){ .serving = serving, .parked = parked, .reply = reply };
    atomic_fetch_add(&serving->tasks, 1);
    metrics_in_flight(shim->metrics, 1);
    bool good = serve_http(&task->call, shim, arena, request, reply, &err);
    if (good && task->call.undelivered) {
        server_forget_body(serving->server, parked); /* events hold copies */
        courier_send(serving->courier, &task->call, delivered, task);
        return BEGUN_WAITS;
    }
    finish_http(&task->call, good, reply, &err);
    shim_return_arena(shim, arena);
    metrics_in_flight(shim->metrics, -1);
    atomic_fetch_sub(&serving->tasks, 1);
    return BEGUN_DONE;
}

static void alarm_rings(void *context, int64_t now_ms)
{
    const struct serving *serving = context;
    courier_expire(serving->courier, now_ms);
}

static void flush(void *context)
{
    const struct serving *serving = context;
    courier_flush(serving->courier);
}

/* Answered whatever the handlers are doing. */
static bool answer(void *context, const struct request *request, struct reply *reply)
{
    const struct serving *serving = context;
    bool readiness;
    if (serving->tells && scrape_answer(serving->shim->metrics, request, reply))
        return true;
    if (!platform_is_health_check(request, &readiness))
        return false;
    reply->status = readiness && stop_requested_ms() != 0 ? 503 : 200;
    return true;
}

static void finished(void *context, const struct request *request, int status, int64_t duration_us)
{
    const struct serving *serving = context;
    metrics_request(serving->shim->metrics, request->method, status, duration_us);
}

static void ready(void *context)
{
    struct serving *serving = context;
    serving->marked = platform_mark_ready();
    report_listening(serving->shim, serving->listen, server_port(serving->server));
}

void serve_stop(void)
{
    struct server *server = atomic_load(&running);
    if (server)
        server_stop(server);
}

/* Only where the sink can be had without waiting, and requests are what they seem. */
static bool has_courier(const struct shim *shim)
{
    return !shim->platform->envelope && shim->manifest->serves_http && !shim->manifest->is_blocking && shim->sink &&
           sink_takes_posts(shim->sink);
}

/* 0: the server's own idea. */
static long body_timeout_ms(const struct shim *shim)
{
    int64_t told_ms = shim->platform->is_patient ? DAY_MS : shim->limits.read_ms;
    return (long)(told_ms < DAY_MS ? told_ms : DAY_MS);
}

bool serve_run(struct shim *shim, const char *listen, struct error *err)
{
    const char *metrics_listen = getenv("PUSHWRIGHT_METRICS_LISTEN");
    bool apart = metrics_listen && *metrics_listen;
    struct serving serving = { .shim = shim, .listen = listen, .tells = !apart && !shim->manifest->serves_http };
    bool at_once = has_courier(shim);
    const struct server_options options = {
        .listen = listen,
        .socket_mode = shim->platform->socket_mode,
        .workers = shim->manifest->concurrency,
        .body_max = shim->manifest->body_max,
        .memory_max = shim->manifest->memory_max,
        .body_timeout_ms = body_timeout_ms(shim),
        .idle_timeout_ms = shim->platform->is_patient ? DAY_MS : 0,
        .drain_timeout_ms = (long)shim->drain_ms,
        .handle = handle,
        .begin = at_once ? begin : NULL,
        .resume = resume,
        .alarm = alarm_rings,
        .flush = at_once ? flush : NULL,
        .answer = answer,
        .finished = finished,
        .ready = ready,
        .context = &serving,
    };
    AUTO(scrape_stop) struct scrape *scrape = apart ? scrape_start(shim->metrics, metrics_listen, err) : NULL;
    if (apart && !scrape)
        return error_wrap(err, "PUSHWRIGHT_METRICS_LISTEN");
    AUTO(server_free) struct server *server = server_new(&options, err);
    if (!server)
        return false;
    serving.server = server;
    AUTO(courier_free) struct courier *courier = at_once ? courier_new(shim->sink, server, err) : NULL;
    if (at_once && !courier)
        return false;
    serving.courier = courier;
    if (at_once)
        log_set_patience(AT_ONCE_PATIENCE_MS);
    atomic_store(&running, server);
    /* A signal that came before there was a server to stop. */
    if (stop_requested_ms() != 0)
        server_stop(server);
    bool good = server_run(server, err);
    if (serving.marked)
        platform_unmark_ready();
    atomic_store(&running, NULL);
    return good;
}
