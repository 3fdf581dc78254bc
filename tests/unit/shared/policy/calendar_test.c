#include "shared/policy/calendar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shared/base/clock.h"
#include "tests/unit/shared/base/test.h"

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static int64_t at(const char *text)
{
    int64_t ms;
    assert_true(rfc3339_parse(span_of(text), &ms));
    return ms;
}

static struct freeze window(const char *from, const char *to, const char *zone)
{
    struct freeze freeze = { .zone = zone };
    struct error err = { 0 };
    if (!cron_parse(&freeze.from, span_of(from), &err) || !cron_parse(&freeze.to, span_of(to), &err))
        fail_msg("%s", err.message);
    return freeze;
}

/* "" where it is not frozen, else until when. */
static const char *frozen(const struct freeze *freezes, size_t count, const char *now)
{
    static char text[RFC3339_SIZE];
    struct error err = { 0 };
    int64_t until;
    if (!calendar_frozen(freezes, count, at(now), &until, &err))
        fail_msg("%s", err.message);
    text[0] = '\0';
    if (until != FROZEN_NOT)
        rfc3339_format(text, until);
    return text;
}

static void a_window_is_open_from_its_begin_until_its_end(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *zone, *now, *until;
    } rows[] = {
        /* the weekend */
        { "0 18 * * 5", "0 8 * * 1", BERLIN, "2026-11-27T16:59:59Z", "" },
        { "0 18 * * 5", "0 8 * * 1", BERLIN, "2026-11-27T17:00:00Z", "2026-11-30T07:00:00Z" },
        { "0 18 * * fri", "0 8 * * mon", "Europe/Berlin", "2026-11-29T12:00:00Z", "2026-11-30T07:00:00Z" },
        { "0 18 * * 5", "0 8 * * 1", BERLIN, "2026-11-30T06:59:59.999Z", "2026-11-30T07:00:00Z" },
        { "0 18 * * 5", "0 8 * * 1", BERLIN, "2026-11-30T07:00:00Z", "" },
        { "0 18 * * 5", "0 8 * * 1", NULL, "2026-11-27T17:30:00Z", "" },
        /* nights, of working days alone: from Friday to Monday none closes it */
        { "0 18 * * *", "0 6 * * *", "UTC", "2026-11-27T23:00:00Z", "2026-11-28T06:00:00Z" },
        { "0 18 * * 1-5", "0 6 * * 1-5", "UTC", "2026-11-28T12:00:00Z", "2026-11-30T06:00:00Z" },
        /* a month, a day, a leap day */
        { "0 0 20 12 *", "0 0 2 1 *", "UTC", "2026-12-24T00:00:00Z", "2027-01-02T00:00:00Z" },
        { "0 0 20 12 *", "0 0 2 1 *", "UTC", "2026-12-19T23:59:00Z", "" },
        { "0 0 29 2 *", "0 0 1 3 *", "UTC", "2026-02-28T12:00:00Z", "" },
        { "0 0 29 2 *", "0 0 1 3 *", "UTC", "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z" },
        /* the 13th or a Friday, as crontab(5) has it; every second hour */
        { "0 0 13 * 5", "0 0 14 * 6", "UTC", "2026-11-20T12:00:00Z", "2026-11-21T00:00:00Z" },
        { "0 0 13 * 5", "0 0 14 * 6", "UTC", "2026-10-13T12:00:00Z", "2026-10-14T00:00:00Z" },
        { "0 */2 * * *", "0 1-23/2 * * *", "UTC", "2026-11-20T12:30:00Z", "2026-11-20T13:00:00Z" },
        { "0 */2 * * *", "0 1-23/2 * * *", "UTC", "2026-11-20T13:30:00Z", "" },
        /* the clock is set forward at 01:00Z: 02:30 is left out, the window begins or ends where it would have been */
        { "30 2 * * *", "0 4 * * *", BERLIN, "2026-03-29T00:59:59Z", "" },
        { "30 2 * * *", "0 4 * * *", BERLIN, "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z" },
        { "0 1 * * *", "30 2 * * *", BERLIN, "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z" },
        /* and back at 01:00Z: 02:30 comes twice, it is frozen from the first, until the second */
        { "30 2 * * *", "0 4 * * *", BERLIN, "2026-10-25T00:29:59Z", "" },
        { "30 2 * * *", "0 4 * * *", BERLIN, "2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z" },
        { "0 1 * * *", "30 2 * * *", BERLIN, "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z" },
        /* the other half of the world, and a clock that is set by half an hour */
        { "0 0 * * 0", "0 0 * * 1", "AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-12-26T13:00:00Z", "2026-12-27T13:00:00Z" },
        { "0 0 * * 0", "0 0 * * 1", "AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-04T14:00:00Z", "2026-07-05T14:00:00Z" },
        { "0 12 * * *", "0 13 * * *", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2026-07-04T01:30:00Z",
          "2026-07-04T02:30:00Z" },
        /* begin and end at once: it is never over, which is told as far as it was counted */
        { "0 0 * * *", "0 0 * * *", "UTC", "2026-11-20T12:30:00Z", "2027-12-25T00:00:00Z" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct freeze freeze = window(rows[i].from, rows[i].to, rows[i].zone);
        const char *until = frozen(&freeze, 1, rows[i].now);
        if (strcmp(until, rows[i].until) != 0)
            fail_msg("%s to %s at %s: until '%s' instead of '%s'", rows[i].from, rows[i].to, rows[i].now, until,
                     rows[i].until);
    }
}

static void windows_that_follow_each_other_are_one(void **state)
{
    (void)state;
    const struct freeze freezes[] = { window("0 0 * * 1", "0 0 * * 2", "UTC"), window("0 18 * * 0", "0 0 * * 1", "UTC"),
                                      window("0 23 * * 1", "0 4 * * 2", "UTC") };
    assert_string_equal(frozen(freezes, 3, "2026-11-29T20:00:00Z"), "2026-12-01T04:00:00Z");
    assert_string_equal(frozen(freezes, 3, "2026-12-01T04:00:00Z"), "");
    assert_string_equal(frozen(freezes, 0, "2026-12-01T04:00:00Z"), "");
}

static void what_is_no_time_says_what_would_be_one(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "", "must be five fields" },
        { "0 18 * *", "must be five fields" },
        { "0 18 * * 5 6", "must be five fields" },
        { "@daily", "'@daily' is no minute" },
        { "60 * * * *", "'60' is no minute: want 0 to 59" },
        { "0 24 * * *", "'24' is no hour" },
        { "0 0 0 * *", "'0' is no day of the month" },
        { "0 0 * 13 *", "'13' is no month" },
        { "0 0 * * 8", "'8' is no day of the week" },
        { "0 0 * * fri-mon", "'fri-mon' is no day of the week" },
        { "5/10 * * * *", "'5/10' is no minute" },
        { "*/0 * * * *", "'*/0' is no minute" },
        { "1,,2 * * * *", "'' is no minute" },
        { "-1 * * * *", "'-1' is no minute" },
        { "999 * * * *", "'999' is no minute" },
        { "0 0 31 2,4 *", "never comes" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        struct cron cron;
        assert_false(cron_parse(&cron, span_of(rows[i].text), &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        if (!strstr(err.message, rows[i].says))
            fail_msg("'%s': %s", rows[i].text, err.message);
    }
    static const char *const fine[] = { "0 0 29 2 *", "0 0 31 2 1", "*/5,7 0-6,22 * JAN-mar,12 Mon-Fri",
                                        " 1  2  3 4 7 ", "0 0 * * fri-sun" };
    for (size_t i = 0; i < COUNT(fine); i++) {
        struct error err = { 0 };
        struct cron cron;
        if (!cron_parse(&cron, span_of(fine[i]), &err))
            fail_msg("'%s': %s", fine[i], err.message);
    }
}

static void what_is_no_zone_says_what_would_be_one(void **state)
{
    (void)state;
    static const char *const wrong[] = { "",
                                         "CE-1",
                                         "CET",
                                         "CET-1CEST",
                                         "CET-25",
                                         "CET-1:60",
                                         "CET-1CEST,M3.5",
                                         "<+0>-1x",
                                         "CET-1CEST,M13.5.0,M10.5.0",
                                         "/etc/passwd",
                                         "../passwd",
                                         "Europe/../x",
                                         "Europe/Berlin/" };
    struct zone zone;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct error err = { 0 };
        if (zone_parse(&zone, span_of(wrong[i]), &err) || err.kind != ERROR_INVALID)
            fail_msg("'%s' is taken for a zone", wrong[i]);
    }
    struct error err = { 0 };
    assert_false(zone_find(&zone, "UTC+2", &err));
    assert_non_null(strstr(err.message, "<+02>-2"));
    err = (struct error){ 0 };
    assert_false(zone_find(&zone, "Europe/Berln", &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "/usr/share/zoneinfo/Europe/Berln"));
    assert_false(zone_find(&zone, "Europe", &err)); /* a folder */
    assert_false(zone_find(&zone, "zone.tab", &err));
}

/* The C library reads the same rules. */
static void every_rule_shows_what_the_c_library_shows(void **state)
{
    (void)state;
    static const char *const zones[] = { BERLIN,
                                         "EST5EDT,M3.2.0,M11.1.0",
                                         "AEST-10AEDT,M10.1.0,M4.1.0/3",
                                         "IST-1GMT0,M10.5.0,M3.5.0/1",
                                         "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
                                         "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
                                         "XYZ3XYS,J60/4,J300",
                                         "XYZ3XYS,59/4,299/0:30",
                                         "IST-5:30" };
    for (size_t i = 0; i < COUNT(zones); i++) {
        struct zone zone;
        struct error err = { 0 };
        assert_true(zone_parse(&zone, span_of(zones[i]), &err));
        setenv("TZ", zones[i], 1);
        tzset();
        for (time_t t = 1767225600; t < 2082758400; t += 1800 * 3 + 17) { /* 2026 to 2035 */
            struct tm tm;
            localtime_r(&t, &tm);
            if (zone_offset(&zone, t) != tm.tm_gmtoff)
                fail_msg("%s at %lld: %d instead of %ld", zones[i], (long long)t, zone_offset(&zone, t), tm.tm_gmtoff);
            int64_t early = zone_to_utc(&zone, t + tm.tm_gmtoff, false),
                    late = zone_to_utc(&zone, t + tm.tm_gmtoff, true);
            assert_true(early == t || late == t);
            assert_true(early <= late);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_is_open_from_its_begin_until_its_end),
        cmocka_unit_test(windows_that_follow_each_other_are_one),
        cmocka_unit_test(what_is_no_time_says_what_would_be_one),
        cmocka_unit_test(what_is_no_zone_says_what_would_be_one),
        cmocka_unit_test(every_rule_shows_what_the_c_library_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
