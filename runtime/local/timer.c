#include "runtime/local/timer.h"

#include "runtime/function.h"
#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/base/random.h"
#include "shared/http/client.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

enum { ANSWER_MS = 60 * 1000 };

struct timer {
    const struct timer_target *targets;
    size_t count;
    long period_s;
    struct http_client *client;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock; /* the two below */
    pthread_cond_t changed;
    bool held;
};

/* True when the time is over, false when it is to end. */
static bool wait_for(struct timer *timer, long seconds)
{
    struct timespec until;
    int waited = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&timer->lock);
    while (!timer->held && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&timer->changed, &timer->lock, &until);
    bool over = !timer->held;
    pthread_mutex_unlock(&timer->lock);
    return over;
}

static void tell(struct timer *timer, const struct timer_target *target)
{
    struct error ignored = { 0 }; /* the function logs what it could not do; one that is down hears the next tick */
    char id[UUID_SIZE], time[RFC3339_SIZE];
    uint8_t raw[16];
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw);
    rfc3339_format(time, clock_wall_ms());
    const struct http_header headers[] = {
        { "ce-specversion", "1.0" }, { "ce-id", id },     { "ce-source", "/pushwright/timer" },
        { "ce-type", TIMER_EVENT },  { "ce-time", time },
    };
    const struct http_request request = {
        .method = "POST",
        .url = target->url,
        .unix_socket = target->unix_socket,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .timeout_ms = ANSWER_MS,
        .stall_timeout_ms = ANSWER_MS,
    };
    AUTO(http_response_release) struct http_response response = { 0 };
    (void)http_call(timer->client, &request, &response, &ignored);
}

static void *run(void *context)
{
    struct timer *timer = context;
    long next_s = timer->period_s < TIMER_FIRST_S ? timer->period_s : TIMER_FIRST_S;
    while (wait_for(timer, next_s)) {
        for (size_t i = 0; i < timer->count; i++)
            tell(timer, &timer->targets[i]);
        next_s = timer->period_s;
    }
    return NULL;
}

static bool start(struct timer *timer, struct error *err)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&timer->lock, NULL);
    pthread_cond_init(&timer->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    timer->client = http_client_new(NULL, err);
    if (!timer->client)
        return false;
    int failed = pthread_create(&timer->thread, NULL, run, timer);
    timer->runs = failed == 0;
    return timer->runs || error_set_errno(err, failed, "cannot start a thread");
}

struct timer *timer_new(const struct timer_target *targets, size_t count, long period_s, struct error *err)
{
    AUTO(timer_free) struct timer *timer = calloc(1, sizeof *timer);
    if (!timer) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    timer->targets = targets;
    timer->count = count;
    timer->period_s = period_s;
    return start(timer, err) ? TAKE(timer) : NULL;
}

void timer_hold(struct timer *timer)
{
    if (!timer)
        return;
    pthread_mutex_lock(&timer->lock);
    timer->held = true;
    pthread_cond_signal(&timer->changed);
    pthread_mutex_unlock(&timer->lock);
}

void timer_free(struct timer *timer)
{
    if (!timer)
        return;
    timer_hold(timer);
    if (timer->runs)
        pthread_join(timer->thread, NULL);
    http_client_free(timer->client);
    pthread_cond_destroy(&timer->changed);
    pthread_mutex_destroy(&timer->lock);
    free(timer);
}
