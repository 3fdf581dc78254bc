#include "shared/http/client.h"

#include "shared/base/file.h"
#include "shared/http/address.h"
#include "shared/http/proxy.h"
#include "shared/http/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    BODY_MAX_DEFAULT = 4 * 1024 * 1024,
    ERROR_BODY_MAX = 64 * 1024, /* of an answer that is no success: enough for any explanation */
    HEADERS_MAX = 64 * 1024,
    CA_MAX = 4 * 1024 * 1024, /* Debian's bundle has 220 KB */
    URL_MAX = 64 * 1024,
    CONNECT_TIMEOUT_MS = 10 * 1000,
    STALL_TIMEOUT_MS = 30 * 1000,
};

struct http_client {
    CURL *easy; /* made by the first call: a function that never calls out does not pay for it */
    char *ca_file, *extra_ca_pem, *ca_pem, *user_agent, *server_name, *proxy;
    struct bytes certificate, key;
    bool insecure;
    long read_bytes;
    long connect_timeout_ms;
    bool refuse_private;
    bool trust_loaded;
    struct bytes trust; /* bundle and extra certificates in one, when there are extra ones */
    const char *bundle; /* path of the bundle alone otherwise; NULL: this machine has none */
};

/* One call while it runs. */
struct call {
    struct http_client *client;
    const struct http_request *request;
    struct http_response *response;
    struct url url;
    struct bytes where; /* "PUT host/path" for messages */
    struct curl_slist *headers, *connect_to;
    CURLcode setup; /* first option that was not taken */
    const char *proxy;
    bool sent;         /* the request went out, at least in part */
    bool headers_done; /* the final answer's headers are complete; later lines are trailers */
    bool cut;          /* the error answer's body is longer than we keep */
    bool refused;      /* refuse_private said no */
    bool failed;       /* *err was filled by a callback */
    int64_t received;
    char detail[CURL_ERROR_SIZE];
    struct error *err;
};

static void call_release(struct call *call)
{
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    bytes_release(&call->where);
}
AUTO_RELEASE(struct call, call_release)

#define SET(call, option, value)                                                                                       \
    do {                                                                                                               \
        if ((call)->setup == CURLE_OK)                                                                                 \
            (call)->setup = curl_easy_setopt((call)->client->easy, option, value);                                     \
    } while (0)

/* ---- the client ---- */

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool dup_into(char **out, const char *text)
{
    *out = text ? strdup(text) : NULL;
    return !text || *out;
}

struct http_client *http_client_new(const struct http_client_options *options, struct error *err)
{
    static const struct http_client_options defaults = { .user_agent = NULL };
    const struct http_client_options *o = options ? options : &defaults;
    AUTO(http_client_free) struct http_client *client = calloc(1, sizeof *client);
    if (!client || !dup_into(&client->ca_file, o->ca_file) || !dup_into(&client->extra_ca_pem, o->extra_ca_pem) ||
        !dup_into(&client->ca_pem, o->ca_pem) || !dup_into(&client->server_name, o->server_name) ||
        !dup_into(&client->proxy, o->proxy) ||
        !dup_into(&client->user_agent, o->user_agent ? o->user_agent : "pushwright")) {
        error_set(err, ERROR_INTERNAL, "out of memory for an HTTP client");
        return NULL;
    }
    bytes_init(&client->certificate, CA_MAX);
    bytes_init(&client->key, CA_MAX);
    if (!bytes_append_span(&client->certificate, o->certificate, err) || !bytes_append_span(&client->key, o->key, err))
        return NULL;
    client->insecure = o->insecure;
    client->read_bytes = o->read_bytes;
    client->connect_timeout_ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    client->refuse_private = o->refuse_private;
    bytes_init(&client->trust, CA_MAX);
    return TAKE(client);
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    if (client->easy)
        curl_easy_cleanup(client->easy);
    bytes_release(&client->trust);
    bytes_release(&client->certificate);
    bytes_wipe(&client->key);
    free(client->ca_file);
    free(client->extra_ca_pem);
    free(client->ca_pem);
    free(client->user_agent);
    free(client->server_name);
    free(client->proxy);
    free(client);
}

static bool ready_handle(struct http_client *client, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    if (client->easy)
        curl_easy_reset(client->easy); /* options go, connections stay */
    else
        client->easy = curl_easy_init();
    return client->easy || error_set(err, ERROR_INTERNAL, "cannot start the HTTP library");
}

/* ---- what may be asked ---- */

static bool is_token(const char *text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (const char *p = text; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr(others, *p)))
            return false;
    return *text != '\0';
}

static bool check_headers(const struct http_request *request, struct error *err)
{
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *h = &request->headers[i];
        if (!is_token(h->name))
            return error_set(err, ERROR_INVALID, "a request header's name is malformed");
        if (h->value[strcspn(h->value, "\r\n")] != '\0')
            return error_set(err, ERROR_INVALID, "request header '%s' holds a line break", h->name);
    }
    return true;
}

static bool describe(struct call *call, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(URL_MAX);
    if (!url_redacted(&text, span_of(call->request->url), err))
        return false;
    size_t skip = call->url.scheme.len + 3; /* "https://" says little; host and path say where */
    return bytes_printf(&call->where, err, "%s %s", call->request->method, text.data + skip);
}

static bool check_request(struct call *call, struct error *err)
{
    const struct http_request *request = call->request;
    if (!is_token(request->method))
        return error_set(err, ERROR_INVALID, "HTTP method is malformed");
    if (!url_parse(span_of(request->url), &call->url, err))
        return false;
    struct span scheme = call->url.scheme;
    bool http = scheme.len == 4 && strncasecmp(scheme.data, "http", 4) == 0;
    bool https = scheme.len == 5 && strncasecmp(scheme.data, "https", 5) == 0;
    if (!http && !https)
        return error_set(err, ERROR_INVALID, "'%.*s' URLs are not called, only http and https", SPAN_ARGS(scheme));
    return check_headers(request, err) && describe(call, err);
}

/* ---- callbacks of the library ---- */

static int on_sending(void *context, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    (void)peer_ip, (void)own_ip, (void)peer_port, (void)own_port;
    struct call *call = context;
    call->sent = true;
    return CURL_PREREQFUNC_OK;
}

static bool refuse_address(const struct call *call, struct error *err)
{
    return error_set(err, ERROR_DENIED, "%s: leads to a private address, which is not allowed here",
                     bytes_text(&call->where));
}

/* The last moment before a connection, after every name was resolved: what is refused here can't be tricked by DNS. */
static curl_socket_t on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct call *call = context;
    bool exempt = call->proxy || call->request->unix_socket; /* the operator's own choice of a peer */
    if (!exempt && address_is_private(&address->addr)) {
        call->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int status_of(const struct call *call)
{
    long status = 0;
    curl_easy_getinfo(call->client->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static size_t on_header(char *line, size_t one, size_t len, void *context)
{
    (void)one;
    struct call *call = context;
    struct bytes *headers = &call->response->headers;
    if (!call->headers_done && len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        bytes_clear(headers); /* an informational answer went before */
        return len;
    }
    if (span_trim((struct span){ line, len }).len == 0) {
        call->headers_done = status_of(call) >= 200;
        return len;
    }
    if (call->headers_done || bytes_append(headers, line, len, call->err))
        return len;
    call->failed = true;
    error_set(call->err, ERROR_TOO_LARGE, "the answer's headers exceed %d bytes", HEADERS_MAX);
    return 0;
}

/* An error answer is kept as far as it explains something; false ends the transfer there. */
static bool keep_error_body(struct call *call, const char *data, size_t len)
{
    struct bytes *body = &call->response->body;
    size_t limit = body->max < ERROR_BODY_MAX ? body->max : ERROR_BODY_MAX;
    size_t room = limit > body->len ? limit - body->len : 0;
    call->failed = !bytes_append(body, data, len < room ? len : room, call->err);
    call->cut = !call->failed && len > room;
    return !call->failed && !call->cut;
}

static size_t on_data(char *data, size_t one, size_t len, void *context)
{
    (void)one;
    struct call *call = context;
    const struct http_request *request = call->request;
    if (status_of(call) >= 300)
        return keep_error_body(call, data, len) ? len : CURL_WRITEFUNC_ERROR;
    size_t max = call->response->body.max;
    call->received += (int64_t)len;
    if ((uint64_t)call->received > max) {
        call->failed = true;
        error_set(call->err, ERROR_TOO_LARGE, "the answer's body exceeds %zu bytes", max);
        return CURL_WRITEFUNC_ERROR;
    }
    bool taken = request->on_body ? request->on_body(request->body_context, data, len, call->err)
                                  : bytes_append(&call->response->body, data, len, call->err);
    call->failed = !taken;
    return taken ? len : CURL_WRITEFUNC_ERROR;
}

/* The library asks at least once a second, also in silence. */
static int on_progress(void *context, curl_off_t down, curl_off_t downloaded, curl_off_t up, curl_off_t uploaded)
{
    (void)down, (void)downloaded, (void)up, (void)uploaded;
    const struct call *call = context;
    return call->request->cancelled(call->request->cancelled_context);
}

static size_t on_read(char *out, size_t one, size_t room, void *context)
{
    (void)one;
    struct call *call = context;
    size_t len = room;
    if (call->request->source(call->request->source_context, out, &len, call->err))
        return len;
    call->failed = true;
    return CURL_READFUNC_ABORT;
}

/* ---- options of one call ---- */

static bool add_header(struct call *call, const char *name, const char *value, struct error *err)
{
    AUTO(bytes_release) struct bytes line = BYTES(HEADERS_MAX);
    /* The library drops "Name:" as "do not send"; "Name;" is its way to write an empty value. */
    bool written = *value ? bytes_printf(&line, err, "%s: %s", name, value) : bytes_printf(&line, err, "%s;", name);
    if (!written)
        return false;
    struct curl_slist *longer = curl_slist_append(call->headers, bytes_text(&line));
    if (!longer)
        return error_set(err, ERROR_INTERNAL, "out of memory for a request header");
    call->headers = longer;
    return true;
}

/* Remove one of the library's own headers. */
static bool drop_header(struct call *call, const char *line, struct error *err)
{
    struct curl_slist *longer = curl_slist_append(call->headers, line);
    if (!longer)
        return error_set(err, ERROR_INTERNAL, "out of memory for a request header");
    call->headers = longer;
    return true;
}

static bool set_headers(struct call *call, struct error *err)
{
    bool typed = false;
    for (size_t i = 0; i < call->request->header_count; i++) {
        const struct http_header *h = &call->request->headers[i];
        typed = typed || strcasecmp(h->name, "Content-Type") == 0;
        if (!add_header(call, h->name, h->value, err))
            return false;
    }
    if (!drop_header(call, "Expect:", err) || (!typed && !drop_header(call, "Content-Type:", err)))
        return false;
    SET(call, CURLOPT_HTTPHEADER, call->headers);
    return true;
}

static bool takes_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

static void set_body(struct call *call)
{
    const struct http_request *request = call->request;
    if (strcmp(request->method, "HEAD") == 0) {
        SET(call, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->source) {
        SET(call, CURLOPT_UPLOAD, 1L);
        SET(call, CURLOPT_READFUNCTION, on_read);
        SET(call, CURLOPT_READDATA, call);
        SET(call, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->source_length);
    } else if (request->body.data || takes_body(request->method)) {
        SET(call, CURLOPT_POST, 1L);
        SET(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        SET(call, CURLOPT_POSTFIELDS, request->body.data ? request->body.data : "");
    }
    SET(call, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_limits(struct call *call)
{
    const struct http_request *request = call->request;
    long stall_ms = request->stall_timeout_ms > 0 ? request->stall_timeout_ms : STALL_TIMEOUT_MS;
    SET(call, CURLOPT_CONNECTTIMEOUT_MS, call->client->connect_timeout_ms);
    SET(call, CURLOPT_TIMEOUT_MS, request->timeout_ms);
    SET(call, CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(call, CURLOPT_LOW_SPEED_TIME, (stall_ms + 999) / 1000);
    SET(call, CURLOPT_NOSIGNAL, 1L);
    if (call->client->read_bytes > 0)
        SET(call, CURLOPT_BUFFERSIZE, call->client->read_bytes);
    SET(call, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(call, CURLOPT_FOLLOWLOCATION, 0L);
    SET(call, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

static void set_callbacks(struct call *call)
{
    SET(call, CURLOPT_HEADERFUNCTION, on_header);
    SET(call, CURLOPT_HEADERDATA, call);
    SET(call, CURLOPT_WRITEFUNCTION, on_data);
    SET(call, CURLOPT_WRITEDATA, call);
    SET(call, CURLOPT_PREREQFUNCTION, on_sending);
    SET(call, CURLOPT_PREREQDATA, call);
    SET(call, CURLOPT_ERRORBUFFER, call->detail);
    if (call->request->cancelled) {
        SET(call, CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(call, CURLOPT_XFERINFODATA, call);
        SET(call, CURLOPT_NOPROGRESS, 0L);
    }
    if (call->client->refuse_private) {
        SET(call, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        SET(call, CURLOPT_OPENSOCKETDATA, call);
    }
}

static bool names_private_address(struct span host)
{
    struct sockaddr_storage address;
    return host_is_loopback(host) ||
           (address_parse(host, &address) && address_is_private((const struct sockaddr *)&address));
}

/* Behind a proxy the addresses are the proxy's to see; what the URL itself says can still be checked. */
static bool set_route(struct call *call, struct error *err)
{
    bool direct = call->request->unix_socket || call->request->direct;
    call->proxy = direct ? NULL : call->client->proxy ? call->client->proxy : proxy_for(&call->url);
    if (call->client->refuse_private && call->proxy && names_private_address(call->url.host))
        return refuse_address(call, err);
    SET(call, CURLOPT_PROXY, call->proxy ? call->proxy : ""); /* "": none, whatever the environment says */
    SET(call, CURLOPT_NOPROXY, "");                           /* proxy_for has decided */
    SET(call, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (call->request->unix_socket)
        SET(call, CURLOPT_UNIX_SOCKET_PATH, call->request->unix_socket);
    return true;
}

/* ---- whom to trust ---- */

static const char *system_bundle(void)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL         */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL                 */
        "/etc/ssl/ca-bundle.pem",                            /* SUSE                 */
        "/etc/ssl/cert.pem",                                 /* Alpine, BSD          */
    };
    const char *named = getenv("SSL_CERT_FILE");
    if (named && *named)
        return named;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], R_OK) == 0)
            return places[i];
    return NULL;
}

static bool load_trust(struct http_client *client, struct error *err)
{
    if (client->trust_loaded)
        return true;
    if (client->ca_pem)
        return client->trust_loaded = bytes_append_text(&client->trust, client->ca_pem, err);
    client->bundle = client->ca_file ? client->ca_file : system_bundle();
    if (client->extra_ca_pem) {
        bytes_clear(&client->trust);
        if (client->bundle && !file_read(&client->trust, client->bundle, err))
            return error_wrap(err, "certificates of '%s'", client->bundle);
        if (!bytes_append_char(&client->trust, '\n', err) ||
            !bytes_append_text(&client->trust, client->extra_ca_pem, err))
            return false;
    } else if (client->bundle && access(client->bundle, R_OK) != 0) {
        return error_set_errno(err, errno, "certificates of '%s'", client->bundle);
    }
    client->trust_loaded = true;
    return true;
}

/* `more`: of what stands behind the text. */
static void set_pem(struct call *call, CURLoption option, const struct bytes *pem, size_t more)
{
    struct curl_blob blob = { .data = pem->data, .len = pem->len + more, .flags = CURL_BLOB_NOCOPY };
    SET(call, option, &blob);
}

static void show_certificate(struct call *call)
{
    if (call->client->certificate.len == 0)
        return;
    SET(call, CURLOPT_SSLCERTTYPE, "PEM");
    SET(call, CURLOPT_SSLKEYTYPE, "PEM");
    set_pem(call, CURLOPT_SSLCERT_BLOB, &call->client->certificate, 0);
    /* mbedTLS takes a key for PEM by the NUL at its end, which the library does not count (8.22). */
    set_pem(call, CURLOPT_SSLKEY_BLOB, &call->client->key, 1);
}

static bool set_trust(struct call *call, struct error *err)
{
    struct http_client *client = call->client;
    if (call->url.scheme.len != 5)
        return true; /* not https: the bundle is not even looked for */
    SET(call, CURLOPT_CAPATH, NULL);
    SET(call, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    show_certificate(call);
    if (client->insecure) {
        SET(call, CURLOPT_CAINFO, NULL);
        SET(call, CURLOPT_SSL_VERIFYPEER, 0L);
        SET(call, CURLOPT_SSL_VERIFYHOST, 0L);
        return true;
    }
    if (!load_trust(client, err))
        return false;
    bool ours = client->extra_ca_pem || client->ca_pem;
    SET(call, CURLOPT_CAINFO, ours ? NULL : client->bundle);
    if (ours)
        set_pem(call, CURLOPT_CAINFO_BLOB, &client->trust, 0);
    return true;
}

/* ---- where to ---- */

static bool append_part(struct bytes *out, const char *before, struct span part, struct error *err)
{
    return !part.data || (bytes_append_text(out, before, err) && bytes_append_span(out, part, err));
}

/* The library verifies certificates against the URL's host: under another name the URL has that one, the connection goes where the
 * caller wants it, and the server is told so. */
static bool rename_host(struct call *call, struct bytes *url, struct error *err)
{
    const struct url *u = &call->url;
    const char *open = span_find(u->host, ':') >= 0 ? "[" : "", *close = *open ? "]" : "";
    char port[16] = "";
    AUTO(bytes_release) struct bytes text = BYTES(URL_MAX);
    if (u->port > 0)
        snprintf(port, sizeof port, ":%u", u->port);
    if (!bytes_printf(url, err, "%.*s://%s%s", SPAN_ARGS(u->scheme), call->client->server_name, port) ||
        !append_part(url, "", u->path, err) || !append_part(url, "?", u->query, err) ||
        !bytes_printf(&text, err, "::%s%.*s%s:%s", open, SPAN_ARGS(u->host), close, port[0] ? port + 1 : ""))
        return false;
    call->connect_to = curl_slist_append(NULL, bytes_text(&text));
    bytes_clear(&text);
    if (!call->connect_to || !bytes_printf(&text, err, "%s%.*s%s%s", open, SPAN_ARGS(u->host), close, port) ||
        !add_header(call, "Host", bytes_text(&text), err))
        return error_set(err, ERROR_INTERNAL, "out of memory for a URL");
    SET(call, CURLOPT_CONNECT_TO, call->connect_to);
    return true;
}

static bool set_url(struct call *call, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(URL_MAX + 256);
    if (call->client->server_name && call->url.scheme.len == 5) {
        if (!rename_host(call, &url, err))
            return false;
        SET(call, CURLOPT_URL, bytes_text(&url)); /* copied */
    } else {
        SET(call, CURLOPT_URL, call->request->url);
    }
    return true;
}

/* ---- one call ---- */

/* Codes whose kind does not depend on how far the call came; the sentence replaces the library's. */
static const struct {
    CURLcode code;
    enum error_kind kind;
    const char *text;
} outcomes[] = {
    { CURLE_UNSUPPORTED_PROTOCOL, ERROR_INVALID, "not an HTTP URL" },
    { CURLE_URL_MALFORMAT, ERROR_INVALID, "malformed URL" },
    { CURLE_COULDNT_RESOLVE_HOST, ERROR_UNAVAILABLE, "cannot resolve the host's name" },
    { CURLE_COULDNT_RESOLVE_PROXY, ERROR_UNAVAILABLE, "cannot resolve the proxy's name" },
    { CURLE_COULDNT_CONNECT, ERROR_UNAVAILABLE, "cannot connect" },
    { CURLE_PEER_FAILED_VERIFICATION, ERROR_DENIED, "the server's certificate is not trusted" },
    { CURLE_SSL_CERTPROBLEM, ERROR_DENIED, "the client's certificate, or its key, cannot be used" },
    { CURLE_SSL_CACERT_BADFILE, ERROR_DENIED, "the trusted certificates cannot be read" },
    { CURLE_SSL_CONNECT_ERROR, ERROR_UNAVAILABLE, "no TLS connection" },
    { CURLE_OUT_OF_MEMORY, ERROR_INTERNAL, "out of memory" },
};

static const struct {
    CURLcode code;
    const char *text;
} interruptions[] = {
    { CURLE_OPERATION_TIMEDOUT, "timed out" },
    { CURLE_ABORTED_BY_CALLBACK, "broken off" },
    { CURLE_GOT_NOTHING, "connection closed without an answer" },
    { CURLE_PARTIAL_FILE, "connection closed in the middle of the answer" },
    { CURLE_RECV_ERROR, "connection lost while receiving" },
    { CURLE_SEND_ERROR, "connection lost while sending" },
    { CURLE_SEND_FAIL_REWIND, "connection lost while sending" },
    { CURLE_WEIRD_SERVER_REPLY, "the answer is not HTTP" },
    { CURLE_UNSUPPORTED_PROTOCOL, "the answer is not HTTP" },
};

static bool fail_by_code(const struct call *call, CURLcode code, struct error *err)
{
    const char *where = bytes_text(&call->where);
    for (size_t i = 0; !call->sent && i < sizeof outcomes / sizeof outcomes[0]; i++)
        if (outcomes[i].code == code)
            return error_set(err, outcomes[i].kind, "%s: %s", where, outcomes[i].text);
    const char *text = call->detail[0] ? call->detail : curl_easy_strerror(code);
    for (size_t i = 0; i < sizeof interruptions / sizeof interruptions[0]; i++)
        if (interruptions[i].code == code)
            text = interruptions[i].text;
    return error_set(err, call->sent ? ERROR_UNCERTAIN : ERROR_UNAVAILABLE, "%s: %s", where, text);
}

static bool conclude(struct call *call, CURLcode code, struct error *err)
{
    if (call->failed)
        return error_wrap(err, "%s", bytes_text(&call->where));
    if (call->refused && code != CURLE_OK)
        return refuse_address(call, err);
    if (code != CURLE_OK && !call->cut)
        return fail_by_code(call, code, err);
    curl_off_t wait = 0;
    curl_easy_getinfo(call->client->easy, CURLINFO_RETRY_AFTER, &wait);
    call->response->status = status_of(call);
    call->response->retry_after_s = wait > 0 && wait <= UINT_MAX ? (unsigned)wait : 0;
    return true;
}

static bool set_options(struct call *call, struct error *err)
{
    set_limits(call);
    set_callbacks(call);
    set_body(call);
    if (!set_route(call, err))
        return false;
    if (!set_url(call, err) || !set_headers(call, err) || !set_trust(call, err))
        return error_wrap(err, "%s", bytes_text(&call->where));
    SET(call, CURLOPT_USERAGENT, call->client->user_agent);
    return call->setup == CURLE_OK ||
           error_set(err, ERROR_INTERNAL, "%s: %s", bytes_text(&call->where), curl_easy_strerror(call->setup));
}

bool http_call(struct http_client *client, const struct http_request *request, struct http_response *response,
               struct error *err)
{
    http_response_release(response);
    bytes_init(&response->headers, HEADERS_MAX);
    bytes_init(&response->body, request->body_max > 0 ? request->body_max : BODY_MAX_DEFAULT);
    AUTO(call_release)
    struct call call = {
        .client = client,
        .request = request,
        .response = response,
        .where = BYTES(URL_MAX + 64),
        .err = err,
    };
    if (!check_request(&call, err) || !ready_handle(client, err) || !set_options(&call, err))
        return false;
    return conclude(&call, curl_easy_perform(client->easy), err);
}
