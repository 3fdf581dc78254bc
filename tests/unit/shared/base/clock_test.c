#include "shared/base/clock.h"

#include "shared/base/random.h"
#include "tests/unit/shared/base/test.h"

static const struct {
    const char *text;
    int64_t wall_ms;
    const char *formatted; /* NULL: as text */
} rows[] = {
    { "1970-01-01T00:00:00Z", 0, NULL },
    { "2026-09-01T12:00:00Z", 1788264000000, NULL },
    { "2026-09-01T12:00:00.123Z", 1788264000123, NULL },
    { "1969-12-31T23:59:59.999Z", -1, NULL },
    { "2024-02-29T00:00:00Z", 1709164800000, NULL },
    { "2000-02-29T23:59:59Z", 951868799000, NULL },
    { "2026-09-01t14:30:00.1239999+02:30", 1788264000123, "2026-09-01T12:00:00.123Z" },
    { "2026-09-01T00:00:00.5-12:00", 1788264000500, "2026-09-01T12:00:00.500Z" },
    { "2016-12-31T23:59:60z", 1483228800000, "2017-01-01T00:00:00Z" },
    { "9999-12-31T23:59:59Z", 253402300799000, NULL },
};

static void rfc3339_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t wall_ms;
        char text[RFC3339_SIZE];
        if (!rfc3339_parse(span_of(rows[i].text), &wall_ms))
            fail_msg("'%s' was refused", rows[i].text);
        assert_int_equal(wall_ms, rows[i].wall_ms);
        rfc3339_format(text, wall_ms);
        assert_string_equal(text, rows[i].formatted ? rows[i].formatted : rows[i].text);
    }
}

static void rfc3339_refuses_what_is_no_moment(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026-09-01",
        "2026-09-01T12:00:00",
        "2026-09-01 12:00:00Z",
        "2026-9-01T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-09-00T12:00:00Z",
        "2026-09-01T24:00:00Z",
        "2026-09-01T12:60:00Z",
        "2026-09-01T12:00:61Z",
        "2026-09-01T12:00:00.Z",
        "2026-09-01T12:00:00+24:00",
        "2026-09-01T12:00:00+0200",
        "2026-09-01T12:00:00Zx",
        "2026-09-01T12:00:00+02",
        " 2026-09-01T12:00:00Z",
        "+026-09-01T12:00:00Z",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t wall_ms = 42;
        if (rfc3339_parse(span_of(bad[i]), &wall_ms))
            fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(wall_ms, 42);
    }
}

static void clocks_go_forward(void **state)
{
    (void)state;
    assert_true(clock_wall_ms() > 1700000000000);
    int64_t us = clock_monotonic_us(), ms = clock_monotonic_ms();
    assert_true(ms >= us / 1000);
    assert_true(clock_monotonic_us() >= us);
}

static void uuids_have_the_layout_of_version_4(void **state)
{
    (void)state;
    uint8_t bytes[16];
    memset(bytes, 0xff, sizeof bytes);
    char text[UUID_SIZE];
    uuid_format(text, bytes);
    assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    memset(bytes, 0, sizeof bytes);
    uuid_format(text, bytes);
    assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[600] = { 0 }, b[600] = { 0 };
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, 16);
    assert_memory_not_equal(a + 584, b + 584, 16);
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339_there_and_back), cmocka_unit_test(rfc3339_refuses_what_is_no_moment),
        cmocka_unit_test(clocks_go_forward),      cmocka_unit_test(uuids_have_the_layout_of_version_4),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
