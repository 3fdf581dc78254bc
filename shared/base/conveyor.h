/* A stream of bytes handed on to another thread, in order and with a bound on what is under way: two stages of work on it at a time. */
#ifndef PUSHWRIGHT_BASE_CONVEYOR_H
#define PUSHWRIGHT_BASE_CONVEYOR_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

struct conveyor; /* filled by one thread */

typedef bool conveyor_fn(void *context, const void *data, size_t len, struct error *err);

/* on_data is called in a thread of the conveyor's, with pieces that need not be those that were put. At most `bound` bytes, in at
 * most bound / 64 KB pieces, are under way (two at least). ERROR_INTERNAL: no memory or no thread. */
struct conveyor *conveyor_new(size_t bound, conveyor_fn *on_data, void *context, struct error *err);
/* What on_data has not seen yet is dropped. */
void conveyor_free(struct conveyor *conveyor);
AUTO_FREE(struct conveyor, conveyor_free)

/* A conveyor_fn, its context a conveyor: waits for room. False, with the failure of on_data, when that has failed. */
bool conveyor_put(void *conveyor, const void *data, size_t len, struct error *err);
/* What has been put is handed on as it is. What is put between two of these comes in one piece, when it is 64 KB or less. */
void conveyor_flush(struct conveyor *conveyor);
/* Nothing more comes: waits until on_data has seen everything. False, with its failure, when it has failed. Once. */
bool conveyor_end(struct conveyor *conveyor, struct error *err);

#endif
