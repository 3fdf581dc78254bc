/* The threads that run handlers: started when there is work for them, never more than options.workers. */
#include "runtime/server_internal.h"

#include <signal.h>
#include <sys/epoll.h>

void server_wake(int fd)
{
    const uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof one); /* fails only when the wake-up is under way already */
    (void)ignored;
}

/* A request of the queue, or NULL after the caller has been counted as idle. */
static struct connection *take_queued(struct server *server, bool *quit)
{
    server_lock(server);
    *quit = server->quit;
    struct connection *connection = *quit ? NULL : server->lists[CONNECTION_QUEUED].first;
    if (connection) {
        server->queued--;
        connection_move_locked(server, connection, CONNECTION_RUNNING);
    } else {
        server->workers_idle++;
    }
    bool more =
        connection && server->queued > 0 && server->workers_idle > 0; /* several kicks may have been seen as one */
    server_unlock(server);
    if (more)
        server_wake(server->kick_fd);
    return connection;
}

static void leave_idle(struct server *server)
{
    server_lock(server);
    bool alone = --server->workers_idle == 0 && !server->covering;
    server_unlock(server);
    if (alone)
        server_wake(server->wake_fd);
}

static void await_event(struct server *server, const struct hands *hands)
{
    struct epoll_event event;
    int count = epoll_wait(server->work_fd, &event, 1, -1);
    struct connection *connection = count == 1 ? connection_claim(server, event.data.u64) : NULL;
    leave_idle(server);
    if (connection)
        connection_react(server, connection, hands);
}

static void take_up(struct server *server, struct exchange *exchange)
{
    const struct server_options *options = &server->options;
    if (exchange->work)
        options->resume(options->context, exchange->work, &exchange->reply);
    else
        options->handle(options->context, &exchange->message.request, &exchange->reply);
}

static void *work(void *argument)
{
    struct server *server = argument;
    char scratch[SERVER_SCRATCH];
    const struct hands hands = { scratch, true };
    for (;;) {
        bool quit;
        struct connection *connection = take_queued(server, &quit);
        if (quit)
            return NULL;
        if (!connection) {
            await_event(server, &hands);
            continue;
        }
        take_up(server, connection->exchange);
        connection_respond(server, connection);
    }
}

/* Signals are for the thread that runs the server. */
static void start_worker_locked(struct server *server)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SERVER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&server->workers[server->workers_started], &attributes, work, server) == 0)
        server->workers_started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

bool server_enqueue(struct server *server, struct connection *connection)
{
    server_lock(server);
    bool kick = server->workers_idle > 0;
    if (server->workers_idle <= server->queued && server->workers_started < server->options.workers)
        start_worker_locked(server);
    bool served = server->workers_started > 0;
    if (served) {
        server->queued++;
        connection_move_locked(server, connection, CONNECTION_QUEUED);
    }
    server_unlock(server);
    if (kick)
        server_wake(server->kick_fd);
    return served;
}

void server_join_workers(struct server *server)
{
    server_lock(server);
    server->quit = true;
    server_unlock(server);
    /* Level-triggered from here on: everyone who waits sees it. */
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = SLOT_NONE };
    epoll_ctl(server->work_fd, EPOLL_CTL_MOD, server->kick_fd, &event);
    server_wake(server->kick_fd);
    for (unsigned i = 0; i < server->workers_started; i++)
        pthread_join(server->workers[i], NULL);
    server->workers_started = 0;
}
