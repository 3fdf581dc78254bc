/* What the tests of the functions say often. */
#ifndef PUSHWRIGHT_TESTS_FUNCTIONS_TEST_H
#define PUSHWRIGHT_TESTS_FUNCTIONS_TEST_H

#include "tests/unit/shared/base/test.h"

/* NULL equals NULL. */
#define assert_text(got, wanted, what)                                                                                 \
    do {                                                                                                               \
        const char *got_ = (got), *wanted_ = (wanted);                                                                 \
        if (got_ != wanted_ && (!got_ || !wanted_ || strcmp(got_, wanted_) != 0))                                      \
            fail_msg("%s: '%s', not '%s'", (what), got_ ? got_ : "(none)", wanted_ ? wanted_ : "(none)");              \
    } while (0)

#endif
