#include "shared/base/parallel.h"

#include <pthread.h>
#include <stdatomic.h>

struct crew {
    parallel_fn *run;
    void *context;
    size_t count;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock;
    struct error err; /* of the job that failed first */
};

struct worker {
    struct crew *crew;
    size_t number;
    pthread_t thread;
};

static void note_failure(struct crew *crew, const struct error *err)
{
    pthread_mutex_lock(&crew->lock);
    if (!atomic_exchange(&crew->failed, true))
        crew->err = *err;
    pthread_mutex_unlock(&crew->lock);
}

static void *work(void *context)
{
    const struct worker *worker = context;
    struct crew *crew = worker->crew;
    while (!atomic_load(&crew->failed)) {
        struct error err = { .kind = ERROR_NONE };
        size_t job = atomic_fetch_add(&crew->next, 1);
        if (job >= crew->count)
            return NULL;
        if (!crew->run(crew->context, worker->number, job, &err))
            note_failure(crew, &err);
    }
    return NULL;
}

bool parallel_run(size_t count, size_t workers, parallel_fn *run, void *context, struct error *err)
{
    struct crew crew = { .run = run, .context = context, .count = count, .lock = PTHREAD_MUTEX_INITIALIZER };
    struct worker team[PARALLEL_WORKERS_MAX];
    size_t most = workers < PARALLEL_WORKERS_MAX ? workers : PARALLEL_WORKERS_MAX, started = 1;
    team[0] = (struct worker){ .crew = &crew };
    /* A thread that cannot be had is one that the others do without. */
    for (; started < most && started < count; started++) {
        team[started] = (struct worker){ .crew = &crew, .number = started };
        if (pthread_create(&team[started].thread, NULL, work, &team[started]) != 0)
            break;
    }
    work(&team[0]);
    for (size_t i = 1; i < started; i++)
        pthread_join(team[i].thread, NULL);
    if (atomic_load(&crew.failed))
        *err = crew.err;
    return !atomic_load(&crew.failed);
}
