/* A peer on loopback for the tests of this module: it records what it is sent and answers by a script. */
#ifndef PUSHWRIGHT_TEST_RUNTIME_PEER_H
#define PUSHWRIGHT_TEST_RUNTIME_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { PEER_REQUESTS = 64, PEER_TEXT = 16 * 1024, PEER_CONNECTIONS = 64, HANG_UP = 0 };

/* An answer to the letter. */
struct peer_words {
    const char *text; /* NULL: none, the connection stays open */
    unsigned after_ms;
    bool hangs_up; /* after the text */
};

struct peer {
    int listener, wake[2];
    unsigned port;
    pthread_t thread;
    sem_t begun;
    const int *script; /* statuses, the last repeats; HANG_UP: close without an answer */
    size_t script_length;
    const char *extra;              /* header lines of every answer */
    const struct peer_words *words; /* instead of the script when not NULL, the last repeats */
    size_t words_length;
    char requests[PEER_REQUESTS][PEER_TEXT];
    size_t count, connections;
};

/* One whole message (head and Content-Length body) from the socket; false at its end. */
static inline bool read_message(int fd, char *out, size_t room)
{
    size_t len = 0;
    while (len + 1 < room) {
        ssize_t n = read(fd, out + len, room - len - 1);
        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = '\0';
        char *body = strstr(out, "\r\n\r\n");
        char *length = strcasestr(out, "content-length:");
        if (body && len >= (size_t)(body + 4 - out) + (length && length < body ? strtoul(length + 15, NULL, 10) : 0))
            return true;
    }
    return false;
}

/* False: hang up. */
static inline bool peer_speak(const struct peer_words *words, int fd)
{
    usleep(words->after_ms * 1000);
    size_t len = words->text ? strlen(words->text) : 0;
    return write(fd, words->text ? words->text : "", len) == (ssize_t)len && !words->hangs_up;
}

static inline bool peer_answer(struct peer *peer, int fd)
{
    char *request = peer->requests[peer->count < PEER_REQUESTS ? peer->count : PEER_REQUESTS - 1];
    if (!read_message(fd, request, PEER_TEXT))
        return false;
    if (peer->words) {
        size_t said = peer->count < peer->words_length ? peer->count : peer->words_length - 1;
        peer->count++;
        return peer_speak(&peer->words[said], fd);
    }
    size_t turn = peer->count < peer->script_length ? peer->count : peer->script_length - 1;
    peer->count++;
    if (peer->script[turn] == HANG_UP)
        return false;
    char answer[1024];
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 %d Said\r\nContent-Length: 0\r\n%s\r\n", peer->script[turn],
                     peer->extra ? peer->extra : "");
    return write(fd, answer, (size_t)n) == n;
}

static inline void *peer_loop(void *context)
{
    struct peer *peer = context;
    sem_post(&peer->begun);
    struct pollfd fds[PEER_CONNECTIONS + 2] = { { .fd = peer->wake[0], .events = POLLIN },
                                                { .fd = peer->listener, .events = POLLIN } };
    nfds_t count = 2;
    while (poll(fds, count, -1) > 0 && !fds[0].revents) {
        for (nfds_t i = 2; i < count; i++)
            if (fds[i].revents && !peer_answer(peer, fds[i].fd)) {
                close(fds[i].fd);
                fds[i] = fds[--count];
                break;
            }
        if (fds[1].revents && count < PEER_CONNECTIONS + 2) {
            fds[count] = (struct pollfd){ .fd = accept(peer->listener, NULL, NULL), .events = POLLIN };
            count++;
            peer->connections++;
        }
    }
    for (nfds_t i = 2; i < count; i++)
        close(fds[i].fd);
    return NULL;
}

static inline void peer_run(struct peer *peer, int listener, const int *script, size_t length)
{
    peer->listener = listener;
    peer->script = script;
    peer->script_length = length;
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(pipe(peer->wake), 0);
    assert_int_equal(sem_init(&peer->begun, 0, 0), 0);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_loop, peer), 0);
    /* Tests fork. A thread that is still beginning may hold the allocator's lock, which nobody would give back in the child. */
    while (sem_wait(&peer->begun) != 0)
        ;
}

static inline struct peer *peer_start(const int *script, size_t length)
{
    struct peer *peer = calloc(1, sizeof *peer);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    peer->port = ntohs(address.sin_port);
    peer_run(peer, fd, script, length);
    return peer;
}

static inline struct peer *peer_start_unix(const char *path, const int *script, size_t length)
{
    struct peer *peer = calloc(1, sizeof *peer);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    peer_run(peer, fd, script, length);
    return peer;
}

static inline void peer_stop(struct peer *peer)
{
    assert_int_equal(write(peer->wake[1], "x", 1), 1);
    pthread_join(peer->thread, NULL);
    sem_destroy(&peer->begun);
    close(peer->listener);
    close(peer->wake[0]);
    close(peer->wake[1]);
    free(peer);
}

/* The header's value in a recorded message, in static room; NULL: absent. */
static inline const char *header_in(const char *message, const char *name)
{
    static char value[4096];
    size_t len = strlen(name);
    for (const char *line = strstr(message, "\r\n"); line && strncmp(line, "\r\n\r\n", 4) != 0;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
            continue;
        const char *start = line + 3 + len;
        start += strspn(start, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r"), start);
        return value;
    }
    return NULL;
}

static inline const char *body_of(const char *message)
{
    const char *end = strstr(message, "\r\n\r\n");
    return end ? end + 4 : "";
}

/* Send a raw request to a port of loopback and read the answer; its status, 0 when there was none. */
static inline int ask(unsigned port, const char *request, char answer[static PEER_TEXT])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                   .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    answer[0] = '\0';
    int status = 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        write(fd, request, strlen(request)) == (ssize_t)strlen(request) && read_message(fd, answer, PEER_TEXT))
        sscanf(answer, "HTTP/1.1 %d", &status);
    close(fd);
    return status;
}

#endif
