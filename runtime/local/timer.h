/* The clock of the local chain: every so often it posts TIMER_EVENT to the functions whose fn.json lists it under "timer", past the
 * carrier: a tick that is lost is made good by the next one, so it is neither kept on disk nor shown. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_TIMER_H
#define PUSHWRIGHT_RUNTIME_LOCAL_TIMER_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

struct timer;

struct timer_target {
    const char *url;
    const char *unix_socket; /* NULL: what the URL says */
};

enum { TIMER_FIRST_S = 5 }; /* after the start, or sooner when the period is shorter */

/* Targets are borrowed until freed; one is told after the other, and the first tick comes TIMER_FIRST_S after this. */
struct timer *timer_new(const struct timer_target *targets, size_t count, long period_s, struct error *err);
void timer_hold(struct timer *timer); /* no further tick; NULL is fine */
void timer_free(struct timer *timer); /* waits for the answer to the one that was told last */
AUTO_FREE(struct timer, timer_free)

#endif
