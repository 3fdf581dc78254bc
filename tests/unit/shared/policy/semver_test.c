#include "shared/policy/semver.h"

#include "tests/unit/shared/base/test.h"

/* What npm's semver says of the same, which tests/peers/semver_test.py asks it for thousands more. */
static void ranges_accept_what_npm_accepts(void **state)
{
    (void)state;
    static const struct {
        const char *range, *version;
        bool accepted;
    } rows[] = {
        { ">=1.2 <2", "1.2.0", true },
        { ">=1.2 <2", "2.0.0-alpha", false },
        { ">= 1.2.3   < 2", "1.9.9", true },
        { "^0.2.3", "0.2.9", true },
        { "^0.2.3", "0.3.0", false },
        { "^0.0.3", "0.0.4", false },
        { "~1.2", "1.2.99", true },
        { "~> 1.2", "1.3.0", false },
        { "1.x || >=2.5.0 || 5.0.0 - 7.2.3", "7.2.3", true },
        { "1.x || >=2.5.0", "2.0.0", false },
        { "1.2 - 2.3", "2.3.9", true },
        { "1.2.3 - 2.3.4", "2.3.5", false },
        { "", "1.0.0", true },
        { "*", "1.0.0-alpha", false },
        { ">=1.0.0-alpha.2", "1.0.0-alpha.10", true },
        { ">=1.0.0-alpha.2", "1.0.1-alpha", false },
        { "* || >=1.0.0-alpha", "1.0.0-beta", false },
        { "=v1.2.3", "v1.2.3+build.7", true },
        { "1.2.3*", "1.2.3", true },
        { "<0.0.0-0", "0.0.0-0", false },
        { ">1", "1.9.9", false },
        { "<=1", "1.9.9", true },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        struct semver version;
        AUTO(semver_range_free) struct semver_range *range = semver_range_new(span_of(rows[i].range), &err);
        if (!range)
            fail_msg("%s: %s", rows[i].range, err.message);
        assert_true(semver_parse(span_of(rows[i].version), &version));
        if (semver_range_accepts(range, &version) != rows[i].accepted)
            fail_msg("'%s' and %s", rows[i].range, rows[i].version);
    }
}

static void what_is_no_range_or_version_is_refused(void **state)
{
    (void)state;
    static const char *const ranges[] = { "banana", ">=",       "1.2.3.4",          ">=1.2 <banana", "== 1.2.3",
                                          "01.2.3", "1.2.3-01", "9007199254740992", "~> = 3",        "x.1" };
    static const char *const versions[] = { "",         "1",      "1.2",     "01.2.3", "1.2.3-",
                                            "1.2.3-01", "1.2.3+", "vv1.2.3", "1.2.3 ", "9007199254740992.0.0" };
    for (size_t i = 0; i < COUNT(ranges); i++) {
        struct error err = { 0 };
        AUTO(semver_range_free) struct semver_range *range = semver_range_new(span_of(ranges[i]), &err);
        if (range)
            fail_msg("'%s' is a range", ranges[i]);
        assert_error(err, ERROR_INVALID, "is no range of versions");
    }
    for (size_t i = 0; i < COUNT(versions); i++) {
        struct semver version;
        assert_false(semver_parse(span_of(versions[i]), &version));
    }
    struct error err = { 0 };
    char text[1100];
    memset(text, '1', sizeof text);
    assert_null(semver_range_new((struct span){ text, sizeof text }, &err));
    assert_error(err, ERROR_INVALID, "more than 1024 bytes");
}

/* semver.org 2.0.0, section 11. */
static void versions_have_the_precedence_of_the_specification(void **state)
{
    (void)state;
    static const char *const rising[] = { "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                          "1.0.0-beta",  "1.0.0-beta.2",  "1.0.0-beta.11",
                                          "1.0.0-rc.1",  "1.0.0",         "2.0.0",
                                          "2.1.0",       "2.1.1" };
    for (size_t i = 0; i < COUNT(rising); i++)
        for (size_t j = 0; j < COUNT(rising); j++) {
            struct semver a, b;
            assert_true(semver_parse(span_of(rising[i]), &a) && semver_parse(span_of(rising[j]), &b));
            int order = semver_compare(&a, &b);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_accept_what_npm_accepts),
        cmocka_unit_test(what_is_no_range_or_version_is_refused),
        cmocka_unit_test(versions_have_the_precedence_of_the_specification),
    };
    return cmocka_run_group_tests_name("policy/semver", tests, NULL, NULL);
}
