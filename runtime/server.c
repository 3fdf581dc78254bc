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

static bool watch(int set, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = { .events = events, .data.u64 = data };
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Who reads the connections waits for them: the workers, or with options.begin the thread of server_run. */
static bool acquire_descriptors(struct server *server)
{
    int other = epoll_create1(EPOLL_CLOEXEC);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->loop_fd = server->covering ? server->epoll_fd : other;
    server->work_fd = server->covering ? other : server->epoll_fd;
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return server->epoll_fd >= 0 && other >= 0 && server->wake_fd >= 0 && server->kick_fd >= 0 &&
           watch(server->loop_fd, server->wake_fd, EPOLLIN, SLOT_WAKE) &&
           watch(server->work_fd, server->kick_fd, EPOLLIN | EPOLLET, SLOT_NONE);
}

static bool acquire(struct server *server)
{
    server->workers = calloc(server->options.workers, sizeof *server->workers);
    server->slots = calloc((size_t)server->options.connections_max + SLOTS_BESIDE, sizeof *server->slots);
    server->scratch = malloc(SERVER_SCRATCH);
    for (size_t i = 0; i < SERVER_WATCHES_MAX; i++)
        server->watches[i].fd = -1;
    return server->workers && server->slots && server->scratch && acquire_descriptors(server);
}

struct server *server_new(const struct server_options *options, struct error *err)
{
    AUTO(server_free) struct server *server = calloc(1, sizeof *server);
    if (!server) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    server->listen_fd = server->epoll_fd = server->loop_fd = server->work_fd = server->kick_fd = server->wake_fd = -1;
    server->first_free = SLOT_NONE;
    server->alarm_ms = INT64_MAX;
    server->answered_end = &server->answered;
    server->covering = options->begin != NULL;
    pthread_mutex_init(&server->lock, NULL);
    server->options = *options;
    fill_in(&server->options);
    fit_descriptors(&server->options);
    if (!acquire(server)) {
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
    server_wake(server->wake_fd);
    errno = before;
}

bool server_stopping(const struct server *server)
{
    return atomic_load(&server->stopping);
}

static void stop_listening(struct server *server)
{
    if (server->listen_fd < 0)
        return;
    close(server->listen_fd);
    server->listen_fd = -1;
    server->listening = false;
    const char *file = server->unix_hidden ? server->unix_hidden : server->unix_path;
    if (file)
        unlink(file);
}

void server_free(struct server *server)
{
    if (!server)
        return;
    server_join_workers(server);
    for (int state = 0; state < CONNECTION_STATES; state++)
        for (struct connection *c; (c = server->lists[state].first) != NULL;)
            connection_close(server, c);
    spare_drop(server);
    stop_listening(server);
    const int other = server->loop_fd == server->epoll_fd ? server->work_fd : server->loop_fd;
    const int fds[] = { server->epoll_fd, other, server->kick_fd, server->wake_fd };
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&server->lock);
    free(server->unix_path);
    free(server->unix_hidden);
    free(server->scratch);
    free(server->slots);
    free(server->workers);
    free(server);
}

/* --- accepting --- */

/* Claim the oldest connection of a state that has been in it for so long, that nobody has at the moment, and that
 * satisfies the condition. */
static struct connection *claim_oldest(struct server *server, enum connection_state state, int64_t age_ms,
                                       bool (*fits)(const struct connection *, int64_t age_ms))
{
    int64_t now = clock_monotonic_ms();
    server_lock(server);
    struct connection *connection = server->lists[state].first;
    while (connection && now - connection->since_ms >= age_ms &&
           (connection->claimed || (fits && !fits(connection, now - connection->since_ms))))
        connection = connection->next;
    if (connection && now - connection->since_ms < age_ms)
        connection = NULL;
    if (connection)
        connection->claimed = true;
    server_unlock(server);
    return connection;
}

/* Make room for a new connection: by the one that is missed least. */
static bool evict(struct server *server)
{
    struct connection *victim = claim_oldest(server, CONNECTION_LINGER, 0, NULL);
    if (!victim)
        victim = claim_oldest(server, CONNECTION_IDLE, 0, NULL);
    if (!victim)
        victim = claim_oldest(server, CONNECTION_HEAD, HEAD_EVICTION_MS, NULL);
    if (victim)
        connection_close(server, victim);
    return victim != NULL;
}

static unsigned open_connections(struct server *server)
{
    server_lock(server);
    unsigned count = server->connections;
    server_unlock(server);
    return count;
}

static bool watch_listener(struct server *server, bool on)
{
    if (server->listening == on || server->listen_fd < 0)
        return true;
    if (on ? !watch(server->loop_fd, server->listen_fd, EPOLLIN, SLOT_LISTENER)
           : epoll_ctl(server->loop_fd, EPOLL_CTL_DEL, server->listen_fd, NULL) != 0)
        return false;
    server->listening = on;
    return true;
}

/* No descriptor, no memory, or every connection at work: the others wait in the kernel. */
static void pause_accepting(struct server *server)
{
    watch_listener(server, false);
    server->accept_again_ms = clock_monotonic_ms() + ACCEPT_PAUSE_MS;
    server_lock(server);
    server->look_ms = 0;
    server_unlock(server);
}

static bool is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

static bool add_evicting(struct server *server, int fd)
{
    bool room = open_connections(server) < server->options.connections_max || evict(server);
    return connection_add(server, fd) && room;
}

/* False when there is no more for now. */
static bool accept_one(struct server *server)
{
    bool room = open_connections(server) <= server->options.connections_max || evict(server);
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
    connection_refuse(server, connection, 503, SERVER_CROWDED);
}

/* What limits each state, and what happens at the end. */
enum limit { LIMIT_NONE, LIMIT_IDLE, LIMIT_HEADER, LIMIT_BODY, LIMIT_LINGER, LIMITS };

static const struct {
    enum limit limit;
    void (*expire)(struct server *server, struct connection *connection);
} states[CONNECTION_STATES] = {
    [CONNECTION_IDLE] = { LIMIT_IDLE, connection_close },
    [CONNECTION_HEAD] = { LIMIT_HEADER, expire_head },
    [CONNECTION_BODY] = { LIMIT_BODY, expire_body },
    [CONNECTION_STARVED] = { LIMIT_BODY, expire_starved },
    [CONNECTION_QUEUED] = { LIMIT_NONE, NULL },
    [CONNECTION_RUNNING] = { LIMIT_NONE, NULL },
    [CONNECTION_PARKED] = { LIMIT_NONE, NULL },
    [CONNECTION_WRITING] = { LIMIT_BODY, connection_close },
    [CONNECTION_LINGER] = { LIMIT_LINGER, connection_close },
};

int64_t server_limit_ms(const struct server *server, enum connection_state state)
{
    const int64_t limits[LIMITS] = {
        [LIMIT_NONE] = INT64_MAX,
        [LIMIT_IDLE] = server->draining ? FRESH_DRAIN_MS : server->options.idle_timeout_ms,
        [LIMIT_HEADER] = server->options.header_timeout_ms,
        [LIMIT_BODY] = server->options.body_timeout_ms,
        [LIMIT_LINGER] = server->draining ? LINGER_DRAIN_MS : LINGER_MS,
    };
    return limits[states[state].limit];
}

static bool is_slow(const struct connection *connection, int64_t age_ms)
{
    return body_is_too_slow(connection->exchange->message.body.len, age_ms);
}

/* Does it hold memory that others wait for, without getting on? */
static bool is_in_the_way(const struct connection *connection, int64_t age_ms)
{
    (void)age_ms;
    return clock_monotonic_ms() - connection->exchange->marked_ms >= WAITED_FOR_MS;
}

static bool holds_a_long_head(const struct connection *connection, int64_t age_ms)
{
    (void)age_ms;
    return connection->exchange->charged > 0;
}

static bool is_crowded(struct server *server)
{
    server_lock(server);
    bool crowded =
        server->lists[CONNECTION_STARVED].first || server->memory_used >= server_memory_for(server, UINT64_MAX);
    server_unlock(server);
    return crowded;
}

static void end_slow_senders(struct server *server)
{
    struct connection *connection;
    while ((connection = claim_oldest(server, CONNECTION_BODY, BODY_GRACE_MS, is_slow)) != NULL)
        expire_body(server, connection);
    if (!is_crowded(server))
        return;
    while ((connection = claim_oldest(server, CONNECTION_BODY, WAITED_FOR_MS, is_in_the_way)) != NULL)
        expire_starved(server, connection);
    while ((connection = claim_oldest(server, CONNECTION_HEAD, WAITED_FOR_MS, holds_a_long_head)) != NULL)
        expire_starved(server, connection);
}

static void expire(struct server *server, int64_t now)
{
    struct connection *connection;
    for (int state = 0; state < CONNECTION_STATES; state++)
        while (states[state].expire &&
               (connection = claim_oldest(server, (enum connection_state)state,
                                          server_limit_ms(server, (enum connection_state)state), NULL)) != NULL)
            states[state].expire(server, connection);
    if (now >= server->slow_check_ms) {
        server->slow_check_ms = now + SLOW_CHECK_MS;
        end_slow_senders(server);
    }
    server_lock(server);
    bool unused = now >= spare_expiry_locked(server);
    server_unlock(server);
    if (unused)
        spare_drop(server);
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

/* When the first connection runs out of time. What the workers do in the meantime is not seen here; but no state is
 * shorter than the shortest limit, so that sleeping no longer than that is enough. */
static int64_t next_expiry(struct server *server, int64_t now)
{
    int64_t when = INT64_MAX;
    server_lock(server);
    for (int state = 0; state < CONNECTION_STATES; state++) {
        const struct connection *first = server->lists[state].first;
        int64_t limit = server_limit_ms(server, (enum connection_state)state);
        if (limit != INT64_MAX && first)
            when = earlier(when, first->since_ms + limit);
        if (limit != INT64_MAX && server->connections > 0)
            when = earlier(when, now + limit);
    }
    if (server->lists[CONNECTION_BODY].first)
        when = earlier(when, now + SLOW_CHECK_MS);
    when = earlier(when, spare_expiry_locked(server));
    server_unlock(server);
    return when;
}

/* Whose time is up; and when to look again. In between the time is only read. */
static void look(struct server *server, int64_t now)
{
    server_lock(server);
    bool due = now >= server->look_ms;
    server_unlock(server);
    if (!due && now < server->alarm_ms)
        return;
    expire(server, now);
    if (now >= server->alarm_ms) {
        server->alarm_ms = INT64_MAX;
        server->options.alarm(server->options.context, now);
    }
    int64_t when = next_expiry(server, now);
    if (server->accept_again_ms)
        when = earlier(when, server->accept_again_ms);
    server_lock(server);
    server->look_ms = when;
    server_unlock(server);
}

void server_set_alarm(struct server *server, int64_t at_ms)
{
    server->alarm_ms = earlier(server->alarm_ms, at_ms);
}

static int timeout_ms(struct server *server, int64_t now, int64_t drain_end)
{
    server_lock(server);
    int64_t when = earlier(server->look_ms, server->alarm_ms);
    server_unlock(server);
    if (server->draining)
        when = earlier(when, drain_end);
    if (when == INT64_MAX)
        return -1;
    int64_t wait = when - now;
    return wait < 1 ? 1 : wait > INT_MAX ? INT_MAX : (int)wait;
}

/* --- the loop --- */

/* Watch the connections here exactly while no worker does. */
static bool cover(struct server *server)
{
    if (server->options.begin)
        return true;
    server_lock(server);
    bool before = server->covering;
    bool now = server->covering = server->workers_idle == 0;
    server_unlock(server);
    if (before == now)
        return true;
    return now ? watch(server->loop_fd, server->epoll_fd, EPOLLIN, SLOT_CONNECTIONS)
               : epoll_ctl(server->loop_fd, EPOLL_CTL_DEL, server->epoll_fd, NULL) == 0;
}

static void serve_connection(struct server *server, uint64_t event)
{
    const struct hands hands = { server->scratch, false };
    struct connection *connection = connection_claim(server, event);
    if (connection)
        connection_react(server, connection, &hands);
}

static void serve_connections(struct server *server)
{
    struct epoll_event events[EVENTS_A_ROUND];
    int count = epoll_wait(server->epoll_fd, events, EVENTS_A_ROUND, 0);
    for (int i = 0; i < count; i++)
        serve_connection(server, events[i].data.u64);
}

static void react(struct server *server, uint64_t event)
{
    uint64_t count;
    uint32_t slot = (uint32_t)event;
    if (slot == SLOT_CONNECTIONS) {
        serve_connections(server);
    } else if (slot == SLOT_LISTENER) {
        accept_some(server, ACCEPTS_A_TURN);
    } else if (slot == SLOT_WAKE) {
        ssize_t ignored = read(server->wake_fd, &count, sizeof count);
        (void)ignored;
    } else if (slot >= SLOT_WATCH) {
        server_react_to_watch(server, event);
    } else {
        serve_connection(server, event);
    }
}

static struct connection *claim_not_asked(struct server *server)
{
    server_lock(server);
    struct connection *connection = server->lists[CONNECTION_IDLE].first;
    while (connection && (connection->claimed || connection->asked))
        connection = connection->next;
    if (connection)
        connection->claimed = connection->asked = true;
    server_unlock(server);
    return connection;
}

/* Whoever has connected is still heard; idle connections are asked once more and closed. */
static void begin_drain(struct server *server)
{
    const struct hands hands = { server->scratch, false };
    server_lock(server);
    server->draining = true;
    server->look_ms = 0;
    server_unlock(server);
    accept_some(server, INT_MAX);
    stop_listening(server);
    server->accept_again_ms = 0;
    for (struct connection *connection; (connection = claim_not_asked(server)) != NULL;)
        connection_read(server, connection, &hands);
}

static bool is_at_work(struct server *server)
{
    server_lock(server);
    bool at_work = server->lists[CONNECTION_QUEUED].first || server->lists[CONNECTION_RUNNING].first ||
                   server->lists[CONNECTION_PARKED].first;
    server_unlock(server);
    return at_work;
}

bool server_run(struct server *server, struct error *err)
{
    if (listen(server->listen_fd, SOMAXCONN) != 0 || !server_show(server) || !watch_listener(server, true))
        return error_set_errno(err, errno, "cannot listen on '%s'", server->options.listen);
    if (server->options.ready)
        server->options.ready(server->options.context);
    int64_t now = clock_monotonic_ms(), drain_end = 0;
    while (!server->draining || (open_connections(server) > 0 && now < drain_end)) {
        struct epoll_event events[EVENTS_A_ROUND];
        if (server->options.flush)
            server->options.flush(server->options.context);
        connection_flush(server);
        int count = cover(server)
                        ? epoll_wait(server->loop_fd, events, EVENTS_A_ROUND, timeout_ms(server, now, drain_end))
                        : -1;
        if (count < 0 && errno != EINTR)
            return error_set_errno(err, errno, "cannot wait for connections");
        for (int i = 0; i < count; i++)
            react(server, events[i].data.u64);
        now = clock_monotonic_ms();
        if (server_stopping(server) && !server->draining) {
            drain_end = now + server->options.drain_timeout_ms;
            begin_drain(server);
        }
        look(server, now);
    }
    if (is_at_work(server))
        return error_set(err, ERROR_BUSY, "requests were still running %ld ms after the stop",
                         server->options.drain_timeout_ms);
    server_join_workers(server);
    return true;
}
