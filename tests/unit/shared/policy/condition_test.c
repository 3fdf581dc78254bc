#include "shared/policy/condition.h"

#include "tests/unit/shared/base/test.h"

static struct condition *condition_of(const char *text, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    const struct json *when = json_parse(arena, span_of(text), err);
    return when ? condition_new(when, err) : NULL;
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
        { "{\"semantic\":\">=1\"}", "unknown condition 'semantic': it is one of" },
        { "{\"tags\":\"1.0\"}", "must be \"all\" or a list of tags" },
        { "{\"tags\":{\"a\":1}}", "must be \"all\" or a list of tags" },
        { "{\"tags\":[]}", "an empty list of tags" },
        { "{\"tags\":[1.0]}", "holds a number" },
        { "{\"tags\":[\"\"]}", "holds an empty string" },
        { "{\"regex\":\"(\"}", "at offset 1" },
        { "{\"regex\":\"\"}", "empty regular expression" },
        { "{\"regex\":1}", "'regex' must be a string, not a number" },
        { "{\"glob\":\"[\"}", "class without" },
        { "{\"glob\":null}", "'glob' must be a string, not null" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(condition_free) struct condition *condition = condition_of(rows[i].when, &err);
        assert_null(condition);
        assert_error(err, ERROR_INVALID, rows[i].says);
    }
    struct error err = { 0 };
    assert_null(condition_new(NULL, &err));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_accepted_with_a_reason),
        cmocka_unit_test(a_wrong_condition_says_what_would_be_right),
        cmocka_unit_test(an_endless_regular_expression_is_an_error_not_a_no),
    };
    return cmocka_run_group_tests_name("policy/condition", tests, NULL, NULL);
}
