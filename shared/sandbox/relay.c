/* Connections carried between clients' sockets and the program's port, both ways, half-closed as TCP allows.
 *
 * One thread, level-triggered epoll, memory of each connection in pages of its own (there is no allocator here). A direction
 * reads only when its buffer is empty: a slow receiver holds the sender back. */
#include "shared/base/clock.h"
#include "shared/sandbox/inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
    BUFFER_SIZE = 16 * 1024,
    ROUNDS_MAX = 16,            /* of one connection before others have their turn */
    CONNECT_PATIENCE_MS = 5000, /* a program that is between two listens, or restarts its workers */
    CONNECT_PAUSE_MS = 5,
};

/* Who spoke last: what tells a resting connection from one whose answer is still awaited. */
enum speaker { NOBODY, CLIENT, SERVER };

struct way {
    size_t from, to; /* buffered bytes */
    bool ended, passed_on;
    char buffer[BUFFER_SIZE];
};

struct end {
    struct source source; /* first: epoll hands it back */
    struct relay *relay;
    int fd;
    uint32_t interest;
};

struct relay {
    struct relays *relays;
    struct relay *next;
    struct end client, server;
    struct way in, out; /* to the program, from the program */
    enum speaker last;
    bool connected, returning, finished, interactive;
    int64_t give_up_ms, retry_ms;
};

struct relays {
    int epoll;
    unsigned port;
    bool draining;
    size_t count;
    struct relay *all;
};

static struct relays *carrier_new(int epoll, unsigned port)
{
    struct relays *relays = mmap(NULL, sizeof *relays, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (relays == MAP_FAILED)
        return NULL;
    relays->epoll = epoll;
    relays->port = port;
    return relays;
}

static int port_connect(unsigned port, int family)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port),
                               .sin6_addr = in6addr_loopback };
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int done = family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                                 : connect(fd, (struct sockaddr *)&v6, sizeof v6);
    if (done < 0 && errno != EINPROGRESS) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int port_probe(unsigned port)
{
    static const int families[] = { AF_INET, AF_INET6 };
    for (size_t i = 0; i < 2; i++) {
        int fd = port_connect(port, families[i]);
        if (fd < 0)
            continue;
        struct pollfd ready = { .fd = fd, .events = POLLOUT };
        int failure = 0;
        socklen_t size = sizeof failure;
        bool open =
            poll(&ready, 1, 100) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure == 0;
        close(fd);
        if (open)
            return 1;
    }
    return 0;
}

/* A socket of which nothing is wanted leaves the set: epoll would tell of its hang-up for ever. */
static void watch(struct relays *relays, struct end *end, uint32_t interest)
{
    struct epoll_event event = { .events = interest, .data.ptr = &end->source };
    if (end->fd < 0 || end->interest == interest)
        return;
    int change = interest == 0 ? EPOLL_CTL_DEL : end->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    epoll_ctl(relays->epoll, change, end->fd, &event);
    end->interest = interest;
}

/* Out of the set before it is closed: a check that is being started has a copy until its exec, and epoll goes by what is open
 * anywhere. */
static void end_close(struct relays *relays, struct end *end)
{
    watch(relays, end, 0);
    if (end->fd >= 0)
        close(end->fd);
    end->fd = -1;
}

static void finish(struct relay *relay)
{
    relay->finished = true;
    end_close(relay->relays, &relay->client);
    end_close(relay->relays, &relay->server);
}

/* To the front again: the caller of sandbox_connect() finds another program for it. */
static void give_back(struct relays *relays, struct relay *relay)
{
    watch(relays, &relay->client, 0);
    end_close(relays, &relay->server);
    relay->returning = true;
}

static bool untouched(const struct relay *relay)
{
    return relay->last == NOBODY && relay->in.from == relay->in.to && !relay->in.ended && relay->client.fd >= 0;
}

/* Try the program's port; refused: later again. */
static void dial(struct relays *relays, struct relay *relay, int64_t now_ms)
{
    int fd = port_connect(relays->port, AF_INET);
    if (fd < 0 && errno == ECONNREFUSED)
        fd = port_connect(relays->port, AF_INET6);
    if (fd < 0) {
        relay->retry_ms = now_ms + CONNECT_PAUSE_MS;
        return;
    }
    relay->retry_ms = 0;
    relay->server.fd = fd;
    watch(relays, &relay->server, EPOLLOUT);
}

static bool carrier_add(struct relays *relays, int client)
{
    struct relay *relay = mmap(NULL, sizeof *relay, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (relay == MAP_FAILED) {
        close(client);
        return false;
    }
    int one = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    relay->client = (struct end){ .source.kind = SOURCE_CLIENT, .relay = relay, .fd = client };
    relay->server = (struct end){ .source.kind = SOURCE_SERVER, .relay = relay, .fd = -1 };
    relay->relays = relays;
    relay->next = relays->all;
    relays->all = relay;
    relays->count++;
    int64_t now = clock_monotonic_ms();
    relay->give_up_ms = now + CONNECT_PATIENCE_MS;
    if (relays->draining)
        give_back(relays, relay);
    else
        dial(relays, relay, now);
    return true;
}

/* "HTTP/1.1 1xx": the exchange goes on (100 before an upload), or is HTTP no more (101). */
static void note_interim(struct relay *relay, const struct way *way)
{
    const char *head = way->buffer + way->from;
    if (relay->last == CLIENT && way->to - way->from >= 12 && memcmp(head, "HTTP/1.", 7) == 0 &&
        memcmp(head + 8, " 1", 2) == 0)
        relay->interactive = true;
}

/* More bytes into an empty buffer. False: nothing to do now. */
static bool way_fill(struct relay *relay, struct way *way, int source, enum speaker speaker)
{
    if (way->ended)
        return false;
    ssize_t n = recv(source, way->buffer, sizeof way->buffer, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            finish(relay);
        return false;
    }
    way->from = 0;
    way->to = (size_t)n;
    way->ended = n == 0;
    if (n > 0 && speaker == SERVER)
        note_interim(relay, way);
    if (n > 0)
        relay->last = speaker;
    return n > 0;
}

/* False: the receiver takes no more now, or the relay has ended. */
static bool way_empty(struct relay *relay, struct way *way, int target)
{
    while (way->from < way->to) {
        ssize_t n = send(target, way->buffer + way->from, way->to - way->from, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                finish(relay);
            return false;
        }
        way->from += (size_t)n;
    }
    return true;
}

static void way_pump(struct relay *relay, struct way *way, int source, int target, enum speaker speaker)
{
    for (int round = 0; round < ROUNDS_MAX && !relay->finished; round++) {
        if (!way_empty(relay, way, target) || !way_fill(relay, way, source, speaker))
            break;
    }
    if (!relay->finished && way_empty(relay, way, target) && way->ended && !way->passed_on) {
        shutdown(target, SHUT_WR);
        way->passed_on = true;
    }
}

/* A client that speaks on a resting connection begins a new exchange: that one belongs to the program's successor. */
static bool begins_anew(const struct relays *relays, const struct relay *relay)
{
    char first;
    bool resting =
        relay->last != CLIENT && !relay->interactive && relay->out.from == relay->out.to && !relay->out.ended;
    return relays->draining && resting && recv(relay->client.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static uint32_t interest_of(const struct way *outgoing, const struct way *incoming)
{
    uint32_t reads = !outgoing->ended && outgoing->from == outgoing->to ? EPOLLIN : 0;
    return reads | (incoming->from < incoming->to ? EPOLLOUT : 0);
}

static void relay_advance(struct relays *relays, struct relay *relay)
{
    way_pump(relay, &relay->out, relay->server.fd, relay->client.fd, SERVER);
    if (!relay->finished && begins_anew(relays, relay)) {
        give_back(relays, relay);
        return;
    }
    if (!relay->finished)
        way_pump(relay, &relay->in, relay->client.fd, relay->server.fd, CLIENT);
    if (relay->in.passed_on && relay->out.passed_on)
        finish(relay);
    if (relay->finished)
        return;
    watch(relays, &relay->client, interest_of(&relay->in, &relay->out));
    watch(relays, &relay->server, interest_of(&relay->out, &relay->in));
}

static void connect_settled(struct relays *relays, struct relay *relay)
{
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(relay->server.fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) {
        end_close(relays, &relay->server);
        relay->retry_ms = clock_monotonic_ms() + CONNECT_PAUSE_MS;
        return;
    }
    relay->connected = true;
    relay_advance(relays, relay);
}

static void carrier_handle(struct relays *relays, struct source *source)
{
    struct relay *relay = ((struct end *)source)->relay;
    if (relay->finished || relay->returning)
        return;
    if (relay->connected)
        relay_advance(relays, relay);
    else if (source->kind == SOURCE_SERVER && relay->server.fd >= 0)
        connect_settled(relays, relay);
}

static void carrier_drain(struct relays *relays)
{
    relays->draining = true;
    for (struct relay *relay = relays->all; relay; relay = relay->next)
        if (!relay->finished && !relay->returning && untouched(relay))
            give_back(relays, relay);
}

static void carrier_abandon(struct relays *relays)
{
    for (struct relay *relay = relays->all; relay; relay = relay->next) {
        if (!relay->finished && !relay->returning && untouched(relay))
            give_back(relays, relay);
        else if (!relay->returning)
            finish(relay);
    }
}

static size_t carrier_count(const struct relays *relays)
{
    return relays->count;
}

static int carrier_take_returned(struct relays *relays)
{
    for (struct relay *relay = relays->all; relay; relay = relay->next) {
        if (!relay->returning || relay->finished)
            continue;
        int fd = relay->client.fd;
        relay->client.fd = -1; /* unwatched since give_back() */
        finish(relay);
        return fd;
    }
    return -1;
}

static int carrier_tend(struct relays *relays, int64_t now_ms)
{
    int wait = -1;
    for (struct relay **link = &relays->all; *link;) {
        struct relay *relay = *link;
        if (!relay->finished && !relay->returning && relay->retry_ms) {
            if (now_ms >= relay->give_up_ms)
                finish(relay);
            else if (now_ms >= relay->retry_ms)
                dial(relays, relay, now_ms);
            wait = CONNECT_PAUSE_MS;
        }
        if (relay->finished) {
            *link = relay->next;
            relays->count--;
            munmap(relay, sizeof *relay);
            continue;
        }
        link = &relay->next;
    }
    return wait;
}

const struct sandbox_carrier sandbox_connections = {
    .new = carrier_new,
    .add = carrier_add,
    .handle = carrier_handle,
    .drain = carrier_drain,
    .count = carrier_count,
    .tend = carrier_tend,
    .take_returned = carrier_take_returned,
    .abandon = carrier_abandon,
    .probe = port_probe,
};
