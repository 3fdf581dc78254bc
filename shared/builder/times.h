/* Times in a layer that was made for another commit. What its RUN wrote bears that commit's time, and nothing in it a later one; made for
 * this one, it would bear this one's. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_TIMES_H
#define PUSHWRIGHT_SHARED_BUILDER_TIMES_H

#include <stdbool.h>
#include <stdint.h>

struct retiming {
    int64_t was_s, is_s; /* both 0: times stay */
};

static inline bool retiming_is_none(struct retiming how)
{
    return how.was_s == how.is_s;
}

static inline int64_t retimed(struct retiming how, int64_t time_s)
{
    return !retiming_is_none(how) && (time_s == how.was_s || time_s > how.is_s) ? how.is_s : time_s;
}

#endif
