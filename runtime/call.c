#include "runtime/call.h"

#include "runtime/signature.h"

#include "runtime/cdevents.h"
#include "runtime/event_build.h"
#include "runtime/report.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/json_scan.h"
#include "shared/base/random.h"

#include <stdarg.h>
#include <string.h>

enum {
    EVENT_ID_LENGTH = 26, /* 130 bits of the hash */
    ATTRIBUTE_NAME_MAX = 20,
    REASON_MAX = 7 * 1024,  /* one reason, or those of many rules */
    RUNTIME_ATTRIBUTES = 5, /* correlationid, causationid, traceparent, tracestate, signature */
    QUEUE_MAX = 1000,
    DATA_USUAL = 1000,     /* bytes of an event's data, nearly always */
    DELIVERY_MIN_MS = 500, /* what working_ms() leaves for the answer at least, for a handler that took all its time */
};

/* --- memory -------------------------------------------------------------------------------------------------------------- */

struct arena *shim_take_arena(struct shim *shim, struct error *err)
{
    pthread_mutex_lock(&shim->lock);
    struct arena *arena = shim->arena_count > 0 ? shim->arenas[--shim->arena_count] : NULL;
    pthread_mutex_unlock(&shim->lock);
    if (!arena)
        arena = arena_new(CALL_MEMORY_MAX);
    if (!arena)
        error_set(err, ERROR_INTERNAL, "out of memory");
    return arena;
}

void shim_return_arena(struct shim *shim, struct arena *arena)
{
    arena_reset(arena);
    pthread_mutex_lock(&shim->lock);
    bool kept = shim->arena_count < sizeof shim->arenas / sizeof shim->arenas[0];
    if (kept)
        shim->arenas[shim->arena_count++] = arena;
    pthread_mutex_unlock(&shim->lock);
    if (!kept)
        arena_free(arena);
}

/* --- what a call knows ---------------------------------------------------------------------------------------------------- */

/* How long a handler may work when there are `whole_ms` until somebody stops waiting: five in a hundred, half a second at least, are
 * left for the answer. */
static int64_t working_ms(int64_t whole_ms)
{
    int64_t margin = whole_ms / 20 > 500 ? whole_ms / 20 : 500;
    return margin < whole_ms ? whole_ms - margin : whole_ms / 2;
}

/* The trace of the start of the chain stays in the attribute; only an event without one takes up the HTTP request's. */
static void take_trace(struct call *call, struct span http_parent, struct span http_state)
{
    struct span parent = http_parent, state = http_state;
    const char *attribute = call->event ? event_extension(call->event, "traceparent") : NULL;
    if (attribute && traceparent_is_valid(span_of(attribute))) {
        call->traceparent = attribute;
        call->tracestate = event_extension(call->event, "tracestate");
        return;
    }
    char *made = arena_take(call->arena, TRACEPARENT_SIZE);
    if (!made)
        return;
    traceparent_child(made, parent);
    call->traceparent = made;
    if (traceparent_is_valid(parent) && state.len > 0 && state.len <= TRACESTATE_MAX)
        call->tracestate = arena_dup(call->arena, state);
}

void call_begin(struct call *call, struct shim *shim, struct arena *arena, const struct event *event,
                struct span http_traceparent, struct span http_tracestate)
{
    *call = (struct call){ .shim = shim, .arena = arena, .event = event, .started_us = clock_monotonic_us() };
    call->deadline_ms = clock_monotonic_ms() + working_ms((int64_t)shim->manifest->timeout_s * 1000);
    if (event) {
        call->parent_source = event->source;
        call->parent_id = event->id;
    }
    take_trace(call, http_traceparent, http_tracestate);
}

void call_limit(struct call *call, int64_t allowance_ms)
{
    int64_t limit_ms = working_ms(allowance_ms);
    if (limit_ms < call_remaining_ms(call))
        call->deadline_ms = clock_monotonic_ms() + limit_ms;
}

void *call_state(struct call *call)
{
    return call->shim->state;
}

const struct event *call_event(struct call *call)
{
    return call->event;
}

struct arena *call_arena(struct call *call)
{
    return call->arena;
}

const struct json *call_data(struct call *call, struct error *err)
{
    if (call->data)
        return call->data;
    const struct event *event = call->event;
    if (!event || !event->data.data) {
        error_set(err, ERROR_INVALID, "the event has no data");
        return NULL;
    }
    if (!event->datacontenttype || !event_type_is_json(event->datacontenttype)) {
        error_set(err, ERROR_INVALID, "the event's data are not JSON");
        return NULL;
    }
    call->data = json_parse(call->arena, event->data, err);
    if (!call->data)
        error_wrap(err, "the event's data");
    return call->data;
}

/* A request that names no delivery of its own cannot be recognised when it comes again. */
static bool ensure_parent(struct call *call, struct error *err)
{
    if (call->parent_id)
        return true;
    uint8_t id[16];
    char text[UUID_SIZE];
    random_bytes(id, sizeof id);
    uuid_format(text, id);
    return call_set_parent(call, call->shim->source, text, err);
}

bool call_set_parent(struct call *call, const char *source, const char *id, struct error *err)
{
    if (!*source || !*id)
        return error_set(err, ERROR_INTERNAL, "a parent needs a source and an id");
    const char *source_copy = arena_dup(call->arena, span_of(source));
    const char *id_copy = arena_dup(call->arena, span_of(id));
    if (!source_copy || !id_copy)
        return event_no_room(call->arena, err);
    call->parent_source = source_copy;
    call->parent_id = id_copy;
    call->chain_id = NULL;
    return true;
}

bool call_go_on_with(struct call *call, const char *source, const char *id, const char *chain_id, struct error *err)
{
    const char *chain = arena_dup(call->arena, span_of(chain_id));
    if (!chain)
        return event_no_room(call->arena, err);
    if (!call_set_parent(call, source, id, err))
        return false;
    call->chain_id = chain;
    return true;
}

static void hash_part(struct sha256 *sha, const char *text)
{
    if (text)
        sha256_update(sha, text, strlen(text));
    sha256_update(sha, "\n", 1);
}

/* UUID-shaped, and the same whenever the same delivery comes again. */
static const char *derive_chain_id(struct call *call)
{
    struct sha256 sha;
    uint8_t hash[SHA256_SIZE];
    sha256_init(&sha);
    hash_part(&sha, call->parent_source);
    hash_part(&sha, call->parent_id);
    sha256_final(&sha, hash);
    char *id = arena_take(call->arena, UUID_SIZE);
    if (id)
        uuid_format(id, hash);
    return id;
}

const char *call_chain_id(struct call *call)
{
    if (call->chain_id)
        return call->chain_id;
    struct error ignored = { 0 };
    const char *id = NULL;
    if (call->event) {
        id = event_extension(call->event, "correlationid");
        if (!id || !*id)
            id = cdevent_chain_id(call->arena, call->event->data);
    }
    if (!id && ensure_parent(call, &ignored))
        id = derive_chain_id(call);
    call->chain_id = id;
    return id ? id : "";
}

int64_t call_remaining_ms(struct call *call)
{
    int64_t left = call->deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

/* Told to stop, a call may still use the time that the platform gives before it kills. */
bool call_cancelled(void *context)
{
    struct call *call = context;
    int64_t stop_ms = stop_requested_ms();
    return call_remaining_ms(call) == 0 ||
           (stop_ms != 0 && clock_monotonic_ms() - stop_ms >= working_ms(call->shim->drain_ms));
}

/* --- emitting ------------------------------------------------------------------------------------------------------------- */

static const char *derived_id(struct call *call, const struct draft *draft)
{
    struct sha256 sha;
    uint8_t hash[SHA256_SIZE];
    char text[(SHA256_SIZE * 8 + 4) / 5 + 1];
    sha256_init(&sha);
    hash_part(&sha, call->parent_source);
    hash_part(&sha, call->parent_id);
    hash_part(&sha, call->shim->manifest->name);
    hash_part(&sha, draft->type);
    hash_part(&sha, draft->rule);
    hash_part(&sha, draft->target);
    sha256_final(&sha, hash);
    base32_encode(text, hash, sizeof hash);
    return arena_dup(call->arena, (struct span){ text, EVENT_ID_LENGTH });
}

static bool is_queued(const struct call *call, const char *id)
{
    for (const struct queued *q = call->first; q; q = q->next)
        if (strcmp(q->event.id, id) == 0)
            return true;
    return false;
}

/* What only the function's own code can get wrong is its fault, not the event's: ERROR_INTERNAL. */
static bool check_object(const char *what, struct span json, struct error *err)
{
    struct error malformed = { 0 };
    if (!json_scan(json, NULL, 0, NULL, NULL, &malformed))
        return error_set(err, ERROR_INTERNAL, "%s: %s", what, malformed.message);
    if (!span_starts(span_trim(json), "{"))
        return error_set(err, ERROR_INTERNAL, "%s must be a JSON object", what);
    return true;
}

static bool check_attributes(const struct draft *draft, struct error *err)
{
    if (draft->attribute_count > EVENT_ATTRIBUTES_MAX - RUNTIME_ATTRIBUTES)
        return error_set(err, ERROR_INTERNAL, "more than %d attributes", EVENT_ATTRIBUTES_MAX - RUNTIME_ATTRIBUTES);
    struct error bad_name = { 0 };
    for (size_t i = 0; i < draft->attribute_count; i++) {
        const char *name = draft->attributes[i].name;
        if (!event_name_check(name, &bad_name))
            return error_set(err, ERROR_INTERNAL, "%s", bad_name.message);
        if (strlen(name) > ATTRIBUTE_NAME_MAX)
            return error_set(err, ERROR_INTERNAL, "attribute name '%s' is longer than %d characters", name,
                             ATTRIBUTE_NAME_MAX);
    }
    return true;
}

static bool check_draft(const struct call *call, const struct draft *draft, struct error *err)
{
    if (call->queued >= QUEUE_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d events out of one call", QUEUE_MAX);
    if (!manifest_lists(&call->shim->manifest->out, draft->type) && strcmp(draft->type, DECISION_SKIPPED) != 0)
        return error_set(err, ERROR_INTERNAL, "fn.json does not list it under \"out\"");
    if (!draft->subject || !*draft->subject)
        return error_set(err, ERROR_INTERNAL, "it has no subject");
    return check_object("content", draft->content, err) &&
           (!draft->custom.data || check_object("custom data", draft->custom, err)) && check_attributes(draft, err);
}

static bool write_data(struct call *call, const struct draft *draft, struct event *event, struct error *err)
{
    const struct cdevent cdevent = {
        .id = event->id,
        .source = event->source,
        .type = event->type,
        .timestamp = event->time,
        .chain_id = call_chain_id(call),
        .parent_id = call->event ? call->parent_id : NULL,
        .subject = draft->subject,
        .subject_source = draft->subject_source,
        .content = draft->content,
        .custom = draft->custom,
    };
    struct bytes text = ARENA_BYTES(call->arena, EVENT_MAX);
    if (!bytes_reserve(&text, DATA_USUAL, err) || !cdevent_write(&text, &cdevent, err))
        return false;
    event->data = bytes_span(&text);
    return true;
}

/* The routing keys, then what the runtime adds; room is left for the signature. */
static struct attribute *fill_attributes(struct call *call, const struct draft *draft, size_t *count)
{
    struct attribute *list = arena_take(call->arena, (draft->attribute_count + RUNTIME_ATTRIBUTES) * sizeof *list);
    if (!list)
        return NULL;
    const struct attribute added[] = {
        { "correlationid", call_chain_id(call), ATTRIBUTE_STRING },
        { "causationid", call->event ? call->parent_id : NULL, ATTRIBUTE_STRING },
        { "traceparent", call->traceparent, ATTRIBUTE_STRING },
        { "tracestate", call->tracestate, ATTRIBUTE_STRING },
    };
    for (size_t i = 0; i < draft->attribute_count; i++)
        list[(*count)++] = draft->attributes[i];
    for (size_t i = 0; i < sizeof added / sizeof added[0]; i++)
        if (added[i].value)
            list[(*count)++] = added[i];
    return list;
}

/* Copies, so that nothing of the handler's is needed when the event is delivered. */
static bool copy_attributes(struct arena *arena, struct attribute *list, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        list[i].name = arena_dup(arena, span_of(list[i].name));
        list[i].value = arena_dup(arena, span_of(list[i].value));
        if (!list[i].name || !list[i].value)
            return event_no_room(arena, err);
    }
    return true;
}

static bool sign(struct call *call, struct event *event, struct error *err)
{
    const struct shim *shim = call->shim;
    if (shim->sink && !sink_override(shim->sink, call->arena, event, err))
        return false;
    if (!shim->keyring)
        return true;
    struct attribute *list = arena_take(call->arena, (event->extension_count + 1) * sizeof *list);
    const char *value = signature_make(shim->keyring, call->arena, event, err);
    if (!list || !value)
        return !list ? event_no_room(call->arena, err) : false;
    memcpy(list, event->extensions, event->extension_count * sizeof *list);
    list[event->extension_count] = (struct attribute){ .name = SIGNATURE_ATTRIBUTE, .value = value };
    event->extensions = list;
    event->extension_count++;
    return true;
}

static bool fill_event(struct call *call, const struct draft *draft, struct event *event, struct error *err)
{
    char time[RFC3339_SIZE];
    rfc3339_format(time, clock_wall_ms());
    event->source = call->shim->source;
    event->type = arena_dup(call->arena, span_of(draft->type));
    event->subject = arena_dup(call->arena, span_of(draft->subject));
    event->time = arena_dup(call->arena, span_of(time));
    event->datacontenttype = "application/json";
    size_t count = 0;
    struct attribute *list = fill_attributes(call, draft, &count);
    if (!event->type || !event->subject || !event->time || !list)
        return event_no_room(call->arena, err);
    event->extensions = list;
    event->extension_count = count;
    return copy_attributes(call->arena, list, count, err) && write_data(call, draft, event, err) &&
           sign(call, event, err) && event_check(event, err);
}

static void append(struct call *call, struct queued *queued)
{
    if (call->last)
        call->last->next = queued;
    else
        call->first = queued;
    call->last = queued;
    if (!call->undelivered)
        call->undelivered = queued;
    call->queued++;
}

bool call_emit(struct call *call, const struct draft *draft, struct error *err)
{
    if (!check_draft(call, draft, err) || !ensure_parent(call, err))
        return error_wrap(err, "event '%s'", draft->type);
    struct queued *queued = arena_take(call->arena, sizeof *queued);
    const char *id = derived_id(call, draft);
    if (!queued || !id)
        return event_no_room(call->arena, err);
    if (is_queued(call, id))
        return error_set(err, ERROR_INTERNAL, "event '%s': a second one about the same rule and target", draft->type);
    queued->event.id = id;
    if (!fill_event(call, draft, &queued->event, err))
        return error_wrap(err, "event '%s'", draft->type);
    append(call, queued);
    return true;
}

/* What a decision is about, when the handler names nothing. */
static const char *skip_subject(const struct call *call, const char *rule)
{
    if (rule && *rule)
        return rule;
    if (call->event && call->event->subject)
        return call->event->subject;
    return call->shim->manifest->name;
}

bool call_skip(struct call *call, const char *rule, const char *target, struct error *err, const char *format, ...)
{
    char reason[REASON_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    struct bytes content = ARENA_BYTES(call->arena, 16 * 1024);
    struct json_writer w = json_writer_on(&content);
    json_open_object(&w, NULL);
    json_add_string(&w, "rule", rule);
    json_add_span(&w, "reason", span_of(reason));
    json_close_object(&w);
    if (!json_writer_end(&w, err))
        return false;
    report_skip(call, rule, reason);
    const struct draft draft = { .type = DECISION_SKIPPED,
                                 .subject = skip_subject(call, rule),
                                 .content = bytes_span(&content),
                                 .rule = rule,
                                 .target = target };
    /* A second reason against the same thing is for the log: the first one decided. */
    const char *id = ensure_parent(call, err) ? derived_id(call, &draft) : NULL;
    if (id && is_queued(call, id))
        return true;
    call->skipped++;
    return call_emit(call, &draft, err);
}

/* --- delivering ----------------------------------------------------------------------------------------------------------- */

int64_t call_delivery_ms(struct call *call)
{
    int64_t left = call_remaining_ms(call);
    return left < DELIVERY_MIN_MS ? DELIVERY_MIN_MS : left;
}

void call_accepted(struct call *call, int status)
{
    metrics_sent(call->shim->metrics, span_of(call->undelivered->event.type), status);
    call->undelivered = call->undelivered->next;
    call->first_attempt = NULL;
}

bool call_deliver(struct call *call, struct error *err)
{
    const struct outlet *outlet = &call->shim->outlet;
    if (call->undelivered && !outlet->deliver) {
        call->delivering_failed = true;
        return error_set(err, ERROR_INTERNAL, "no sink is configured for the events: set K_SINK or PUSHWRIGHT_SINK");
    }
    while (call->undelivered) {
        const struct event *event = &call->undelivered->event;
        int status = 0;
        if (outlet->deliver(outlet->context, event, call->first_attempt, call_delivery_ms(call), &status, err)) {
            call_accepted(call, status);
            continue;
        }
        metrics_sent(call->shim->metrics, span_of(event->type), status);
        /* That the sink refuses for good is no word about the event that came in: it must be tried again, not dropped. */
        call->delivering_failed = true;
        if (err->kind != ERROR_UNCERTAIN)
            err->kind = ERROR_UNAVAILABLE;
        return false;
    }
    return true;
}

bool call_flush(struct call *call, struct error *err)
{
    return !call->shim->outlet.deliver || call_deliver(call, err);
}

const char *call_outcome(const struct call *call)
{
    return call->skipped > 0 && call->skipped == call->queued ? "ignored" : "done";
}

/* --- handling ------------------------------------------------------------------------------------------------------------- */

bool call_handle(struct call *call, struct error *err)
{
    struct shim *shim = call->shim;
    bool tells_time = manifest_lists(&shim->manifest->timer, call->event->type);
    if (shim->manifest->is_signed && !tells_time && !shim->trust_platform &&
        !signature_verify(shim->keyring, call->event, err))
        return false;
    if (!tells_time && !manifest_lists(&shim->manifest->in, call->event->type)) {
        call->skipped++;
        report_skip(call, NULL, "the function does not take events of this type");
        return true;
    }
    int64_t begun_us = clock_monotonic_us();
    bool good = shim->function->handle(call, err);
    metrics_handler(shim->metrics, clock_monotonic_us() - begun_us);
    return good;
}

bool call_seal(void *call, struct span data, uint8_t mac[static 32])
{
    return keyring_seal(((const struct call *)call)->shim->keyring, data, mac);
}

bool call_sealed(void *call, struct span data, const uint8_t mac[static 32])
{
    return keyring_sealed(((const struct call *)call)->shim->keyring, data, mac);
}
