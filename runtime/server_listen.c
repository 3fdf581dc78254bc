#include "runtime/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

enum { PREDECESSOR_WAITS = 200, PREDECESSOR_WAIT_MS = 20 };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } to;
    socklen_t len;
    bool dual; /* every address: IPv6 that takes IPv4 too, or IPv4 where there is no IPv6 */
};

static bool parse_port(struct span text, in_port_t *port)
{
    unsigned long number = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (unsigned long)(text.data[i] - '0');
    }
    *port = htons((in_port_t)number);
    return number <= 65535;
}

static bool parse_v6(struct span text, in_port_t port, struct address *out)
{
    char host[INET6_ADDRSTRLEN];
    if (text.len >= sizeof host)
        return false;
    memcpy(host, text.data, text.len);
    host[text.len] = '\0';
    out->to.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
    out->len = sizeof out->to.v6;
    return inet_pton(AF_INET6, host, &out->to.v6.sin6_addr) == 1;
}

static bool parse_v4(struct span text, in_port_t port, struct address *out)
{
    char host[INET_ADDRSTRLEN];
    if (text.len >= sizeof host)
        return false;
    memcpy(host, text.data, text.len);
    host[text.len] = '\0';
    out->to.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
    out->len = sizeof out->to.v4;
    return inet_pton(AF_INET, host, &out->to.v4.sin_addr) == 1;
}

static bool parse_local(const char *path, struct address *out)
{
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof out->to.local.sun_path)
        return false;
    out->to.local = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(out->to.local.sun_path, path, len + 1);
    out->len = sizeof out->to.local;
    return true;
}

static bool parse_listen(const char *text, struct address *out)
{
    *out = (struct address){ 0 };
    struct span all = span_of(text);
    if (span_starts(all, "unix:"))
        return parse_local(text + strlen("unix:"), out);
    in_port_t port = 0;
    long colon = span_find_last(all, ':');
    if (!parse_port((struct span){ text + colon + 1, all.len - (size_t)(colon + 1) }, &port))
        return false;
    struct span host = { text, colon < 0 ? 0 : (size_t)colon };
    if (colon < 0) {
        out->dual = true;
        return parse_v6(SPAN("::"), port, out);
    }
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        return parse_v6((struct span){ host.data + 1, host.len - 2 }, port, out);
    return parse_v4(host, port, out);
}

/* Options set here are inherited by the accepted sockets. */
static int open_socket(const struct address *address)
{
    int fd = socket(address->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || address->to.any.sa_family == AF_UNIX)
        return fd;
    const int on = 1, v6only = address->dual ? 0 : 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (address->to.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
    return fd;
}

static int bind_to(const struct address *address)
{
    int fd = open_socket(address);
    if (fd >= 0 && bind(fd, &address->to.any, address->len) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static bool somebody_listens(const struct address *address)
{
    AUTO(close) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return probe >= 0 && (connect(probe, &address->to.any, address->len) == 0 || errno == EAGAIN);
}

/* Who was killed together with the one that started it may still be ending when its successor is there. */
static bool somebody_stays(const struct address *address)
{
    for (int waits = 0; somebody_listens(address); waits++) {
        if (waits == PREDECESSOR_WAITS)
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = PREDECESSOR_WAIT_MS * 1000 * 1000 }, NULL);
    }
    return false;
}

/* Who sees the socket's file may connect at once, and be allowed to: until that is so it has another name of the same length. */
static void hide(struct address *address)
{
    char *slash = strrchr(address->to.local.sun_path, '/');
    char *name = slash ? slash + 1 : address->to.local.sun_path;
    *name = *name == '.' ? '_' : '.';
}

/* A socket file that nobody listens on is left over from a process that was killed. */
static int bind_local(struct server *server, struct address *address)
{
    const char *path = address->to.local.sun_path;
    if (somebody_stays(address)) {
        errno = EADDRINUSE;
        return -1;
    }
    server->unix_path = strdup(path);
    hide(address);
    server->unix_hidden = server->unix_path ? strdup(path) : NULL;
    if (!server->unix_hidden)
        return -1;
    unlink(path);
    return bind_to(address);
}

bool server_show(struct server *server)
{
    if (!server->unix_hidden)
        return true;
    const mode_t mode = server->options.socket_mode;
    if ((mode && chmod(server->unix_hidden, mode) != 0) || rename(server->unix_hidden, server->unix_path) != 0)
        return false;
    free(server->unix_hidden);
    server->unix_hidden = NULL;
    return true;
}

static int bind_anyhow(struct address *address)
{
    int fd = bind_to(address);
    if (fd >= 0)
        return fd;
    if (address->dual && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        in_port_t port = address->to.v6.sin6_port;
        parse_v4(SPAN("0.0.0.0"), port, address);
        return bind_to(address);
    }
    return -1;
}

static unsigned port_of(int fd)
{
    struct address bound = { .len = sizeof bound.to };
    if (getsockname(fd, &bound.to.any, &bound.len) != 0)
        return 0;
    if (bound.to.any.sa_family == AF_INET6)
        return ntohs(bound.to.v6.sin6_port);
    return bound.to.any.sa_family == AF_INET ? ntohs(bound.to.v4.sin_port) : 0;
}

bool server_bind(struct server *server, struct error *err)
{
    const char *listen_on = server->options.listen;
    struct address address;
    if (!listen_on || !parse_listen(listen_on, &address))
        return error_set(err, ERROR_INVALID,
                         "cannot listen on '%s': not PORT, ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH",
                         listen_on ? listen_on : "");
    bool is_local = address.to.any.sa_family == AF_UNIX;
    server->listen_fd = is_local ? bind_local(server, &address) : bind_anyhow(&address);
    if (server->listen_fd < 0)
        return error_set_errno(err, errno, "cannot listen on '%s'", listen_on);
    server->port = port_of(server->listen_fd);
    return true;
}
