/* The next hop of the bench: takes every CloudEvent into memory and answers 202, in a process of its own so that its CPU time is not
 * counted. Prints its port, then serves until it is ended. */
#include "answer.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, REQUEST_MAX = 1024 * 1024 };

struct connection {
    size_t got;
    char request[REQUEST_MAX + 1];
};

static struct connection *connections[CONNECTIONS_MAX]; /* by descriptor; pages are touched as far as requests reach */

static const char ACCEPTED[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

static int open_door(int *port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        die("cannot listen: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

static void take_connection(int epoll, int door)
{
    int one = 1, fd = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (fd < 0)
        return;
    if (fd >= CONNECTIONS_MAX || (!connections[fd] && !(connections[fd] = malloc(sizeof *connections[fd]))))
        die("too many connections");
    connections[fd]->got = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Length of the request at the start of the buffer; 0 while it is not whole. */
static size_t whole_request(const struct connection *c)
{
    const char *head = strstr(c->request, "\r\n\r\n");
    if (!head)
        return 0;
    const char *length = header_value(c->request, head, "Content-Length");
    size_t whole = (size_t)(head + 4 - c->request) + (length ? strtoul(length, NULL, 10) : 0);
    return whole <= c->got ? whole : 0;
}

static void serve(int fd)
{
    struct connection *c = connections[fd];
    ssize_t n = recv(fd, c->request + c->got, REQUEST_MAX - c->got, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(fd);
        return;
    }
    c->got += (size_t)n;
    c->request[c->got] = '\0';
    for (size_t whole; (whole = whole_request(c)) > 0;) {
        if (send(fd, ACCEPTED, sizeof ACCEPTED - 1, MSG_NOSIGNAL) < 0)
            return; /* closed: the next read says so */
        c->got -= whole;
        memmove(c->request, c->request + whole, c->got + 1);
    }
}

int main(void)
{
    struct epoll_event events[64];
    int port, door = open_door(&port), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = door };
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, door, &event) != 0)
        die("epoll: %s", strerror(errno));
    printf("%d\n", port);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == door)
                take_connection(epoll, door);
            else
                serve(events[i].data.fd);
        }
    }
}
