#include "shared/git/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <git2/sys/errors.h>
#include <git2/sys/stream.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_MS = 10000, SILENCE_TIMEOUT_MS = 60000, HOST_SIZE = 256, PORT_SIZE = 16 };

struct stream {
    git_stream parent; /* the first, as libgit2 wants it */
    int fd;
    char host[HOST_SIZE], port[PORT_SIZE];
};

static _Thread_local struct {
    bool (*connectable)(const struct sockaddr *address);
    bool refused;
} guard;

void stream_guard(bool (*connectable)(const struct sockaddr *address))
{
    guard.connectable = connectable;
    guard.refused = false;
}

bool stream_refused(void)
{
    return guard.refused;
}

/* ---- proxies: the operator's own choice ---- */

/* "http://user:password@HOST:PORT/" */
static bool is_at(const char *proxy, const char *host, const char *port)
{
    const char *scheme = strstr(proxy, "://"), *authority = scheme ? scheme + 3 : proxy;
    size_t len = strcspn(authority, "/?#"), host_len = strlen(host), port_len = strlen(port);
    const char *at = memrchr(authority, '@', len), *from = at ? at + 1 : authority, *end = authority + len;

    if (from < end && *from == '[')
        from++;
    if ((size_t)(end - from) < host_len || strncasecmp(from, host, host_len) != 0)
        return false;
    from += host_len;
    if (from < end && *from == ']')
        from++;
    if (from == end)
        return true; /* the scheme's own port */
    return *from == ':' && (size_t)(end - from - 1) == port_len && strncmp(from + 1, port, port_len) == 0;
}

static bool is_proxy(const char *host, const char *port)
{
    static const char *const names[] = { "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (value && is_at(value, host, port))
            return true;
    }
    return false;
}

/* ---- the stream ---- */

static int failed(const char *what, const struct stream *stream, const char *why)
{
    char text[2 * HOST_SIZE];

    snprintf(text, sizeof(text), "%s %s: %s", what, stream->host, why);
    git_error_set_str(GIT_ERROR_NET, text);
    return -1;
}

static bool wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd ready = { .fd = fd, .events = events };
    int n;

    do
        n = poll(&ready, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        errno = ETIMEDOUT;
    return n > 0;
}

/* The socket, or -1 and errno. */
static int connect_to(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    int failure = 0;
    socklen_t len = sizeof(failure);

    if (fd < 0)
        return -1;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, CONNECT_TIMEOUT_MS))
        failure = errno;
    else
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len);
    if (failure == 0)
        return fd;
    close(fd);
    errno = failure;
    return -1;
}

static int on_connect(git_stream *parent)
{
    struct stream *stream = (struct stream *)parent;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    bool guarded = guard.connectable && !is_proxy(stream->host, stream->port);
    int code = getaddrinfo(stream->host, stream->port, &hints, &found);

    if (code != 0)
        return failed("failed to resolve address for", stream, gai_strerror(code));
    errno = EACCES;
    for (const struct addrinfo *address = found; address && stream->fd < 0; address = address->ai_next) {
        if (guarded && !guard.connectable(address->ai_addr))
            guard.refused = true;
        else
            stream->fd = connect_to(address);
    }
    freeaddrinfo(found);
    if (stream->fd < 0)
        return failed("failed to connect to", stream, strerror(errno));
    guard.refused = false;
    return 0;
}

static ssize_t on_read(git_stream *parent, void *data, size_t len)
{
    struct stream *stream = (struct stream *)parent;

    for (;;) {
        ssize_t n = recv(stream->fd, data, len, 0);
        if (n >= 0)
            return n;
        if (errno != EINTR && (errno != EAGAIN || !wait_for(stream->fd, POLLIN, SILENCE_TIMEOUT_MS)))
            return failed("read from", stream, strerror(errno));
    }
}

static ssize_t on_write(git_stream *parent, const char *data, size_t len, int flags)
{
    struct stream *stream = (struct stream *)parent;

    (void)flags;
    for (;;) {
        ssize_t n = send(stream->fd, data, len, MSG_NOSIGNAL);
        if (n >= 0)
            return n;
        if (errno != EINTR && (errno != EAGAIN || !wait_for(stream->fd, POLLOUT, SILENCE_TIMEOUT_MS)))
            return failed("write to", stream, strerror(errno));
    }
}

static int on_close(git_stream *parent)
{
    struct stream *stream = (struct stream *)parent;

    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
    return 0;
}

static void on_free(git_stream *parent)
{
    on_close(parent);
    free(parent);
}

static int on_init(git_stream **out, const char *host, const char *port)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (!stream || strlen(host) >= HOST_SIZE || strlen(port) >= PORT_SIZE) {
        free(stream);
        git_error_set_str(GIT_ERROR_NET, "the host's name is too long");
        return -1;
    }
    stream->parent = (git_stream){ .version = GIT_STREAM_VERSION,
                                   .connect = on_connect,
                                   .read = on_read,
                                   .write = on_write,
                                   .close = on_close,
                                   .free = on_free };
    stream->fd = -1;
    memcpy(stream->host, host, strlen(host));
    memcpy(stream->port, port, strlen(port));
    *out = &stream->parent;
    return 0;
}

/* TLS stands on these, too. */
bool stream_register(void)
{
    git_stream_registration registration = { .version = GIT_STREAM_VERSION, .init = on_init };

    return git_stream_register(GIT_STREAM_STANDARD, &registration) == 0;
}
