/* What is known of the repository that an image goes to; how it is asked is in faults_peer_test.c. */
#include "shared/oci/destination.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char one[] = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
static const char two[] = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
static const char other[] = "sha256:3333333333333333333333333333333333333333333333333333333333333333";

static struct destination *new_destination(void)
{
    static char registry[] = "registry.example", repository[] = "acme/web", base[] = "fx/base";
    static const struct reference reference = { .registry = registry, .repository = repository };
    static const struct reference from = { .registry = registry, .repository = base };
    struct error err = { 0 };
    struct destination *destination = destination_new(&reference, NULL, &err);
    assert_non_null(destination);
    assert_true(destination_expect(destination, &from, one, &err) &&
                destination_expect(destination, &from, two, &err) && destination_expect(destination, &from, one, &err));
    return destination;
}

static void only_what_is_expected_is_asked_for(void **state)
{
    (void)state;
    AUTO(destination_free) struct destination *destination = new_destination();
    assert_true(destination_expects(destination, two) && !destination_has(destination, two));
    assert_false(destination_ask(destination, other));
    assert_true(destination_ask(destination, one));
    destination_tell(destination, one, true);
    assert_true(destination_has(destination, one) && !destination_has(destination, two));
    assert_true(destination_ask(destination, two));
    destination_tell(destination, two, false);
    assert_true(destination_has(destination, one) && !destination_has(destination, two));
    assert_false(destination_ask(destination, two) || destination_ask(destination, one));
    assert_false(destination_ask(NULL, one) || destination_expects(NULL, one) || destination_has(NULL, one));
}

static void *ask_for_two(void *destination)
{
    return destination_ask(destination, two) ? destination : NULL;
}

/* Who comes while the first one asks learns from its answer, so that a new repository is asked once. */
static void others_wait_for_the_first_answer(void **state)
{
    (void)state;
    for (int has = 0; has < 2; has++) {
        AUTO(destination_free) struct destination *destination = new_destination();
        pthread_t thread;
        void *asks;
        assert_true(destination_ask(destination, one));
        assert_int_equal(pthread_create(&thread, NULL, ask_for_two, destination), 0);
        if (has)
            destination_opens(destination);
        else
            destination_tell(destination, one, false);
        pthread_join(thread, &asks);
        assert_int_equal(asks != NULL, has);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_expected_is_asked_for),
        cmocka_unit_test(others_wait_for_the_first_answer),
    };
    return cmocka_run_group_tests_name("shared/oci/destination", tests, NULL, NULL);
}
