#include "functions/deploy/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void sequences_compare_as_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
    } rows[] = {
        { "100", "100", 0 },
        { "99", "100", -1 },
        { "000000000000200", "100", 1 },
        { "0000100", "100", 0 },
        { "99999999999999999999998", "99999999999999999999999", -1 },
        { "1", NULL, 1 },
        { NULL, "1", -1 },
        { NULL, NULL, 0 },
        { "", "0", -1 },
        { "12x", "1", -1 },
        { "-5", "0", -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int order = sequence_compare(rows[i].a, rows[i].b);
        assert_int_equal((order > 0) - (order < 0), rows[i].order);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_compare_as_numbers),
    };
    return cmocka_run_group_tests_name("functions/deploy/request", tests, NULL, NULL);
}
