/* Time zones as POSIX writes them in $TZ, "CET-1CEST,M3.5.0,M10.5.0/3": what a clock shows now and in the future. (What it showed long ago is of no
 * interest here.) Names such as "Europe/Berlin" stand for the text at the end of their file in the machine's zoneinfo (RFC 8536 section 3.3). */
#ifndef PUSHWRIGHT_POLICY_ZONE_H
#define PUSHWRIGHT_POLICY_ZONE_H

#include "shared/base/error.h"
#include "shared/base/span.h"

#include <stdint.h>

/* When a clock is set. */
struct zone_turn {
    char kind; /* 'M': month.week.day, 'J': day of the year 1 to 365 without 29 February, 'N': 0 to 365 with it */
    int month, week, day;
    int time_s; /* of that day, by the clock as it was before */
};

struct zone {
    int offset_s;        /* east of Greenwich */
    int summer_offset_s; /* between the turns; the same: none */
    struct zone_turn begin, end;
};

/* ERROR_INVALID: it is none. */
bool zone_parse(struct zone *out, struct span text, struct error *err);

/* Also of a name; NULL: UTC. ERROR_NOT_FOUND: this machine has no such file, and what to do. */
bool zone_find(struct zone *out, const char *name, struct error *err);

/* For who reads a configuration that another machine goes by: a machine that has no zoneinfo at all knows nothing of names. */
bool zone_check(struct span name, struct error *err);

/* What is added to UTC, both in seconds. */
int zone_offset(const struct zone *zone, int64_t utc_s);

/* When the clock shows that: of a time that comes twice the first, or the `last`; one that is left out is where it is left out. */
int64_t zone_to_utc(const struct zone *zone, int64_t local_s, bool last);

#endif
