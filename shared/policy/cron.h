/* Points in time as crontab(5) writes them: "0 18 * * 5". Private to shared/policy and shared/config. */
#ifndef PUSHWRIGHT_POLICY_CRON_H
#define PUSHWRIGHT_POLICY_CRON_H

#include "shared/base/error.h"
#include "shared/base/span.h"

#include <stdint.h>

enum { CRON_MINUTE, CRON_HOUR, CRON_DAY, CRON_MONTH, CRON_WEEKDAY, CRON_FIELDS };

struct cron {
    uint64_t fields[CRON_FIELDS]; /* bit n: n fits; months from 1, Sunday is 0 */
    bool either;                  /* days of the month and of the week are both restricted: one of them is enough */
};

/* Five fields of lists, ranges, steps ("1-5/2", behind a '*' or a range) and names ("mon", "jan"); Sunday is 0 or 7. ERROR_INVALID says which
 * field is wrong, or that there is no such day ("0 0 31 2 *"). */
bool cron_parse(struct cron *out, struct span text, struct error *err);

/* Is the day (since 1970, in whatever calendar it is counted) one of its days? */
bool cron_has_day(const struct cron *cron, int64_t day);
bool cron_has_minute(const struct cron *cron, int minute_of_day);

#endif
