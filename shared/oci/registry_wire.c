#include "shared/oci/registry_wire.h"

#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/http/address.h"
#include "shared/http/url.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    TRANSFER_MS = 10 * 60 * 1000,
    SHORT_MS = 60 * 1000,
    TRIES_MAX = 5,
    PAUSES_MAX_MS = 30 * 1000, /* all pauses of one call together */
    FIRST_PAUSE_MS = 250,
    HEADERS_MAX = 8,
    TOKEN_ANSWER_MAX = 1024 * 1024,
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
    const struct http_client_options http = { .ca_file = registry->login ? registry->login->ca_file : NULL };
    registry->client = http_client_new(&http, err);
    return registry->client && set_origin(registry, err) &&
           credentials_for(registry->login, registry->host, registry->repository, &registry->credentials, err);
}

void wire_release(struct registry *registry)
{
    http_client_free(registry->client);
    http_client_free(registry->guarded);
    credentials_release(&registry->credentials);
    challenge_release(&registry->challenge);
    secret_free(registry->authorization);
    free(registry->host);
    free(registry->repository);
    free(registry->origin);
    free(registry->mount_from);
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
    registry->guarded = http_client_new(&options, err);
    return registry->guarded != NULL;
}

static unsigned port_of(const struct url *url, bool https)
{
    return url->port > 0 ? url->port : https ? 443 : 80;
}

static bool is_https(const struct url *url)
{
    return url->scheme.len == 5;
}

static bool same_host(struct span a, struct span b)
{
    return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* A registry behind a proxy that ends TLS often calls itself http in its Locations: on its own host that means
 * itself. */
static bool is_own(const struct registry *registry, const struct url *url)
{
    struct url own;
    struct error ignored;
    if (!url_parse(span_of(registry->origin), &own, &ignored) || !same_host(own.host, url->host))
        return false;
    unsigned port = port_of(&own, is_https(&own));
    bool downgraded = is_https(&own) && !is_https(url) && (url->port == 0 || url->port == 80 || url->port == port);
    return downgraded || (is_https(url) == is_https(&own) && port_of(url, is_https(url)) == port);
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
    AUTO(bytes_release) struct bytes absolute = BYTES(WIRE_URL_MAX);
    struct span location = http_response_header(response, "Location");
    struct url parsed;
    if (location.len == 0)
        return error_set(err, ERROR_UNAVAILABLE, "answer %d without a Location", response->status);
    if (!make_absolute(registry, location, &absolute, err) || !url_parse(bytes_span(&absolute), &parsed, err)) {
        err->kind = ERROR_UNAVAILABLE;
        return error_wrap(err, "answer %d with a malformed Location", response->status);
    }
    *foreign = !is_own(registry, &parsed);
    bytes_clear(url);
    if (!*foreign)
        return bytes_append_text(url, registry->origin, err) && append_path_and_query(url, &parsed, err);
    if (!is_https(&parsed) && !registry->plain_http)
        return error_set(err, ERROR_DENIED, "answer %d leads from https to http at '%.*s'", response->status,
                         SPAN_ARGS(parsed.host));
    if (parsed.userinfo.data)
        return error_set(err, ERROR_DENIED, "answer %d with a Location that holds credentials", response->status);
    return bytes_append_span(url, bytes_span(&absolute), err);
}

/* ---- tokens ---- */

static bool check_realm(const struct registry *registry, struct url *realm, struct error *err)
{
    if (!url_parse(bytes_span(&registry->challenge.realm), realm, err))
        return error_wrap(err, "the token service's address");
    if (!is_https(realm) && !registry->plain_http)
        return error_set(err, ERROR_DENIED, "the token service '%.*s' is not asked: it is not https",
                         SPAN_ARGS(realm->host));
    return true;
}

static struct http_client *client_for(struct registry *registry, const struct url *url, struct error *err)
{
    if (is_own(registry, url))
        return registry->client;
    return ready_guarded(registry, err) ? registry->guarded : NULL;
}

/* GET with the scopes in the query, or for an OAuth2 refresh token POST with them in the body. */
static bool ask_token(struct registry *registry, struct http_client *client, struct http_response *response,
                      struct error *err)
{
    const struct credentials *c = &registry->credentials;
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(bytes_wipe) struct bytes form = BYTES(WIRE_URL_MAX + 3 * SECRET_MAX);
    AUTO(secret_free) struct secret *basic = c->basic ? basic_authorization(c, err) : NULL;
    struct span realm = bytes_span(&registry->challenge.realm);
    if ((c->basic && !basic) || !bytes_append_span(&url, realm, err) ||
        !token_query(&form, &registry->challenge, registry->repository, registry->push, registry->mount_from, err))
        return false;
    if (c->identity &&
        (!bytes_append_text(&form, "&grant_type=refresh_token&client_id=pushwright&refresh_token=", err) ||
         !percent_encode(&form, secret_reveal(c->identity), "", err)))
        return false;
    if (!c->identity && (!bytes_append_char(&url, span_find(realm, '?') < 0 ? '?' : '&', err) ||
                         !bytes_append_span(&url, bytes_span(&form), err)))
        return false;
    const struct http_header authorization = { "Authorization", basic ? secret_reveal(basic).data : "" };
    const struct http_header form_type = { "Content-Type", "application/x-www-form-urlencoded" };
    const struct http_request request = {
        .method = c->identity ? "POST" : "GET",
        .url = bytes_text(&url),
        .headers = c->identity ? &form_type : &authorization,
        .header_count = c->identity || basic ? 1 : 0,
        .body = c->identity ? bytes_span(&form) : (struct span){ NULL, 0 },
        .body_max = TOKEN_ANSWER_MAX,
        .timeout_ms = wire_short_ms(registry),
    };
    if (!http_call(client, &request, response, err))
        return false;
    return response->status == 200 || wire_status_error(&request, response, err);
}

static bool fetch_token(struct registry *registry, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    struct url realm;
    if (!check_realm(registry, &realm, err))
        return false;
    struct http_client *client = client_for(registry, &realm, err);
    if (!client || !ask_token(registry, client, &response, err))
        return error_wrap(err, "token for '%s'", registry->repository);
    struct secret *value = bearer_authorization(bytes_span(&response.body), err);
    if (response.body.data)
        explicit_bzero(response.body.data, response.body.capacity);
    if (!value)
        return error_wrap(err, "token for '%s'", registry->repository);
    secret_free(registry->authorization);
    registry->authorization = value;
    return true;
}

/* Find the answer to a 401. A refused answer is for good: the same one is not given twice. */
static bool answer_challenge(struct registry *registry, const struct http_response *response, struct error *err)
{
    if (!challenge_parse(response, &registry->challenge, err))
        return false;
    if (registry->challenge.bearer && registry->challenge.realm.len > 0)
        return fetch_token(registry, err);
    if (!registry->challenge.basic)
        return error_set(err, ERROR_DENIED, "401 without a challenge that is understood");
    if (!registry->credentials.basic)
        return error_set(err, ERROR_DENIED, "a user name and password are wanted, and none are configured for '%s'",
                         registry->host);
    if (registry->authorization)
        return error_set(err, ERROR_DENIED, "user name or password refused");
    registry->authorization = basic_authorization(&registry->credentials, err);
    return registry->authorization != NULL;
}

bool wire_want_mount_from(struct registry *registry, const char *repository, struct error *err)
{
    if (registry->mount_from && strcmp(registry->mount_from, repository) == 0)
        return true;
    char *copy = strdup(repository);
    if (!copy)
        return error_set(err, ERROR_INTERNAL, "out of memory for a registry");
    free(registry->mount_from);
    registry->mount_from = copy;
    if (!registry->challenge.bearer || fetch_token(registry, err))
        return true;
    free(TAKE(registry->mount_from)); /* a scope that is refused must not spoil the tokens that follow */
    return false;
}

void wire_want_push(struct registry *registry)
{
    if (registry->push)
        return;
    registry->push = true;
    if (!registry->challenge.bearer)
        return;
    secret_free(registry->authorization); /* good for pulling only; the next 401 brings a better one */
    registry->authorization = NULL;
}

/* ---- requests ---- */

bool wire_read_source(void *context, void *data, size_t *len, struct error *err)
{
    struct wire_source *source = context;
    if (source->blob->fd >= 0) {
        ssize_t n;
        do
            n = pread(source->blob->fd, data, *len, source->offset);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return error_set_errno(err, errno, "cannot read the file to be uploaded");
        *len = (size_t)n;
    } else {
        size_t left = source->blob->data.len - (size_t)source->offset;
        *len = *len < left ? *len : left;
        memcpy(data, source->blob->data.data + source->offset, *len);
    }
    source->offset += (off_t)*len;
    return true;
}

static bool send_once(struct registry *registry, const struct http_request *request, struct http_response *response,
                      struct error *err)
{
    struct http_header headers[HEADERS_MAX];
    struct http_request with = *request;
    assert(request->header_count < HEADERS_MAX);
    for (size_t i = 0; i < request->header_count; i++)
        headers[i] = request->headers[i];
    if (registry->authorization)
        headers[with.header_count++] =
            (struct http_header){ "Authorization", secret_reveal(registry->authorization).data };
    with.headers = headers;
    if (request->source)
        ((struct wire_source *)request->source_context)->offset = 0;
    return http_call(registry->client, &with, response, err);
}

bool wire_send(struct registry *registry, const struct http_request *request, struct http_response *response,
               struct error *err)
{
    if (!send_once(registry, request, response, err))
        return false;
    if (response->status != 401)
        return true;
    return answer_challenge(registry, response, err) && send_once(registry, request, response, err);
}

bool wire_send_to(struct registry *registry, const struct http_request *request, bool foreign,
                  struct http_response *response, struct error *err)
{
    if (!foreign)
        return wire_send(registry, request, response, err);
    if (request->source)
        ((struct wire_source *)request->source_context)->offset = 0;
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
    int64_t paused = 0;
    for (int try = 0;; try++) {
        struct error why = { .kind = ERROR_NONE }; /* of this try: what a later one overcomes is not told */
        bool final = false;
        if (attempt(registry, context, &final, &why))
            return true;
        int64_t pause = pause_ms(try, why.retry_after_s);
        if (final || !may_pass(&why) || try + 1 == TRIES_MAX || paused + pause > PAUSES_MAX_MS) {
            *err = why;
            return false;
        }
        wait_ms(pause);
        paused += pause;
    }
}
