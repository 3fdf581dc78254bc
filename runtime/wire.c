#include "runtime/wire.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/http/proxy.h"
#include "shared/http/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <llhttp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { HEAD_MAX = 256 * 1024, ANSWER_HEADERS_MAX = 64 * 1024, PIECE = 4096, TIMEOUT_MS = 30000 };

/* One request and its answer. */
struct exchange {
    struct bytes head;
    struct span body;
    size_t sent; /* bytes that may have arrived */
    llhttp_t parser;
    struct http_response *response;
    struct error *err;
    size_t body_max;
    bool status_only; /* of a 2xx nothing else is kept */
    bool kept;        /* on a connection that was open before */
    bool begun, complete, failed, keep_alive;
};

struct wire {
    int fd;             /* -1: not connected; blocking, so that an exchange is two system calls */
    int64_t timeout_ms; /* that the socket has now */
    unsigned opened;
    char *host, *port, *path, *unix_socket;
    char *authority; /* of the Host header */
    struct wire_address address;
    struct exchange exchange;
};

/* --- making -------------------------------------------------------------------------------------------------------- */

bool wire_can_reach(const char *url)
{
    struct url parts;
    struct error ignored;
    return url_parse(span_of(url), &parts, &ignored) && span_is(parts.scheme, "http") && parts.userinfo.len == 0 &&
           !proxy_for(&parts);
}

/* As far as nobody has to be asked. */
static void find_address(struct wire *wire, struct span host, unsigned port)
{
    struct sockaddr_un *local = (struct sockaddr_un *)&wire->address.to;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&wire->address.to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&wire->address.to;
    char text[INET6_ADDRSTRLEN] = "";
    if (wire->unix_socket) {
        if (strlen(wire->unix_socket) >= sizeof local->sun_path)
            return;
        local->sun_family = AF_UNIX;
        memcpy(local->sun_path, wire->unix_socket, strlen(wire->unix_socket) + 1);
        wire->address.len = sizeof *local;
        return;
    }
    if (host.len >= sizeof text)
        return;
    memcpy(text, host.data, host.len);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((in_port_t)port);
        wire->address.len = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((in_port_t)port);
        wire->address.len = sizeof *v6;
    }
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
    find_address(wire, parts.host, parts.port ? parts.port : 80);
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
    bytes_init(&wire->exchange.head, HEAD_MAX);
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
    bytes_release(&wire->exchange.head);
    free(wire->host);
    free(wire->port);
    free(wire->path);
    free(wire->authority);
    free(wire->unix_socket);
    free(wire);
}

const struct wire_address *wire_address(const struct wire *wire)
{
    return &wire->address;
}

void wire_set_address(struct wire *wire, const struct wire_address *address)
{
    wire->address = *address;
}

int wire_fd(const struct wire *wire)
{
    return wire->fd;
}

unsigned wire_opened(const struct wire *wire)
{
    return wire->opened;
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

static bool connect_known(struct wire *wire, int64_t deadline_ms)
{
    const struct sockaddr *to = (const struct sockaddr *)&wire->address.to;
    wire->fd = connect_to(to, wire->address.len, to->sa_family, deadline_ms);
    return wire->fd >= 0;
}

static bool connect_unix(struct wire *wire, int64_t deadline_ms, struct error *err)
{
    if (wire->address.len == 0)
        return error_set(err, ERROR_INVALID, "the path of the socket '%s' is too long", wire->unix_socket);
    if (connect_known(wire, deadline_ms))
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
    for (const struct addrinfo *at = found; at && wire->fd < 0; at = at->ai_next) {
        wire->address.len = at->ai_addrlen;
        memcpy(&wire->address.to, at->ai_addr, at->ai_addrlen);
        connect_known(wire, deadline_ms);
    }
    int why = errno;
    freeaddrinfo(found);
    if (wire->fd >= 0)
        return true;
    error_set_errno(err, why, "connect to '%s' port %s", wire->host, wire->port);
    err->kind = ERROR_UNAVAILABLE;
    return false;
}

static bool connect_waiting(struct wire *wire, int64_t deadline_ms, struct error *err)
{
    if (!(wire->unix_socket ? connect_unix : connect_host)(wire, deadline_ms, err))
        return false;
    wire->opened++;
    return true;
}

/* The first bytes are sent once it is connected: until then sending says "not now". */
static bool connect_at_once(struct wire *wire, struct error *err)
{
    const struct sockaddr *to = (const struct sockaddr *)&wire->address.to;
    int one = 1;
    AUTO(close) int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (connect(fd, to, wire->address.len) != 0 && errno != EINPROGRESS)) {
        error_set_errno(err, errno, "connect to '%s'", wire->unix_socket ? wire->unix_socket : wire->authority);
        err->kind = ERROR_UNAVAILABLE;
        return false;
    }
    if (to->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fcntl(fd, F_SETFL, 0) != 0)
        return error_set_errno(err, errno, "connect");
    wire->fd = fd;
    fd = -1;
    wire->opened++;
    return true;
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

static bool begin_head(struct wire *wire, const char *method, size_t body_len, struct error *err)
{
    struct bytes *head = &wire->exchange.head;
    char length[DECIMAL_SIZE];
    decimal_encode(length, body_len);
    bytes_clear(head);
    return bytes_append_text(head, method, err) && bytes_append_char(head, ' ', err) &&
           bytes_append_text(head, wire->path, err) && bytes_append_text(head, " HTTP/1.1\r\nHost: ", err) &&
           bytes_append_text(head, wire->authority, err) && bytes_append_text(head, "\r\nContent-Length: ", err) &&
           bytes_append_text(head, length, err) && bytes_append(head, "\r\n", 2, err);
}

static bool write_head(struct wire *wire, const struct http_request *request, struct error *err)
{
    struct bytes *head = &wire->exchange.head;
    if (!begin_head(wire, request->method, request->body.len, err))
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

enum moved { MOVED_ALL, MOVED_PART, MOVED_FAILED };

/* MOVED_PART: nothing more can be sent now, or within the socket's time limit. */
static enum moved send_rest(struct wire *wire, int flags, struct error *err)
{
    struct exchange *x = &wire->exchange;
    const size_t total = x->head.len + x->body.len;
    while (x->sent < total) {
        size_t in_body = x->sent > x->head.len ? x->sent - x->head.len : 0;
        size_t in_head = x->sent < x->head.len ? x->sent : x->head.len;
        struct iovec parts[2] = {
            { x->head.data + in_head, x->head.len - in_head },
            { (char *)(uintptr_t)x->body.data + in_body, x->body.len - in_body },
        };
        const struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
        ssize_t n = sendmsg(wire->fd, &message, MSG_NOSIGNAL | flags);
        if (n >= 0)
            x->sent += (size_t)n;
        else if (errno == EAGAIN)
            return MOVED_PART;
        else if (errno != EINTR)
            return error_set_errno(err, errno, "send"), MOVED_FAILED;
    }
    return MOVED_ALL;
}

/* Is the request only on its way, or may it have arrived? */
static enum error_kind kind_of_failure(const struct exchange *x)
{
    return x->sent < x->head.len + x->body.len ? ERROR_UNAVAILABLE : ERROR_UNCERTAIN;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static int stop(struct exchange *x)
{
    x->failed = true;
    return HPE_USER;
}

static bool is_passed_over(const struct exchange *x)
{
    return x->status_only && x->response->status >= 200 && x->response->status < 300;
}

static int on_status_complete(llhttp_t *parser)
{
    struct exchange *x = parser->data;
    x->response->status = llhttp_get_status_code(parser);
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct exchange *x = parser->data;
    return is_passed_over(x) || bytes_append(&x->response->headers, at, len, x->err) ? 0 : stop(x);
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
    return on_status_complete(parser);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct exchange *x = parser->data;
    return is_passed_over(x) || bytes_append(&x->response->body, at, len, x->err) ? 0 : stop(x);
}

/* An interim answer (1xx) is followed by the real one. */
static int on_message_complete(llhttp_t *parser)
{
    struct exchange *x = parser->data;
    if (x->response->status < 200) {
        bytes_clear(&x->response->headers);
        return 0;
    }
    x->complete = true;
    x->keep_alive = llhttp_should_keep_alive(parser) == 1;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_status_complete = on_status_complete,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_field,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static bool feed(struct exchange *x, const char *data, size_t len, struct error *err)
{
    llhttp_errno_t code = len > 0 ? llhttp_execute(&x->parser, data, len) : llhttp_finish(&x->parser);
    if (x->complete)
        return true;
    if (x->failed) /* a ceiling; told already */
        return false;
    if (len == 0 || code != HPE_OK)
        return error_set(err, ERROR_UNCERTAIN,
                         len == 0 ? "connection closed without a whole answer" : "malformed answer");
    return true;
}

/* One piece of the answer. MOVED_PART: there is none now, or within the socket's time limit. */
static enum moved read_piece(struct wire *wire, int flags, struct error *err)
{
    struct exchange *x = &wire->exchange;
    char piece[PIECE];
    ssize_t n;
    do
        n = recv(wire->fd, piece, sizeof piece, flags);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return MOVED_PART;
    if (n < 0) {
        error_set_errno(err, errno, "receive");
        err->kind = ERROR_UNCERTAIN;
        return MOVED_FAILED;
    }
    x->begun |= n > 0;
    return feed(x, piece, (size_t)n, err) ? MOVED_ALL : MOVED_FAILED;
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

/* --- exchanges ----------------------------------------------------------------------------------------------------- */

/* From the start, with the head that was written. */
static void start_over(struct wire *wire)
{
    struct exchange *x = &wire->exchange;
    x->sent = 0;
    x->kept = wire->fd >= 0;
    x->begun = x->complete = x->failed = x->keep_alive = false;
    http_response_release(x->response);
    bytes_init(&x->response->headers, ANSWER_HEADERS_MAX);
    bytes_init(&x->response->body, x->body_max);
    llhttp_init(&x->parser, HTTP_RESPONSE, &settings);
    x->parser.data = x;
}

/* The other side has closed a connection that was kept, before it can have read the request or while it did. */
static bool is_worth_another(const struct exchange *x)
{
    return x->kept && !x->begun;
}

static void end(struct wire *wire, bool answered)
{
    const struct exchange *x = &wire->exchange;
    if (!answered || !x->keep_alive)
        disconnect(wire);
    if (answered)
        x->response->retry_after_s = retry_after(x->response);
}

static bool name_failure(const struct wire *wire, const char *method, struct error *err)
{
    return error_wrap(err, "%s %s", method, wire->unix_socket ? wire->unix_socket : wire->authority);
}

static bool wait_for_exchange(struct wire *wire, int64_t deadline_ms, struct error *err)
{
    const struct exchange *x = &wire->exchange;
    enum moved moved = send_rest(wire, 0, err);
    if (moved == MOVED_PART)
        error_set(err, ERROR_UNAVAILABLE, "send: the other side takes nothing");
    if (moved != MOVED_ALL) {
        err->kind = kind_of_failure(x);
        return false;
    }
    while (!x->complete) {
        moved = read_piece(wire, 0, err);
        if (moved == MOVED_FAILED)
            return false;
        if (moved == MOVED_PART || (!x->complete && left_until(deadline_ms) == 0))
            return error_set(err, ERROR_UNCERTAIN, "no answer in time");
    }
    return true;
}

bool wire_call(struct wire *wire, const struct http_request *request, struct http_response *response, struct error *err)
{
    struct exchange *x = &wire->exchange;
    int64_t timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS;
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    if (!write_head(wire, request, err))
        return false;
    x->body = request->body;
    x->body_max = request->body_max;
    x->response = response;
    x->err = err;
    x->status_only = false;
    if (wire->fd >= 0 && !is_still_open(wire))
        disconnect(wire);
    for (;;) {
        start_over(wire);
        if (!x->kept && !connect_waiting(wire, deadline_ms, err))
            return error_wrap(err, "%s", request->method);
        bool ok = set_timeout(wire, timeout_ms, err) && wait_for_exchange(wire, deadline_ms, err);
        end(wire, ok);
        if (ok)
            return true;
        if (!is_worth_another(x))
            return name_failure(wire, request->method, err);
    }
}

/* --- without waiting ----------------------------------------------------------------------------------------------- */

static enum wire_progress try_again_or_fail(struct wire *wire);

static enum wire_progress send_now(struct wire *wire)
{
    struct exchange *x = &wire->exchange;
    enum moved moved = send_rest(wire, MSG_DONTWAIT, x->err);
    if (moved == MOVED_FAILED) {
        x->err->kind = kind_of_failure(x);
        return try_again_or_fail(wire);
    }
    return moved == MOVED_ALL ? WIRE_READS : WIRE_WRITES;
}

static enum wire_progress try_again_or_fail(struct wire *wire)
{
    struct exchange *x = &wire->exchange;
    end(wire, false);
    if (is_worth_another(x) && wire->address.len > 0) {
        start_over(wire);
        if (connect_at_once(wire, x->err))
            return send_now(wire);
    }
    name_failure(wire, "POST", x->err);
    return WIRE_FAILED;
}

enum wire_progress wire_begin(struct wire *wire, struct span header_lines, struct span body, size_t body_max,
                              struct http_response *response, struct error *err)
{
    struct exchange *x = &wire->exchange;
    x->body = body;
    x->body_max = body_max;
    x->response = response;
    x->err = err;
    x->status_only = true;
    start_over(wire);
    if (!begin_head(wire, "POST", body.len, err) || !bytes_append_span(&x->head, header_lines, err) ||
        !bytes_append(&x->head, "\r\n", 2, err) || (!x->kept && !connect_at_once(wire, err)))
        return WIRE_FAILED;
    return WIRE_WRITES;
}

enum wire_progress wire_continue(struct wire *wire)
{
    struct exchange *x = &wire->exchange;
    if (x->sent < x->head.len + x->body.len)
        return send_now(wire);
    for (;;) {
        enum moved moved = read_piece(wire, MSG_DONTWAIT, x->err);
        if (moved == MOVED_PART)
            return WIRE_READS;
        if (moved == MOVED_FAILED)
            return try_again_or_fail(wire);
        if (x->complete)
            break;
    }
    end(wire, true);
    return WIRE_ANSWERED;
}

void wire_abandon(struct wire *wire, const char *why, struct error *err)
{
    disconnect(wire);
    error_set(err, kind_of_failure(&wire->exchange), "%s", why);
    name_failure(wire, "POST", err);
}
