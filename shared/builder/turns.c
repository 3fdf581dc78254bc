#include "shared/builder/turns.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    STACK = 1024 * 1024, /* only what is used takes memory */
    LOOK_AHEAD = 64      /* stages behind the first one that is not done */
};

struct turns {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_bool stopped;
    /* of the work at hand: */
    const struct turns_work *work;
    bool *busy;   /* by stage: a thread is at it */
    size_t first; /* all before it are done */
    pthread_t threads[TURNS_THREADS_MAX];
    size_t thread_count, thread_max, idle;
    size_t failed_at; /* whose error it is */
    struct error failed;
};

struct turns *turns_new(struct error *err)
{
    struct turns *turns = calloc(1, sizeof(*turns));

    if (!turns || pthread_mutex_init(&turns->lock, NULL) != 0 || pthread_cond_init(&turns->changed, NULL) != 0) {
        free(turns);
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return turns;
}

void turns_free(struct turns *turns)
{
    if (!turns)
        return;
    pthread_cond_destroy(&turns->changed);
    pthread_mutex_destroy(&turns->lock);
    free(turns);
}

void turns_take(struct turns *turns)
{
    pthread_mutex_lock(&turns->lock);
}

void turns_give(struct turns *turns)
{
    pthread_mutex_unlock(&turns->lock);
}

void turns_wait(struct turns *turns)
{
    pthread_cond_wait(&turns->changed, &turns->lock);
}

void turns_tell(struct turns *turns)
{
    pthread_cond_broadcast(&turns->changed);
}

bool turns_stopped(const struct turns *turns)
{
    return atomic_load(&turns->stopped);
}

/* The first stage at which something can be done; the count when there is none. */
static size_t find_work(struct turns *turns)
{
    const struct turns_work *work = turns->work;

    while (turns->first < work->count && work->is_done(work->stages[turns->first]))
        turns->first++;
    for (size_t i = turns->first; i < work->count && i < turns->first + LOOK_AHEAD; i++) {
        if (!turns->busy[i] && !work->is_done(work->stages[i]) && work->may_go_on(work->stages[i]))
            return i;
    }
    return work->count;
}

bool turns_is_made(const struct turns *turns, const char *key)
{
    const struct turns_work *work = turns->work;
    bool made = false;

    for (size_t i = turns->first; i < work->count && i < turns->first + LOOK_AHEAD; i++)
        made = made || (turns->busy[i] && work->makes(work->stages[i], key));
    return made;
}

/* What a stage says because it was told to stop is a temporary error, and counts only when there is no other. */
static void note_failure(struct turns *turns, size_t at, const struct error *err)
{
    bool first = !atomic_exchange(&turns->stopped, true);

    if (!first && (at > turns->failed_at || err->kind == ERROR_UNAVAILABLE))
        return;
    turns->failed_at = at;
    turns->failed = *err;
}

static void *help(void *context);

/* A thread that cannot be had is one that the others do without. */
static void call_help(struct turns *turns)
{
    sigset_t all, before;
    pthread_attr_t attributes;

    if (turns->idle > 0 || turns->thread_count == turns->thread_max || pthread_attr_init(&attributes) != 0)
        return;
    pthread_attr_setstacksize(&attributes, STACK);
    sigfillset(&all); /* signals are for the thread that began */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&turns->threads[turns->thread_count], &attributes, help, turns) == 0)
        turns->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void go_on(struct turns *turns, size_t at)
{
    struct error err = { 0 };

    turns->busy[at] = true;
    if (find_work(turns) < turns->work->count)
        call_help(turns);
    if (!turns->work->go_on(turns->work->stages[at], &err))
        note_failure(turns, at, &err);
    turns->busy[at] = false;
    turns_tell(turns);
}

static void take_part(struct turns *turns)
{
    while (!turns_stopped(turns)) {
        size_t at = find_work(turns);

        if (turns->first == turns->work->count)
            return;
        if (at < turns->work->count) {
            go_on(turns, at);
            continue;
        }
        turns->idle++;
        turns_wait(turns);
        turns->idle--;
    }
}

static void *help(void *context)
{
    struct turns *turns = context;

    turns_take(turns);
    take_part(turns);
    turns_tell(turns);
    turns_give(turns);
    return NULL;
}

static size_t threads_wanted(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return processors < TURNS_THREADS_MIN   ? TURNS_THREADS_MIN
           : processors > TURNS_THREADS_MAX ? TURNS_THREADS_MAX
                                            : (size_t)processors;
}

bool turns_run(struct turns *turns, const struct turns_work *work, struct error *err)
{
    AUTO(free) bool *busy = calloc(work->count, sizeof(busy[0]));

    if (!busy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    turns->work = work;
    turns->busy = busy;
    turns->first = turns->thread_count = turns->idle = 0;
    turns->thread_max = threads_wanted() - 1;
    atomic_store(&turns->stopped, false);
    take_part(turns);
    turns_give(turns);
    for (size_t i = 0; i < turns->thread_count; i++)
        pthread_join(turns->threads[i], NULL);
    turns_take(turns);
    if (turns_stopped(turns))
        *err = turns->failed;
    return !turns_stopped(turns);
}
