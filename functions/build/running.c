#include "functions/build/running.h"

#include "functions/build/order.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct running {
    pthread_mutex_t lock;
    struct running_job *first;
};

struct running_job {
    struct running *running;
    struct running_job *next;
    char *rule, *ref, *sequence;
    atomic_bool superseded;
};

struct running *running_new(struct error *err)
{
    struct running *running = calloc(1, sizeof(*running));

    if (!running || pthread_mutex_init(&running->lock, NULL) != 0) {
        free(running);
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return running;
}

void running_free(struct running *running)
{
    if (!running)
        return;
    pthread_mutex_destroy(&running->lock);
    free(running);
}

static void job_free(struct running_job *job)
{
    free(job->rule);
    free(job->ref);
    free(job->sequence);
    free(job);
}

static struct running_job *job_new(struct running *running, const char *rule, const char *ref, const char *sequence)
{
    struct running_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->running = running;
    job->rule = strdup(rule);
    job->ref = strdup(ref);
    job->sequence = strdup(sequence);
    if (job->rule && job->ref && job->sequence)
        return job;
    job_free(job);
    return NULL;
}

/* With the lock held: may a build of this push begin? */
static bool may_begin(struct running *running, const struct running_job *new, bool *newer, struct error *err)
{
    for (struct running_job *job = running->first; job; job = job->next) {
        if (strcmp(job->rule, new->rule) != 0 || strcmp(job->ref, new->ref) != 0)
            continue;
        int order = order_compare_sequences(job->sequence, new->sequence);
        if (order == 0)
            return error_set(err, ERROR_CONFLICT, "the same push of '%s' is being built", new->ref);
        if (order > 0) {
            *newer = true;
            return false;
        }
        atomic_store(&job->superseded, true);
    }
    return true;
}

struct running_job *running_begin(struct running *running, const char *rule, const char *ref, const char *sequence,
                                  bool *newer, struct error *err)
{
    struct running_job *job = job_new(running, rule, ref, sequence);

    *newer = false;
    if (!job) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    pthread_mutex_lock(&running->lock);
    bool begun = may_begin(running, job, newer, err);
    if (begun) {
        job->next = running->first;
        running->first = job;
    }
    pthread_mutex_unlock(&running->lock);
    if (!begun)
        job_free(job);
    return begun ? job : NULL;
}

bool running_superseded(const struct running_job *job)
{
    return atomic_load(&job->superseded);
}

void running_end(struct running_job *job)
{
    if (!job)
        return;
    struct running *running = job->running;
    pthread_mutex_lock(&running->lock);
    struct running_job **link = &running->first;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    pthread_mutex_unlock(&running->lock);
    job_free(job);
}
