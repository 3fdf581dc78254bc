#include "shared/oci/registry_wire.h"

#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/http/address.h"
#include "shared/oci/registry_token.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    TRANSFER_MS = 10 * 60 * 1000,
    SHORT_MS = 60 * 1000,
    TRIES_MAX = 5,
    TRIES_HASTY = 2,
    PAUSES_MAX_MS = 30 * 1000, /* all pauses of one call together */
    FIRST_PAUSE_MS = 250,
    HEADERS_MAX = 8,
    TRUST_MAX = 4 * 1024 * 1024,
    DETAIL_MAX = 240,
    DETAIL_ARENA_MAX = 1024 * 1024,
};

long wire_long_ms(const struct registry *registry)
{
    return registry->options && registry->options->timeout_ms > 0 ? registry->options->timeout_ms : TRANSFER_MS;
}

long wire_short_ms(const struct registry *registry)
{
    long whole = wire_long_ms(registry);
    return whole < SHORT_MS ? whole : SHORT_MS;
}

/* ---- beginning and end ---- */

/* The host without its port and brackets. */
static struct span bare_host(const char *host)
{
    struct span s = span_of(host);
    if (s.len > 0 && s.data[0] == '[')
        return (struct span){ s.data + 1, (size_t)span_find(s, ']') - 1 };
    return span_cut(&s, ':');
}

static bool set_origin(struct registry *registry, struct error *err)
{
    AUTO(bytes_release) struct bytes origin = BYTES(WIRE_URL_MAX);
    const char *host = strcmp(registry->host, "docker.io") == 0 ? "registry-1.docker.io" : registry->host;
    bool own_ca = registry->login && registry->login->ca_file;
    registry->plain_http =
        (registry->login && registry->login->plain_http) || (host_is_loopback(bare_host(registry->host)) && !own_ca);
    if (!bytes_printf(&origin, err, "%s://%s", registry->plain_http ? "http" : "https", host))
        return false;
    registry->origin = bytes_take(&origin);
    return registry->origin || error_set(err, ERROR_INTERNAL, "out of memory for a registry");
}

/* That of the options, or one of our own. */
static bool set_session(struct registry *registry, struct error *err)
{
    registry->session = registry->options ? registry->options->session : NULL;
    if (registry->session)
        return true;
    registry->session = registry->own_session = registry_session_new(err);
    return registry->session != NULL;
}

bool wire_init(struct registry *registry, const struct reference *reference, const struct registry_options *options,
               struct error *err)
{
    registry->options = options;
    registry->login = login_for(options, reference->registry);
    registry->push = options && options->push;
    registry->host = strdup(reference->registry);
    registry->repository = strdup(reference->repository);
    if (!registry->host || !registry->repository)
        return error_set(err, ERROR_INTERNAL, "out of memory for a registry");
    bytes_init(&registry->mounts, WIRE_URL_MAX);
    const struct http_client_options http = { .ca_file = registry->login ? registry->login->ca_file : NULL };
    return set_session(registry, err) && set_origin(registry, err) &&
           (registry->client = session_borrow(registry->session, &http, err)) != NULL;
}

void wire_release(struct registry *registry)
{
    if (registry->session) {
        session_return(registry->session, registry->client);
        session_return(registry->session, registry->guarded);
        token_release(registry);
    }
    challenge_release(&registry->challenge);
    registry_session_free(registry->own_session);
    free(registry->sent);
    free(registry->host);
    free(registry->repository);
    free(registry->origin);
}

bool wire_url(const struct registry *registry, struct bytes *url, struct error *err, const char *kind, const char *rest)
{
    bytes_clear(url);
    return bytes_printf(url, err, "%s/v2/%s/%s/%s", registry->origin, registry->repository, kind, rest);
}

/* ---- other hosts ---- */

/* A registry on a private network may keep its blobs and its token service there. */
static bool is_private_registry(const struct registry *registry)
{
    struct span host = bare_host(registry->host);
    AUTO(free) char *name = span_dup(host);
    return name && (host_is_loopback(host) || host_resolves_to_private(name));
}

static bool ready_guarded(struct registry *registry, struct error *err)
{
    AUTO(bytes_release) struct bytes trust = BYTES(TRUST_MAX);
    const char *ca_file = registry->login ? registry->login->ca_file : NULL;
    if (registry->guarded)
        return true;
    if (ca_file && !file_read(&trust, ca_file, err))
        return false;
    const struct http_client_options options = {
        .extra_ca_pem = ca_file ? bytes_text(&trust) : NULL,
        .refuse_private = !is_private_registry(registry),
    };
    registry->guarded = session_borrow(registry->session, &options, err);
    return registry->guarded != NULL;
}

static unsigned port_of(const struct url *url, bool https)
{
    return url->port > 0 ? url->port : https ? 443 : 80;
}

bool wire_is_https(const struct url *url)
{
    return url->scheme.len == 5;
}

static bool same_host(struct span a, struct span b)
{
    return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* A registry behind a proxy that ends TLS often calls itself http in its Locations: on its own host that means
 * itself. */
bool wire_is_own(const struct registry *registry, const struct url *url)
{
    struct url own;
    struct error ignored;
    if (!url_parse(span_of(registry->origin), &own, &ignored) || !same_host(own.host, url->host))
        return false;
    unsigned port = port_of(&own, wire_is_https(&own));
    bool downgraded =
        wire_is_https(&own) && !wire_is_https(url) && (url->port == 0 || url->port == 80 || url->port == port);
    return downgraded || (wire_is_https(url) == wire_is_https(&own) && port_of(url, wire_is_https(url)) == port);
}

bool wire_client_for(struct registry *registry, const struct url *url, struct http_client **out, struct error *err)
{
    bool own = wire_is_own(registry, url);
    if (!own && !ready_guarded(registry, err))
        return false;
    *out = own ? registry->client : registry->guarded;
    return true;
}

static bool append_path_and_query(struct bytes *out, const struct url *url, struct error *err)
{
    return bytes_append_text(out, url->path.len > 0 ? "" : "/", err) && bytes_append_span(out, url->path, err) &&
           (!url->query.data || (bytes_append_char(out, '?', err) && bytes_append_span(out, url->query, err)));
}

/* Absolute URLs, "//host/path" and "/path"; what else RFC 3986 knows no registry sends. */
static bool make_absolute(const struct registry *registry, struct span location, struct bytes *out, struct error *err)
{
    if (span_starts(location, "//"))
        return bytes_append_text(out, registry->plain_http ? "http:" : "https:", err) &&
               bytes_append_span(out, location, err);
    if (span_starts(location, "/"))
        return bytes_append_text(out, registry->origin, err) && bytes_append_span(out, location, err);
    return bytes_append_span(out, location, err);
}

bool wire_location(const struct registry *registry, const struct http_response *response, struct bytes *url,
                   bool *foreign, struct error *err)
{
    struct span location = http_response_header(response, "Location");
    if (location.len == 0)
        return error_set(err, ERROR_UNAVAILABLE, "answer %d without a Location", response->status);
    return wire_resolve(registry, location, url, foreign, err) || error_wrap(err, "answer %d", response->status);
}

bool wire_resolve(const struct registry *registry, struct span location, struct bytes *url, bool *foreign,
                  struct error *err)
{
    AUTO(bytes_release) struct bytes absolute = BYTES(WIRE_URL_MAX);
    struct url parsed;
    if (!make_absolute(registry, location, &absolute, err) || !url_parse(bytes_span(&absolute), &parsed, err)) {
        err->kind = ERROR_UNAVAILABLE;
        return error_wrap(err, "malformed Location");
    }
    *foreign = !wire_is_own(registry, &parsed);
    bytes_clear(url);
    if (!*foreign)
        return bytes_append_text(url, registry->origin, err) && append_path_and_query(url, &parsed, err);
    if (!wire_is_https(&parsed) && !registry->plain_http)
        return error_set(err, ERROR_DENIED, "leads from https to http at '%.*s'", SPAN_ARGS(parsed.host));
    if (parsed.userinfo.data)
        return error_set(err, ERROR_DENIED, "a Location that holds credentials");
    return bytes_append_span(url, bytes_span(&absolute), err);
}

/* ---- requests ---- */

static bool is_cancelled(const struct registry_options *options)
{
    return options && options->cancelled && options->cancelled(options->cancelled_context);
}

bool wire_read_source(void *context, void *data, size_t *len, struct error *err)
{
    struct wire_source *source = context;
    size_t left = (size_t)(source->end - source->offset);
    if (is_cancelled(source->options))
        return error_set(err, ERROR_UNAVAILABLE, "cancelled");
    *len = *len < left ? *len : left;
    if (source->blob->fd >= 0) {
        ssize_t n;
        do
            n = pread(source->blob->fd, data, *len, source->offset);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return error_set_errno(err, errno, "cannot read the file to be uploaded");
        *len = (size_t)n;
    } else {
        memcpy(data, source->blob->data.data + source->offset, *len);
    }
    source->offset += (off_t)*len;
    return true;
}

static void rewind_source(const struct http_request *request)
{
    struct wire_source *source = request->source_context;
    source->offset = source->start;
}

static bool send_once(struct registry *registry, const struct http_request *request, struct http_response *response,
                      struct error *err)
{
    struct http_header headers[HEADERS_MAX];
    struct http_request with = *request;
    assert(request->header_count < HEADERS_MAX);
    if (!token_ready(registry, err))
        return false;
    for (size_t i = 0; i < request->header_count; i++)
        headers[i] = request->headers[i];
    if (registry->authorization)
        headers[with.header_count++] =
            (struct http_header){ "Authorization", secret_reveal(registry->authorization).data };
    with.headers = headers;
    if (request->source)
        rewind_source(request);
    return http_call(registry->client, &with, response, err);
}

bool wire_send(struct registry *registry, const struct http_request *request, struct http_response *response,
               struct error *err)
{
    /* What a cloud gave us earlier may be refused by now: then there is a second answer. */
    int answers = registry->login && registry->login->cloud != CLOUD_NONE ? 2 : 1;
    if (!send_once(registry, request, response, err))
        return false;
    for (; response->status == 401 && answers > 0; answers--)
        if (!token_answer(registry, response, err) || !send_once(registry, request, response, err))
            return false;
    return true;
}

bool wire_send_to(struct registry *registry, const struct http_request *request, bool foreign,
                  struct http_response *response, struct error *err)
{
    if (!foreign)
        return wire_send(registry, request, response, err);
    if (request->source)
        rewind_source(request);
    return ready_guarded(registry, err) && http_call(registry->guarded, request, response, err);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool wire_fetch(struct registry *registry, const struct http_request *request, struct http_response *response,
                struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    bool foreign;
    if (!wire_send(registry, request, response, err))
        return false;
    if (!is_redirect(response->status))
        return true;
    if (!wire_location(registry, response, &url, &foreign, err))
        return false;
    struct http_request next = *request;
    next.url = bytes_text(&url);
    if (foreign && !ready_guarded(registry, err))
        return false;
    if (!http_call(foreign ? registry->guarded : registry->client, &next, response, err))
        return error_wrap(err, "redirected");
    return !is_redirect(response->status) || error_set(err, ERROR_DENIED, "redirected more than once");
}

/* ---- what went wrong, and trying again ---- */

/* {"errors":[{"code":"NAME_INVALID","message":"..."}]} (distribution-spec, "Error Codes"); only printable characters
 * pass. */
static void registry_detail(struct span body, char out[static DETAIL_MAX])
{
    struct error ignored;
    out[0] = '\0';
    AUTO(arena_free) struct arena *arena = body.len > 0 && body.data[0] == '{' ? arena_new(DETAIL_ARENA_MAX) : NULL;
    const struct json *json = arena ? json_parse(arena, body, &ignored) : NULL;
    const struct json *first = json_first(json_get(json, "errors"));
    const char *code = json_get_string(first, "code"), *message = json_get_string(first, "message");
    if (!code && !message)
        return;
    snprintf(out, DETAIL_MAX, " (%s%s%s)", code ? code : "", code && message ? ": " : "", message ? message : "");
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
            *p = '?';
}

bool wire_status_error(const struct http_request *request, const struct http_response *response, struct error *err)
{
    char detail[DETAIL_MAX];
    http_status_error(request, response, err);
    registry_detail(bytes_span(&response->body), detail);
    size_t len = strlen(err->message);
    snprintf(err->message + len, sizeof err->message - len, "%s", detail);
    return false;
}

/* Half of the pause is by chance, so that many builds that failed together do not come back together. */
static int64_t pause_ms(int try, unsigned retry_after_s)
{
    int64_t base = (int64_t)FIRST_PAUSE_MS << try;
    int64_t ms = base / 2 + (int64_t)(random_u64() % (uint64_t)base) / 2;
    int64_t asked = (int64_t)retry_after_s * 1000;
    return asked > ms ? asked : ms;
}

static void wait_ms(int64_t ms)
{
    struct timespec left = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static bool may_pass(const struct error *err)
{
    return err->kind == ERROR_UNAVAILABLE || err->kind == ERROR_UNCERTAIN || err->kind == ERROR_BUSY;
}

bool wire_retry(struct registry *registry, wire_attempt_fn *attempt, void *context, struct error *err)
{
    int tries = registry->options && registry->options->hasty ? TRIES_HASTY : TRIES_MAX;
    int64_t paused = 0;
    for (int try = 0;; try++) {
        struct error why = { .kind = ERROR_NONE }; /* of this try: what a later one overcomes is not told */
        bool final = false;
        if (attempt(registry, context, &final, &why))
            return true;
        int64_t pause = pause_ms(try, why.retry_after_s);
        if (final || !may_pass(&why) || try + 1 == tries || paused + pause > PAUSES_MAX_MS ||
            is_cancelled(registry->options)) {
            *err = why;
            return false;
        }
        wait_ms(pause);
        paused += pause;
    }
}
