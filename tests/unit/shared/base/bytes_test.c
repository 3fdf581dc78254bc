#include "shared/base/bytes.h"

#include "shared/base/arena.h"
#include "tests/unit/shared/base/test.h"

static void a_buffer_grows_up_to_its_ceiling(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes bytes = BYTES(10);
    struct error err = { 0 };
    assert_string_equal(bytes_text(&bytes), "");
    assert_non_null(bytes_span(&bytes).data);
    assert_true(bytes_append_text(&bytes, "hello", &err));
    assert_true(bytes_printf(&bytes, &err, "-%d", 12));
    assert_true(bytes_append_char(&bytes, '!', &err));
    assert_false(bytes_append_text(&bytes, "more", &err));
    assert_error(err, ERROR_TOO_LARGE, "10 bytes");
    assert_false(bytes_printf(&bytes, &err, "%s", "more"));
    assert_false(bytes_reserve(&bytes, SIZE_MAX, &err));
    assert_string_equal(bytes_text(&bytes), "hello-12!");
    assert_int_equal(bytes.data[bytes.len], '\0');
}

static void a_buffer_is_cut_cleared_and_taken(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes bytes = BYTES(10);
    struct error err = { 0 };
    assert_true(bytes_append_span(&bytes, SPAN("hello"), &err));
    bytes_truncate(&bytes, 4);
    assert_string_equal(bytes_text(&bytes), "hell");
    AUTO(free) char *taken = bytes_take(&bytes);
    assert_string_equal(taken, "hell");
    assert_int_equal(bytes.len, 0);
    AUTO(free) char *empty = bytes_take(&bytes);
    assert_string_equal(empty, "");
    assert_true(bytes_append_text(&bytes, "again", &err));
    bytes_clear(&bytes);
    assert_string_equal(bytes_text(&bytes), "");
}

static void a_ceiling_may_be_none(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes bytes = BYTES(SIZE_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(SIZE_MAX);
    struct error err = { 0 };
    assert_true(bytes_append_text(&bytes, "hello", &err));
    assert_false(bytes_reserve(&bytes, SIZE_MAX - 5, &err));
    assert_false(bytes_reserve(&bytes, SIZE_MAX - 6, &err));
    assert_string_equal(bytes_text(&bytes), "hello");
    assert_non_null(arena_take(arena, 1));
    assert_null(arena_take(arena, SIZE_MAX - 100));
    assert_null(arena_take(arena, SIZE_MAX - 20));
}

static void an_arena_keeps_its_ceiling_and_alignment(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(100000);
    size_t taken = 0;
    for (const char *piece; (piece = arena_take(arena, 1001)); taken += 1001) {
        assert_int_equal((uintptr_t)piece % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < 1001; i++)
            assert_int_equal(piece[i], 0);
    }
    assert_true(taken > 70000 && taken <= 100000);
    assert_null(arena_take(arena, SIZE_MAX));
    arena_reset(arena);
    const char *again = arena_take(arena, 1001);
    assert_non_null(again);
    assert_int_equal(again[0], 0);
}

static void an_arena_copies_and_prints(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(100000);
    assert_string_equal(arena_dup(arena, (struct span){ "abcdef", 3 }), "abc");
    assert_string_equal(arena_dup(arena, (struct span){ NULL, 0 }), "");
    assert_string_equal(arena_printf(arena, "%s-%d", "x", 7), "x-7");
}

/* Whatever room is left in the block: nothing stands over another piece. */
static void an_arena_prints_what_does_not_fit_into_its_block(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(1000000);
    const char *printed[3000];
    for (size_t i = 0; i < COUNT(printed); i++)
        printed[i] = arena_printf(arena, "%0*zu", (int)(i % 90), i);
    for (size_t i = 0; i < COUNT(printed); i++) {
        char expected[128];
        snprintf(expected, sizeof expected, "%0*zu", (int)(i % 90), i);
        assert_string_equal(printed[i], expected);
    }
}

static void a_buffer_of_an_arena_grows_in_it(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(200000);
    struct error err = { 0 };
    struct bytes one = ARENA_BYTES(arena, 100000), other = one;
    for (int i = 0; i < 5000; i++)
        assert_true(bytes_printf(&one, &err, "%04d", i) && bytes_append_char(&other, 'x', &err));
    assert_int_equal(one.len, 20000);
    assert_int_equal(other.len, 5000);
    assert_memory_equal(one.data, "000000010002", 12);
    assert_string_equal(one.data + one.len - 8, "49984999");
    assert_int_equal(strspn(bytes_text(&other), "x"), 5000);
    bytes_release(&other);
    assert_int_equal(other.len, 0);
    assert_true(bytes_append_char(&other, 'y', &err));
    while (arena_take(arena, 1000))
        ;
    while (bytes_append_text(&one, "more than there is ", &err))
        ;
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_memory_equal(one.data, "000000010002", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_up_to_its_ceiling),
        cmocka_unit_test(a_buffer_is_cut_cleared_and_taken),
        cmocka_unit_test(a_ceiling_may_be_none),
        cmocka_unit_test(an_arena_keeps_its_ceiling_and_alignment),
        cmocka_unit_test(an_arena_copies_and_prints),
        cmocka_unit_test(an_arena_prints_what_does_not_fit_into_its_block),
        cmocka_unit_test(a_buffer_of_an_arena_grows_in_it),
    };
    return cmocka_run_group_tests_name("base/bytes", tests, NULL, NULL);
}
