#include "runtime/wire.h"

#include "shared/base/clock.h"
#include "shared/http/proxy.h"
#include "shared/http/url.h"

#include <errno.h>
#include <fcntl.h>
#include <llhttp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { HEAD_MAX = 256 * 1024, ANSWER_HEADERS_MAX = 64 * 1024, PIECE = 4096, TIMEOUT_MS = 30000 };

struct wire {
    int fd;             /* -1: not connected; blocking, so that an exchange is two system calls */
    int64_t timeout_ms; /* that the socket has now */
    char *host, *port, *path, *unix_socket;
    char *authority; /* of the Host header */
    struct bytes head;
};

/* One answer while it is being read. */
struct answer {
    struct http_response *response;
    struct error *err;
    bool begun, complete, failed, keep_alive;
};

/* --- making -------------------------------------------------------------------------------------------------------- */

bool wire_can_reach(const char *url)
{
    struct url parts;
    struct error ignored;
    return url_parse(span_of(url), &parts, &ignored) && span_is(parts.scheme, "http") && parts.userinfo.len == 0 &&
           !proxy_for(&parts);
}

static bool fill(struct wire *wire, const char *url, const char *unix_socket, struct error *err)
{
    struct url parts;
    char port[12], bracketed[300];
    if (!url_parse(span_of(url), &parts, err))
        return false;
    bool is_ipv6 = span_find(parts.host, ':') >= 0;
    snprintf(port, sizeof port, "%u", parts.port ? parts.port : 80);
    snprintf(bracketed, sizeof bracketed, "%s%.*s%s%s%s", is_ipv6 ? "[" : "", SPAN_ARGS(parts.host), is_ipv6 ? "]" : "",
             parts.port ? ":" : "", parts.port ? port : "");
    AUTO(bytes_release) struct bytes path = BYTES(HEAD_MAX);
    if (!bytes_printf(&path, err, "%s%.*s%s%.*s", parts.path.len > 0 ? "" : "/", SPAN_ARGS(parts.path),
                      parts.query.data ? "?" : "", SPAN_ARGS(parts.query)))
        return false;
    wire->host = span_dup(parts.host);
    wire->port = strdup(port);
    wire->authority = strdup(bracketed);
    wire->path = bytes_take(&path);
    wire->unix_socket = unix_socket ? strdup(unix_socket) : NULL;
    return (wire->host && wire->port && wire->authority && wire->path && (!unix_socket || wire->unix_socket)) ||
           error_set(err, ERROR_INTERNAL, "out of memory");
}

struct wire *wire_new(const char *url, const char *unix_socket, struct error *err)
{
    AUTO(wire_free) struct wire *wire = calloc(1, sizeof *wire);
    if (!wire) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    wire->fd = -1;
    bytes_init(&wire->head, HEAD_MAX);
    return fill(wire, url, unix_socket, err) ? TAKE(wire) : NULL;
}

static void disconnect(struct wire *wire)
{
    if (wire->fd >= 0)
        close(wire->fd);
    wire->fd = -1;
    wire->timeout_ms = 0;
}

void wire_free(struct wire *wire)
{
    if (!wire)
        return;
    disconnect(wire);
    bytes_release(&wire->head);
    free(wire->host);
    free(wire->port);
    free(wire->path);
    free(wire->authority);
    free(wire->unix_socket);
    free(wire);
}

/* --- connecting ---------------------------------------------------------------------------------------------------- */

static int left_until(int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_monotonic_ms();
    return left > 0 ? (int)left : 0;
}

/* False at the deadline. */
static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd waiting = { .fd = fd, .events = events };
    int ready;
    do
        ready = poll(&waiting, 1, left_until(deadline_ms));
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static int connect_to(const struct sockaddr *address, socklen_t length, int family, int64_t deadline_ms)
{
    int failed = 0, one = 1;
    socklen_t size = sizeof failed;
    AUTO(close) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, address, length) != 0) {
        if (errno != EINPROGRESS)
            return -1;
        if (!wait_for(fd, POLLOUT, deadline_ms)) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0 || failed != 0) {
            errno = failed ? failed : errno;
            return -1;
        }
    }
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int connected = fcntl(fd, F_SETFL, 0) == 0 ? fd : -1;
    fd = connected < 0 ? fd : -1;
    return connected;
}

/* Longest silence: a peer that trickles is ended by the ceiling of its answer. */
static bool set_timeout(struct wire *wire, int64_t timeout_ms, struct error *err)
{
    const struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
    if (wire->timeout_ms == timeout_ms)
        return true;
    if (setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        return error_set_errno(err, errno, "cannot set the time limit of a socket");
    wire->timeout_ms = timeout_ms;
    return true;
}

static bool connect_unix(struct wire *wire, int64_t deadline_ms, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(wire->unix_socket) >= sizeof address.sun_path)
        return error_set(err, ERROR_INVALID, "the path of the socket '%s' is too long", wire->unix_socket);
    memcpy(address.sun_path, wire->unix_socket, strlen(wire->unix_socket));
    wire->fd = connect_to((const struct sockaddr *)&address, sizeof address, AF_UNIX, deadline_ms);
    if (wire->fd >= 0)
        return true;
    error_set_errno(err, errno, "connect to '%s'", wire->unix_socket);
    err->kind = ERROR_UNAVAILABLE;
    return false;
}

static bool connect_host(struct wire *wire, int64_t deadline_ms, struct error *err)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(wire->host, wire->port, &hints, &found);
    if (failed)
        return error_set(err, ERROR_UNAVAILABLE, "no address of '%s': %s", wire->host, gai_strerror(failed));
    for (const struct addrinfo *at = found; at && wire->fd < 0; at = at->ai_next)
        wire->fd = connect_to(at->ai_addr, at->ai_addrlen, at->ai_family, deadline_ms);
    int why = errno;
    freeaddrinfo(found);
    if (wire->fd >= 0)
        return true;
    error_set_errno(err, why, "connect to '%s' port %s", wire->host, wire->port);
    err->kind = ERROR_UNAVAILABLE;
    return false;
}

/* A kept connection is only as good as its other side: one that was closed has its end waiting to be read. */
static bool is_still_open(const struct wire *wire)
{
    char byte;
    ssize_t n = recv(wire->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* --- sending ------------------------------------------------------------------------------------------------------- */

static bool is_clean(const char *text)
{
    return !strpbrk(text, "\r\n");
}

static bool write_head(struct wire *wire, const struct http_request *request, struct error *err)
{
    struct bytes *head = &wire->head;
    bytes_clear(head);
    if (!bytes_printf(head, err, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n", request->method, wire->path,
                      wire->authority, request->body.len))
        return false;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (!is_clean(header->name) || !is_clean(header->value))
            return error_set(err, ERROR_INVALID, "the header '%.40s' holds a line break", header->name);
        if (!bytes_append_text(head, header->name, err) || !bytes_append(head, ": ", 2, err) ||
            !bytes_append_text(head, header->value, err) || !bytes_append(head, "\r\n", 2, err))
            return error_wrap(err, "headers");
    }
    return bytes_append(head, "\r\n", 2, err);
}

/* *sent: bytes that may have arrived. */
static bool send_all(struct wire *wire, struct span body, size_t *sent, struct error *err)
{
    size_t total = wire->head.len + body.len;
    *sent = 0;
    while (*sent < total) {
        size_t in_body = *sent > wire->head.len ? *sent - wire->head.len : 0;
        size_t in_head = *sent < wire->head.len ? *sent : wire->head.len;
        struct iovec parts[2] = {
            { wire->head.data + in_head, wire->head.len - in_head },
            { (char *)(uintptr_t)body.data + in_body, body.len - in_body },
        };
        const struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
        ssize_t n = sendmsg(wire->fd, &message, MSG_NOSIGNAL);
        if (n >= 0) {
            *sent += (size_t)n;
            continue;
        }
        if (errno == EAGAIN)
            return error_set(err, ERROR_UNAVAILABLE, "send: the other side takes nothing");
        if (errno != EINTR)
            return error_set_errno(err, errno, "send");
    }
    return true;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static int stop(struct answer *answer)
{
    answer->failed = true;
    return HPE_USER;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct answer *answer = parser->data;
    return bytes_append(&answer->response->headers, at, len, answer->err) ? 0 : stop(answer);
}

static int on_field_complete(llhttp_t *parser)
{
    return on_field(parser, ": ", 2);
}

static int on_value_complete(llhttp_t *parser)
{
    return on_field(parser, "\r\n", 2);
}

static int on_headers_complete(llhttp_t *parser)
{
    struct answer *answer = parser->data;
    answer->response->status = llhttp_get_status_code(parser);
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct answer *answer = parser->data;
    return bytes_append(&answer->response->body, at, len, answer->err) ? 0 : stop(answer);
}

/* An interim answer (1xx) is followed by the real one. */
static int on_message_complete(llhttp_t *parser)
{
    struct answer *answer = parser->data;
    if (answer->response->status < 200) {
        bytes_clear(&answer->response->headers);
        return 0;
    }
    answer->complete = true;
    answer->keep_alive = llhttp_should_keep_alive(parser) == 1;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_field,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static bool feed(llhttp_t *parser, struct answer *answer, const char *data, size_t len, struct error *err)
{
    llhttp_errno_t code = len > 0 ? llhttp_execute(parser, data, len) : llhttp_finish(parser);
    if (answer->complete)
        return true;
    if (answer->failed) /* a ceiling; told already */
        return false;
    if (len == 0 || code != HPE_OK)
        return error_set(err, ERROR_UNCERTAIN,
                         len == 0 ? "connection closed without a whole answer" : "malformed answer");
    return true;
}

static bool read_answer(struct wire *wire, struct answer *answer, int64_t deadline_ms, struct error *err)
{
    llhttp_t parser;
    char piece[PIECE];
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = answer;
    while (!answer->complete) {
        ssize_t n = recv(wire->fd, piece, sizeof piece, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if ((n < 0 && errno == EAGAIN) || left_until(deadline_ms) == 0)
            return error_set(err, ERROR_UNCERTAIN, "no answer in time");
        if (n < 0) {
            error_set_errno(err, errno, "receive");
            err->kind = ERROR_UNCERTAIN;
            return false;
        }
        answer->begun |= n > 0;
        if (!feed(&parser, answer, piece, (size_t)n, err))
            return false;
    }
    return true;
}

/* Seconds only: the form that everything in a cluster sends. */
static unsigned retry_after(const struct http_response *response)
{
    struct span text = http_response_header(response, "Retry-After");
    unsigned seconds = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || i == 6)
            return 0;
        seconds = seconds * 10 + (unsigned)(text.data[i] - '0');
    }
    return seconds;
}

static bool exchange(struct wire *wire, const struct http_request *request, struct answer *answer, int64_t deadline_ms,
                     struct error *err)
{
    size_t sent;
    if (!send_all(wire, request->body, &sent, err)) {
        err->kind = sent < wire->head.len + request->body.len ? ERROR_UNAVAILABLE : ERROR_UNCERTAIN;
        return false;
    }
    return read_answer(wire, answer, deadline_ms, err);
}

bool wire_call(struct wire *wire, const struct http_request *request, struct http_response *response, struct error *err)
{
    int64_t timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS;
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    if (!write_head(wire, request, err))
        return false;
    if (wire->fd >= 0 && !is_still_open(wire))
        disconnect(wire);
    for (;;) {
        bool kept = wire->fd >= 0;
        struct answer answer = { .response = response, .err = err };
        http_response_release(response);
        bytes_init(&response->headers, ANSWER_HEADERS_MAX);
        bytes_init(&response->body, request->body_max);
        if (!kept && !(wire->unix_socket ? connect_unix : connect_host)(wire, deadline_ms, err))
            return error_wrap(err, "%s", request->method);
        bool ok = set_timeout(wire, timeout_ms, err) && exchange(wire, request, &answer, deadline_ms, err);
        if (!ok || !answer.keep_alive)
            disconnect(wire);
        if (ok) {
            response->retry_after_s = retry_after(response);
            return true;
        }
        if (!kept || answer.begun)
            return error_wrap(err, "%s %s", request->method, wire->unix_socket ? wire->unix_socket : wire->authority);
    }
}
