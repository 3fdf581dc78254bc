#include "functions/webhook/change.h"

#include "tests/unit/functions/test.h"

static void refs_are_those_that_git_takes(void **state)
{
    (void)state;
    static const char *const legal[] = {
        "refs/heads/main", "refs/heads/feature/a.b-c_d", "refs/tags/v1.0", "refs/heads/@",       "refs/heads/-x",
        "refs/heads/é",    "refs/pull/1/head",           "refs/heads/a@b", "refs/heads/a.lockx", "refs/heads/{a}",
    };
    static const char *const illegal[] = {
        "",
        "main",
        "refs",
        "refs/",
        "refs/heads",
        "refs/heads/",
        "/refs/heads/a",
        "heads/refs/a",
        "refs/heads//a",
        "refs/heads/a/",
        "refs/heads/.a",
        "refs/heads/a/.b",
        "refs/heads/a..b",
        "refs/heads/../a",
        "refs/heads/a.",
        "refs/heads/a.lock",
        "refs/heads/a.lock/b",
        "refs/heads/a@{b",
        "refs/heads/a b",
        "refs/heads/a\tb",
        "refs/heads/a\nb",
        "refs/heads/a\177",
        "refs/heads/a~1",
        "refs/heads/a^",
        "refs/heads/a:b",
        "refs/heads/a?",
        "refs/heads/a*",
        "refs/heads/[a]",
        "refs/heads/a\\b",
    };
    for (size_t i = 0; i < COUNT(legal); i++) {
        struct error err = { 0 };
        if (!ref_check(legal[i], &err))
            fail_msg("'%s': %s", legal[i], err.message);
    }
    for (size_t i = 0; i < COUNT(illegal); i++) {
        struct error err = { 0 };
        if (ref_check(illegal[i], &err))
            fail_msg("'%s' was taken", illegal[i]);
        assert_error(err, ERROR_INVALID, "is not the name of a ref");
    }
}

static void a_ref_has_a_longest(void **state)
{
    (void)state;
    char ref[REF_MAX + 2] = "refs/heads/";
    struct error err = { 0 };
    memset(ref + 11, 'x', REF_MAX - 11);
    assert_true(ref_check(ref, &err));
    ref[REF_MAX] = 'x';
    assert_false(ref_check(ref, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
}

static void objects_are_named_by_40_or_64_digits(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        char digit;
        bool legal, zero;
    } rows[] = {
        { 40, 'a', true, false },  { 64, '9', true, false },  { 40, '0', true, true },   { 64, '0', true, true },
        { 39, 'a', false, false }, { 41, 'a', false, false }, { 40, 'A', false, false }, { 40, 'g', false, false },
        { 0, 'a', false, false },  { 1, '0', false, false },  { 50, '0', false, false }, { 65, '0', false, false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char oid[80] = "";
        memset(oid, rows[i].digit, rows[i].length);
        if (oid_is_legal(oid) != rows[i].legal || oid_is_zero(oid) != rows[i].zero)
            fail_msg("row %zu: '%s'", i, oid);
    }
}

static void kinds_say_what_a_push_does(void **state)
{
    (void)state;
    assert_string_equal(change_kind(&(struct change){ 0 }), "branch-push");
    assert_string_equal(change_kind(&(struct change){ .created = true }), "branch-create");
    assert_string_equal(change_kind(&(struct change){ .deleted = true }), "branch-delete");
    assert_string_equal(change_kind(&(struct change){ .is_tag = true }), "tag-push");
    assert_string_equal(change_kind(&(struct change){ .is_tag = true, .created = true }), "tag-create");
    assert_string_equal(change_kind(&(struct change){ .is_tag = true, .deleted = true }), "tag-delete");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refs_are_those_that_git_takes),
        cmocka_unit_test(a_ref_has_a_longest),
        cmocka_unit_test(objects_are_named_by_40_or_64_digits),
        cmocka_unit_test(kinds_say_what_a_push_does),
    };
    return cmocka_run_group_tests_name("functions/webhook/change", tests, NULL, NULL);
}
