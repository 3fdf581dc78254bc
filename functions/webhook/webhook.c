/* webhook: HTTP from git hosts, registries and people.
 *
 *   POST /hooks/NAME    a delivery for the source NAME (git host or registry)
 *   POST /              the same for the only source of the kind that the headers speak of
 *   POST /builds/NAME   build now, for who holds the API token
 *   POST /              a timer's event: compare the refs with what was built; an image's: compare the bases (reconcile.h)
 *
 * Verified over the raw bytes before anything is parsed. A sender is told 2xx only when the next hop has every event; what is not of
 * interest is 200 with the reason, because a refusal makes git hosts switch the hook off. */
#include "functions/webhook/builds.h"
#include "functions/webhook/images.h"
#include "functions/webhook/push.h"
#include "functions/webhook/reconcile.h"

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/random.h"

#include <string.h>
#include <strings.h>

enum {
    JSON_MAX = 26 * 1024 * 1024, /* GitHub and GitLab send up to 25 MB; a form may triple it on the way */
    REPLY_MAX = 256 * 1024,
    DECISIONS_MAX = 32, /* of a reply, which people read; every one is an event, too */
};

static void stop(void *opaque)
{
    struct webhook_state *state = opaque;
    if (!state)
        return;
    for (size_t i = 0; state->senders && i < state->config->source_count; i++)
        sender_release(&state->senders[i]);
    free(state->senders);
    reconciler_free(state->reconciler);
    secret_free(state->api_token);
    config_free(state->config);
    free(state);
}
AUTO_FREE(void, stop)

static bool start(void **out, struct error *err)
{
    AUTO(stop) void *owned = calloc(1, sizeof(struct webhook_state));
    struct webhook_state *state = owned;
    if (!state)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    state->config = config_load(NULL, err);
    if (!state->config)
        return false;
    state->senders = calloc(state->config->source_count + 1, sizeof *state->senders);
    if (!state->senders)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < state->config->source_count; i++)
        if (!sender_load(&state->senders[i], &state->config->sources[i], err))
            return false;
    const struct secret_reference *token = &state->config->api_token;
    if (secret_reference_is_set(token) && !(state->api_token = secret_reference_load(token, err)))
        return error_wrap(err, "the API token");
    state->reconciler = reconciler_new(state->config, err);
    if (!state->reconciler)
        return false;
    *out = TAKE(owned);
    return true;
}

/* --- replies ------------------------------------------------------------------------------------------------------- */

static void add_decisions(struct json_writer *w, const struct decision *skipped)
{
    if (!skipped)
        return;
    json_open_array(w, "skipped");
    for (size_t i = 0; skipped && i < DECISIONS_MAX; skipped = skipped->next, i++) {
        json_open_object(w, NULL);
        json_add_string(w, "build", skipped->build);
        json_add_string(w, "reason", skipped->reason);
        json_close_object(w);
    }
    json_close_array(w);
}

static bool tell(struct reply *reply, int status, const struct verdict *verdict, struct error *err)
{
    reply->status = status;
    reply->content_type = "application/json";
    bytes_init(&reply->body, REPLY_MAX);
    struct json_writer w = json_writer_on(&reply->body);
    json_open_object(&w, NULL);
    json_add_string(&w, "status", verdict->queued || verdict->published ? "accepted" : "ignored");
    json_add_integer(&w, "builds", (int64_t)verdict->queued);
    json_add_integer(&w, "images", (int64_t)verdict->published);
    json_add_string(&w, "reason", verdict->queued || verdict->published ? NULL : verdict->reason);
    add_decisions(&w, verdict->skipped);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool tell_verdict(struct reply *reply, const struct verdict *verdict, struct error *err)
{
    return tell(reply, verdict->queued || verdict->published ? 202 : 200, verdict, err);
}

/* --- deliveries ---------------------------------------------------------------------------------------------------- */

static bool is_form(const struct request *request)
{
    static const char form[] = "application/x-www-form-urlencoded";
    struct span type = request_header(request, "Content-Type", NULL);
    return type.len >= sizeof form - 1 && strncasecmp(type.data, form, sizeof form - 1) == 0;
}

/* payload=<percent-encoded JSON>, as GitHub, Gitea and Forgejo send when a hook is set to forms. */
static bool json_of_form(struct span form, struct bytes *decoded, struct span *json, struct error *err)
{
    while (form.data) {
        struct span value = span_cut(&form, '&');
        if (!span_is(span_cut(&value, '='), "payload"))
            continue;
        if (!percent_decode(decoded, value, true, err))
            return error_wrap(err, "the form's payload");
        *json = bytes_span(decoded);
        return true;
    }
    return error_set(err, ERROR_INVALID, "the form has no member 'payload'");
}

/* What is signed is the text as it was sent; nobody who takes part in this compresses. */
static bool check_encoding(const struct request *request, struct error *err)
{
    struct span encoding = request_header(request, "Content-Encoding", NULL);
    return encoding.len == 0 || span_is(encoding, "identity") ||
           error_set(err, ERROR_UNSUPPORTED, "Content-Encoding '%.*s': send the body as it is",
                     encoding.len < 40 ? (int)encoding.len : 40, encoding.data);
}

/* What makes the events' ids: a redelivery keeps the delivery's id, so it makes the same events again. */
static bool name_parent(struct call *call, const struct sender *sender, const struct request *request,
                        const char *override, struct error *err)
{
    char hash[SHA256_HEX_SIZE];
    struct span delivery = sender_delivery(sender, request);
    const char *id = override;
    if (!id && delivery.len > 0)
        id = arena_dup(call_arena(call), delivery);
    if (!id) {
        sha256_hex_of(request->body, hash);
        id = arena_printf(call_arena(call), "sha256:%s", hash);
    }
    const char *from = arena_printf(call_arena(call), "/pushwright/hooks/%s", sender->source->name);
    return (id && from && call_set_parent(call, from, id, err)) || error_wrap(err, "the delivery's id");
}

static bool take_push(struct call *call, const struct sender *sender, const struct request *request, struct span json,
                      struct reply *reply, struct error *err)
{
    struct verdict verdict = { 0 };
    struct change change;
    const struct config_source *source = sender->source;
    if (!push_read(call_arena(call), source->kind, sender_event(sender, request), json, &change, err))
        return false;
    verdict.reason = change.ignored;
    if (change.ignored)
        return tell_verdict(reply, &verdict, err);
    return name_parent(call, sender, request, change.delivery, err) &&
           builds_for_push(call, source, &change, &verdict, err) && tell_verdict(reply, &verdict, err);
}

static bool take_notification(struct call *call, const struct sender *sender, const struct request *request,
                              struct span json, struct reply *reply, struct error *err)
{
    struct verdict verdict = { 0 };
    return name_parent(call, sender, request, NULL, err) &&
           images_notified(call, sender->source, json, &verdict, err) && tell_verdict(reply, &verdict, err);
}

/* A form must be taken apart before it is verified, since some hosts sign what is in it; what is wrong with it is told only to who signed. */
static bool take_delivery(struct call *call, const struct sender *sender, const struct request *request,
                          struct reply *reply, struct error *err)
{
    AUTO(bytes_release) struct bytes decoded = BYTES(JSON_MAX);
    struct error bad_form = { 0 };
    struct span json = request->body;
    bool is_registry = sender->source->kind == SOURCE_REGISTRY, in_form = is_form(request) && !is_registry;
    if (!in_form && json.len > JSON_MAX)
        return error_set(err, ERROR_TOO_LARGE, "a body of %zu bytes; at most %d are taken", json.len, JSON_MAX);
    bool readable = !in_form || json_of_form(request->body, &decoded, &json, &bad_form);
    if (!readable && bad_form.kind == ERROR_TOO_LARGE) {
        *err = bad_form;
        return false;
    }
    if (!sender_verify(sender, request, readable ? json : SPAN(""), err) || !check_encoding(request, err))
        return false;
    if (!readable) {
        *err = bad_form;
        return false;
    }
    return (is_registry ? take_notification : take_push)(call, sender, request, json, reply, err);
}

/* --- routes -------------------------------------------------------------------------------------------------------- */

static const struct sender *sender_named(const struct webhook_state *state, struct span name)
{
    for (size_t i = 0; i < state->config->source_count; i++)
        if (span_is(name, state->config->sources[i].name))
            return &state->senders[i];
    return NULL;
}

static bool route_hook(struct call *call, const struct request *request, struct span name, struct reply *reply,
                       struct error *err)
{
    const struct sender *sender = sender_named(call_state(call), name);
    if (!sender)
        return error_set(err, ERROR_DENIED, "the configuration has no source of this name");
    return take_delivery(call, sender, request, reply, err);
}

static bool route_root(struct call *call, const struct request *request, struct span rest, struct reply *reply,
                       struct error *err)
{
    const struct webhook_state *state = call_state(call);
    enum source_kind kind = sender_detect(request);
    const struct sender *sender = NULL;
    (void)rest;
    enum reconcile_asked asked = reconcile_asked(call, request);
    if (asked != RECONCILE_NOTHING) {
        reply->status = 202;
        return (asked == RECONCILE_ALL ? reconcile_run : reconcile_bases)(state->reconciler, call, err);
    }
    for (size_t i = 0; i < state->config->source_count; i++) {
        if (state->config->sources[i].kind != kind)
            continue;
        if (sender)
            return error_set(err, ERROR_DENIED, "there are several sources of this kind: send to /hooks/NAME");
        sender = &state->senders[i];
    }
    if (!sender)
        return error_set(err, ERROR_DENIED, "no source of the configuration sends like this: send to /hooks/NAME");
    return take_delivery(call, sender, request, reply, err);
}

static bool authorise(struct call *call, const struct request *request, struct error *err)
{
    const struct webhook_state *state = call_state(call);
    size_t count = 0;
    struct span value = request_header(request, "Authorization", &count);
    if (!state->api_token)
        return error_set(
            err, ERROR_DENIED,
            "the configuration names no API token (\"api\": {\"token\": ...}), so nobody may ask for builds");
    if (count != 1 || value.len < 7 || strncasecmp(value.data, "Bearer ", 7) != 0)
        return error_set(err, ERROR_DENIED, "send 'Authorization: Bearer TOKEN' with the API token");
    struct span token = { value.data + 7, value.len - 7 };
    return secret_equal(state->api_token, token) || error_set(err, ERROR_DENIED, "this is not the API token");
}

/* A person who asks again wants it again: the parent is new each time, unless the request says it is a retry. */
static bool route_builds(struct call *call, const struct request *request, struct span name, struct reply *reply,
                         struct error *err)
{
    const struct webhook_state *state = call_state(call);
    struct verdict verdict = { 0 };
    char id[UUID_SIZE];
    uint8_t raw[16];
    if (!authorise(call, request, err))
        return false;
    const char *wanted = arena_dup(call_arena(call), name);
    const struct config_build *build = wanted ? config_find_build(state->config, wanted) : NULL;
    if (!build)
        return error_set(err, ERROR_INVALID, "the configuration has no build '%.*s'",
                         name.len < 100 ? (int)name.len : 100, name.data);
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw);
    struct span key = request_header(request, "Idempotency-Key", NULL);
    const char *parent = key.len > 0 ? arena_dup(call_arena(call), key) : id;
    return parent && call_set_parent(call, "/pushwright/builds", parent, err) &&
           builds_on_request(call, build, request->body, &verdict, err) && tell_verdict(reply, &verdict, err);
}

static const struct {
    const char *prefix;
    bool exact;
    bool (*take)(struct call *, const struct request *, struct span rest, struct reply *, struct error *);
} routes[] = {
    { "/hooks/", false, route_hook },
    { "/builds/", false, route_builds },
    { "/", true, route_root },
};

static bool serve(struct call *call, const struct request *request, struct reply *reply, struct error *err)
{
    if (!span_is(request->method, "POST")) {
        reply->status = 405;
        reply->allow = "POST";
        return true;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        size_t n = strlen(routes[i].prefix);
        struct span rest = { request->path.data + n, request->path.len - n };
        if (span_starts(request->path, routes[i].prefix) && (!routes[i].exact || rest.len == 0))
            return routes[i].take(call, request, rest, reply, err);
    }
    return error_set(err, ERROR_INVALID, "send deliveries to /hooks/NAME and wishes to /builds/NAME");
}

FUNCTION(.start = start, .stop = stop, .serve = serve)
