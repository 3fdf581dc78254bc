#include "shared/base/error.h"

#include <errno.h>

#include "tests/unit/shared/base/test.h"

static void an_error_is_set_and_wrapped(void **state)
{
    (void)state;
    struct error err = { .retry_after_s = 5 };
    assert_false(error_set(&err, ERROR_DENIED, "forbidden by role '%s'", "builder"));
    assert_int_equal(err.retry_after_s, 0);
    assert_false(error_wrap(&err, "patch %s", "deployment"));
    assert_false(error_wrap(&err, "deploy 'web'"));
    assert_int_equal(err.kind, ERROR_DENIED);
    assert_string_equal(err.message, "deploy 'web': patch deployment: forbidden by role 'builder'");
}

static void many_layers_keep_the_outermost(void **state)
{
    (void)state;
    struct error err = { 0 };
    error_set(&err, ERROR_BUSY, "inner");
    for (int i = 0; i < 400; i++)
        error_wrap(&err, "layer %d", i);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_memory_equal(err.message, "layer 399: layer 398: ", 22);
}

static void a_system_error_says_both_and_has_a_kind(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum error_kind kind;
    } rows[] = { { ENOENT, ERROR_NOT_FOUND }, { EACCES, ERROR_DENIED }, { ECONNREFUSED, ERROR_UNAVAILABLE },
                 { ENOSPC, ERROR_INTERNAL },  { ELOOP, ERROR_INVALID }, { EFBIG, ERROR_TOO_LARGE } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        assert_false(error_set_errno(&err, rows[i].errnum, "cannot open '%s'", "x"));
        assert_error(err, rows[i].kind, "cannot open 'x': ");
        assert_error(err, rows[i].kind, strerror(rows[i].errnum));
    }
}

static void kinds_have_words_and_say_who_retries(void **state)
{
    (void)state;
    static const struct {
        enum error_kind kind;
        const char *name;
        bool temporary;
    } rows[] = {
        { ERROR_NONE, "none", false },
        { ERROR_INVALID, "invalid", false },
        { ERROR_DENIED, "denied", false },
        { ERROR_NOT_FOUND, "not-found", false },
        { ERROR_TOO_LARGE, "too-large", false },
        { ERROR_UNSUPPORTED, "unsupported", false },
        { ERROR_CONFLICT, "conflict", true },
        { ERROR_BUSY, "busy", true },
        { ERROR_UNAVAILABLE, "unavailable", true },
        { ERROR_UNCERTAIN, "uncertain", true },
        { ERROR_INTERNAL, "internal", true },
    };
    assert_int_equal(COUNT(rows), ERROR_KINDS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct error err = { .kind = rows[i].kind };
        assert_string_equal(error_kind_name(rows[i].kind), rows[i].name);
        assert_int_equal(error_is_temporary(&err), rows[i].temporary);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_set_and_wrapped),
        cmocka_unit_test(many_layers_keep_the_outermost),
        cmocka_unit_test(a_system_error_says_both_and_has_a_kind),
        cmocka_unit_test(kinds_have_words_and_say_who_retries),
    };
    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
