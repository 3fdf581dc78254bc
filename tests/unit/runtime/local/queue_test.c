#include "runtime/local/keyset.h"
#include "runtime/local/queue.h"
#include "shared/base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void key_of(int number, char key[static SHA256_HEX_SIZE])
{
    snprintf(key, SHA256_HEX_SIZE, "%064x", number + 1);
}

static void put(struct queue *queue, int number)
{
    struct error err = { 0 };
    char key[SHA256_HEX_SIZE];
    key_of(number, key);
    struct parcel *parcel = parcel_new(key, span_of("event"), &err);
    assert_non_null(parcel);
    queue_put(queue, parcel);
}

static int number_of(const struct parcel *parcel)
{
    return (int)strtol(parcel->key + 48, NULL, 16) - 1;
}

static void parcels_come_in_the_order_they_were_put(void **state)
{
    (void)state;
    AUTO(queue_free) struct queue *queue = queue_new(10);
    for (int i = 0; i < 5; i++)
        put(queue, i);
    for (int i = 0; i < 5; i++) {
        struct parcel *parcel = queue_take(queue);
        assert_int_equal(number_of(parcel), i);
        assert_true(span_is(parcel->event, "event"));
        queue_done(queue, parcel);
    }
}

static void a_parcel_for_later_does_not_hold_up_the_others(void **state)
{
    (void)state;
    AUTO(queue_free) struct queue *queue = queue_new(10);
    put(queue, 0);
    struct parcel *parcel = queue_take(queue);
    int64_t due = clock_monotonic_ms() + 30;
    queue_again(queue, parcel, due);
    put(queue, 1);
    parcel = queue_take(queue);
    assert_int_equal(number_of(parcel), 1);
    queue_done(queue, parcel);
    parcel = queue_take(queue);
    assert_int_equal(number_of(parcel), 0);
    assert_true(clock_monotonic_ms() >= due);
    queue_done(queue, parcel);
}

static void fullness_counts_what_is_being_delivered(void **state)
{
    (void)state;
    AUTO(queue_free) struct queue *queue = queue_new(2);
    put(queue, 0);
    assert_false(queue_is_full(queue));
    put(queue, 1);
    assert_true(queue_is_full(queue));
    struct parcel *parcel = queue_take(queue);
    assert_true(queue_is_full(queue));
    queue_done(queue, parcel);
    assert_false(queue_is_full(queue));
}

static void a_forgotten_parcel_is_gone_wherever_it_stood(void **state)
{
    char key[SHA256_HEX_SIZE];
    (void)state;
    for (int gone = 0; gone < 3; gone++) {
        AUTO(queue_free) struct queue *queue = queue_new(10);
        for (int i = 0; i < 3; i++)
            put(queue, i);
        key_of(gone, key);
        queue_forget(queue, key);
        queue_forget(queue, key);
        put(queue, 3);
        for (int i = 0; i < 4; i++) {
            if (i == gone)
                continue;
            struct parcel *parcel = queue_take(queue);
            assert_int_equal(number_of(parcel), i);
            queue_done(queue, parcel);
        }
    }
}

/* What a compaction of the journal must keep. */
static void keys_of_what_is_taken_and_not_settled_count_as_waiting(void **state)
{
    struct error err = { 0 };
    char key[SHA256_HEX_SIZE];
    (void)state;
    AUTO(queue_free) struct queue *queue = queue_new(10);
    AUTO(keyset_free) struct keyset *keys = keyset_new();
    for (int i = 0; i < 4; i++)
        put(queue, i);
    struct parcel *first = queue_take(queue), *second = queue_take(queue), *third = queue_take(queue);
    queue_done(queue, second);
    queue_again(queue, third, clock_monotonic_ms() + 60000);
    assert_true(queue_keys(queue, keys, &err));
    for (int i = 0; i < 4; i++) {
        key_of(i, key);
        assert_int_equal(keyset_has(keys, key), i != 1);
    }
    queue_done(queue, first);
}

static void *take_one(void *queue)
{
    return queue_take(queue);
}

static void closing_wakes_those_who_wait(void **state)
{
    pthread_t waiting;
    void *result = state;
    (void)state;
    AUTO(queue_free) struct queue *queue = queue_new(10);
    assert_int_equal(pthread_create(&waiting, NULL, take_one, queue), 0);
    queue_close(queue);
    assert_int_equal(pthread_join(waiting, &result), 0);
    assert_null(result);
}

static void a_set_knows_what_was_added_and_nothing_else(void **state)
{
    struct error err = { 0 };
    char key[SHA256_HEX_SIZE];
    (void)state;
    AUTO(keyset_free) struct keyset *set = keyset_new();
    for (int i = 0; i < 5000; i += 2) {
        key_of(i, key);
        assert_true(keyset_add(set, key, &err));
        assert_true(keyset_add(set, key, &err));
    }
    for (int i = 0; i < 5000; i++) {
        key_of(i, key);
        assert_int_equal(keyset_has(set, key), i % 2 == 0);
    }
    assert_false(keyset_add(set, "not a key", &err));
    assert_int_equal(err.kind, ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parcels_come_in_the_order_they_were_put),
        cmocka_unit_test(a_parcel_for_later_does_not_hold_up_the_others),
        cmocka_unit_test(fullness_counts_what_is_being_delivered),
        cmocka_unit_test(a_forgotten_parcel_is_gone_wherever_it_stood),
        cmocka_unit_test(keys_of_what_is_taken_and_not_settled_count_as_waiting),
        cmocka_unit_test(closing_wakes_those_who_wait),
        cmocka_unit_test(a_set_knows_what_was_added_and_nothing_else),
    };
    return cmocka_run_group_tests_name("runtime/local/queue", tests, NULL, NULL);
}
