/* Time: the wall for people and events, the monotonic clock for durations and deadlines. */
#ifndef PUSHWRIGHT_BASE_CLOCK_H
#define PUSHWRIGHT_BASE_CLOCK_H

#include "shared/base/span.h"

#include <stdint.h>

enum { RFC3339_SIZE = 32 };

int64_t clock_wall_ms(void);      /* since 1970, UTC */
int64_t clock_monotonic_ms(void); /* never goes back */
int64_t clock_monotonic_us(void);

/* "2026-09-01T12:00:00Z", or with ".123" when the milliseconds are not zero. */
void rfc3339_format(char out[static RFC3339_SIZE], int64_t wall_ms);

/* RFC 3339 with seconds and an offset, any fraction (cut to milliseconds); false when malformed or no such day. */
bool rfc3339_parse(struct span text, int64_t *wall_ms);

#endif
