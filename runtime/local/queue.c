#include "runtime/local/queue.h"

#include "shared/base/clock.h"

#include <pthread.h>
#include <string.h>

struct queue {
    struct parcel *first; /* by due_ms; equal ones in the order of arrival */
    struct parcel *last;
    struct parcel *taken; /* and not settled */
    size_t count, max;
    bool closed;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

void parcel_free(struct parcel *parcel)
{
    if (!parcel)
        return;
    free((char *)(uintptr_t)parcel->event.data);
    free(parcel);
}

struct parcel *parcel_new(const char *key, struct span event, struct error *err)
{
    AUTO(parcel_free) struct parcel *parcel = calloc(1, sizeof *parcel);
    char *copy = parcel ? malloc(event.len + 1) : NULL;
    if (!copy) {
        error_set(err, ERROR_INTERNAL, "out of memory for an event of %zu bytes", event.len);
        return NULL;
    }
    memcpy(copy, event.data, event.len);
    copy[event.len] = '\0';
    memcpy(parcel->key, key, sizeof parcel->key);
    parcel->event = (struct span){ copy, event.len };
    return TAKE(parcel);
}

static void parcels_free(struct parcel *first)
{
    while (first) {
        struct parcel *next = first->next;
        parcel_free(first);
        first = next;
    }
}

struct queue *queue_new(size_t max)
{
    struct queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    queue->max = max;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    parcels_free(queue->first);
    parcels_free(queue->taken);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

bool queue_is_full(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool full = queue->count >= queue->max;
    pthread_mutex_unlock(&queue->lock);
    return full;
}

/* Almost always the new one is the last to be due. */
static void insert(struct queue *queue, struct parcel *parcel)
{
    struct parcel **at = &queue->first;
    if (queue->last && queue->last->due_ms <= parcel->due_ms)
        at = &queue->last->next;
    while (*at && (*at)->due_ms <= parcel->due_ms)
        at = &(*at)->next;
    parcel->next = *at;
    *at = parcel;
    if (!parcel->next)
        queue->last = parcel;
    pthread_cond_signal(&queue->changed);
}

void queue_put(struct queue *queue, struct parcel *parcel)
{
    parcel->since_ms = parcel->due_ms = clock_monotonic_ms();
    pthread_mutex_lock(&queue->lock);
    insert(queue, parcel);
    queue->count++;
    pthread_mutex_unlock(&queue->lock);
}

void queue_forget(struct queue *queue, const char *key)
{
    pthread_mutex_lock(&queue->lock);
    struct parcel *before = NULL, *parcel = queue->first;
    while (parcel && memcmp(parcel->key, key, sizeof parcel->key) != 0) {
        before = parcel;
        parcel = parcel->next;
    }
    if (parcel) {
        *(before ? &before->next : &queue->first) = parcel->next;
        if (queue->last == parcel)
            queue->last = before;
        queue->count--;
    }
    pthread_mutex_unlock(&queue->lock);
    parcel_free(parcel);
}

static void wait_for_change(struct queue *queue)
{
    if (!queue->first) {
        pthread_cond_wait(&queue->changed, &queue->lock);
        return;
    }
    struct timespec until = { .tv_sec = queue->first->due_ms / 1000, .tv_nsec = queue->first->due_ms % 1000 * 1000000 };
    pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
}

struct parcel *queue_take(struct queue *queue)
{
    struct parcel *parcel = NULL;
    pthread_mutex_lock(&queue->lock);
    while (!queue->closed && !(queue->first && queue->first->due_ms <= clock_monotonic_ms()))
        wait_for_change(queue);
    if (!queue->closed) {
        parcel = queue->first;
        queue->first = parcel->next;
        if (!queue->first)
            queue->last = NULL;
        parcel->next = queue->taken;
        queue->taken = parcel;
    }
    pthread_mutex_unlock(&queue->lock);
    return parcel;
}

static void give_back(struct queue *queue, struct parcel *parcel)
{
    struct parcel **at = &queue->taken;
    while (*at != parcel)
        at = &(*at)->next;
    *at = parcel->next;
}

void queue_done(struct queue *queue, struct parcel *parcel)
{
    pthread_mutex_lock(&queue->lock);
    give_back(queue, parcel);
    queue->count--;
    pthread_mutex_unlock(&queue->lock);
    parcel_free(parcel);
}

void queue_again(struct queue *queue, struct parcel *parcel, int64_t due_ms)
{
    pthread_mutex_lock(&queue->lock);
    give_back(queue, parcel);
    parcel->due_ms = due_ms;
    insert(queue, parcel);
    pthread_mutex_unlock(&queue->lock);
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

bool queue_keys(struct queue *queue, struct keyset *keys, struct error *err)
{
    bool ok = true;
    pthread_mutex_lock(&queue->lock);
    const struct parcel *const lists[] = { queue->first, queue->taken };
    for (size_t i = 0; i < 2; i++)
        for (const struct parcel *parcel = lists[i]; ok && parcel; parcel = parcel->next)
            ok = keyset_add(keys, parcel->key, err);
    pthread_mutex_unlock(&queue->lock);
    return ok;
}
