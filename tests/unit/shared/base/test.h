/* cmocka with the headers that it wants, and what the tests of this module say often. */
#ifndef PUSHWRIGHT_TESTS_TEST_H
#define PUSHWRIGHT_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The error's kind, and a piece of its sentence. */
#define assert_error(err, expected_kind, piece)                                                                        \
    do {                                                                                                               \
        assert_int_equal((err).kind, (expected_kind));                                                                 \
        if (!strstr((err).message, (piece)))                                                                           \
            fail_msg("'%s' does not say '%s'", (err).message, (piece));                                                \
    } while (0)

#endif
