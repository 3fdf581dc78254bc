#include "shared/dockerfile/gomatch.h"
#include "shared/dockerfile/ignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *file, *path;
        bool excluded;
    } rows[] = {
        { "", "a", false },
        { "a\n", "a", true },
        { "a\n", "a/b/c", true },
        { "a\n", "b/a", false },
        { "/a/\r\n", "a", true },
        { "#a\n #b\n", "a", false },
        { "#a\n #b\n", "#b", true },
        { "**/a\n", "x/y/a", true },
        { "**/a\n", "x/ya", false },
        { "**a\n", "x/ya", true },
        { "*.o\n", "x/y.o", false },
        { "**/*.o\n", "x/y.o", true },
        { "a/**\n", "a", false },
        { "a/**\n", "a/b/c", true },
        { "*\n!a\n", "a/b", false },
        { "*\n!a\na/b\n", "a/b", true },
        { "*\n!/a\n", "a", false },
        { "a?c\n", "abc", true },
        { "a?c\n", "a/c", false },
        { "[a-c]x\n", "bx", true },
        { "[^a-c]x\n", "bx", false },
        { "a\\*b\n", "a*b", true },
        { "a\\*b\n", "axb", false },
        { "a.b+(c)\n", "a.b+(c)", true },
        { "a/../b/./c\n", "b/c", true },
        { "\xEF\xBB\xBF"
          "a\n",
          "a", true },
        { "\xED\x95\x9C?\n", "\xED\x95\x9C\xEA\xB5\xAD", true },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(ignore_free) struct ignore *ignore = ignore_parse(span_of(rows[i].file), &err);
        assert_non_null(ignore);
        if (ignore_excludes(ignore, span_of(rows[i].path)) != rows[i].excluded)
            fail_msg("'%s' on '%s'", rows[i].file, rows[i].path);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *message;
    } rows[] = {
        { "!\n", "illegal exclusion pattern: \"!\"" }, { "[\n", "syntax error in pattern" },
        { "a[\n", "syntax error in pattern" },         { "\\\n", "syntax error in pattern" },
        { "[b-a]\n", "syntax error in pattern" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        assert_null(ignore_parse(span_of(rows[i].file), &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_string_equal(err.message, rows[i].message);
    }
    struct error err = { 0 };
    char line[IGNORE_PATTERN_MAX + 2];
    memset(line, 'a', sizeof line);
    assert_null(ignore_parse((struct span){ line, sizeof line }, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

/* Stars upon stars cost no more than the product of pattern and path. */
static void test_hostile_pattern(void **state)
{
    (void)state;
    char pattern[2001], path[4001];
    for (size_t i = 0; i < sizeof pattern - 1; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[sizeof pattern - 1] = 0;
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 2] = 'b';
    path[sizeof path - 1] = 0;
    const char *const patterns[] = { pattern };
    struct error err = { 0 };
    AUTO(ignore_free) struct ignore *ignore = ignore_new(patterns, 1, &err);
    assert_non_null(ignore);
    assert_false(ignore_excludes(ignore, span_of(path)));
}

static void test_below(void **state)
{
    (void)state;
    static const struct {
        const char *file, *path;
        bool may;
    } rows[] = {
        { "a\n", "a", false },         { "a\n!a/b\n", "a", true },    { "a\n!a/b/c\n", "a/b", true },
        { "a\n!a/b\n", "a/b", false }, { "a\n!a/b\n", "a/x", false }, { "a\n!**/README\n", "a/x", true },
        { "a\n!b/*\n", "a", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(ignore_free) struct ignore *ignore = ignore_parse(span_of(rows[i].file), &err);
        if (ignore_may_include_below(ignore, span_of(rows[i].path)) != rows[i].may)
            fail_msg("'%s' on '%s'", rows[i].file, rows[i].path);
    }
    assert_false(ignore_excludes(NULL, SPAN("a")));
    assert_false(ignore_may_include_below(NULL, SPAN("a")));
}

static void test_gomatch(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        enum gomatch result;
    } rows[] = {
        { "abc", "abc", GOMATCH_YES },
        { "*", "abc", GOMATCH_YES },
        { "*c", "abc", GOMATCH_YES },
        { "a*", "a/b", GOMATCH_NO },
        { "a*/b", "abc/b", GOMATCH_YES },
        { "a*b*c*d*e*/f", "axbxcxdxe/f", GOMATCH_YES },
        { "a*b?c*x", "abxbbxdbxebxczzx", GOMATCH_YES },
        { "a*b?c*x", "abxbbxdbxebxczzy", GOMATCH_NO },
        { "ab[c]", "abc", GOMATCH_YES },
        { "ab[b-d]", "abc", GOMATCH_YES },
        { "ab[^b-d]", "abc", GOMATCH_NO },
        { "a\\*b", "a*b", GOMATCH_YES },
        { "a\\*b", "ab", GOMATCH_NO },
        { "a?b",
          "a\xE2\x98\xBA"
          "b",
          GOMATCH_YES },
        { "a[^a]b",
          "a\xE2\x98\xBA"
          "b",
          GOMATCH_YES },
        { "a???b",
          "a\xE2\x98\xBA"
          "b",
          GOMATCH_NO },
        { "[a-\xCE\xB6]*", "\xCE\xB1", GOMATCH_YES },
        { "*[a-\xCE\xB6]", "A", GOMATCH_NO },
        { "a?b", "a/b", GOMATCH_NO },
        { "[\\]a]", "]", GOMATCH_YES },
        { "[\\-x]", "-", GOMATCH_YES },
        { "[]a]", "]", GOMATCH_BAD_PATTERN },
        { "[-]", "-", GOMATCH_BAD_PATTERN },
        { "[x-]", "x", GOMATCH_BAD_PATTERN },
        { "\\", "a", GOMATCH_BAD_PATTERN },
        { "[a-b-c]", "a", GOMATCH_BAD_PATTERN },
        { "[", "a", GOMATCH_BAD_PATTERN },
        { "[^", "a", GOMATCH_BAD_PATTERN },
        { "a[", "a", GOMATCH_BAD_PATTERN },
        { "a[", "ab", GOMATCH_BAD_PATTERN },
        { "a[", "x", GOMATCH_BAD_PATTERN },
        { "a/b[", "x", GOMATCH_BAD_PATTERN },
        { "*x", "xxx", GOMATCH_YES },
        { "", "", GOMATCH_YES },
        { "", "a", GOMATCH_NO },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (gomatch(span_of(rows[i].pattern), span_of(rows[i].name)) != rows[i].result)
            fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].name);
    assert_true(gomatch_has_wildcard(SPAN("a*")));
    assert_true(gomatch_has_wildcard(SPAN("[a")));
    assert_false(gomatch_has_wildcard(SPAN("a\\*b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files), cmocka_unit_test(test_refused), cmocka_unit_test(test_hostile_pattern),
        cmocka_unit_test(test_below), cmocka_unit_test(test_gomatch),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/ignore", tests, NULL, NULL);
}
