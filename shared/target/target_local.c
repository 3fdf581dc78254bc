/* The embedded target: the service agent inside `pushwright up`, by its HTTP API (runtime/local/services.h). */
#include "shared/target/target.h"

#include "shared/base/clock.h"
#include "shared/http/client.h"

#include <string.h>

enum { TEXT_MAX = 256 * 1024, CALL_TIMEOUT_MS = 10000, LONG_POLL_MS = 2000 };

struct local {
    const struct config_target *where;
    const struct target_options *options;
    const char *socket;
    struct http_client *client;
};

static void local_close(void *self)
{
    struct local *local = self;
    http_client_free(local->client);
    free(local);
}

static void *local_open(const struct config_target *where, const struct target_options *options, struct error *err)
{
    const char *platform = getenv("PUSHWRIGHT_LOCAL_PLATFORM");
    if (!platform || strncmp(platform, "unix:", 5) != 0) {
        error_set(err, ERROR_UNAVAILABLE,
                  "cluster 'local' is there inside 'pushwright up' only (PUSHWRIGHT_LOCAL_PLATFORM is not set)");
        return NULL;
    }
    struct local *local = calloc(1, sizeof *local);
    if (!local) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    *local = (struct local){
        .where = where, .options = options, .socket = platform + 5, .client = http_client_new(NULL, err)
    };
    if (local->client)
        return local;
    local_close(local);
    return NULL;
}

/* One call about the service; the answer of any status. */
static bool ask(struct local *local, const char *method, const char *query, const struct http_header *headers,
                size_t count, struct span body, struct http_response *response, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(4096);
    if (!bytes_printf(&url, err, "http://localhost/services/%s/%s%s", local->where->namespace, local->where->workload,
                      query))
        return false;
    const struct http_request request = {
        .method = method,
        .url = bytes_text(&url),
        .unix_socket = local->socket,
        .headers = headers,
        .header_count = count,
        .body = body,
        .timeout_ms = CALL_TIMEOUT_MS,
    };
    if (!http_call(local->client, &request, response, err))
        return error_wrap(err, "the local platform");
    return true;
}

static enum rollout rollout_of(const char *state)
{
    static const struct {
        const char *name;
        enum rollout rollout;
    } rows[] = { { "running", ROLLOUT_RUNNING }, { "starting", ROLLOUT_STARTING }, { "failed", ROLLOUT_FAILED } };
    for (size_t i = 0; state && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, state) == 0)
            return rows[i].rollout;
    return ROLLOUT_NONE;
}

static bool understand(struct arena *arena, const struct http_response *response, struct workload *out,
                       struct error *err)
{
    *out = (struct workload){ .rollout = ROLLOUT_NONE, .kept = true };
    if (response->status == 404)
        return true;
    /* The tree's strings point into the text's copy: both live in the arena. */
    char *text = arena_dup(arena, bytes_span(&response->body));
    const struct json *state = text ? json_parse(arena, span_of(text), err) : NULL;
    if (!state)
        return error_set(err, ERROR_UNAVAILABLE, "the local platform answered %d and no state", response->status);
    out->rollout = rollout_of(json_get_string(state, "state"));
    (void)json_integer(json_get(state, "generation"), &out->generation);
    out->image = json_get_string(state, "image");
    out->running_image = json_get_string(state, "runningImage");
    out->reason = json_get_string(state, "reason");
    out->url = json_get_string(state, "url");
    return marks_read(arena, json_get(state, "annotations"), &out->marks, err) && workload_view(out, arena, err);
}

/* What the platform said about a refusal is worth more than the status. */
static bool refused(const struct http_response *response, const char *what, struct error *err)
{
    enum error_kind kind = response->status == 409   ? ERROR_CONFLICT
                           : response->status == 501 ? ERROR_UNSUPPORTED
                           : response->status < 500  ? ERROR_INVALID
                                                     : ERROR_UNAVAILABLE;
    return error_set(err, kind, "the local platform refused to %s: %d %.600s", what, response->status,
                     bytes_text(&response->body));
}

static bool local_read(void *self, struct arena *arena, struct workload *out, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { 0 };
    struct span nothing = { NULL, 0 };
    if (!ask(self, "GET", "", NULL, 0, nothing, &response, err))
        return false;
    if (response.status != 200 && response.status != 404)
        return refused(&response, "tell what runs", err);
    return understand(arena, &response, out, err);
}

static void add_marks(struct json_writer *w, const struct marks *marks)
{
    json_open_object(w, "annotations");
    for (const struct mark *mark = mark_table; mark < mark_table + mark_count; mark++)
        json_add_string(w, mark->annotation, mark_of(marks, mark));
    json_close_object(w);
}

static bool write_wish(struct bytes *out, const struct config_target *where, const struct wish *wish, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "image", wish->image);
    json_add_integer(&w, "containerPort", where->container_port);
    json_add_string(&w, "servicePort", where->service_port);
    json_add_integer(&w, "readyTimeoutSeconds", where->ready_timeout_s);
    add_marks(&w, &wish->marks);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* A change of that generation. */
static bool change(struct local *local, const char *method, struct span body, int64_t generation,
                   struct http_response *response, struct error *err)
{
    char match[24];
    snprintf(match, sizeof match, "%lld", (long long)generation);
    const struct http_header headers[] = { { "Content-Type", "application/json" }, { "If-Match", match } };
    return ask(local, method, "", headers, 2, body, response, err);
}

static bool local_note(void *self, struct arena *arena, const struct workload *now, const struct marks *more,
                       struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(TEXT_MAX);
    AUTO(http_response_release) struct http_response response = { 0 };
    struct json_writer w = json_writer_on(&body);
    (void)arena;
    json_open_object(&w, NULL);
    add_marks(&w, more);
    json_close_object(&w);
    return json_writer_end(&w, err) && change(self, "PATCH", bytes_span(&body), now->generation, &response, err) &&
           (response.status == 200 || refused(&response, "note what became of it", err));
}

static bool local_apply(void *self, struct arena *arena, const struct wish *wish, struct workload *now,
                        struct error *err)
{
    struct local *local = self;
    AUTO(bytes_release) struct bytes body = BYTES(TEXT_MAX);
    AUTO(http_response_release) struct http_response response = { 0 };
    if (!wish->image)
        return local_note(self, arena, now, &wish->marks, err) && local_read(self, arena, now, err);
    if (!write_wish(&body, local->where, wish, err) ||
        !change(local, "PUT", bytes_span(&body), now->generation, &response, err))
        return false;
    if (response.status >= 300)
        return refused(&response, "start the image", err);
    return understand(arena, &response, now, err);
}

static bool is_cancelled(const struct local *local)
{
    return local->options->cancelled && local->options->cancelled(local->options->context);
}

static bool local_wait(void *self, struct arena *arena, struct workload *now, int64_t timeout_ms, struct error *err)
{
    int64_t until = clock_monotonic_ms() + timeout_ms, generation = now->generation;
    for (;;) {
        int64_t left = until - clock_monotonic_ms();
        char query[80];
        AUTO(http_response_release) struct http_response response = { 0 };
        struct span nothing = { NULL, 0 };
        snprintf(query, sizeof query, "?wait=%lld&timeout=%lld", (long long)generation,
                 (long long)(left < LONG_POLL_MS ? (left > 0 ? left : 0) : LONG_POLL_MS));
        if (!ask(self, "GET", query, NULL, 0, nothing, &response, err))
            return false;
        if (response.status != 200 && response.status != 404)
            return refused(&response, "tell what runs", err);
        if (!understand(arena, &response, now, err))
            return false;
        if (now->rollout != ROLLOUT_STARTING || now->generation != generation || left <= 0 || is_cancelled(self))
            return true;
    }
}

const struct target_kind target_local = {
    .cluster = "local",
    .open = local_open,
    .close = local_close,
    .read = local_read,
    .apply = local_apply,
    .wait = local_wait,
    .note = local_note,
};
