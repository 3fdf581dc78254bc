/* A peer for tests: listens on a port of the kernel's choice, answers each connection's requests with the given
 * bytes in order (the last one again and again) and keeps what it was sent. A reply may hold anything: it is written
 * as it is. */
#ifndef PUSHWRIGHT_TESTS_PEER_H
#define PUSHWRIGHT_TESTS_PEER_H

#include "shared/base/bytes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PEER_RECEIVED_MAX = 64 * 1024 * 1024 };

struct peer {
    int listener;
    unsigned port;
    const char *const *replies; /* NULL in the list: say nothing more, keep the connection */
    size_t reply_count;
    size_t requests, connections;
    bool close_after; /* close the connection behind each reply */
    struct bytes received;
    pthread_t thread;
};

/* Length of the body that the request's headers announce. */
static inline size_t peer_body_length(const char *head)
{
    const char *field = strcasestr(head, "\r\nContent-Length:");
    return field ? (size_t)strtoul(field + 17, NULL, 10) : 0;
}

static inline bool peer_is_complete(const char *request, size_t len)
{
    const char *end = strstr(request, "\r\n\r\n");
    if (!end)
        return false;
    if (strcasestr(request, "\r\nTransfer-Encoding: chunked"))
        return len >= 5 && memcmp(request + len - 5, "0\r\n\r\n", 5) == 0;
    return len - (size_t)(end + 4 - request) >= peer_body_length(request);
}

static inline bool peer_read_request(struct peer *peer, int fd)
{
    struct error err;
    size_t start = peer->received.len;
    char piece[16 * 1024];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n <= 0 || !bytes_append(&peer->received, piece, (size_t)n, &err))
            return false;
        if (peer_is_complete(peer->received.data + start, peer->received.len - start))
            return true;
    }
}

static inline const char *peer_next_reply(struct peer *peer)
{
    size_t i = peer->requests < peer->reply_count ? peer->requests : peer->reply_count - 1;
    peer->requests++;
    return peer->replies[i];
}

static inline void peer_serve(struct peer *peer, int fd)
{
    while (peer_read_request(peer, fd)) {
        const char *reply = peer_next_reply(peer);
        size_t len = reply ? strlen(reply) : 0;
        if (len > 0 && send(fd, reply, len, MSG_NOSIGNAL) != (ssize_t)len)
            return;
        if (peer->close_after && reply)
            return;
    }
}

static inline void *peer_run(void *context)
{
    struct peer *peer = context;
    for (int fd; (fd = accept(peer->listener, NULL, NULL)) >= 0;) {
        peer->connections++;
        peer_serve(peer, fd);
        close(fd);
    }
    return NULL;
}

static inline void peer_start(struct peer *peer, const char *const *replies, size_t count)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    *peer = (struct peer){ .replies = replies, .reply_count = count, .received = BYTES(PEER_RECEIVED_MAX) };
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->listener < 0 || bind(peer->listener, (struct sockaddr *)&address, len) != 0 ||
        listen(peer->listener, 16) != 0 || getsockname(peer->listener, (struct sockaddr *)&address, &len) != 0)
        abort();
    peer->port = ntohs(address.sin_port);
    if (pthread_create(&peer->thread, NULL, peer_run, peer) != 0)
        abort();
}

static inline void peer_start_unix(struct peer *peer, const char *path, const char *const *replies, size_t count)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    *peer = (struct peer){ .replies = replies, .reply_count = count, .received = BYTES(PEER_RECEIVED_MAX) };
    peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->listener < 0 || bind(peer->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(peer->listener, 16) != 0 || pthread_create(&peer->thread, NULL, peer_run, peer) != 0)
        abort();
}

/* The client's connections must be closed before (free the client first). */
static inline void peer_stop(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    bytes_release(&peer->received);
}

#endif
