#include "runtime/courier.h"

#include "shared/base/clock.h"

#include <assert.h>

static_assert((int)COURIER_CALLS_MAX <= (int)SERVER_WATCHES_MAX, "every connection can be watched");

/* A connection to the sink and the call that uses it. */
struct line {
    struct courier *courier;
    struct sink_post *post;
    int watch;       /* -1: its descriptor is not watched */
    unsigned opened; /* which of its connections is watched */
    bool writing;
    struct call *call; /* NULL: idle */
    int64_t deadline_ms;
    void (*done)(void *context, bool all);
    void *context;
    bool outgoing;     /* ready to be sent */
    struct line *next; /* idle or outgoing one */
};

struct courier {
    struct sink *sink;
    struct server *server;
    struct line lines[COURIER_CALLS_MAX];
    size_t line_count;
    struct line *idle; /* used last, first: the others are left for the sink to close */
    struct line *outgoing, *outgoing_last;
};

struct courier *courier_new(struct sink *sink, struct server *server, struct error *err)
{
    struct courier *courier = calloc(1, sizeof *courier);
    if (!courier) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    courier->sink = sink;
    courier->server = server;
    return courier;
}

void courier_free(struct courier *courier)
{
    if (!courier)
        return;
    for (size_t i = 0; i < courier->line_count; i++) {
        if (courier->lines[i].watch >= 0)
            server_unwatch(courier->server, courier->lines[i].watch);
        sink_post_free(courier->lines[i].post);
    }
    free(courier);
}

/* --- lines ---------------------------------------------------------------------------------------------------------------- */

static struct line *new_line(struct courier *courier)
{
    struct error ignored = { 0 };
    if (courier->line_count == COURIER_CALLS_MAX)
        return NULL;
    struct sink_post *post = sink_post_new(courier->sink, &ignored);
    if (!post)
        return NULL;
    struct line *line = &courier->lines[courier->line_count++];
    *line = (struct line){ .courier = courier, .post = post, .watch = -1 };
    return line;
}

static struct line *take_line(struct courier *courier)
{
    struct line *line = courier->idle;
    if (!line)
        return new_line(courier);
    courier->idle = line->next;
    return line;
}

static void unwatch(struct line *line)
{
    if (line->watch >= 0)
        server_unwatch(line->courier->server, line->watch);
    line->watch = -1;
}

static void on_ready(void *context);

/* A closed descriptor has left the set by itself, but its watch is to be given up all the same. */
static bool watch(struct line *line, bool writing)
{
    struct server *server = line->courier->server;
    bool same = line->watch >= 0 && line->opened == sink_post_opened(line->post);
    if (!same) {
        unwatch(line);
        line->opened = sink_post_opened(line->post);
        line->watch = server_watch(server, sink_post_fd(line->post), on_ready, line);
        line->writing = false;
    }
    if (line->watch < 0 || (line->writing != writing && !server_watch_writing(server, line->watch, writing)))
        return false;
    line->writing = writing;
    return true;
}

static void leave(struct line *line, bool all)
{
    struct courier *courier = line->courier;
    if (sink_post_fd(line->post) < 0)
        unwatch(line);
    line->call = NULL;
    line->next = courier->idle;
    courier->idle = line;
    line->done(line->context, all);
}

/* --- attempts ------------------------------------------------------------------------------------------------------------- */

/* The post's own words are overwritten by the next call that takes this line. */
static void give_up(struct line *line)
{
    const struct sink_failure *failure = sink_post_failure(line->post);
    struct sink_failure *copy = failure ? arena_take(line->call->arena, sizeof *copy) : NULL;
    if (copy)
        *copy = *failure;
    line->call->first_attempt = copy;
    leave(line, false);
}

static void begin(struct line *line)
{
    struct courier *courier = line->courier;
    struct call *call = line->call;
    int64_t limit = sink_attempt_ms(courier->sink), left = call_delivery_ms(call);
    line->deadline_ms = clock_monotonic_ms() + (left < limit ? left : limit);
    server_set_alarm(courier->server, line->deadline_ms);
    if (!sink_post_begin(line->post, &call->undelivered->event)) {
        give_up(line);
        return;
    }
    line->outgoing = true;
    line->next = NULL;
    *(courier->outgoing_last ? &courier->outgoing_last->next : &courier->outgoing) = line;
    courier->outgoing_last = line;
}

static void proceed(struct line *line, enum sink_progress progress)
{
    if (progress == SINK_ACCEPTED) {
        call_accepted(line->call, sink_post_status(line->post));
        if (line->call->undelivered)
            begin(line);
        else
            leave(line, true);
        return;
    }
    if (progress != SINK_FAILED && !watch(line, progress == SINK_WRITES)) {
        sink_post_expire(line->post);
        progress = SINK_FAILED;
    }
    if (progress == SINK_FAILED)
        give_up(line);
}

void courier_flush(struct courier *courier)
{
    for (struct line *line; (line = courier->outgoing) != NULL;) {
        courier->outgoing = line->next;
        if (!courier->outgoing)
            courier->outgoing_last = NULL;
        line->outgoing = false;
        proceed(line, sink_post_continue(line->post));
    }
}

/* An idle connection has nothing to say: the sink closes it. */
static void on_ready(void *context)
{
    struct line *line = context;
    if (line->call) {
        proceed(line, sink_post_continue(line->post));
        return;
    }
    unwatch(line);
    sink_post_disconnect(line->post);
}

void courier_send(struct courier *courier, struct call *call, void (*done)(void *context, bool all), void *context)
{
    struct line *line = take_line(courier);
    if (!line) {
        done(context, false);
        return;
    }
    line->call = call;
    line->done = done;
    line->context = context;
    begin(line);
}

void courier_expire(struct courier *courier, int64_t now_ms)
{
    for (size_t i = 0; i < courier->line_count; i++) {
        struct line *line = &courier->lines[i];
        if (!line->call || line->outgoing)
            continue;
        if (now_ms >= line->deadline_ms) {
            sink_post_expire(line->post);
            give_up(line);
        } else {
            server_set_alarm(courier->server, line->deadline_ms);
        }
    }
}
