#include "shared/policy/zone.h"

#include "shared/base/file.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define ZONEINFO "/usr/share/zoneinfo"

enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S, FILE_MAX = 64 * 1024, NAME_MAX_LENGTH = 64, RULE_HOURS_MAX = 167 };

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool take(struct span *rest, char c)
{
    if (rest->len == 0 || rest->data[0] != c)
        return false;
    *rest = (struct span){ rest->data + 1, rest->len - 1 };
    return true;
}

static bool take_number(struct span *rest, int min, int max, int *out)
{
    size_t n = 0;
    for (*out = 0; n < rest->len && n < 3 && rest->data[n] >= '0' && rest->data[n] <= '9'; n++)
        *out = 10 * *out + rest->data[n] - '0';
    *rest = (struct span){ rest->data + n, rest->len - n };
    return n > 0 && *out >= min && *out <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct span *rest, int hours_max, int *out)
{
    bool minus = take(rest, '-');
    int hours, minutes = 0, seconds = 0;
    if (!minus)
        (void)take(rest, '+');
    if (!take_number(rest, 0, hours_max, &hours) ||
        (take(rest, ':') &&
         (!take_number(rest, 0, 59, &minutes) || (take(rest, ':') && !take_number(rest, 0, 59, &seconds)))))
        return false;
    *out = (hours * HOUR_S + minutes * 60 + seconds) * (minus ? -1 : 1);
    return true;
}

/* At least three letters, or anything between < and >. */
static bool take_name(struct span *rest)
{
    size_t n = 0;
    if (rest->len > 0 && rest->data[0] == '<') {
        long end = span_find(*rest, '>');
        *rest = (struct span){ rest->data + end + 1, rest->len - (size_t)(end + 1) };
        return end > 3;
    }
    while (n < rest->len && ((rest->data[n] | 0x20) >= 'a' && (rest->data[n] | 0x20) <= 'z'))
        n++;
    *rest = (struct span){ rest->data + n, rest->len - n };
    return n >= 3;
}

/* ,Mm.w.d or ,Jn or ,n with [/time] */
static bool take_turn(struct span *rest, struct zone_turn *out)
{
    *out = (struct zone_turn){ .kind = 'N', .time_s = 2 * HOUR_S };
    if (!take(rest, ','))
        return false;
    bool fine;
    if (take(rest, 'M')) {
        out->kind = 'M';
        fine = take_number(rest, 1, 12, &out->month) && take(rest, '.') && take_number(rest, 1, 5, &out->week) &&
               take(rest, '.') && take_number(rest, 0, 6, &out->day);
    } else {
        bool julian = take(rest, 'J');
        out->kind = julian ? 'J' : 'N';
        fine = take_number(rest, julian, 365, &out->day);
    }
    return fine && (!take(rest, '/') || take_time(rest, RULE_HOURS_MAX, &out->time_s));
}

static bool parse(struct zone *out, struct span text)
{
    struct span rest = text;
    *out = (struct zone){ 0 };
    if (!take_name(&rest) || !take_time(&rest, 24, &out->offset_s))
        return false;
    out->offset_s = -out->offset_s; /* POSIX counts to the west */
    out->summer_offset_s = out->offset_s;
    if (rest.len == 0)
        return true;
    int west;
    out->summer_offset_s += HOUR_S;
    if (!take_name(&rest))
        return false;
    if (rest.len > 0 && rest.data[0] != ',') {
        if (!take_time(&rest, 24, &west))
            return false;
        out->summer_offset_s = -west;
    }
    return take_turn(&rest, &out->begin) && take_turn(&rest, &out->end) && rest.len == 0;
}

/* "UTC+2" means the opposite of what people mean by it. */
static bool misleads(struct span text)
{
    return (span_starts(text, "UTC") || span_starts(text, "GMT")) && text.len > 3 && strchr("+-", text.data[3]);
}

bool zone_parse(struct zone *out, struct span text, struct error *err)
{
    if (misleads(text))
        return error_set(err, ERROR_INVALID,
                         "'%.*s' counts to the west, as POSIX has it: write a name, or <+02>-2 for two hours east",
                         SPAN_ARGS(text));
    return parse(out, text) ||
           error_set(err, ERROR_INVALID,
                     "'%.*s' is no time zone: want a name such as \"Europe/Berlin\", or a rule as POSIX has it, "
                     "\"CET-1CEST,M3.5.0,M10.5.0/3\"",
                     SPAN_ARGS(text));
}

/* "Europe/Berlin", "EST5EDT", "Etc/GMT+5": nothing that leads out of the folder. */
static bool is_name(struct span text)
{
    bool fine = text.len > 0 && text.len <= NAME_MAX_LENGTH && text.data[0] != '/';
    for (size_t i = 0; i < text.len && fine; i++)
        fine = ((text.data[i] | 0x20) >= 'a' && (text.data[i] | 0x20) <= 'z') || strchr("0123456789_+-/", text.data[i]);
    return fine && text.data[text.len - 1] != '/';
}

/* The text between the last two line feeds of its file. */
static bool read_rule(struct zone *out, const char *path, struct error *err)
{
    AUTO(bytes_release) struct bytes file = BYTES(FILE_MAX);
    if (!file_read(&file, path, err))
        return false;
    struct span rule = bytes_span(&file);
    rule.len -= span_ends(rule, "\n");
    long before = span_find_last(rule, '\n');
    rule = (struct span){ rule.data + before + 1, rule.len - (size_t)(before + 1) };
    return (span_starts(bytes_span(&file), "TZif") && parse(out, rule)) ||
           error_set(err, ERROR_INVALID, "'%s' is no file of a time zone", path);
}

bool zone_find(struct zone *out, const char *name, struct error *err)
{
    struct span text = name ? span_of(name) : SPAN("UTC");
    AUTO(bytes_release) struct bytes path = BYTES(sizeof ZONEINFO + NAME_MAX_LENGTH + 1);
    if (span_is(text, "UTC")) {
        *out = (struct zone){ 0 };
        return true;
    }
    if (zone_parse(out, text, err))
        return true;
    if (!is_name(text) || misleads(text) || !bytes_printf(&path, err, ZONEINFO "/%s", name))
        return false;
    if (access(bytes_text(&path), F_OK) == 0)
        return read_rule(out, bytes_text(&path), err);
    return error_set(err, ERROR_NOT_FOUND,
                     "time zone '%s' is not known here, there is no '%s': put the file there, or write its last line "
                     "instead of the name, a rule such as \"CET-1CEST,M3.5.0,M10.5.0/3\"",
                     name, bytes_text(&path));
}

bool zone_check(struct span name, struct error *err)
{
    struct zone zone;
    AUTO(bytes_release) struct bytes text = BYTES(FILE_MAX);
    struct error why = { 0 };
    if (bytes_append_span(&text, name, &why) && zone_find(&zone, bytes_text(&text), &why))
        return true;
    if (why.kind == ERROR_NOT_FOUND && access(ZONEINFO, F_OK) != 0)
        return true;
    *err = why;
    return false;
}

/* --- counting ----------------------------------------------------------------------------------------------------- */

static int64_t day_of(int year, int month, int day)
{
    struct tm tm = { .tm_year = year, .tm_mon = month, .tm_mday = day };
    return timegm(&tm) / DAY_S;
}

/* In the year (since 1900), by UTC. */
static int64_t turns_at(const struct zone_turn *turn, int year, int offset_s)
{
    int64_t day = day_of(year, 0, 1) + turn->day;
    if (turn->kind == 'J') /* from 1 */
        day -= day < day_of(year, 2, 1) || day_of(year, 2, 1) - day_of(year, 1, 1) == 28;
    if (turn->kind == 'M') {
        int64_t first = day_of(year, turn->month - 1, 1), next = day_of(year, turn->month, 1);
        day = first + (turn->day - (first % 7 + 11) % 7 + 7) % 7 +
              7 * (turn->week - 1); /* 1 January 1970 was a Thursday */
        day -= day >= next ? 7 : 0;
    }
    return day * DAY_S + turn->time_s - offset_s;
}

static void turns_of_year(const struct zone *zone, int64_t local_s, int64_t *begin, int64_t *end)
{
    time_t seconds = (time_t)local_s;
    struct tm tm = { 0 };
    gmtime_r(&seconds, &tm);
    *begin = turns_at(&zone->begin, tm.tm_year, zone->offset_s);
    *end = turns_at(&zone->end, tm.tm_year, zone->summer_offset_s);
}

int zone_offset(const struct zone *zone, int64_t utc_s)
{
    int64_t begin, end;
    if (zone->summer_offset_s == zone->offset_s)
        return zone->offset_s;
    turns_of_year(zone, utc_s + zone->offset_s, &begin, &end);
    bool summer = begin < end ? utc_s >= begin && utc_s < end : utc_s >= begin || utc_s < end;
    return summer ? zone->summer_offset_s : zone->offset_s;
}

int64_t zone_to_utc(const struct zone *zone, int64_t local_s, bool last)
{
    int64_t plain = local_s - zone->offset_s, summer = local_s - zone->summer_offset_s, begin, end;
    int64_t early = plain < summer ? plain : summer, late = plain < summer ? summer : plain;
    bool is_plain = zone_offset(zone, plain) == zone->offset_s;
    bool is_summer = zone_offset(zone, summer) == zone->summer_offset_s;
    if (is_plain && is_summer)
        return last ? late : early;
    if (is_plain || is_summer)
        return is_plain ? plain : summer;
    turns_of_year(zone, local_s, &begin, &end);
    return begin >= early && begin <= late ? begin : end >= early && end <= late ? end : late;
}
