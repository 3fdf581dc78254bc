/* When what runs is left alone: windows that begin and end as crontab(5) writes it, by the clock of a time zone. */
#ifndef PUSHWRIGHT_POLICY_CALENDAR_H
#define PUSHWRIGHT_POLICY_CALENDAR_H

#include "shared/policy/cron.h"
#include "shared/policy/zone.h"

struct freeze {
    struct cron from, to;
    const char *zone; /* as zone_find() takes it */
};

enum { FROZEN_NOT = 0 };

/* Is it frozen by one of the windows, and until when, with those that follow without a gap (both in milliseconds since 1970; FROZEN_NOT: it is
 * not)? A window is open from the last `from` until the next `to`; where both are at the same time, the next one opens. Where clocks are
 * set back, it opens at the first, and closes at the second of the two times. Errors are those of zone_find(). */
bool calendar_frozen(const struct freeze *freezes, size_t count, int64_t now_ms, int64_t *until_ms, struct error *err);

/* Are all zones known here? */
bool calendar_check(const struct freeze *freezes, size_t count, struct error *err);

#endif
