/* Stages that do not need each other are made at the same time, by a few threads.
 *
 * What the stages of an engine share (arenas, trees, bases, the cache, the lists of a build) belongs to the thread whose turn it is: code of
 * the builder has its turn unless it says otherwise. What takes long and touches nothing of that, such as the command of a RUN, is done
 * between turns_give() and turns_take(), and the others go on meanwhile. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_TURNS_H
#define PUSHWRIGHT_SHARED_BUILDER_TURNS_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

/* As many as there are processors; but commands wait more than they compute, and each thread that writes a layer takes 2.5 MB. */
enum { TURNS_THREADS_MIN = 2, TURNS_THREADS_MAX = 6 };

struct stage;
struct turns; /* one for an engine */

struct turns *turns_new(struct error *err);
void turns_free(struct turns *turns);
AUTO_FREE(struct turns, turns_free)

void turns_take(struct turns *turns);
void turns_give(struct turns *turns);
/* Give it until another stage has come further. */
void turns_wait(struct turns *turns);
/* This one has, in the middle of an instruction. */
void turns_tell(struct turns *turns);

struct turns_work {
    struct stage **stages; /* in the order in which their failures count */
    size_t count;
    bool (*may_go_on)(const struct stage *stage);          /* is all there that its next instruction needs? */
    bool (*go_on)(struct stage *stage, struct error *err); /* as far as it may */
    bool (*is_done)(const struct stage *stage);
    bool (*makes)(const struct stage *stage,
                  const char *key); /* what the cache will know by this key, at this moment? */
};

/* Until all are done, or one has failed: then the others are told to stop, and of those that failed for a reason of their own the first in
 * the list is told. A stage that stands before another does not need it. The caller has the turn. */
bool turns_run(struct turns *turns, const struct turns_work *work, struct error *err);

/* Does a thread make what the cache will know by this key? */
bool turns_is_made(const struct turns *turns, const char *key);

/* Has a stage failed? From any thread, without the turn. */
bool turns_stopped(const struct turns *turns);

#endif
