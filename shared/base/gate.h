/* One at a time, and not too often: for work that anybody may start. */
#ifndef PUSHWRIGHT_BASE_GATE_H
#define PUSHWRIGHT_BASE_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
    pthread_mutex_t lock; /* held by who is inside */
    int64_t left_ms;      /* when the last one left, monotonic; 0: nobody was inside yet */
};

#define GATE { .lock = PTHREAD_MUTEX_INITIALIZER }

/* False: somebody is inside, or was within the pause. Else the same thread leaves it. Never waits. */
bool gate_enter(struct gate *gate, int64_t pause_ms);
void gate_leave(struct gate *gate);

#endif
