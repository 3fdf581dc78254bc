/* HTTP client (libcurl behind it): one connection pool, hard limits, no surprise.
 *
 * Redirects are never followed by itself: the caller sees the 3xx and decides (registries redirect blobs;
 * credentials must not travel along). Bodies have ceilings. Host, path and status may be logged; credentials and
 * queries are not. */
#ifndef PUSHWRIGHT_HTTP_CLIENT_H
#define PUSHWRIGHT_HTTP_CLIENT_H

#include "shared/base/auto.h"
#include "shared/base/bytes.h"
#include "shared/base/error.h"

#include <stdint.h>

struct http_client; /* one thread at a time; keeps connections open between calls */

struct http_client_options {
    const char *ca_file;          /* PEM; NULL: $SSL_CERT_FILE, else the system's bundle                    */
    const char *extra_ca_pem;     /* PEM text trusted besides (K_CA_CERTS); NULL: none                      */
    const char *ca_pem;           /* PEM text trusted alone, instead of any bundle; NULL: not               */
    const char *user_agent;       /* NULL: "pushwright"                                                     */
    long connect_timeout_ms;      /* 0: 10 s                                                                */
    bool refuse_private;          /* connect to no loopback, link-local, private or metadata address (SSRF) */
    const char *server_name;      /* what servers' certificates are for, instead of the URL's host; NULL: it */
    const char *proxy;            /* URL, instead of what the environment names; NULL: that                 */
    bool insecure;                /* whoever the server says it is                                          */
    long read_bytes;              /* of an answer, read at once; 0: 16 KB                                   */
    struct span certificate, key; /* PEM, shown to servers that ask; absent: nothing is shown           */
};

struct http_client *http_client_new(const struct http_client_options *options,
                                    struct error *err); /* options NULL: defaults */
void http_client_free(struct http_client *client);
AUTO_FREE(struct http_client, http_client_free)

struct http_header {
    const char *name;
    const char *value; /* CR, LF and NUL are refused as ERROR_INVALID */
};

/* Called with each piece of the answer's body when the status is below 300; false stops with *err. */
typedef bool http_body_fn(void *context, const void *data, size_t len, struct error *err);

/* Gives the next piece of a streamed request body: *len in: room, out: bytes given, 0 at the end. */
typedef bool http_source_fn(void *context, void *data, size_t *len, struct error *err);

struct http_request {
    const char *method;      /* "GET", "PUT", ... */
    const char *url;         /* http or https; anything else is ERROR_INVALID */
    bool direct;             /* past every proxy: what is asked is this machine's own */
    const char *unix_socket; /* connect to this socket instead of the URL's host; NULL: not */
    const struct http_header *headers;
    size_t header_count;
    struct span body;       /* absent: none; or a stream: */
    http_source_fn *source; /* with source_length bytes (-1: chunked) */
    void *source_context;
    int64_t source_length;
    http_body_fn *on_body; /* NULL: the body is collected into response->body */
    void *body_context;
    size_t body_max;       /* ceiling of the answer's body; 0: 4 MB; over it ERROR_TOO_LARGE */
    long timeout_ms;       /* whole call; 0: no limit but stall_timeout_ms */
    long stall_timeout_ms; /* longest silence; 0: 30 s */
    bool (*cancelled)(
        void *context); /* asked about once a second; true ends the call as if it had timed out; NULL: never */
    void *cancelled_context;
};

struct http_response {
    int status;
    struct bytes headers;   /* raw header lines of the final answer, CRLF between */
    struct bytes body;      /* collected body, also of an error answer (cut at 64 KB) when on_body is set */
    unsigned retry_after_s; /* from Retry-After, seconds or date; 0: none */
};

void http_response_release(struct http_response *response);
AUTO_RELEASE(struct http_response, http_response_release)

/* True when an answer of any status was received. Otherwise false and *err is ERROR_UNAVAILABLE (nothing was sent: no
 * such host, refused, TLS), ERROR_UNCERTAIN (sent, but no whole answer), ERROR_DENIED (refuse_private, certificate),
 * ERROR_TOO_LARGE, ERROR_INVALID, or what a callback said. response is zeroed or was used before; what it held goes. */
bool http_call(struct http_client *client, const struct http_request *request, struct http_response *response,
               struct error *err);

/* Value of a header, trimmed; absent when there is none. Names compare without case. */
struct span http_response_header(const struct http_response *response, const char *name);

/* An error for an answer that is not a success: kind by status (400, 422 invalid; 401, 403 denied; 404, 410 not
 * found; 409 conflict; 413; 415; 429 busy with Retry-After; 408, 5xx unavailable; else invalid), text "PUT
 * host/path: 503 ...". */
bool http_status_error(const struct http_request *request, const struct http_response *response, struct error *err);

#endif
