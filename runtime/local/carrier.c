#include "runtime/local/carrier.h"

#include "runtime/local/journal.h"
#include "runtime/local/keyset.h"
#include "runtime/local/queue.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/http/client.h"

#include <pthread.h>
#include <string.h>

enum {
    ARENA_MAX = 16 * EVENT_MAX,
    THREADS_MAX = 64,
    ANSWER_MAX = EVENT_MAX,
    RETRY_FIRST_MS = 50,
    RETRY_LAST_MS = 30000,
    RETRY_AFTER_MAX_S = 300, /* a receiver that asks for more is asked again nevertheless */
    JOURNAL_MAX = 64 * 1024 * 1024,
};

/* An event on its way to the disk: the same one that comes meanwhile waits. */
struct arrival {
    const char *key;
    struct arrival *next;
};

struct carrier {
    struct carrier_options options;
    struct journal *journal;
    int64_t compact_at;    /* size of the journal */
    struct keyset *known;  /* every event that was accepted: the same one twice is one */
    struct queue **queues; /* one a receiver */
    struct arrival *arrivals;
    bool compacting;        /* nothing arrives meanwhile */
    pthread_mutex_t lock;   /* known, arrivals, compacting, compact_at */
    pthread_cond_t settled; /* an arrival, or compacting */
    pthread_mutex_t notices;
    pthread_t threads[THREADS_MAX];
    size_t thread_count;
};

/* A delivering thread's own things. */
struct courier {
    struct carrier *carrier;
    const struct receiver *receiver;
    struct queue *queue;
    struct http_client *client;
    struct arena *arena;
};

static void tell(struct carrier *carrier, const struct carrier_notice *notice)
{
    if (!carrier->options.notice)
        return;
    pthread_mutex_lock(&carrier->notices);
    carrier->options.notice(carrier->options.context, notice);
    pthread_mutex_unlock(&carrier->notices);
}

static bool takes(const struct receiver *receiver, const char *type)
{
    for (size_t i = 0; i < receiver->type_count; i++)
        if (strcmp(receiver->types[i], type) == 0)
            return true;
    return false;
}

static size_t receiver_named(const struct carrier *carrier, const char *name)
{
    size_t i = 0;
    while (i < carrier->options.receiver_count && strcmp(carrier->options.receivers[i].name, name) != 0)
        i++;
    return i;
}

/* --- taking up what the journal says ------------------------------------------------------------------------------- */

static bool put(struct carrier *carrier, size_t receiver, const char *key, struct span event, struct error *err)
{
    struct parcel *parcel = parcel_new(key, event, err);
    if (parcel)
        queue_put(carrier->queues[receiver], parcel);
    return parcel != NULL;
}

static bool restore_delivery(struct carrier *carrier, const struct journal_entry *entry)
{
    size_t i = receiver_named(carrier, entry->by);
    if (i < carrier->options.receiver_count && entry->kind != JOURNAL_FAILED)
        queue_forget(carrier->queues[i], entry->key);
    return true;
}

static bool restore(void *context, const struct journal_entry *entry, struct error *err)
{
    struct carrier *carrier = context;
    if (entry->by)
        return restore_delivery(carrier, entry);
    if (!keyset_add(carrier->known, entry->key, err))
        return false;
    for (size_t i = 0; i < entry->to_count; i++) {
        size_t k = receiver_named(carrier, entry->to[i]);
        if (k < carrier->options.receiver_count && !put(carrier, k, entry->key, entry->event, err))
            return false;
    }
    return true;
}

/* With nothing arriving: what an event is waiting for stands in the queues. */
static bool compact(struct carrier *carrier, struct error *err)
{
    AUTO(keyset_free) struct keyset *waiting = keyset_new();
    if (!waiting)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < carrier->options.receiver_count; i++)
        if (!queue_keys(carrier->queues[i], waiting, err))
            return false;
    return journal_compact(carrier->journal, carrier->options.journal_max / 4, waiting, err);
}

/* A journal that could not be shortened is as good as before, only longer: tried again when it has grown by as much. */
static void compact_when_due(struct carrier *carrier)
{
    struct error ignored = { 0 };
    pthread_mutex_lock(&carrier->lock);
    bool due = journal_size(carrier->journal) > carrier->compact_at && !carrier->compacting;
    if (due) {
        carrier->compacting = true;
        while (carrier->arrivals)
            pthread_cond_wait(&carrier->settled, &carrier->lock);
        (void)compact(carrier, &ignored);
        int64_t again_at = journal_size(carrier->journal) + carrier->options.journal_max / 2;
        carrier->compact_at = again_at > carrier->options.journal_max ? again_at : carrier->options.journal_max;
        carrier->compacting = false;
        pthread_cond_broadcast(&carrier->settled);
    }
    pthread_mutex_unlock(&carrier->lock);
}

static bool prepare(struct carrier *carrier, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(4096);
    if (!bytes_printf(&path, err, "%s/dead", carrier->options.state_dir) ||
        !directory_make(bytes_text(&path), 0700, err))
        return false;
    carrier->known = keyset_new();
    carrier->queues = calloc(carrier->options.receiver_count + 1, sizeof(struct queue *));
    if (!carrier->known || !carrier->queues)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < carrier->options.receiver_count; i++)
        if (!(carrier->queues[i] = queue_new(CARRIER_QUEUE_MAX)))
            return error_set(err, ERROR_INTERNAL, "out of memory");
    bytes_clear(&path);
    if (!bytes_printf(&path, err, "%s/journal.jsonl", carrier->options.state_dir))
        return false;
    carrier->journal = journal_open(bytes_text(&path), restore, carrier, err);
    if (carrier->journal)
        compact_when_due(carrier);
    return carrier->journal != NULL;
}

struct carrier *carrier_new(const struct carrier_options *options, struct error *err)
{
    AUTO(carrier_free) struct carrier *carrier = calloc(1, sizeof *carrier);
    if (!carrier) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    carrier->options = *options;
    if (carrier->options.give_up_after_ms == 0)
        carrier->options.give_up_after_ms = INT64_C(3600000);
    if (carrier->options.journal_max == 0)
        carrier->options.journal_max = JOURNAL_MAX;
    carrier->compact_at = carrier->options.journal_max;
    pthread_mutex_init(&carrier->lock, NULL);
    pthread_cond_init(&carrier->settled, NULL);
    pthread_mutex_init(&carrier->notices, NULL);
    return prepare(carrier, err) ? TAKE(carrier) : NULL;
}

void carrier_free(struct carrier *carrier)
{
    if (!carrier)
        return;
    carrier_stop(carrier);
    for (size_t i = 0; carrier->queues && i < carrier->options.receiver_count; i++)
        queue_free(carrier->queues[i]);
    free(carrier->queues);
    keyset_free(carrier->known);
    journal_free(carrier->journal);
    pthread_cond_destroy(&carrier->settled);
    pthread_mutex_destroy(&carrier->lock);
    pthread_mutex_destroy(&carrier->notices);
    free(carrier);
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

/* Who gets it, each with a parcel that is ready: once the event is on disk, nothing can fail any more. */
struct dispatch {
    size_t count;
    size_t receivers[THREADS_MAX];
    const char *names[THREADS_MAX];
    struct parcel *parcels[THREADS_MAX];
};

static void release_dispatch(struct dispatch *d)
{
    for (size_t i = 0; i < d->count; i++)
        parcel_free(d->parcels[i]);
}
AUTO_RELEASE(struct dispatch, release_dispatch)

static bool add_parcel(struct carrier *carrier, struct dispatch *d, size_t receiver, const char *key, struct span text,
                       struct error *err)
{
    const char *name = carrier->options.receivers[receiver].name;
    if (queue_is_full(carrier->queues[receiver]))
        return error_set(err, ERROR_BUSY, "too many events wait for '%s'", name);
    struct parcel *parcel = parcel_new(key, text, err);
    if (!parcel)
        return false;
    d->receivers[d->count] = receiver;
    d->names[d->count] = name;
    d->parcels[d->count++] = parcel;
    return true;
}

static bool accept_new(struct carrier *carrier, const struct event *event, const char *key, struct error *err)
{
    AUTO(release_dispatch) struct dispatch d = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(3 * EVENT_MAX);
    if (!event_encode_structured(&text, event, err))
        return false;
    for (size_t i = 0; i < carrier->options.receiver_count && d.count < THREADS_MAX; i++)
        if (takes(&carrier->options.receivers[i], event->type) &&
            !add_parcel(carrier, &d, i, key, bytes_span(&text), err))
            return false;
    if (!journal_accept(carrier->journal, event, d.names, d.count, err))
        return false;
    tell(carrier, &(struct carrier_notice){ .event = event });
    for (size_t i = 0; i < d.count; i++)
        queue_put(carrier->queues[d.receivers[i]], TAKE(d.parcels[i]));
    return true;
}

/* --- of two equal events that arrive at once, one waits until the other is on disk ------------------------------------ */

static bool is_arriving(const struct carrier *carrier, const char *key)
{
    for (const struct arrival *arrival = carrier->arrivals; arrival; arrival = arrival->next)
        if (strcmp(arrival->key, key) == 0)
            return true;
    return false;
}

/* False: the event is known. */
static bool begin_arrival(struct carrier *carrier, struct arrival *arrival, bool again)
{
    pthread_mutex_lock(&carrier->lock);
    while (carrier->compacting || is_arriving(carrier, arrival->key))
        pthread_cond_wait(&carrier->settled, &carrier->lock);
    bool is_new = again || !keyset_has(carrier->known, arrival->key);
    if (is_new) {
        arrival->next = carrier->arrivals;
        carrier->arrivals = arrival;
    }
    pthread_mutex_unlock(&carrier->lock);
    return is_new;
}

static void end_arrival(struct carrier *carrier, struct arrival *arrival, bool accepted)
{
    struct error ignored = { 0 };
    pthread_mutex_lock(&carrier->lock);
    struct arrival **at = &carrier->arrivals;
    while (*at != arrival)
        at = &(*at)->next;
    *at = arrival->next;
    if (accepted) /* out of memory costs no more than a second delivery one day */
        (void)keyset_add(carrier->known, arrival->key, &ignored);
    pthread_cond_broadcast(&carrier->settled);
    pthread_mutex_unlock(&carrier->lock);
}

/* `again`: a person wants it once more (replay), known or not. */
static bool accept_event(struct carrier *carrier, const struct event *event, bool again, struct error *err)
{
    char key[SHA256_HEX_SIZE];
    struct arrival arrival = { .key = key };
    event_key(event, key);
    if (!begin_arrival(carrier, &arrival, again))
        return true;
    bool ok = accept_new(carrier, event, key, err);
    end_arrival(carrier, &arrival, ok);
    compact_when_due(carrier);
    return ok;
}

static bool accept_message(struct carrier *carrier, struct arena *arena, const struct event_header *headers,
                           size_t count, struct span content_type, struct span body, bool again, struct error *err)
{
    struct event one;
    struct event *events = &one;
    size_t event_count = 1;
    enum event_mode mode = event_mode_of(content_type, headers, count);
    bool ok = mode == EVENT_NONE         ? error_set(err, ERROR_UNSUPPORTED, "this is not a CloudEvent")
              : mode == EVENT_BATCHED    ? event_decode_batch(arena, body, &events, &event_count, err)
              : mode == EVENT_STRUCTURED ? event_decode_structured(arena, body, &one, err)
                                         : event_decode_binary(arena, headers, count, body, &one, err);
    for (size_t i = 0; ok && i < event_count; i++)
        ok = accept_event(carrier, &events[i], again, err);
    return ok;
}

/* The senders are our own functions and tools on this machine: they get the kind's status and the sentence. */
static void refuse(struct reply *reply, const struct error *err)
{
    static const int statuses[ERROR_KINDS] = {
        [ERROR_INVALID] = 400,
        [ERROR_TOO_LARGE] = 413,
        [ERROR_UNSUPPORTED] = 415,
        [ERROR_BUSY] = 429,
    };
    struct error ignored;
    reply->status = statuses[err->kind] ? statuses[err->kind] : 503;
    reply->retry_after_s = reply->status >= 429 ? 1 : 0;
    reply->content_type = "text/plain; charset=utf-8";
    (void)bytes_append_text(&reply->body, err->message, &ignored);
}

void carrier_handle(struct carrier *carrier, const struct request *request, struct reply *reply)
{
    struct error err = { 0 };
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    struct event_header headers[128];
    size_t count = 0;
    if (!span_is(request->method, "POST")) {
        reply->status = 405;
        reply->allow = "POST";
        return;
    }
    for (; count < request->header_count && count < 128; count++)
        headers[count] = (struct event_header){ request->headers[count].name, request->headers[count].value };
    struct span type = request_header(request, "content-type", NULL);
    if (!arena)
        error_set(&err, ERROR_INTERNAL, "out of memory");
    else if (accept_message(carrier, arena, headers, count, type, request->body,
                            request_header(request, CARRIER_AGAIN, NULL).data != NULL, &err)) {
        reply->status = 202;
        return;
    }
    refuse(reply, &err);
}

/* --- delivering --------------------------------------------------------------------------------------------------- */

/* A reply that is an event goes on like any other (CloudEvents over Knative: "reply"). */
static bool accept_reply(struct courier *courier, const struct http_response *response, struct error *err)
{
    struct event_header headers[128];
    size_t count = 0;
    struct span rest = bytes_span(&response->headers);
    while (rest.data && count < 128) {
        struct span value = span_cut(&rest, '\n');
        struct span name = span_cut(&value, ':');
        if (value.data)
            headers[count++] = (struct event_header){ span_trim(name), span_trim(value) };
    }
    return accept_message(courier->carrier, courier->arena, headers, count,
                          http_response_header(response, "content-type"), bytes_span(&response->body), false, err);
}

static bool post(struct courier *courier, const struct parcel *parcel, struct http_response *response,
                 struct error *err)
{
    const struct http_header headers[] = { { "Content-Type", "application/cloudevents+json; charset=UTF-8" } };
    const struct http_request request = {
        .method = "POST",
        .url = courier->receiver->url,
        .unix_socket = courier->receiver->socket,
        .headers = headers,
        .header_count = 1,
        .body = parcel->event,
        .body_max = ANSWER_MAX,
        .timeout_ms = courier->receiver->timeout_ms,
        .stall_timeout_ms = courier->receiver->timeout_ms,
    };
    if (!http_call(courier->client, &request, response, err))
        return false;
    if (response->status >= 300)
        return http_status_error(&request, response, err);
    return response->body.len == 0 || accept_reply(courier, response, err);
}

static bool is_final(const struct http_response *response)
{
    int status = response->status;
    return status >= 300 && status < 500 && status != 404 && status != 408 && status != 409 && status != 429;
}

static int64_t pause_before_retry(unsigned attempts, unsigned retry_after_s)
{
    int64_t pause = RETRY_FIRST_MS;
    for (unsigned i = 1; i < attempts && pause < RETRY_LAST_MS; i++)
        pause *= 2;
    if (pause > RETRY_LAST_MS)
        pause = RETRY_LAST_MS;
    if (retry_after_s > RETRY_AFTER_MAX_S)
        retry_after_s = RETRY_AFTER_MAX_S;
    if (pause < (int64_t)retry_after_s * 1000 && attempts > 1)
        pause = (int64_t)retry_after_s * 1000;
    return pause + (int64_t)(random_u64() % (uint64_t)(pause / 4 + 1));
}

static struct journal_entry entry_of(const struct courier *courier, const struct parcel *parcel,
                                     const struct carrier_notice *notice, enum journal_kind kind)
{
    struct journal_entry entry = {
        .kind = kind,
        .by = courier->receiver->name,
        .status = notice->status,
        .attempts = notice->attempts,
        .duration_ms = notice->duration_ms,
        .reason = notice->reason,
    };
    memcpy(entry.key, parcel->key, sizeof entry.key);
    return entry;
}

/* The dead letter is the event itself, as `pushwright replay` takes it; the reason stands in the journal. */
static bool bury(const struct courier *courier, const struct parcel *parcel, const struct carrier_notice *notice,
                 struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(4096);
    if (!bytes_printf(&path, err, "%s/dead/%s-%.16s.json", courier->carrier->options.state_dir, courier->receiver->name,
                      parcel->key) ||
        !file_write_atomic(bytes_text(&path), parcel->event, 0600, err))
        return false;
    struct journal_entry entry = entry_of(courier, parcel, notice, JOURNAL_DEAD);
    entry.file = bytes_text(&path);
    return journal_settle(courier->carrier->journal, &entry, err);
}

/* For the history; an outage of an hour is one line, not a hundred. */
static void record_failure(const struct courier *courier, struct parcel *parcel, const struct carrier_notice *notice)
{
    struct error ignored = { 0 };
    const struct journal_entry entry = entry_of(courier, parcel, notice, JOURNAL_FAILED);
    if (parcel->told_status == notice->status &&
        strncmp(parcel->told_reason, notice->reason, sizeof parcel->told_reason - 1) == 0)
        return;
    parcel->told_status = notice->status;
    snprintf(parcel->told_reason, sizeof parcel->told_reason, "%s", notice->reason);
    (void)journal_settle(courier->carrier->journal, &entry, &ignored);
}

/* Our functions answer application/problem+json, whose "detail" is the sentence. */
static const char *reason_of(struct courier *courier, const struct http_response *response, const struct error *err)
{
    struct error unreadable = { 0 };
    if (response->status < 300 || response->body.len == 0)
        return err->message;
    const char *detail =
        json_get_string(json_parse(courier->arena, bytes_span(&response->body), &unreadable), "detail");
    return detail ? detail : bytes_text(&response->body);
}

static void settle_failure(struct courier *courier, struct parcel *parcel, const struct http_response *response,
                           struct carrier_notice *notice, const struct error *err)
{
    bool too_old = clock_monotonic_ms() - parcel->since_ms > courier->carrier->options.give_up_after_ms;
    struct error trouble = { 0 };
    notice->reason = reason_of(courier, response, err);
    notice->dead = is_final(response) || too_old;
    if (notice->dead && bury(courier, parcel, notice, &trouble)) {
        tell(courier->carrier, notice);
        queue_done(courier->queue, parcel);
        return;
    }
    if (notice->dead) /* no room for a dead letter: then it is not one yet */
        notice->reason = trouble.message;
    notice->dead = false;
    notice->retry_in_ms = pause_before_retry(parcel->attempts, err->retry_after_s);
    record_failure(courier, parcel, notice);
    tell(courier->carrier, notice);
    queue_again(courier->queue, parcel, clock_monotonic_ms() + notice->retry_in_ms);
}

static void settle_success(struct courier *courier, struct parcel *parcel, const struct carrier_notice *notice)
{
    struct error ignored = { 0 }; /* a line that is missing costs one more delivery after a restart */
    const struct journal_entry entry = entry_of(courier, parcel, notice, JOURNAL_TAKEN);
    tell(courier->carrier, notice);
    (void)journal_settle(courier->carrier->journal, &entry, &ignored);
    queue_done(courier->queue, parcel);
}

static void deliver(struct courier *courier, struct parcel *parcel)
{
    struct error err = { 0 };
    struct event event = { .type = "an unreadable event", .id = "", .source = "" };
    AUTO(http_response_release) struct http_response response = { 0 };
    arena_reset(courier->arena);
    int64_t began = clock_monotonic_ms();
    parcel->attempts++;
    bool ok =
        event_decode_structured(courier->arena, parcel->event, &event, &err) && post(courier, parcel, &response, &err);
    struct carrier_notice notice = {
        .event = &event,
        .by = courier->receiver->name,
        .status = response.status,
        .attempts = parcel->attempts,
        .duration_ms = clock_monotonic_ms() - began,
    };
    if (ok)
        settle_success(courier, parcel, &notice);
    else
        settle_failure(courier, parcel, &response, &notice, &err);
}

static void courier_free(struct courier *courier)
{
    if (!courier)
        return;
    http_client_free(courier->client);
    arena_free(courier->arena);
    free(courier);
}
AUTO_FREE(struct courier, courier_free)

static void *courier_run(void *context)
{
    AUTO(courier_free) struct courier *courier = context;
    struct parcel *parcel;
    while ((parcel = queue_take(courier->queue)))
        deliver(courier, parcel);
    return NULL;
}

static struct courier *courier_new(struct carrier *carrier, size_t index, struct error *err)
{
    AUTO(courier_free) struct courier *courier = calloc(1, sizeof *courier);
    if (!courier || !(courier->arena = arena_new(ARENA_MAX))) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    courier->carrier = carrier;
    courier->receiver = &carrier->options.receivers[index];
    courier->queue = carrier->queues[index];
    courier->client = http_client_new(NULL, err);
    return courier->client ? TAKE(courier) : NULL;
}

static bool start_courier(struct carrier *carrier, size_t receiver, struct error *err)
{
    AUTO(courier_free) struct courier *courier = courier_new(carrier, receiver, err);
    if (!courier)
        return false;
    int failed = pthread_create(&carrier->threads[carrier->thread_count], NULL, courier_run, courier);
    if (failed)
        return error_set_errno(err, failed, "cannot start a thread");
    courier = NULL; /* the thread's own now */
    carrier->thread_count++;
    return true;
}

bool carrier_start(struct carrier *carrier, struct error *err)
{
    for (size_t i = 0; i < carrier->options.receiver_count; i++) {
        const struct receiver *receiver = &carrier->options.receivers[i];
        unsigned wanted = receiver->type_count > 0 ? receiver->concurrency : 0;
        for (unsigned k = 0; k < wanted && carrier->thread_count < THREADS_MAX; k++)
            if (!start_courier(carrier, i, err))
                return false;
    }
    return true;
}

void carrier_hold(struct carrier *carrier)
{
    for (size_t i = 0; carrier->queues && i < carrier->options.receiver_count; i++)
        if (carrier->queues[i])
            queue_close(carrier->queues[i]);
}

void carrier_stop(struct carrier *carrier)
{
    carrier_hold(carrier);
    for (size_t i = 0; i < carrier->thread_count; i++)
        pthread_join(carrier->threads[i], NULL);
    carrier->thread_count = 0;
}
