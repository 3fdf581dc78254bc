/* A next hop that takes every CloudEvent into memory and answers 202, as a part of a program that waits for other things, too: whoever
 * includes this puts hop.epoll into a set of its own and calls hop_turn() when there is something. */
#ifndef PUSHWRIGHT_TESTS_BENCH_HOP_H
#define PUSHWRIGHT_TESTS_BENCH_HOP_H

#include "answer.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOP_CONNECTIONS_MAX = 1024, HOP_REQUEST_MAX = 1024 * 1024 };

struct hop_connection {
    size_t got;
    char request[HOP_REQUEST_MAX + 1]; /* pages are touched as far as requests reach */
};

struct hop {
    int epoll, door;
    struct hop_connection *connections[HOP_CONNECTIONS_MAX]; /* by descriptor */
};

static void hop_watch(const struct hop *hop, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(hop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll: %s", strerror(errno));
}

/* Port 0: any. The one it is. */
static int hop_open(struct hop *hop, int port)
{
    struct sockaddr_in address = loopback(port);
    socklen_t len = sizeof address;
    int one = 1;
    hop->epoll = epoll_create1(EPOLL_CLOEXEC);
    hop->door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(hop->door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (hop->epoll < 0 || hop->door < 0 || bind(hop->door, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(hop->door, 128) != 0 || getsockname(hop->door, (struct sockaddr *)&address, &len) != 0)
        die("cannot listen on port %d: %s", port, strerror(errno));
    hop_watch(hop, hop->door);
    return ntohs(address.sin_port);
}

static void hop_take_connection(struct hop *hop)
{
    int one = 1, fd = accept4(hop->door, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (fd >= HOP_CONNECTIONS_MAX ||
        (!hop->connections[fd] && !(hop->connections[fd] = malloc(sizeof *hop->connections[fd]))))
        die("too many connections");
    hop->connections[fd]->got = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    hop_watch(hop, fd);
}

/* Length of the request at the start of the buffer; 0 while it is not whole. */
static size_t hop_whole_request(const struct hop_connection *c)
{
    const char *head = strstr(c->request, "\r\n\r\n");
    if (!head)
        return 0;
    const char *length = header_value(c->request, head, "Content-Length");
    size_t whole = (size_t)(head + 4 - c->request) + (length ? strtoul(length, NULL, 10) : 0);
    return whole <= c->got ? whole : 0;
}

static void hop_serve(const struct hop *hop, int fd)
{
    static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    struct hop_connection *c = hop->connections[fd];
    ssize_t n = recv(fd, c->request + c->got, HOP_REQUEST_MAX - c->got, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(fd);
        return;
    }
    c->got += (size_t)n;
    c->request[c->got] = '\0';
    for (size_t whole; (whole = hop_whole_request(c)) > 0;) {
        if (send(fd, accepted, sizeof accepted - 1, MSG_NOSIGNAL) < 0)
            return; /* closed: the next read says so */
        c->got -= whole;
        memmove(c->request, c->request + whole, c->got + 1);
    }
}

static void hop_turn(struct hop *hop, int timeout_ms)
{
    struct epoll_event events[64];
    int n = epoll_wait(hop->epoll, events, 64, timeout_ms);
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == hop->door)
            hop_take_connection(hop);
        else
            hop_serve(hop, events[i].data.fd);
    }
}

#endif
