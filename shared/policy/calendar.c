#include "shared/policy/calendar.h"

/* 29 February on a given weekday comes within 40 years, over 2100 too. Windows that follow each other are counted on so often. */
enum { DAY_S = 24 * 3600, DAY_MINUTES = 24 * 60, DAYS_MAX = 41 * 366, ROUNDS_MAX = 400 };

static int64_t day_of(int64_t local_s)
{
    return (local_s - (local_s % DAY_S + DAY_S) % DAY_S) / DAY_S;
}

/* The last time at or before now_s (step -1), the first after it (step 1); days are begun with a margin for what zones do. */
static bool seek(const struct cron *cron, const struct zone *zone, int64_t now_s, int step, bool last, int64_t *out)
{
    int64_t day = day_of(now_s + zone_offset(zone, now_s)) - 2 * step;
    for (int n = 0; n < DAYS_MAX; n++, day += step)
        for (int i = cron_has_day(cron, day) ? 0 : DAY_MINUTES; i < DAY_MINUTES; i++) {
            int minute = step > 0 ? i : DAY_MINUTES - 1 - i;
            if (!cron_has_minute(cron, minute))
                continue;
            *out = zone_to_utc(zone, day * DAY_S + minute * 60, last);
            if (step > 0 ? *out > now_s : *out <= now_s)
                return true;
        }
    return false;
}

/* *until_s is moved to the end of the window, if it is open then. */
static bool pass(const struct freeze *freeze, int64_t *until_s, bool *open, struct error *err)
{
    struct zone zone;
    int64_t began, ended, ends;
    if (!zone_find(&zone, freeze->zone, err))
        return false;
    *open = seek(&freeze->from, &zone, *until_s, -1, false, &began) &&
            !(seek(&freeze->to, &zone, *until_s, -1, true, &ended) && ended > began) &&
            seek(&freeze->to, &zone, *until_s, 1, true, &ends);
    if (*open)
        *until_s = ends;
    return true;
}

bool calendar_frozen(const struct freeze *freezes, size_t count, int64_t now_ms, int64_t *until_ms, struct error *err)
{
    int64_t until_s = now_ms / 1000;
    bool any = false, again = count > 0;
    for (int round = 0; again && round < ROUNDS_MAX; round++) {
        again = false;
        for (size_t i = 0; i < count; i++) {
            bool open;
            if (!pass(&freezes[i], &until_s, &open, err))
                return false;
            again = again || open;
        }
        any = any || again;
    }
    *until_ms = any ? until_s * 1000 : FROZEN_NOT;
    return true;
}

bool calendar_check(const struct freeze *freezes, size_t count, struct error *err)
{
    struct zone zone;
    for (size_t i = 0; i < count; i++)
        if (!zone_find(&zone, freezes[i].zone, err))
            return false;
    return true;
}
