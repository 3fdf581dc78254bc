#include "runtime/scrape.h"

#include "runtime/outcome.h"
#include "runtime/server.h"

#include <pthread.h>
#include <semaphore.h>

enum { BODY_MAX = 1024, CONNECTIONS_MAX = 16, DRAIN_MS = 1000 };

struct scrape {
    const struct metrics *metrics;
    struct server *server;
    pthread_t thread;
    sem_t settled; /* it listens, or never will */
    bool running;
};

bool scrape_answer(const struct metrics *metrics, const struct request *request, struct reply *reply)
{
    struct error err = { 0 };
    bool reads =
        span_is(request->method, "GET") || span_is(request->method, "HEAD"); /* the server leaves the body out */
    if (!reads || !span_is(request->path, "/metrics"))
        return false;
    enum metrics_format format = metrics_format_of(request_header(request, "Accept", NULL));
    reply->content_type = metrics_content_type(format);
    if (!metrics_render(metrics, format, &reply->body, &err))
        outcome_reply(reply, &err);
    return true;
}

static void handle(void *context, const struct request *request, struct reply *reply)
{
    const struct scrape *scrape = context;
    if (!scrape_answer(scrape->metrics, request, reply))
        reply->status = 404;
}

static void ready(void *context)
{
    struct scrape *scrape = context;
    sem_post(&scrape->settled);
}

static void *run(void *context)
{
    struct scrape *scrape = context;
    struct error ignored = { 0 };
    (void)server_run(scrape->server, &ignored);
    sem_post(&scrape->settled);
    return NULL;
}

struct scrape *scrape_start(const struct metrics *metrics, const char *listen, struct error *err)
{
    AUTO(scrape_stop) struct scrape *scrape = calloc(1, sizeof *scrape);
    if (!scrape) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    scrape->metrics = metrics;
    sem_init(&scrape->settled, 0, 0);
    scrape->server = server_new(&(struct server_options){ .listen = listen,
                                                          .workers = 1,
                                                          .connections_max = CONNECTIONS_MAX,
                                                          .body_max = BODY_MAX,
                                                          .drain_timeout_ms = DRAIN_MS,
                                                          .handle = handle,
                                                          .ready = ready,
                                                          .context = scrape },
                                err);
    if (!scrape->server)
        return NULL;
    int failed = pthread_create(&scrape->thread, NULL, run, scrape);
    scrape->running = failed == 0;
    if (failed) {
        error_set_errno(err, failed, "cannot start a thread");
        return NULL;
    }
    /* Who is told that the function listens may ask for its metrics at once. */
    while (sem_wait(&scrape->settled) != 0)
        ;
    return TAKE(scrape);
}

void scrape_stop(struct scrape *scrape)
{
    if (!scrape)
        return;
    if (scrape->running) {
        server_stop(scrape->server);
        pthread_join(scrape->thread, NULL);
    }
    server_free(scrape->server);
    sem_destroy(&scrape->settled);
    free(scrape);
}
