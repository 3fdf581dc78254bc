#include "functions/build/running.h"

#include "functions/build/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void sequences_are_numbers(void **state)
{
    (void)state;
    assert_true(order_compare_sequences("9", "10") < 0);
    assert_true(order_compare_sequences("10", "9") > 0);
    assert_true(order_compare_sequences("0010", "10") == 0);
    assert_true(order_compare_sequences("1700000000001", "1700000000002") < 0);
    assert_true(order_compare_sequences("0", "000") == 0);
}

static void a_newer_push_ends_the_older_build(void **state)
{
    struct error err = { 0 };
    AUTO(running_free) struct running *running = running_new(&err);
    bool newer;
    struct running_job *old = running_begin(running, "web", "refs/heads/main", "10", &newer, &err);
    struct running_job *other = running_begin(running, "web", "refs/heads/dev", "1", &newer, &err);
    struct running_job *rule = running_begin(running, "api", "refs/heads/main", "1", &newer, &err);

    (void)state;
    assert_non_null(old);
    assert_false(running_superseded(old));
    struct running_job *new = running_begin(running, "web", "refs/heads/main", "11", &newer, &err);
    assert_non_null(new);
    assert_true(running_superseded(old));
    assert_false(running_superseded(other));
    assert_false(running_superseded(rule));
    assert_false(running_superseded(new));

    running_end(old);
    assert_null(running_begin(running, "web", "refs/heads/main", "10", &newer, &err));
    assert_true(newer);
    running_end(new);
    old = running_begin(running, "web", "refs/heads/main", "10", &newer, &err);
    assert_non_null(old);
    running_end(old);
    running_end(other);
    running_end(rule);
}

static void the_same_push_is_built_once(void **state)
{
    struct error err = { 0 };
    AUTO(running_free) struct running *running = running_new(&err);
    bool newer;
    AUTO(running_end) struct running_job *first = running_begin(running, "web", "refs/heads/main", "10", &newer, &err);

    (void)state;
    assert_non_null(first);
    assert_null(running_begin(running, "web", "refs/heads/main", "0010", &newer, &err));
    assert_false(newer);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_false(running_superseded(first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_are_numbers),
        cmocka_unit_test(a_newer_push_ends_the_older_build),
        cmocka_unit_test(the_same_push_is_built_once),
    };

    return cmocka_run_group_tests_name("functions/build/running", tests, NULL, NULL);
}
