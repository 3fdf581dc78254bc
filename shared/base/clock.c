#include "shared/base/clock.h"

#include <time.h>

static int64_t now_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for these clocks */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_monotonic_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_monotonic_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

static char *put_number(char *to, unsigned number, size_t digits)
{
    for (size_t i = digits; i-- > 0; number /= 10)
        to[i] = (char)('0' + number % 10);
    return to + digits;
}

/* By hand: strftime() and snprintf() take ten times as long, and every event and every line of the log has its time. */
void rfc3339_format(char out[static RFC3339_SIZE], int64_t wall_ms)
{
    int64_t ms = ((wall_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm tm = { 0 };
    gmtime_r(&seconds, &tm);
    const struct {
        int number;
        size_t digits;
        char after;
    } parts[] = {
        { tm.tm_year + 1900, 4, '-' }, { tm.tm_mon + 1, 2, '-' },        { tm.tm_mday, 2, 'T' }, { tm.tm_hour, 2, ':' },
        { tm.tm_min, 2, ':' },         { tm.tm_sec, 2, ms ? '.' : 'Z' }, { (int)ms, 3, 'Z' }
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] - (ms == 0); i++) {
        out = put_number(out, (unsigned)parts[i].number, parts[i].digits);
        *out++ = parts[i].after;
    }
    *out = '\0';
}

/* `digits` digits off the front of *rest, between low and high; false otherwise. */
static bool take_number(struct span *rest, size_t digits, int low, int high, int *out)
{
    if (rest->len < digits)
        return false;
    int number = 0;
    for (size_t i = 0; i < digits; i++) {
        if (rest->data[i] < '0' || rest->data[i] > '9')
            return false;
        number = number * 10 + (rest->data[i] - '0');
    }
    rest->data += digits;
    rest->len -= digits;
    *out = number;
    return number >= low && number <= high;
}

static bool take_one_of(struct span *rest, const char *characters, char *out)
{
    if (rest->len == 0)
        return false;
    for (; *characters; characters++) {
        if (rest->data[0] != *characters)
            continue;
        *out = *characters;
        rest->data++;
        rest->len--;
        return true;
    }
    return false;
}

static bool take_date(struct span *rest, struct tm *tm)
{
    static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int year, month, day;
    char dash;
    if (!take_number(rest, 4, 0, 9999, &year) || !take_one_of(rest, "-", &dash) ||
        !take_number(rest, 2, 1, 12, &month) || !take_one_of(rest, "-", &dash) || !take_number(rest, 2, 1, 31, &day))
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > month_days[month - 1] + (month == 2 && leap))
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    return true;
}

static bool take_time(struct span *rest, struct tm *tm, int *ms)
{
    char colon;
    if (!take_number(rest, 2, 0, 23, &tm->tm_hour) || !take_one_of(rest, ":", &colon) ||
        !take_number(rest, 2, 0, 59, &tm->tm_min) || !take_one_of(rest, ":", &colon) ||
        !take_number(rest, 2, 0, 60, &tm->tm_sec)) /* 60: a leap second, counted as the next minute's first */
        return false;
    char point;
    if (!take_one_of(rest, ".", &point))
        return true;
    int digit, digits = 0;
    for (int weight = 100; take_number(rest, 1, 0, 9, &digit); weight /= 10, digits++)
        *ms += digit * weight;
    return digits > 0;
}

static bool take_offset(struct span *rest, int *minutes)
{
    char sign, colon;
    if (take_one_of(rest, "Zz", &sign))
        return true;
    int hours, rest_minutes;
    if (!take_one_of(rest, "+-", &sign) || !take_number(rest, 2, 0, 23, &hours) || !take_one_of(rest, ":", &colon) ||
        !take_number(rest, 2, 0, 59, &rest_minutes))
        return false;
    *minutes = (hours * 60 + rest_minutes) * (sign == '-' ? -1 : 1);
    return true;
}

bool rfc3339_parse(struct span text, int64_t *wall_ms)
{
    struct tm tm = { 0 };
    int ms = 0, offset_minutes = 0;
    char t;
    if (!take_date(&text, &tm) || !take_one_of(&text, "Tt", &t) || !take_time(&text, &tm, &ms) ||
        !take_offset(&text, &offset_minutes) || text.len != 0)
        return false;
    *wall_ms = ((int64_t)timegm(&tm) - (int64_t)offset_minutes * 60) * 1000 + ms;
    return true;
}
