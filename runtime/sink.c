#include "runtime/sink.h"

#include "runtime/event_build.h"
#include "runtime/trace.h"
#include "runtime/wire.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/http/client.h"
#include "shared/http/url.h"
#include "shared/secrets/secret.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
    ATTEMPT_TIMEOUT_MS = 10 * 1000,
    BUDGET_MS = 20 * 1000,
    PAUSE_FIRST_MS = 100,
    PAUSE_MAX_MS = 5 * 1000,
    OVERRIDES_MAX = 64 * 1024,
    CERTIFICATES_MAX = 1024 * 1024,
    HEADERS_MAX = 256 * 1024,
    EXTRA_HEADERS = 3, /* traceparent, tracestate, Authorization */
    HEADER_COUNT_MAX = EVENT_ATTRIBUTES_MAX + 8 + EXTRA_HEADERS,
    ANSWER_MAX = 64 * 1024,
    ADDRESS_KEPT_MS = 10 * 1000, /* what a name server said is taken as true for so long */
};
static const char CERTIFICATES_DIRECTORY[] = "/knative-custom-certs";
static const char TOKEN_FILE[] = "/oidc/token";

/* One of the two: the wire for plain hops, the full client for TLS and proxies. */
struct pooled {
    struct wire *wire;
    struct http_client *client;
    struct pooled *next;
};

struct sink {
    char *url, *unix_socket, *name, *token_file, *extra_ca_pem;
    bool is_plain;       /* no TLS and no proxy on the way */
    struct arena *arena; /* of the overrides */
    struct attribute *overrides;
    size_t override_count;
    long attempt_timeout_ms, budget_ms;
    pthread_mutex_t lock; /* guards what follows */
    struct pooled *idle;
    struct wire_address address; /* where a delivery has connected last */
    int64_t address_ms;
};

/* --- making -------------------------------------------------------------------------------------------------------------- */

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory for the sink");
}

static bool copy_text(char **to, const char *text, struct error *err)
{
    if (!text)
        return true;
    *to = strdup(text);
    return *to || out_of_memory(err);
}

static bool set_url(struct sink *sink, const char *url, struct error *err)
{
    if (strncmp(url, "unix:", 5) == 0) {
        if (url[5] != '/')
            return error_set(err, ERROR_INVALID, "the sink's socket must be named as unix:/path");
        return copy_text(&sink->url, "http://localhost/", err) && copy_text(&sink->unix_socket, url + 5, err) &&
               copy_text(&sink->name, url, err);
    }
    struct url parts;
    if (!url_parse(span_of(url), &parts, err))
        return false;
    if (!span_is(parts.scheme, "http") && !span_is(parts.scheme, "https"))
        return error_set(err, ERROR_INVALID, "the sink's URL must be http, https or unix:/path");
    AUTO(bytes_release) struct bytes name = BYTES(strlen(url) + 64);
    return copy_text(&sink->url, url, err) && url_redacted(&name, span_of(url), err) &&
           copy_text(&sink->name, bytes_text(&name), err);
}

static const char *override_value(struct arena *arena, const struct json *member, struct error *err)
{
    int64_t number;
    const char *text = json_string(member);
    if (text)
        return text;
    if (json_type(member) == JSON_BOOLEAN)
        return json_boolean(member, false) ? "true" : "false";
    if (json_integer(member, &number) && number >= INT32_MIN && number <= INT32_MAX) {
        text = arena_printf(arena, "%d", (int)number);
        if (!text)
            event_no_room(arena, err);
        return text;
    }
    error_set(err, ERROR_INVALID, "extension '%s' is neither text, a whole number nor a boolean", json_key(member));
    return NULL;
}

/* {"extensions":{"name":"value"}} */
static bool set_overrides(struct sink *sink, const char *text, struct error *err)
{
    if (!text || !*text)
        return true;
    sink->arena = arena_new(OVERRIDES_MAX);
    const struct json *root = sink->arena ? json_parse(sink->arena, span_of(text), err) : NULL;
    if (!root)
        return sink->arena ? false : out_of_memory(err);
    const struct json *extensions = json_get(root, "extensions");
    size_t count = json_count(extensions);
    if (count > EVENT_ATTRIBUTES_MAX / 2)
        return error_set(err, ERROR_TOO_LARGE, "more than %d extensions", EVENT_ATTRIBUTES_MAX / 2);
    sink->overrides = arena_take(sink->arena, (count + 1) * sizeof *sink->overrides);
    if (!sink->overrides)
        return out_of_memory(err);
    for (const struct json *member = json_first(extensions); member; member = json_next(member)) {
        const char *value = override_value(sink->arena, member, err);
        if (!value || !event_name_check(json_key(member), err))
            return false;
        sink->overrides[sink->override_count++] = (struct attribute){ .name = json_key(member), .value = value };
    }
    /* An event with these on it must be a good one. */
    const struct event probe = {
        .id = "1", .source = "/", .type = "t", .extensions = sink->overrides, .extension_count = sink->override_count
    };
    return event_check(&probe, err);
}

static bool fill(struct sink *sink, const struct sink_options *options, struct error *err)
{
    sink->attempt_timeout_ms = options->attempt_timeout_ms > 0 ? options->attempt_timeout_ms : ATTEMPT_TIMEOUT_MS;
    sink->budget_ms = options->budget_ms > 0 ? options->budget_ms : BUDGET_MS;
    if (!set_url(sink, options->url, err))
        return error_wrap(err, "sink");
    sink->is_plain = sink->unix_socket || wire_can_reach(sink->url);
    if (!set_overrides(sink, options->overrides, err))
        return error_wrap(err, "overrides of the sink");
    return copy_text(&sink->token_file, options->token_file, err) &&
           copy_text(&sink->extra_ca_pem, options->extra_ca_pem, err);
}

struct sink *sink_new(const struct sink_options *options, struct error *err)
{
    struct sink *made = calloc(1, sizeof *made);
    if (!made) {
        out_of_memory(err);
        return NULL;
    }
    pthread_mutex_init(&made->lock, NULL);
    AUTO(sink_free) struct sink *sink = made;
    return fill(sink, options, err) ? TAKE(sink) : NULL;
}

static void pooled_free(struct pooled *pooled)
{
    if (!pooled)
        return;
    wire_free(pooled->wire);
    http_client_free(pooled->client);
    free(pooled);
}
AUTO_FREE(struct pooled, pooled_free)

void sink_free(struct sink *sink)
{
    if (!sink)
        return;
    for (struct pooled *p = sink->idle; p;) {
        struct pooled *next = p->next;
        pooled_free(p);
        p = next;
    }
    pthread_mutex_destroy(&sink->lock);
    arena_free(sink->arena);
    free(sink->url);
    free(sink->unix_socket);
    free(sink->name);
    free(sink->token_file);
    free(sink->extra_ca_pem);
    free(sink);
}

const char *sink_name(const struct sink *sink)
{
    return sink->name;
}

/* --- from the environment ------------------------------------------------------------------------------------------------ */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* Every file of the projected volume is PEM; its own bookkeeping starts with a dot. */
static bool read_certificates(struct bytes *out, struct error *err)
{
    const char *given = environment("K_CA_CERTS");
    if (given && !(bytes_append_text(out, given, err) && bytes_append_char(out, '\n', err)))
        return false;
    AUTO(closedir) DIR *directory = opendir(CERTIFICATES_DIRECTORY);
    if (!directory)
        return true;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[sizeof CERTIFICATES_DIRECTORY + 1 + 256];
        snprintf(path, sizeof path, "%s/%s", CERTIFICATES_DIRECTORY, entry->d_name);
        if (entry->d_name[0] != '.' && !(file_read(out, path, err) && bytes_append_char(out, '\n', err)))
            return false;
    }
    return true;
}

static bool read_timeout(long *timeout_ms, struct error *err)
{
    const char *text = environment("K_SINK_TIMEOUT");
    if (!text)
        return true;
    char *end;
    long seconds = strtol(text, &end, 10);
    if (*end || seconds < 0 || seconds > 24 * 3600)
        return error_set(err, ERROR_INVALID, "K_SINK_TIMEOUT '%.40s' is not a number of seconds", text);
    *timeout_ms = seconds * 1000;
    return true;
}

struct sink *sink_from_environment(struct error *err)
{
    const char *url = environment("K_SINK");
    if (!url)
        url = environment("PUSHWRIGHT_SINK");
    if (!url)
        return NULL;
    struct sink_options options = { .url = url, .overrides = environment("K_CE_OVERRIDES") };
    AUTO(bytes_release) struct bytes certificates = BYTES(CERTIFICATES_MAX);
    if (!read_timeout(&options.attempt_timeout_ms, err))
        return NULL;
    if (!read_certificates(&certificates, err)) {
        error_wrap(err, "certificates of the sink");
        return NULL;
    }
    if (certificates.len > 0)
        options.extra_ca_pem = bytes_text(&certificates);
    if (access(TOKEN_FILE, F_OK) == 0)
        options.token_file = TOKEN_FILE;
    return sink_new(&options, err);
}

/* --- clients ------------------------------------------------------------------------------------------------------------- */

static struct pooled *borrow_client(struct sink *sink, struct error *err)
{
    pthread_mutex_lock(&sink->lock);
    struct pooled *taken = sink->idle;
    if (taken)
        sink->idle = taken->next;
    pthread_mutex_unlock(&sink->lock);
    if (taken)
        return taken;
    AUTO(pooled_free) struct pooled *made = calloc(1, sizeof *made);
    if (!made) {
        out_of_memory(err);
        return NULL;
    }
    if (sink->is_plain)
        made->wire = wire_new(sink->url, sink->unix_socket, err);
    else
        made->client = http_client_new(&(struct http_client_options){ .extra_ca_pem = sink->extra_ca_pem }, err);
    return made->wire || made->client ? TAKE(made) : NULL;
}

static void return_client(struct sink *sink, struct pooled *pooled)
{
    pthread_mutex_lock(&sink->lock);
    pooled->next = sink->idle;
    sink->idle = pooled;
    pthread_mutex_unlock(&sink->lock);
}

/* --- delivering ---------------------------------------------------------------------------------------------------------- */

/* A message ready to be sent: header lines split into names and values. */
struct message {
    struct bytes lines;
    struct http_header headers[HEADER_COUNT_MAX];
    size_t count;
};

static void message_release(struct message *message)
{
    bytes_release(&message->lines);
}
AUTO_RELEASE(struct message, message_release)

static bool message_fill(struct message *message, const struct event *event, struct error *err)
{
    if (!event_encode_headers(&message->lines, event, err))
        return false;
    for (char *at = message->lines.data; at && *at;) {
        char *colon = strchr(at, ':');
        char *end = colon ? strchr(colon, '\r') : NULL;
        if (!end || message->count == HEADER_COUNT_MAX - EXTRA_HEADERS)
            return error_set(err, ERROR_INTERNAL, "the event's headers are malformed");
        *colon = *end = '\0';
        message->headers[message->count++] = (struct http_header){ .name = at, .value = colon + 2 };
        at = end + 2;
    }
    const char *state = event_extension(event, "tracestate");
    if (state && strlen(state) <= TRACESTATE_MAX)
        message->headers[message->count++] = (struct http_header){ .name = "tracestate", .value = state };
    return true;
}

/* Renewed in place by the platform, so it is read each time. The header's text is freed by wiping. */
static struct secret *read_bearer(const struct sink *sink, struct error *err)
{
    AUTO(secret_free) struct secret *token = secret_from_file(sink->token_file, err);
    if (!token)
        return NULL;
    struct span text = span_trim(secret_reveal(token));
    AUTO(bytes_release) struct bytes header = BYTES(SECRET_MAX + 16);
    if (!bytes_append_text(&header, "Bearer ", err) || !bytes_append_span(&header, text, err))
        return NULL;
    struct secret *bearer = secret_new(bytes_span(&header), err);
    explicit_bzero(header.data, header.len);
    return bearer;
}

/* As Knative does (its specification of the data plane): what is not there yet, 404, may be soon. */
static bool is_retried(int status)
{
    return status == 404 || status == 408 || status == 409 || status == 429 || status >= 500;
}

struct delivery {
    struct sink *sink;
    const struct event *event;
    struct message *message;
    int64_t deadline_ms; /* monotonic */
    int status;          /* of the last answer, 0: none */
};

/* What the attempt came to: err is filled already when there was no answer. */
static bool judge(const struct http_request *request, bool answered, const struct http_response *response,
                  struct sink_failure *failure)
{
    failure->status = answered ? response->status : 0;
    failure->uncertain = !answered && failure->err.kind == ERROR_UNCERTAIN;
    failure->final = answered ? !is_retried(response->status) : !error_is_temporary(&failure->err);
    if (answered && response->status >= 200 && response->status < 300)
        return true;
    if (answered)
        http_status_error(request, response, &failure->err);
    return false;
}

static void keep_address(struct sink *sink, const struct wire *wire)
{
    pthread_mutex_lock(&sink->lock);
    sink->address = *wire_address(wire);
    sink->address_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&sink->lock);
}

static bool attempt(struct delivery *delivery, struct pooled *pooled, struct sink_failure *failure)
{
    struct error *err = &failure->err;
    struct sink *sink = delivery->sink;
    struct message *message = delivery->message;
    int64_t left = delivery->deadline_ms - clock_monotonic_ms();
    char traceparent[TRACEPARENT_SIZE];
    traceparent_child(traceparent, span_of(event_extension(delivery->event, "traceparent")));
    struct http_header headers[HEADER_COUNT_MAX];
    size_t count = message->count;
    memcpy(headers, message->headers, count * sizeof *headers);
    headers[count++] = (struct http_header){ .name = "traceparent", .value = traceparent };
    AUTO(secret_free) struct secret *bearer = NULL;
    if (sink->token_file) {
        bearer = read_bearer(sink, err);
        if (!bearer)
            return false;
        headers[count++] = (struct http_header){ .name = "Authorization", .value = secret_reveal(bearer).data };
    }
    struct http_request request = {
        .method = "POST",
        .url = sink->url,
        .unix_socket = sink->unix_socket,
        .headers = headers,
        .header_count = count,
        .body = delivery->event->data.data ? delivery->event->data : SPAN(""),
        .body_max = ANSWER_MAX,
        .timeout_ms = left < 1                          ? 1
                      : left < sink->attempt_timeout_ms ? (long)left
                                                        : sink->attempt_timeout_ms,
    };
    AUTO(http_response_release) struct http_response response = { 0 };
    bool answered = pooled->wire ? wire_call(pooled->wire, &request, &response, err)
                                 : http_call(pooled->client, &request, &response, err);
    if (answered && pooled->wire)
        keep_address(sink, pooled->wire);
    return judge(&request, answered, &response, failure);
}

static void pause_ms(int64_t ms)
{
    struct timespec left = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
    while (nanosleep(&left, &left) != 0) {
    }
}

/* Half of it fixed, half of it chance, so that senders who failed together do not come back together. */
static int64_t pause_before(unsigned attempt, unsigned retry_after_s)
{
    int64_t pause = attempt < 6 ? PAUSE_FIRST_MS << attempt : PAUSE_MAX_MS;
    if (pause > PAUSE_MAX_MS)
        pause = PAUSE_MAX_MS;
    pause = pause / 2 + (int64_t)(random_u64() % (uint64_t)(pause / 2 + 1));
    int64_t asked = (int64_t)retry_after_s * 1000;
    return pause > asked ? pause : asked;
}

static bool try_until_deadline(struct delivery *delivery, struct pooled *pooled, const struct sink_failure *first,
                               struct error *err)
{
    bool uncertain = false; /* of any of them */
    for (unsigned n = 0;; n++) {
        struct sink_failure failure = { 0 };
        bool made_before = n == 0 && first;
        bool delivered = !made_before && attempt(delivery, pooled, &failure);
        if (made_before)
            failure = *first;
        delivery->status = failure.status;
        if (delivered)
            return true;
        uncertain |= failure.uncertain;
        int64_t pause = pause_before(n, failure.err.retry_after_s);
        if (!failure.final && clock_monotonic_ms() + pause < delivery->deadline_ms) {
            pause_ms(pause);
            continue;
        }
        *err = failure.err;
        if (uncertain)
            err->kind = ERROR_UNCERTAIN;
        else if (!failure.final)
            err->kind = ERROR_UNAVAILABLE;
        return error_wrap(err, "deliver event '%.100s' to the sink", delivery->event->id);
    }
}

bool sink_deliver_within(struct sink *sink, const struct event *event, const struct sink_failure *first,
                         int64_t budget_ms, int *status, struct error *err)
{
    AUTO(message_release) struct message message = { .lines = BYTES(HEADERS_MAX) };
    if (!message_fill(&message, event, err))
        return false;
    struct pooled *pooled = borrow_client(sink, err);
    if (!pooled)
        return false;
    if (budget_ms > sink->budget_ms)
        budget_ms = sink->budget_ms;
    struct delivery delivery = {
        .sink = sink, .event = event, .message = &message, .deadline_ms = clock_monotonic_ms() + budget_ms
    };
    bool delivered = try_until_deadline(&delivery, pooled, first, err);
    return_client(sink, pooled);
    *status = delivery.status;
    return delivered;
}

bool sink_deliver(struct sink *sink, const struct event *event, struct error *err)
{
    int status = 0;
    return sink_deliver_within(sink, event, NULL, sink->budget_ms, &status, err);
}

/* --- posting -------------------------------------------------------------------------------------------------------------- */

struct sink_post {
    struct sink *sink;
    struct wire *wire;
    bool is_named; /* its address must be asked for, which blocks */
    bool tried;
    struct bytes lines;
    struct http_response response;
    struct sink_failure failure;
};

bool sink_takes_posts(const struct sink *sink)
{
    return sink->is_plain && !sink->token_file;
}

struct sink_post *sink_post_new(struct sink *sink, struct error *err)
{
    AUTO(sink_post_free) struct sink_post *post = calloc(1, sizeof *post);
    if (!post) {
        out_of_memory(err);
        return NULL;
    }
    post->sink = sink;
    bytes_init(&post->lines, HEADERS_MAX);
    post->wire = wire_new(sink->url, sink->unix_socket, err);
    if (!post->wire)
        return NULL;
    post->is_named = wire_address(post->wire)->len == 0;
    return TAKE(post);
}

void sink_post_free(struct sink_post *post)
{
    if (!post)
        return;
    wire_free(post->wire);
    bytes_release(&post->lines);
    http_response_release(&post->response);
    free(post);
}

/* What a delivery found out not long ago. */
static bool find_address(struct sink_post *post)
{
    struct sink *sink = post->sink;
    if (!post->is_named || wire_fd(post->wire) >= 0)
        return true;
    pthread_mutex_lock(&sink->lock);
    bool fresh = sink->address.len > 0 && clock_monotonic_ms() - sink->address_ms < ADDRESS_KEPT_MS;
    if (fresh)
        wire_set_address(post->wire, &sink->address);
    pthread_mutex_unlock(&sink->lock);
    return fresh;
}

static bool write_lines(struct bytes *lines, const struct event *event, struct error *err)
{
    char traceparent[TRACEPARENT_SIZE];
    const char *state = event_extension(event, "tracestate");
    traceparent_child(traceparent, span_of(event_extension(event, "traceparent")));
    bytes_clear(lines);
    if (!event_encode_headers(lines, event, err))
        return false;
    if (state && strlen(state) <= TRACESTATE_MAX &&
        !(bytes_append_text(lines, "tracestate: ", err) && bytes_append_text(lines, state, err) &&
          bytes_append_text(lines, "\r\n", err)))
        return false;
    return bytes_append_text(lines, "traceparent: ", err) && bytes_append_text(lines, traceparent, err) &&
           bytes_append_text(lines, "\r\n", err);
}

static enum sink_progress settle(struct sink_post *post, enum wire_progress progress)
{
    if (progress == WIRE_READS || progress == WIRE_WRITES)
        return progress == WIRE_READS ? SINK_READS : SINK_WRITES;
    const struct http_request request = { .method = "POST",
                                          .url = post->sink->url,
                                          .unix_socket = post->sink->unix_socket };
    bool good = judge(&request, progress == WIRE_ANSWERED, &post->response, &post->failure);
    return good ? SINK_ACCEPTED : SINK_FAILED;
}

bool sink_post_begin(struct sink_post *post, const struct event *event)
{
    struct error *err = &post->failure.err;
    post->failure = (struct sink_failure){ 0 };
    post->tried = find_address(post);
    if (post->tried && write_lines(&post->lines, event, err) &&
        wire_begin(post->wire, bytes_span(&post->lines), event->data.data ? event->data : SPAN(""), ANSWER_MAX,
                   &post->response, err) != WIRE_FAILED)
        return true;
    settle(post, WIRE_FAILED);
    return false;
}

enum sink_progress sink_post_continue(struct sink_post *post)
{
    return settle(post, wire_continue(post->wire));
}

void sink_post_expire(struct sink_post *post)
{
    wire_abandon(post->wire, "no answer in time", &post->failure.err);
    settle(post, WIRE_FAILED);
}

void sink_post_disconnect(struct sink_post *post)
{
    struct error ignored;
    wire_abandon(post->wire, "closed", &ignored);
}

const struct sink_failure *sink_post_failure(const struct sink_post *post)
{
    return post->tried ? &post->failure : NULL;
}

int sink_post_status(const struct sink_post *post)
{
    return post->response.status;
}

int sink_post_fd(const struct sink_post *post)
{
    return wire_fd(post->wire);
}

unsigned sink_post_opened(const struct sink_post *post)
{
    return wire_opened(post->wire);
}

int64_t sink_attempt_ms(const struct sink *sink)
{
    return sink->attempt_timeout_ms < sink->budget_ms ? sink->attempt_timeout_ms : sink->budget_ms;
}

static bool overrides_name(const struct sink *sink, const char *name)
{
    for (size_t i = 0; i < sink->override_count; i++)
        if (strcmp(sink->overrides[i].name, name) == 0)
            return true;
    return false;
}

bool sink_override(const struct sink *sink, struct arena *arena, struct event *event, struct error *err)
{
    if (sink->override_count == 0)
        return true;
    struct attribute *merged = arena_take(arena, (event->extension_count + sink->override_count) * sizeof *merged);
    if (!merged)
        return event_no_room(arena, err);
    size_t count = 0;
    for (size_t i = 0; i < event->extension_count; i++)
        if (!overrides_name(sink, event->extensions[i].name))
            merged[count++] = event->extensions[i];
    memcpy(merged + count, sink->overrides, sink->override_count * sizeof *merged);
    event->extensions = merged;
    event->extension_count = count + sink->override_count;
    return true;
}
