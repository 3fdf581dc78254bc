#include "shared/policy/condition.h"

#include "tests/unit/shared/base/test.h"

static struct condition *condition_of(const char *text, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    const struct json *when = json_parse(arena, span_of(text), err);
    return when ? condition_new(when, NULL, NULL, err) : NULL;
}

static void tags_are_accepted_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *when, *tag;
        bool accepted;
        const char *reason;
    } rows[] = {
        { "{\"tags\":\"all\"}", "v2", true, "tag 'v2' is accepted, as all tags are" },
        { "{\"tags\":[\"1.0\",\"1.1\"]}", "1.1", true, "tag '1.1' is in the list" },
        { "{\"tags\":[\"1.0\",\"1.1\"]}", "1.2", false, "tag '1.2' is not in the list (1.0, 1.1)" },
        { "{\"tags\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\"]}", "x", false,
          "tag 'x' is not in the list (1, 2, 3, 4, 5 and 2 more)" },
        { "{\"regex\":\"^v\\\\d+$\"}", "v12", true, "tag 'v12' matches the regular expression '^v\\d+$'" },
        { "{\"regex\":\"^v\\\\d+$\"}", "v1-rc", false, "tag 'v1-rc' does not match the regular expression '^v\\d+$'" },
        { "{\"glob\":\"v1.*\"}", "v1.2", true, "tag 'v1.2' matches the glob 'v1.*'" },
        { "{\"glob\":\"v1.*\"}", "v2", false, "tag 'v2' does not match the glob 'v1.*'" },
        { "{\"semver\":\">=1.2 <2\"}", "v1.10.0", true, "tag 'v1.10.0' is in the range '>=1.2 <2'" },
        { "{\"semver\":\">=1.2 <2\"}", "2.0.0", false, "tag '2.0.0' is not in the range '>=1.2 <2'" },
        { "{\"semver\":\">=1.2 <2\"}", "1.9.0-rc.1", false, "tag '1.9.0-rc.1' is not in the range '>=1.2 <2'" },
        { "{\"semver\":\"*\"}", "latest", false, "tag 'latest' is not a semantic version" },
        { "{\"semver\":\"1.x\",\"deny\":[\"1.3.0\",\"*-broken\"]}", "1.3.0", false, "tag '1.3.0' is denied" },
        { "{\"deny\":[\"1.3.*\",\"!1.3.1\"],\"semver\":\"1.x\"}", "1.3.1", true, "tag '1.3.1' is in the range '1.x'" },
        { "{\"regex\":\"^b(.+)$\",\"order\":\"numeric\"}", "b12", true,
          "tag 'b12' matches the regular expression '^b(.+)$'" },
        { "{\"regex\":\"^b(.+)$\",\"order\":\"numeric\"}", "b1x", false,
          "tag 'b1x' matches the regular expression '^b(.+)$', but what its groups match is no number" },
        { "{\"regex\":\"^(?<year>\\\\d+)-(?<month>\\\\d+)$\",\"order\":\"calendar\"}", "2026-13", false,
          "tag '2026-13' matches the regular expression '^(?<year>\\d+)-(?<month>\\d+)$', but what its groups match is "
          "no "
          "date" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(condition_free) struct condition *condition = condition_of(rows[i].when, &err);
        if (!condition)
            fail_msg("%s: %s", rows[i].when, err.message);
        AUTO(bytes_release) struct bytes reason = BYTES(1000);
        bool accepted;
        assert_true(condition_accepts(condition, span_of(rows[i].tag), &accepted, &reason, &err));
        assert_int_equal(accepted, rows[i].accepted);
        assert_string_equal(bytes_text(&reason), rows[i].reason);
    }
}

static void a_wrong_condition_says_what_would_be_right(void **state)
{
    (void)state;
    static const struct {
        const char *when, *says;
    } rows[] = {
        { "{}", "exactly one of {\"tags\": \"all\"}" },
        { "\"all\"", "exactly one of" },
        { "[]", "exactly one of" },
        { "{\"tags\":\"all\",\"glob\":\"x\"}", "exactly one of" },
        { "{\"semantic\":\">=1\"}", "unknown condition: it is one of" },
        { "{\"tags\":\"1.0\"}", "must be \"all\" or a list of tags" },
        { "{\"tags\":{\"a\":1}}", "must be \"all\" or a list of tags" },
        { "{\"tags\":[]}", "an empty list of tags" },
        { "{\"tags\":[1.0]}", "must be a tag in quotes, not a number" },
        { "{\"tags\":[\"\"]}", "not an empty string" },
        { "{\"regex\":\"(\"}", "at offset 1" },
        { "{\"regex\":\"\"}", "empty regular expression" },
        { "{\"regex\":1}", "must be a string, not a number" },
        { "{\"glob\":\"[\"}", "class without" },
        { "{\"semver\":\">=1.2 <banana\"}", "no range of versions" },
        { "{\"semver\":7}", "must be a string, not a number" },
        { "{\"deny\":[\"x\"]}", "exactly one of" },
        { "{\"tags\":\"all\",\"deny\":\"x\"}", "must be a list of globs" },
        { "{\"tags\":\"all\",\"deny\":[1]}", "must be a glob in quotes, not a number" },
        { "{\"tags\":\"all\",\"deny\":[\"[\"]}", "class without" },
        { "{\"tags\":\"all\",\"order\":\"numeric\"}", "goes with a regular expression" },
        { "{\"regex\":\"^v\",\"order\":\"numeric\"}", "it has none" },
        { "{\"regex\":\"^(v)\",\"order\":\"alphabetic\"}", "\"numeric\" or \"calendar\"" },
        { "{\"glob\":null}", "must be a string, not null" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(condition_free) struct condition *condition = condition_of(rows[i].when, &err);
        assert_null(condition);
        assert_error(err, ERROR_INVALID, rows[i].says);
    }
    struct error err = { 0 };
    assert_null(condition_new(NULL, NULL, NULL, &err));
    assert_error(err, ERROR_INVALID, "exactly one of");
}

static void an_endless_regular_expression_is_an_error_not_a_no(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(condition_free) struct condition *condition = condition_of("{\"regex\":\"^(a|aa)+$\"}", &err);
    AUTO(bytes_release) struct bytes reason = BYTES(1000);
    char tag[100];
    memset(tag, 'a', sizeof tag);
    tag[99] = '-';
    bool accepted = true;
    assert_false(condition_accepts(condition, (struct span){ tag, sizeof tag }, &accepted, &reason, &err));
    assert_error(err, ERROR_INVALID, "takes too long");
    assert_true(accepted);
}

/* What the words are for, told by two tags each way round. */
static void the_newer_of_two_tags_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *when, *older, *newer;
        bool of_pushes;
    } rows[] = {
        { "{\"semver\":\"*\"}", "v1.9.0", "1.10.0", true },
        { "{\"semver\":\">=1.0.0-0\"}", "1.0.0-rc.2", "1.0.0-rc.10", true },
        { "{\"semver\":\">=1.0.0-0\"}", "1.0.0-rc.10", "1.0.0", true },
        { "{\"glob\":\"v*\"}", "v9", "v10", false },
        { "{\"glob\":\"main-*\"}", "main-20261129T120000Z-ffff", "main-20261129T120001Z-0000", false },
        { "{\"regex\":\"^[a-z]+-(\\\\d+)$\",\"order\":\"numeric\"}", "zz-9", "aa-010", true },
        { "{\"regex\":\"^(\\\\d+)[.](\\\\d+)$\",\"order\":\"numeric\"}", "2.9", "2.10", true },
        { "{\"regex\":\"^r(.+)$\",\"order\":\"calendar\"}", "r2026-9-30", "r2026-10-1", true },
        { "{\"regex\":\"^(?<day>\\\\d+)[.](?<month>\\\\d+)[.](?<year>\\\\d+)$\",\"order\":\"calendar\"}", "31.12.2025",
          "1.1.2026", true },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(condition_free) struct condition *condition = condition_of(rows[i].when, &err);
        if (!condition)
            fail_msg("%s: %s", rows[i].when, err.message);
        struct span older = span_of(rows[i].older), newer = span_of(rows[i].newer);
        enum precedence precedence;
        assert_true(condition_compare(condition, older, newer, &precedence, &err));
        assert_int_equal(precedence, PRECEDENCE_NEWER);
        assert_true(condition_compare(condition, newer, older, &precedence, &err));
        assert_int_equal(precedence, PRECEDENCE_OLDER);
        assert_true(condition_compare(condition, newer, newer, &precedence, &err));
        assert_int_equal(precedence, PRECEDENCE_SAME);
        assert_int_equal(condition_orders_pushes(condition), rows[i].of_pushes);
    }
}

static void tags_without_an_order_are_not_ordered(void **state)
{
    (void)state;
    static const struct {
        const char *when, *current, *tag;
    } rows[] = {
        { "{\"tags\":\"all\"}", "v2", "v1" },         { "{\"tags\":[\"v2\",\"v1\"]}", "v2", "v1" },
        { "{\"regex\":\"^v(.)$\"}", "v2", "v1" },     { "{\"semver\":\"*\"}", "latest", "1.0.0" },
        { "{\"semver\":\"1.x\"}", "2.0.0", "1.0.0" }, { "{\"glob\":\"main-*\"}", "release-9", "main-1" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(condition_free) struct condition *condition = condition_of(rows[i].when, &err);
        enum precedence precedence = PRECEDENCE_OLDER;
        assert_true(condition_compare(condition, span_of(rows[i].current), span_of(rows[i].tag), &precedence, &err));
        assert_int_equal(precedence, PRECEDENCE_UNKNOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_accepted_with_a_reason),
        cmocka_unit_test(a_wrong_condition_says_what_would_be_right),
        cmocka_unit_test(the_newer_of_two_tags_is_told),
        cmocka_unit_test(tags_without_an_order_are_not_ordered),
        cmocka_unit_test(an_endless_regular_expression_is_an_error_not_a_no),
    };
    return cmocka_run_group_tests_name("policy/condition", tests, NULL, NULL);
}
