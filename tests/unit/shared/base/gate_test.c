#include "shared/base/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void *enter(void *gate)
{
    static char entered;
    return gate_enter(gate, 0) ? &entered : NULL;
}

static void one_is_inside_at_a_time(void **state)
{
    struct gate gate = GATE;
    pthread_t other;
    void *entered;

    (void)state;
    assert_true(gate_enter(&gate, 60000));
    assert_int_equal(pthread_create(&other, NULL, enter, &gate), 0);
    pthread_join(other, &entered);
    assert_null(entered);
    gate_leave(&gate);
}

static void nobody_comes_within_the_pause(void **state)
{
    struct gate gate = GATE;

    (void)state;
    assert_true(gate_enter(&gate, 60000));
    gate_leave(&gate);
    assert_false(gate_enter(&gate, 60000));
    assert_true(gate_enter(&gate, 0));
    gate_leave(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_inside_at_a_time),
        cmocka_unit_test(nobody_comes_within_the_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
