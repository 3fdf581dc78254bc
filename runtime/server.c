#include "runtime/server_internal.h"

#include "shared/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

enum {
    EVENTS_A_ROUND = 64,
    ACCEPTS_A_TURN = 64,
    DESCRIPTORS_BESIDE = 64,
    HEAD_EVICTION_MS = 1000,
    SLOW_CHECK_MS = 1000
};

static void fill_in(struct server_options *options)
{
    options->workers = options->workers ? options->workers : 4;
    options->connections_max = options->connections_max ? options->connections_max : 10000;
    options->body_max = options->body_max ? options->body_max : EVENT_MAX;
    options->memory_max = options->memory_max ? options->memory_max : 4 * options->body_max;
    options->header_timeout_ms = options->header_timeout_ms ? options->header_timeout_ms : 10 * 1000;
    options->body_timeout_ms = options->body_timeout_ms ? options->body_timeout_ms : 60 * 1000;
    options->idle_timeout_ms = options->idle_timeout_ms ? options->idle_timeout_ms : 620 * 1000;
    options->drain_timeout_ms = options->drain_timeout_ms ? options->drain_timeout_ms : 30 * 1000;
}

/* Descriptors for all connections, as far as the machine allows; the connections are fewer where it does not. */
static void fit_descriptors(struct server_options *options)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)options->connections_max + DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted && limit.rlim_cur > 2 * DESCRIPTORS_BESIDE)
        options->connections_max = (unsigned)limit.rlim_cur - DESCRIPTORS_BESIDE;
}

struct server *server_new(const struct server_options *options, struct error *err)
{
    AUTO(server_free) struct server *server = calloc(1, sizeof *server);
    if (!server) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    server->listen_fd = server->epoll_fd = server->wake_fd = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->work, NULL);
    server->options = *options;
    fill_in(&server->options);
    fit_descriptors(&server->options);
    server->workers = calloc(server->options.workers, sizeof *server->workers);
    server->scratch = malloc(SERVER_SCRATCH);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!server->workers || !server->scratch || server->epoll_fd < 0 || server->wake_fd < 0) {
        error_set_errno(err, errno, "cannot make the server");
        return NULL;
    }
    if (!server_bind(server, err))
        return NULL;
    return TAKE(server);
}

unsigned server_port(const struct server *server)
{
    return server->port;
}

/* Async-signal-safe: an atomic and a write. */
void server_stop(struct server *server)
{
    int before = errno;
    atomic_store(&server->stopping, true);
    const uint64_t one = 1;
    ssize_t ignored = write(server->wake_fd, &one, sizeof one); /* fails only when the wake-up is under way already */
    (void)ignored;
    errno = before;
}

bool server_stopping(const struct server *server)
{
    return atomic_load(&server->stopping);
}

static struct connection *first_of(struct server *server, enum connection_state state)
{
    server_lock(server);
    struct connection *connection = server->lists[state].first;
    server_unlock(server);
    return connection;
}

static void reap(struct server *server)
{
    struct connection *connection = server->lists[CONNECTION_CLOSED].first;
    server->lists[CONNECTION_CLOSED] = (struct connection_list){ 0 };
    while (connection) {
        struct connection *next = connection->next;
        free(connection);
        connection = next;
    }
}

static void stop_listening(struct server *server)
{
    if (server->listen_fd < 0)
        return;
    close(server->listen_fd);
    server->listen_fd = -1;
    server->listening = false;
    if (server->unix_path)
        unlink(server->unix_path);
}

void server_free(struct server *server)
{
    if (!server)
        return;
    server_join_workers(server);
    for (int state = 0; state < CONNECTION_CLOSED; state++)
        for (struct connection *c; (c = server->lists[state].first) != NULL;)
            connection_close(server, c);
    reap(server);
    stop_listening(server);
    if (server->epoll_fd >= 0)
        close(server->epoll_fd);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    pthread_cond_destroy(&server->work);
    pthread_mutex_destroy(&server->lock);
    free(server->unix_path);
    free(server->scratch);
    free(server->workers);
    free(server);
}

/* --- accepting --- */

/* Make room for a new connection: by the one that is missed least. */
static bool evict(struct server *server)
{
    struct connection *victim = first_of(server, CONNECTION_LINGER);
    if (!victim)
        victim = first_of(server, CONNECTION_IDLE);
    if (!victim) {
        victim = first_of(server, CONNECTION_HEAD);
        if (victim && clock_monotonic_ms() - victim->since_ms < HEAD_EVICTION_MS)
            victim = NULL;
    }
    if (victim)
        connection_close(server, victim);
    return victim != NULL;
}

static bool watch_listener(struct server *server, bool watch)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &server->listen_fd };
    if (server->listening == watch || server->listen_fd < 0)
        return true;
    if (epoll_ctl(server->epoll_fd, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, server->listen_fd, &event) != 0)
        return false;
    server->listening = watch;
    return true;
}

/* No descriptor, no memory, or every connection at work: the others wait in the kernel. */
static void pause_accepting(struct server *server)
{
    watch_listener(server, false);
    server->accept_again_ms = clock_monotonic_ms() + ACCEPT_PAUSE_MS;
}

static bool is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

static bool add_evicting(struct server *server, int fd)
{
    bool room = server->connections < server->options.connections_max || evict(server);
    return connection_add(server, fd) && room;
}

/* False when there is no more for now. */
static bool accept_one(struct server *server)
{
    bool room = server->connections <= server->options.connections_max || evict(server);
    int fd = room ? accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    if (fd >= 0)
        room = add_evicting(server, fd);
    else if (room && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    else if (room && is_shortage(errno))
        room = evict(server);
    /* Anything else is an error of that one connection (accept(2)). */
    if (!room)
        pause_accepting(server);
    return room;
}

static void accept_some(struct server *server, int at_most)
{
    for (int i = 0; i < at_most && accept_one(server); i++)
        ;
}

/* --- time --- */

static void expire_head(struct server *server, struct connection *connection)
{
    connection_refuse(server, connection, 408, "the header fields did not arrive in time");
}

static void expire_body(struct server *server, struct connection *connection)
{
    connection_refuse(server, connection, 408, "the body did not arrive in time");
}

static void expire_starved(struct server *server, struct connection *connection)
{
    connection_refuse(server, connection, 503, "too many large requests at once");
}

/* What limits each state, and what happens at the end. LIMIT_RETURN: a worker may hand it back, which the epoll thread does not notice
 * but by looking at the lists again. */
enum limit { LIMIT_NONE, LIMIT_IDLE, LIMIT_HEADER, LIMIT_BODY, LIMIT_LINGER, LIMIT_RETURN };

static const struct {
    enum limit limit;
    void (*expire)(struct server *server, struct connection *connection);
} states[CONNECTION_STATES] = {
    [CONNECTION_IDLE] = { LIMIT_IDLE, connection_close },
    [CONNECTION_HEAD] = { LIMIT_HEADER, expire_head },
    [CONNECTION_BODY] = { LIMIT_BODY, expire_body },
    [CONNECTION_STARVED] = { LIMIT_BODY, expire_starved },
    [CONNECTION_QUEUED] = { LIMIT_RETURN, NULL },
    [CONNECTION_RUNNING] = { LIMIT_RETURN, NULL },
    [CONNECTION_WRITING] = { LIMIT_BODY, connection_close },
    [CONNECTION_LINGER] = { LIMIT_LINGER, connection_close },
};

static int64_t limit_ms(const struct server *server, enum connection_state state)
{
    const int64_t limits[] = {
        [LIMIT_NONE] = INT64_MAX,
        [LIMIT_IDLE] = server->draining ? FRESH_DRAIN_MS : server->options.idle_timeout_ms,
        [LIMIT_HEADER] = server->options.header_timeout_ms,
        [LIMIT_BODY] = server->options.body_timeout_ms,
        [LIMIT_LINGER] = server->draining ? LINGER_DRAIN_MS : LINGER_MS,
        [LIMIT_RETURN] = INT64_MAX,
    };
    return limits[states[state].limit];
}

static struct connection *expired(struct server *server, enum connection_state state, int64_t now)
{
    struct connection *first = first_of(server, state);
    return first && now - first->since_ms >= limit_ms(server, state) ? first : NULL;
}

static struct connection *too_slow(struct server *server, int64_t now)
{
    struct connection *connection;
    server_lock(server);
    for (connection = server->lists[CONNECTION_BODY].first; connection; connection = connection->next)
        if (body_is_too_slow(connection->exchange->message.body.len, now - connection->since_ms))
            break;
    server_unlock(server);
    return connection;
}

static void expire(struct server *server, int64_t now)
{
    struct connection *connection;
    for (int state = 0; state < CONNECTION_STATES; state++)
        while (states[state].expire && (connection = expired(server, (enum connection_state)state, now)) != NULL)
            states[state].expire(server, connection);
    if (now >= server->slow_check_ms) {
        server->slow_check_ms = now + SLOW_CHECK_MS;
        while ((connection = too_slow(server, now)) != NULL)
            expire_body(server, connection);
    }
    if (server->accept_again_ms && now >= server->accept_again_ms) {
        server->accept_again_ms = 0;
        if (!watch_listener(server, true))
            pause_accepting(server);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How long epoll may sleep. */
static int next_timeout(struct server *server, int64_t now, int64_t drain_end)
{
    int64_t when = INT64_MAX;
    server_lock(server);
    for (int state = 0; state < CONNECTION_STATES; state++) {
        const struct connection *first = server->lists[state].first;
        if (first && states[state].limit == LIMIT_RETURN)
            when = earlier(when, now + LINGER_MS);
        else if (first && states[state].limit != LIMIT_NONE)
            when = earlier(when, first->since_ms + limit_ms(server, (enum connection_state)state));
    }
    const struct connection *body = server->lists[CONNECTION_BODY].first;
    if (body)
        when =
            earlier(when, now - body->since_ms < BODY_GRACE_MS ? body->since_ms + BODY_GRACE_MS : now + SLOW_CHECK_MS);
    server_unlock(server);
    if (server->accept_again_ms)
        when = earlier(when, server->accept_again_ms);
    if (server->draining)
        when = earlier(when, drain_end);
    if (when == INT64_MAX)
        return -1;
    int64_t wait = when - now;
    return wait < 0 ? 0 : wait > INT_MAX ? INT_MAX : (int)wait;
}

/* --- the loop --- */

static void ready(struct server *server, struct connection *connection)
{
    server_lock(server);
    enum connection_state state = connection->state;
    server_unlock(server);
    static void (*const reactions[CONNECTION_STATES])(struct server *, struct connection *) = {
        [CONNECTION_IDLE] = connection_read,     [CONNECTION_HEAD] = connection_read,
        [CONNECTION_BODY] = connection_read,     [CONNECTION_WRITING] = connection_write,
        [CONNECTION_LINGER] = connection_linger,
    };
    /* In the other states an event is a late one: it comes again when the connection is armed anew. */
    if (reactions[state])
        reactions[state](server, connection);
}

static void react(struct server *server, const struct epoll_event *event)
{
    uint64_t count;
    if (event->data.ptr == &server->listen_fd) {
        if (server->listen_fd >= 0)
            accept_some(server, ACCEPTS_A_TURN);
    } else if (event->data.ptr == server) {
        ssize_t ignored = read(server->wake_fd, &count, sizeof count);
        (void)ignored;
    } else {
        ready(server, event->data.ptr);
    }
}

/* Whoever has connected is still heard; idle connections are asked once more and closed. */
static void begin_drain(struct server *server)
{
    server_lock(server);
    server->draining = true;
    server_unlock(server);
    accept_some(server, INT_MAX);
    stop_listening(server);
    server->accept_again_ms = 0;
    struct connection *connection = first_of(server, CONNECTION_IDLE);
    while (connection) {
        server_lock(server);
        struct connection *next = connection->next;
        server_unlock(server);
        connection_read(server, connection);
        connection = next;
    }
}

static bool open_for_business(struct server *server, struct error *err)
{
    struct epoll_event wake = { .events = EPOLLIN, .data.ptr = server };
    if (listen(server->listen_fd, SOMAXCONN) != 0 || !watch_listener(server, true) ||
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &wake) != 0)
        return error_set_errno(err, errno, "cannot listen on '%s'", server->options.listen);
    return true;
}

bool server_run(struct server *server, struct error *err)
{
    if (!open_for_business(server, err))
        return false;
    int64_t now = clock_monotonic_ms(), drain_end = 0;
    while (!server->draining || (server->connections > 0 && now < drain_end)) {
        struct epoll_event events[EVENTS_A_ROUND];
        int count = epoll_wait(server->epoll_fd, events, EVENTS_A_ROUND, next_timeout(server, now, drain_end));
        if (count < 0 && errno != EINTR)
            return error_set_errno(err, errno, "cannot wait for connections");
        for (int i = 0; i < count; i++)
            react(server, &events[i]);
        now = clock_monotonic_ms();
        if (server_stopping(server) && !server->draining) {
            drain_end = now + server->options.drain_timeout_ms;
            begin_drain(server);
        }
        expire(server, now);
        reap(server);
    }
    if (first_of(server, CONNECTION_QUEUED) || first_of(server, CONNECTION_RUNNING))
        return error_set(err, ERROR_BUSY, "requests were still running %ld ms after the stop",
                         server->options.drain_timeout_ms);
    server_join_workers(server);
    return true;
}
