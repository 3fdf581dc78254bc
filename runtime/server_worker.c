/* The threads that run handlers: started when there is work for them, never more than options.workers. */
#include "runtime/server_internal.h"

#include <signal.h>

static struct connection *take_work(struct server *server)
{
    struct connection *connection = NULL;
    server_lock(server);
    while (!server->quit && !(connection = server->lists[CONNECTION_QUEUED].first)) {
        server->workers_waiting++;
        pthread_cond_wait(&server->work, &server->lock);
        server->workers_waiting--;
    }
    if (server->quit)
        connection = NULL;
    if (connection) {
        server->queued--;
        connection_move_locked(server, connection, CONNECTION_RUNNING);
    }
    server_unlock(server);
    return connection;
}

static void *work(void *argument)
{
    struct server *server = argument;
    struct connection *connection;
    while ((connection = take_work(server)) != NULL) {
        struct exchange *exchange = connection->exchange;
        server->options.handle(server->options.context, &exchange->message.request, &exchange->reply);
        connection_respond(server, connection);
    }
    return NULL;
}

/* Signals are for the thread that runs the server. */
static bool start_worker_locked(struct server *server)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SERVER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&server->workers[server->workers_started], &attributes, work, server) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    server->workers_started += started;
    return started;
}

bool server_enqueue(struct server *server, struct connection *connection)
{
    server_lock(server);
    bool enough = server->workers_waiting > server->queued || server->workers_started == server->options.workers;
    bool served = enough || start_worker_locked(server) || server->workers_started > 0;
    if (served) {
        server->queued++;
        connection_move_locked(server, connection, CONNECTION_QUEUED);
        if (server->workers_waiting > 0)
            pthread_cond_signal(&server->work);
    }
    server_unlock(server);
    return served;
}

void server_join_workers(struct server *server)
{
    server_lock(server);
    server->quit = true;
    pthread_cond_broadcast(&server->work);
    server_unlock(server);
    for (unsigned i = 0; i < server->workers_started; i++)
        pthread_join(server->workers[i], NULL);
    server->workers_started = 0;
}
