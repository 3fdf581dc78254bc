#include "shared/policy/cron.h"

#include <strings.h>
#include <time.h>

static const struct field {
    const char *name;
    int min, max;
    const char *words; /* of three letters each, the first stands for `min` */
} fields[CRON_FIELDS] = {
    [CRON_MINUTE] = { "minute", 0, 59, "" },
    [CRON_HOUR] = { "hour", 0, 23, "" },
    [CRON_DAY] = { "day of the month", 1, 31, "" },
    [CRON_MONTH] = { "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
    [CRON_WEEKDAY] = { "day of the week", 0, 7, "sunmontuewedthufrisat" },
};

/* -1: it is none. */
static int number_of(const struct field *field, struct span text)
{
    int number = 0;
    for (const char *word = field->words; text.len == 3 && *word; word += 3)
        if (strncasecmp(text.data, word, 3) == 0)
            return field->min + (int)(word - field->words) / 3;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < '0' || text.data[i] > '9' || i > 1)
            return -1;
        else
            number = 10 * number + text.data[i] - '0';
    return text.len > 0 ? number : -1;
}

/* "*", "5", "1-5", "mon-fri/2" */
static bool add_item(const struct field *field, struct span item, uint64_t *mask)
{
    struct span step = item, range = span_cut(&step, '/'), last = range, first = span_cut(&last, '-');
    bool all = span_is(range, "*");
    int from = all ? field->min : number_of(field, first);
    int to = all ? field->max : last.data ? number_of(field, last) : from;
    int by = step.data ? number_of(&fields[CRON_MINUTE], step) : 1;
    if (to == 0 && from > 0 && field->max == 7)
        to = 7; /* "fri-sun" */
    if (from < field->min || to > field->max || from > to || by < 1 || (step.data && !all && !last.data))
        return false;
    for (; from <= to; from += by)
        *mask |= UINT64_C(1) << from;
    return true;
}

/* Some day of the month that is in some month; with a weekday beside it, it comes sooner or later. */
static bool comes(const struct cron *cron)
{
    static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    for (int month = 1; month <= 12; month++)
        if (cron->fields[CRON_MONTH] >> month & 1 && cron->fields[CRON_DAY] & ((UINT64_C(2) << lengths[month - 1]) - 1))
            return true;
    return cron->either;
}

bool cron_parse(struct cron *out, struct span text, struct error *err)
{
    struct span rest = span_trim(text);
    bool restricted[CRON_FIELDS];
    *out = (struct cron){ 0 };
    for (size_t i = 0; i < CRON_FIELDS; i++) {
        struct span value = span_cut(&rest, ' '), list = value;
        rest = span_trim(rest);
        restricted[i] = !span_starts(value, "*");
        if (value.len == 0 || (i == CRON_FIELDS - 1 && rest.len > 0))
            return error_set(err, ERROR_INVALID,
                             "must be five fields as in crontab(5), minute, hour, day of the month, month and day of "
                             "the week, such as \"0 18 * * 5\"");
        for (struct span item = span_cut(&list, ','); item.data; item = span_cut(&list, ','))
            if (!add_item(&fields[i], item, &out->fields[i]))
                return error_set(err, ERROR_INVALID, "'%.*s' is no %s: want %d to %d, ranges, lists or steps of them",
                                 SPAN_ARGS(item), fields[i].name, fields[i].min, fields[i].max);
    }
    out->either = restricted[CRON_DAY] && restricted[CRON_WEEKDAY];
    out->fields[CRON_WEEKDAY] |= out->fields[CRON_WEEKDAY] >> 7; /* Sunday */
    return comes(out) || error_set(err, ERROR_INVALID, "'%.*s' is a day that never comes", SPAN_ARGS(text));
}

bool cron_has_day(const struct cron *cron, int64_t day)
{
    time_t seconds = (time_t)day * 24 * 3600;
    struct tm tm = { 0 };
    gmtime_r(&seconds, &tm);
    bool of_month = cron->fields[CRON_DAY] >> tm.tm_mday & 1, of_week = cron->fields[CRON_WEEKDAY] >> tm.tm_wday & 1;
    return cron->fields[CRON_MONTH] >> (tm.tm_mon + 1) & 1 &&
           (cron->either ? of_month || of_week : of_month && of_week);
}

bool cron_has_minute(const struct cron *cron, int minute_of_day)
{
    return cron->fields[CRON_HOUR] >> minute_of_day / 60 & cron->fields[CRON_MINUTE] >> minute_of_day % 60 & 1;
}
