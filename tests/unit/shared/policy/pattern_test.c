#include "shared/policy/pattern.h"

#include <time.h>

#include "shared/base/clock.h"
#include "tests/unit/shared/base/test.h"

static const struct {
    const char *glob, *name;
    bool matches;
} glob_rows[] = {
    { "main", "main", true },
    { "main", "Main", false },
    { "main", "mains", false },
    { "main", "", false },
    { "*", "", true },
    { "*", "main", true },
    { "*", "feature/x", false },
    { "**", "feature/x/y", true },
    { "**", "", true },
    { "release/*", "release/1.0", true },
    { "release/*", "release/", true },
    { "release/*", "release/1/2", false },
    { "release/**", "release/1/2", true },
    { "release/**", "release", false },
    { "*.c", "a.c", true },
    { "*.c", "src/a.c", false },
    { "**/*.c", "a.c", true },
    { "**/*.c", "src/deep/a.c", true },
    { "src/**/test.c", "src/test.c", true },
    { "src/**/test.c", "src/a/b/test.c", true },
    { "src/**/test.c", "srctest.c", false },
    { "src/**/test.c", "src/atest.c", false },
    { "src/**/test.c", "src/a/xtest.c", false },
    { "**/test.c", "xtest.c", false },
    { "a**/b", "ab", false },
    { "a**/b", "a/b", true },
    { "a**/b", "axy/b", true },
    { "**/", "", true },
    { "**/x/**", "x/", true },
    { "a/**/**/b", "a/b", true },
    { "***", "a/b", true },
    { "ab/**", "ab/", true },
    { "ab/**", "ac/x", false },
    { "ab**", "ab", true },
    { "ab\xc3\xa9*", "ab\xc3\xa9z", true },
    { "ab\xc3\xa9", "ab\xc3\xa8", false },
    { "main", "mai", false },
    { "main", "mainz", false },
    { "a/**/b", "a/b", true },
    { "ax**/b", "axb", false },
    { "v?.?", "v1.2", true },
    { "v?.?", "v1.22", false },
    { "a?b", "a/b", false },
    { "?", "\xc3\xa9", true },
    { "?", "\xff", true },
    { "\xff", "\xff", true },
    { "?", "ab", false },
    { "[a-c]x", "bx", true },
    { "[a-c]x", "dx", false },
    { "[!a-c]x", "dx", true },
    { "[^a-c]x", "bx", false },
    { "[!a]", "/", false },
    { "[/]", "/", false },
    { "[]a]", "]", true },
    { "[!]a]", "b", true },
    { "[!]a]", "]", false },
    { "[a-]", "-", true },
    { "[\\]]", "]", true },
    { "[\\a-\\c]", "b", true },
    { "[\xc3\xa0-\xc3\xaf]", "\xc3\xa9", true },
    { "v[0-9]*.[0-9]*", "v12.4", true },
    { "v[0-9]*.[0-9]*", "v12.x", false },
    { "\\*", "*", true },
    { "\\*", "x", false },
    { "\\[a]", "[a]", true },
    { "*a*b*c*", "xxaxxbxxcxx", true },
    { "*a*b*c*", "xxaxxcxxbxx", false },
    { "**a/*b", "x/y/a/zb", true },
    { "**a/*b", "x/y/a/z/b", false },
    { "*/**", "a/b/c", true },
    { "[a", "a", false }, /* what glob_check refuses matches nothing */
    { "a\\", "a", false },
};

static void globs_match_as_git_hosts_write_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(glob_rows); i++)
        if (glob_match(span_of(glob_rows[i].glob), span_of(glob_rows[i].name)) != glob_rows[i].matches)
            fail_msg("'%s' on '%s'", glob_rows[i].glob, glob_rows[i].name);
}

static void globs_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *says; /* NULL: fine */
    } rows[] = {
        { "a*[!x-z]?\\*", NULL },       { "", "empty glob" },        { "x[a", "at offset 1: a class without" },
        { "[", "class without" },       { "[]", "class without" },   { "[!", "class without" },
        { "[a-", "class without" },     { "[a\\", "class without" }, { "ab\\", "at offset 2: a backslash at the end" },
        { "[z-a]", "range whose end" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        assert_int_equal(glob_check(span_of(rows[i].glob), &err), !rows[i].says);
        if (rows[i].says)
            assert_error(err, ERROR_INVALID, rows[i].says);
    }
    char large[1100];
    memset(large, 'a', sizeof large);
    struct error err = { 0 };
    assert_false(glob_check((struct span){ large, sizeof large }, &err));
    assert_error(err, ERROR_INVALID, "more than 1024");
    assert_false(glob_match((struct span){ large, sizeof large }, (struct span){ large, sizeof large }));
    assert_true(glob_match((struct span){ large, 1024 }, (struct span){ large, 1024 }));
}

/* What backtracking matchers need the age of the universe for. */
static void no_glob_hangs(void **state)
{
    (void)state;
    char pattern[1024], name[4096];
    for (size_t i = 0; i + 1 < sizeof pattern; i += 2)
        memcpy(pattern + i, "a*", 2);
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 'b';
    pattern[1023] = 'c';
    int64_t start = clock_monotonic_ms();
    assert_false(glob_match((struct span){ pattern, sizeof pattern }, (struct span){ name, sizeof name }));
    assert_true(clock_monotonic_ms() - start < 5000);
}

static bool search(const char *pattern, struct span subject)
{
    struct error err = { 0 };
    AUTO(regex_free) struct regex *regex = regex_new(span_of(pattern), &err);
    bool matched = false;
    if (!regex || !regex_match(regex, subject, &matched, &err))
        fail_msg("%s: %s", pattern, err.message);
    return matched;
}

static void regular_expressions_are_perls(void **state)
{
    (void)state;
    assert_true(search("^v\\d+\\.\\d+$", SPAN("v1.22")));
    assert_false(search("^v\\d+\\.\\d+$", SPAN("v1.22-rc1")));
    assert_true(search("rc", SPAN("v1-rc1")));
    assert_true(search("^(?!.*rc)v", SPAN("v1")));
    assert_false(search("^(?!.*rc)v", SPAN("v1-rc1")));
    assert_true(search("^caf\xc3\xa9-\\d$", SPAN("caf\xc3\xa9-1")));
    assert_true(search("^..$", SPAN("\xc3\xa9"))); /* bytes, as pattern.h says */
    assert_true(search("^$", (struct span){ NULL, 0 }));
    assert_true(search("^a.b$", SPAN("a\xff"
                                     "b")));
    assert_true(search("b$", SPAN("a\xff"
                                  "b")));
}

static void a_wrong_regular_expression_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *says;
    } rows[] = {
        { "(a", "'(a' at offset 2: " }, { "a[", "at offset 2: " },          { "*a", "'*a' at offset " },
        { "a(?<b", "at offset " },      { "", "empty regular expression" }, { "\xff", "UTF-8" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        assert_null(regex_new(span_of(rows[i].pattern), &err));
        assert_error(err, ERROR_INVALID, rows[i].says);
    }
}

static void no_regular_expression_hangs(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(regex_free) struct regex *regex = regex_new(SPAN("^(a|aa)+$|(a*)*\\1c"), &err);
    assert_non_null(regex);
    char subject[129];
    memset(subject, 'a', sizeof subject);
    subject[128] = 'b';
    bool matched = true;
    int64_t start = clock_monotonic_ms();
    assert_false(regex_match(regex, (struct span){ subject, sizeof subject }, &matched, &err));
    assert_error(err, ERROR_INVALID, "takes too long on 'aaa");
    assert_true(matched); /* results are untouched on failure */
    assert_true(clock_monotonic_ms() - start < 5000);
}

static void the_last_pattern_that_matches_decides(void **state)
{
    (void)state;
    static const struct {
        const char *globs[4];
        const char *name;
        bool matched;
    } rows[] = {
        { { "src/**", "!src/docs/**" }, "src/a.c", true },
        { { "src/**", "!src/docs/**" }, "src/docs/a", false },
        { { "src/**", "!src/docs/**", "src/docs/api" }, "src/docs/api", true },
        { { "!src/docs/**", "src/**" }, "src/docs/a", true },
        { { "!docs/**" }, "src/a.c", true },
        { { "!docs/**", "!*.md" }, "README.md", false },
        { { "!docs/**", "src" }, "other", false },
        { { "\\!x" }, "!x", true },
        { { NULL }, "x", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(patterns_free) struct patterns *patterns = patterns_new();
        size_t count = 0;
        for (; count < 4 && rows[i].globs[count]; count++)
            assert_true(patterns_add_glob(patterns, span_of(rows[i].globs[count]), &err));
        assert_int_equal(patterns_count(patterns), count);
        bool matched;
        assert_true(patterns_match(patterns, span_of(rows[i].name), &matched, &err));
        if (matched != rows[i].matched)
            fail_msg("row %zu: '%s'", i, rows[i].name);
    }
}

static void lists_mix_globs_and_regular_expressions(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(patterns_free) struct patterns *patterns = patterns_new();
    assert_true(patterns_add_regex(patterns, SPAN("^release-\\d+$"), &err));
    assert_true(patterns_add_glob(patterns, SPAN("!release-13"), &err));
    bool matched = false;
    assert_true(patterns_match(patterns, SPAN("release-12"), &matched, &err));
    assert_true(matched);
    assert_true(patterns_match(patterns, SPAN("release-13"), &matched, &err));
    assert_false(matched);
    assert_false(patterns_add_glob(patterns, SPAN("!"), &err));
    assert_error(err, ERROR_INVALID, "empty glob");
    assert_false(patterns_add_regex(patterns, SPAN("("), &err));
    assert_false(patterns_add_glob(patterns, (struct span){ "a\0b", 3 }, &err));
    assert_int_equal(patterns_count(patterns), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_match_as_git_hosts_write_them),
        cmocka_unit_test(globs_are_checked),
        cmocka_unit_test(no_glob_hangs),
        cmocka_unit_test(regular_expressions_are_perls),
        cmocka_unit_test(a_wrong_regular_expression_says_where),
        cmocka_unit_test(no_regular_expression_hangs),
        cmocka_unit_test(the_last_pattern_that_matches_decides),
        cmocka_unit_test(lists_mix_globs_and_regular_expressions),
    };
    return cmocka_run_group_tests_name("policy/pattern", tests, NULL, NULL);
}
