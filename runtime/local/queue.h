/* What waits for one function: parcels in the order of their due time. Safe for several threads. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_QUEUE_H
#define PUSHWRIGHT_RUNTIME_LOCAL_QUEUE_H

#include "runtime/local/keyset.h"
#include "shared/base/auto.h"
#include "shared/base/digest.h"
#include "shared/base/error.h"

struct parcel {
    char key[SHA256_HEX_SIZE];
    struct span event; /* structured CloudEvent; owned by the parcel */
    int64_t since_ms;  /* monotonic */
    int64_t due_ms;
    unsigned attempts;
    int told_status; /* of the failure that was recorded last, and how its reason begins: a long outage is told once */
    char told_reason[120];
    struct parcel *next;
};

/* Copies. NULL with ERROR_INTERNAL when memory is out. */
struct parcel *parcel_new(const char *key, struct span event, struct error *err);
void parcel_free(struct parcel *parcel);
AUTO_FREE(struct parcel, parcel_free)

struct queue;

struct queue *queue_new(size_t max);
void queue_free(struct queue *queue); /* nobody may be waiting in queue_take any more */
AUTO_FREE(struct queue, queue_free)

bool queue_is_full(struct queue *queue);

/* Append a parcel, which becomes the queue's, due at once; more than max is allowed here, so that what is on disk is never turned away. */
void queue_put(struct queue *queue, struct parcel *parcel);
/* Drop a waiting parcel; none is fine. */
void queue_forget(struct queue *queue, const char *key);

/* The next parcel that is due, waiting for one; NULL once the queue is closed. The taker settles it with one of the next two. */
struct parcel *queue_take(struct queue *queue);
void queue_done(struct queue *queue, struct parcel *parcel);
void queue_again(struct queue *queue, struct parcel *parcel, int64_t due_ms);

void queue_close(struct queue *queue);

/* Add the key of everything that is not done: waiting, or taken and not settled. */
bool queue_keys(struct queue *queue, struct keyset *keys, struct error *err);

#endif
