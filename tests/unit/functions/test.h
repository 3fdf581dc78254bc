/* cmocka with the headers that it wants, and what the tests of the functions say often. */
#ifndef PUSHWRIGHT_TESTS_FUNCTIONS_TEST_H
#define PUSHWRIGHT_TESTS_FUNCTIONS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define assert_error(err, expected_kind, piece)                                                                        \
    do {                                                                                                               \
        assert_int_equal((err).kind, (expected_kind));                                                                 \
        if (!strstr((err).message, (piece)))                                                                           \
            fail_msg("'%s' does not say '%s'", (err).message, (piece));                                                \
    } while (0)

/* NULL equals NULL. */
#define assert_text(got, wanted, what)                                                                                 \
    do {                                                                                                               \
        const char *got_ = (got), *wanted_ = (wanted);                                                                 \
        if (got_ != wanted_ && (!got_ || !wanted_ || strcmp(got_, wanted_) != 0))                                      \
            fail_msg("%s: '%s', not '%s'", (what), got_ ? got_ : "(none)", wanted_ ? wanted_ : "(none)");              \
    } while (0)

#endif
