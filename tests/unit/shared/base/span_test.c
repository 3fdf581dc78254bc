#include "shared/base/span.h"

#include <stdlib.h>

#include "tests/unit/shared/base/test.h"

static const struct span absent = { NULL, 0 };

static void absent_is_not_empty(void **state)
{
    (void)state;
    assert_null(span_of(NULL).data);
    assert_false(span_is(absent, ""));
    assert_true(span_is(SPAN(""), ""));
    assert_true(span_equal(absent, SPAN("")));
    assert_true(span_is(SPAN("abc"), "abc"));
    assert_false(span_is(SPAN("abc"), "abd"));
    assert_false(span_is(SPAN("abc"), "ab"));
}

static void ends_are_compared(void **state)
{
    (void)state;
    assert_true(span_starts(SPAN("refs/heads/x"), "refs/heads/"));
    assert_false(span_starts(SPAN("refs"), "refs/"));
    assert_true(span_ends(SPAN("a.json"), ".json"));
    assert_false(span_ends(SPAN("json"), ".json"));
    assert_true(span_starts(absent, ""));
    assert_true(span_ends(absent, ""));
}

static void blanks_are_trimmed(void **state)
{
    (void)state;
    assert_true(span_is(span_trim(SPAN(" \t\r\na b\n ")), "a b"));
    assert_int_equal(span_trim(SPAN(" \n ")).len, 0);
    assert_int_equal(span_trim(absent).len, 0);
}

static void cutting_walks_a_list(void **state)
{
    (void)state;
    struct span rest = SPAN("a,,bc,");
    static const char *const parts[] = { "a", "", "bc", "" };
    for (size_t i = 0; i < COUNT(parts); i++)
        assert_true(span_is(span_cut(&rest, ','), parts[i]));
    assert_null(rest.data);
    assert_null(span_cut(&rest, ',').data);
}

static void characters_are_found(void **state)
{
    (void)state;
    assert_int_equal(span_find(SPAN("a/b/c"), '/'), 1);
    assert_int_equal(span_find_last(SPAN("a/b/c"), '/'), 3);
    assert_int_equal(span_find(SPAN("abc"), '/'), -1);
    assert_int_equal(span_find_last(absent, '/'), -1);
}

static void copies_hold_no_nul(void **state)
{
    (void)state;
    char *copy = span_dup((struct span){ "abc", 2 });
    assert_string_equal(copy, "ab");
    free(copy);
    assert_null(span_dup((struct span){ "a\0b", 3 }));
}

static void utf8_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        { "", true },
        { "plain ascii that is longer than eight", true },
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true },
        { "12345678\xc3\xa9", true },
        { "\xef\xbf\xbf\xf4\x8f\xbf\xbf", true },
        { "\xc0\x80", false },
        { "\xc1\xbf", false },
        { "\xe0\x9f\xbf", false },
        { "\xed\xa0\x80", false },
        { "\xf0\x8f\xbf\xbf", false },
        { "\xf4\x90\x80\x80", false },
        { "\xf5\x80\x80\x80", false },
        { "\x80", false },
        { "\xc3", false },
        { "1234567\xe2\x82", false },
        { "\xe2\x28\xa1", false },
        { "\xf0\x9f\x98\x28", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (span_is_utf8(span_of(rows[i].text)) != rows[i].good)
            fail_msg("row %zu", i);
    assert_int_equal(span_utf8_sequence(SPAN("\xe2\x82\xacz")), 3);
    assert_int_equal(span_utf8_sequence(SPAN("z")), 1);
    assert_int_equal(span_utf8_sequence(SPAN("\xff")), 0);
    assert_int_equal(span_utf8_sequence(absent), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_not_empty),  cmocka_unit_test(ends_are_compared),
        cmocka_unit_test(blanks_are_trimmed),   cmocka_unit_test(cutting_walks_a_list),
        cmocka_unit_test(characters_are_found), cmocka_unit_test(copies_hold_no_nul),
        cmocka_unit_test(utf8_is_checked),
    };
    return cmocka_run_group_tests_name("base/span", tests, NULL, NULL);
}
