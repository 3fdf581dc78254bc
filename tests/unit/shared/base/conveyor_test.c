#include "shared/base/conveyor.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TOTAL = 3 * 1000 * 1000 };

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

struct seen {
    size_t len, pieces, longest;
    size_t fail_at; /* bytes; 0: never */
    bool wrong;
    pthread_t thread;
};

static bool look(void *context, const void *data, size_t len, struct error *err)
{
    struct seen *seen = context;
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        seen->wrong = seen->wrong || bytes[i] != byte_at(seen->len + i);
    seen->len += len;
    seen->pieces++;
    seen->longest = len > seen->longest ? len : seen->longest;
    seen->thread = pthread_self();
    return seen->fail_at == 0 || seen->len < seen->fail_at || error_set(err, ERROR_DENIED, "enough");
}

/* Pieces of all sizes up to step. */
static bool put_all(struct conveyor *conveyor, size_t step, struct error *err)
{
    static unsigned char data[100000];
    for (size_t at = 0, n = 1; at < TOTAL; at += n) {
        n = at % step + 1 < TOTAL - at ? at % step + 1 : TOTAL - at;
        for (size_t i = 0; i < n; i++)
            data[i] = byte_at(at + i);
        if (!conveyor_put(conveyor, data, n, err))
            return false;
    }
    return true;
}

static void everything_arrives_in_order_in_another_thread(void **state)
{
    (void)state;
    static const size_t bounds[] = { 0, 64 * 1024, 1024 * 1024 }, steps[] = { 1000, 100000 };
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 2; k++) {
            struct error err = { 0 };
            struct seen seen = { .len = 0 };
            AUTO(conveyor_free) struct conveyor *conveyor = conveyor_new(bounds[i], look, &seen, &err);
            assert_non_null(conveyor);
            assert_true(put_all(conveyor, steps[k], &err));
            assert_true(conveyor_end(conveyor, &err));
            assert_int_equal(seen.len, TOTAL);
            assert_false(seen.wrong);
            assert_false(pthread_equal(seen.thread, pthread_self()));
        }
}

static void what_stands_between_two_flushes_comes_in_one_piece(void **state)
{
    (void)state;
    struct error err = { 0 };
    struct seen seen = { .len = 0 };
    unsigned char data[100];
    AUTO(conveyor_free) struct conveyor *conveyor = conveyor_new(0, look, &seen, &err);
    for (size_t at = 0; at < 100; at++)
        data[at] = byte_at(at);
    conveyor_flush(conveyor); /* of nothing: no piece */
    assert_true(conveyor_put(conveyor, data, 10, &err) && conveyor_put(conveyor, data + 10, 30, &err));
    conveyor_flush(conveyor);
    conveyor_flush(conveyor);
    assert_true(conveyor_put(conveyor, data + 40, 60, &err));
    assert_true(conveyor_end(conveyor, &err));
    assert_int_equal(seen.pieces, 2);
    assert_int_equal(seen.longest, 60);
    assert_false(seen.wrong);
}

static void a_failure_comes_back_to_who_puts_and_who_ends(void **state)
{
    (void)state;
    struct error err = { 0 }, again = { 0 };
    struct seen seen = { .fail_at = TOTAL / 2 };
    AUTO(conveyor_free) struct conveyor *conveyor = conveyor_new(0, look, &seen, &err);
    assert_false(put_all(conveyor, 1000, &err));
    assert_int_equal(err.kind, ERROR_DENIED);
    size_t then = seen.len;
    assert_false(conveyor_end(conveyor, &again));
    assert_string_equal(again.message, "enough");
    assert_int_equal(seen.len, then);

    struct seen late = { .fail_at = 1 };
    AUTO(conveyor_free) struct conveyor *other = conveyor_new(0, look, &late, &err);
    assert_true(conveyor_put(other, "x", 1, &again));
    assert_false(conveyor_end(other, &again));
}

static void one_that_is_not_ended_can_be_freed(void **state)
{
    (void)state;
    struct error err = { 0 };
    struct seen seen = { .len = 0 };
    struct conveyor *conveyor = conveyor_new(0, look, &seen, &err);
    assert_true(put_all(conveyor, 1000, &err));
    conveyor_free(conveyor);
    assert_true(seen.len <= TOTAL);
    conveyor_free(conveyor_new(0, look, &seen, &err));
    conveyor_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives_in_order_in_another_thread),
        cmocka_unit_test(what_stands_between_two_flushes_comes_in_one_piece),
        cmocka_unit_test(a_failure_comes_back_to_who_puts_and_who_ends),
        cmocka_unit_test(one_that_is_not_ended_can_be_freed),
    };
    return cmocka_run_group_tests_name("shared/base/conveyor", tests, NULL, NULL);
}
