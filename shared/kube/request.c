#include "shared/kube/request.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/stack.h"
#include "shared/kube/status.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum {
    TIMEOUT_MS = 30 * 1000,
    PATIENCE_MS = 10 * 1000,
    LATER_MS = 1000, /* when a server says "later" and not when */
    PAUSE_PIECE_MS = 200,
    URL_MAX = 32 * 1024,
    PLACE_MS_MAX = 30 * 1000,
    PIECE_MS = 50,
    READ_BYTES = 4096, /* objects are small, and those who watch are many */
};

/* ---- the client ---- */

struct kube *kube_open(const struct kube_access *access, const struct kube_options *options, struct error *err)
{
    static const struct kube_options nothing = { 0 };
    AUTO(kube_close) struct kube *kube = calloc(1, sizeof *kube);
    if (!kube) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    kube->access = access;
    kube->options = options ? *options : nothing;
    if (kube->options.timeout_ms == 0)
        kube->options.timeout_ms = TIMEOUT_MS;
    if (kube->options.patience_ms == 0)
        kube->options.patience_ms = PATIENCE_MS;
    if (!kube->options.field_manager)
        kube->options.field_manager = "pushwright";
    return TAKE(kube);
}

void kube_close(struct kube *kube)
{
    if (!kube)
        return;
    kube_rest(kube);
    free(kube);
}

const struct kube_refusal *kube_refusal(const struct kube *kube)
{
    return &kube->refusal;
}

/* ---- places ---- */

static atomic_ulong drawn, done; /* tickets that were drawn, and that are done with */

bool kube_is_crowded(void)
{
    return drawn - done > KUBE_PLACES;
}

void kube_rest(struct kube *kube)
{
    if (!kube->placed)
        return;
    http_client_free(TAKE(kube->client));
    kube->placed = false;
    done++;
}

static bool connect_anew(struct kube *kube, struct error *err)
{
    const struct kube_access *access = kube->access;
    const struct http_client_options http = {
        .ca_pem = access->ca_pem,
        .server_name = access->tls_server_name,
        .proxy = access->proxy,
        .insecure = access->insecure,
        .read_bytes = READ_BYTES,
        .certificate = span_of(access->certificate_pem),
        .key = access->key_pem ? secret_reveal(access->key_pem) : span_of(NULL),
    };
    kube->client = http_client_new(&http, err);
    return kube->client;
}

/* Not for ever: who has a place may want another one. */
static bool take_place(struct kube *kube, struct error *err)
{
    if (kube->client)
        return true;
    kube_rest(kube);
    unsigned long ticket = drawn++;
    int64_t until_ms = clock_monotonic_ms() + PLACE_MS_MAX;
    bool go_on = true;
    kube->placed = true;
    if ((long)(ticket - done) >= KUBE_PLACES)
        stack_give_back();
    while (go_on && (long)(ticket - done) >= KUBE_PLACES && clock_monotonic_ms() < until_ms)
        go_on = kube_pause(kube, PIECE_MS, err);
    return go_on && connect_anew(kube, err);
}

/* ---- who asks ---- */

static bool write_bearer(struct bytes *out, struct span token, struct error *err)
{
    return bytes_append_text(out, "Bearer ", err) && bytes_append_span(out, span_trim(token), err);
}

static bool write_basic(struct bytes *out, const struct kube_access *access, struct error *err)
{
    AUTO(bytes_wipe) struct bytes pair = BYTES(SECRET_MAX * 2);
    return bytes_printf(&pair, err, "%s:", access->username) &&
           bytes_append_span(&pair, secret_reveal(access->password), err) && bytes_append_text(out, "Basic ", err) &&
           base64_encode(out, bytes_span(&pair), err);
}

/* Empty: the certificate says it, or nobody. */
static bool write_authorization(struct bytes *out, const struct kube_access *access, struct error *err)
{
    if (access->token_file) {
        AUTO(bytes_wipe) struct bytes token = BYTES(SECRET_MAX);
        if (!file_read(&token, access->token_file, err))
            return error_wrap(err, "the token for the cluster");
        return write_bearer(out, bytes_span(&token), err);
    }
    if (access->token)
        return write_bearer(out, secret_reveal(access->token), err);
    return !access->password || write_basic(out, access, err);
}

/* ---- one request ---- */

bool kube_pause(const struct kube *kube, long ms, struct error *err)
{
    int64_t until = clock_monotonic_ms() + ms;
    for (int64_t left = ms; left > 0; left = until - clock_monotonic_ms()) {
        if (kube->options.cancelled && kube->options.cancelled(kube->options.context))
            return error_set(err, ERROR_UNAVAILABLE, "broken off");
        int64_t piece = left < PAUSE_PIECE_MS ? left : PAUSE_PIECE_MS;
        nanosleep(&(struct timespec){ .tv_nsec = (long)piece * 1000 * 1000 }, NULL);
    }
    return true;
}

static bool send_once(struct kube *kube, const struct kube_request *request, struct http_response *response,
                      struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(URL_MAX);
    AUTO(bytes_wipe) struct bytes authorization = BYTES(SECRET_MAX * 4);
    struct http_header headers[3] = { { "Accept", "application/json" } };
    size_t count = 1;
    if (!write_authorization(&authorization, kube->access, err) ||
        !bytes_printf(&url, err, "%s%s", kube->access->server, request->path))
        return false;
    if (authorization.len > 0)
        headers[count++] = (struct http_header){ "Authorization", bytes_text(&authorization) };
    if (request->content_type)
        headers[count++] = (struct http_header){ "Content-Type", request->content_type };
    long timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : kube->options.timeout_ms;
    const struct http_request http = {
        .method = request->method,
        .url = bytes_text(&url),
        .headers = headers,
        .header_count = count,
        .body = request->body,
        .on_body = request->on_body,
        .body_context = request->body_context,
        .body_max = request->body_max > 0 ? request->body_max : KUBE_OBJECT_MAX,
        .timeout_ms = timeout_ms,
        .stall_timeout_ms = timeout_ms,
        .cancelled = kube->options.cancelled,
        .cancelled_context = kube->options.context,
    };
    return http_call(kube->client, &http, response, err);
}

/* How long to wait before the same once more; -1: not at all. 429 says that nothing was done. */
static long wait_before_retry(const struct kube *kube, const struct kube_request *request, int64_t since_ms,
                              const struct error *err)
{
    long wait_ms = err->retry_after_s > 0 ? (long)err->retry_after_s * 1000 : LATER_MS;
    bool refused_for_now = kube->refusal.code == 429 && !request->on_body;
    return refused_for_now && clock_monotonic_ms() - since_ms + wait_ms <= kube->options.patience_ms ? wait_ms : -1;
}

bool kube_ask(struct kube *kube, const struct kube_request *request, struct http_response *response, struct error *err)
{
    int64_t began_ms = clock_monotonic_ms();
    struct error said = { 0 };
    for (;;) {
        kube->refusal = (struct kube_refusal){ 0 };
        if (!take_place(kube, &said) || !send_once(kube, request, response, &said))
            break;
        if (response->status >= 200 && response->status < 300)
            return true;
        (void)kube_status_error(response->status, bytes_span(&response->body), response->retry_after_s, &kube->refusal,
                                &said);
        long wait_ms = wait_before_retry(kube, request, began_ms, &said);
        if (wait_ms < 0 || !kube_pause(kube, wait_ms, &said))
            break;
    }
    *err = said;
    return error_wrap(err, "%s %s", request->verb, request->what);
}

bool kube_add_query(struct bytes *path, const char *name, const char *value, struct error *err)
{
    if (!value)
        return true;
    char mark = span_find(bytes_span(path), '?') < 0 ? '?' : '&';
    return bytes_printf(path, err, "%c%s=", mark, name) && percent_encode(path, span_of(value), "", err);
}

const struct json *kube_answer(struct arena *arena, const struct kube_request *request,
                               const struct http_response *response, struct error *err)
{
    char *text = arena_dup(arena, bytes_span(&response->body)); /* the tree's strings point into it */
    const struct json *tree = text ? json_parse(arena, (struct span){ text, response->body.len }, err) : NULL;
    if (tree)
        return tree;
    if (!text)
        arena_no_room(arena, "the answer", err);
    else if (err->kind == ERROR_INVALID)
        error_set(err, ERROR_UNAVAILABLE, "an answer that is no JSON: is 'server' a Kubernetes API server?");
    error_wrap(err, "%s %s", request->verb, request->what);
    return NULL;
}

bool kube_selection_path(struct bytes *out, const struct kube_selection *what, struct error *err)
{
    const struct kube_object collection = { .resource = what->resource, .namespace = what->namespace };
    AUTO(bytes_release) struct bytes field = BYTES(KUBE_WHAT_MAX);
    return kube_object_path(out, &collection, err) &&
           (!what->name || bytes_printf(&field, err, "metadata.name=%s", what->name)) &&
           kube_add_query(out, "fieldSelector", what->name ? bytes_text(&field) : NULL, err) &&
           kube_add_query(out, "labelSelector", what->labels, err);
}

bool kube_selection_describe(struct bytes *out, const struct kube_selection *what, struct error *err)
{
    const struct kube_object object = { .resource = what->resource, .namespace = what->namespace, .name = what->name };
    return kube_object_describe(out, &object, err) && (!what->labels || bytes_printf(out, err, " (%s)", what->labels));
}
