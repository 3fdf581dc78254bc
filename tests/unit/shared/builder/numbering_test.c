#include "shared/builder/numbering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_same_key_has_the_same_number_and_others_have_others(void **state)
{
    enum { KEYS = 5000 };
    uint64_t last = 41, number, first[KEYS];
    struct error err = { 0 };
    AUTO(numbering_release) struct numbering numbering = { .last = &last };

    (void)state;
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_true(numbering_get(&numbering, i % 7, i / 7 << 32, &first[i], &err));
        assert_int_equal(first[i], 42 + i);
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_true(numbering_get(&numbering, i % 7, i / 7 << 32, &number, &err));
        assert_int_equal(number, first[i]);
    }
    assert_int_equal(last, 41 + KEYS);
}

static void a_pair_is_not_its_mirror_image(void **state)
{
    uint64_t last = 0, one, other;
    struct error err = { 0 };
    AUTO(numbering_release) struct numbering numbering = { .last = &last };

    (void)state;
    assert_true(numbering_get(&numbering, 1, 2, &one, &err) && numbering_get(&numbering, 2, 1, &other, &err));
    assert_int_not_equal(one, other);
}

static void two_that_share_the_last_number_never_give_the_same(void **state)
{
    uint64_t last = 0, one, other;
    struct error err = { 0 };
    AUTO(numbering_release) struct numbering left = { .last = &last }, right = { .last = &last };

    (void)state;
    assert_true(numbering_get(&left, 1, 1, &one, &err) && numbering_get(&right, 1, 1, &other, &err));
    assert_int_equal(one, 1);
    assert_int_equal(other, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_key_has_the_same_number_and_others_have_others),
        cmocka_unit_test(a_pair_is_not_its_mirror_image),
        cmocka_unit_test(two_that_share_the_last_number_never_give_the_same),
    };
    return cmocka_run_group_tests_name("shared/builder/numbering", tests, NULL, NULL);
}
