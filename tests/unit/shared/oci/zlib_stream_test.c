#include "shared/oci/compress.h"
#include "shared/oci/zlib_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* By zlib's compress(): "hello hello hello hello\n", and 'a' a hundred thousand times. */
static const char hello[] = "\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\xb9\x00\x70\xbe\x08\xbb";
static const char many[] =
    "\x78\xda\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0\xac\xeb\x5f\xc2\x1a\x1e\x40\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\xaf\x06\x79\x66\x0b\x4d";
enum { HELLO_SIZE = 24, MANY_SIZE = 100000 };

static bool take(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

/* Fed in pieces of `step` bytes until the stream says that it is done. */
static bool inflate_all(struct span data, size_t step, int64_t size, struct bytes *out, bool *done, struct error *err)
{
    AUTO(zlib_stream_free) struct zlib_stream *stream = zlib_stream_new(take, out, size, err);
    assert_non_null(stream);
    *done = false;
    for (size_t at = 0; at < data.len && !*done; at += step)
        if (!zlib_stream_feed(stream, data.data + at, data.len - at < step ? data.len - at : step, done, err))
            return false;
    return true;
}

static void streams_come_back_in_any_pieces(void **state)
{
    (void)state;
    const struct span rows[] = { { hello, sizeof hello - 1 }, { many, sizeof many - 1 } };
    for (size_t i = 0; i < 2; i++)
        for (size_t step = 1; step < 140; step += 3) {
            struct error err = { 0 };
            bool done;
            AUTO(bytes_release) struct bytes back = BYTES(MANY_SIZE);
            assert_true(inflate_all(rows[i], step, i == 0 ? HELLO_SIZE : MANY_SIZE, &back, &done, &err));
            assert_true(done);
            if (i == 0)
                assert_string_equal(bytes_text(&back), "hello hello hello hello\n");
            assert_int_equal(back.len, i == 0 ? HELLO_SIZE : MANY_SIZE);
            assert_true(back.data[back.len / 2] == (i == 0 ? 'h' : 'a'));
        }
}

static void what_stands_behind_is_ignored(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool done;
    char data[sizeof hello + 6];
    AUTO(bytes_release) struct bytes back = BYTES(1000);
    memcpy(data, hello, sizeof hello - 1);
    memcpy(data + sizeof hello - 1, "behind", 6);
    assert_true(inflate_all((struct span){ data, sizeof hello + 5 }, 1000, HELLO_SIZE, &back, &done, &err));
    assert_true(done);
    assert_int_equal(back.len, HELLO_SIZE);
}

static void a_stream_that_is_cut_is_never_done(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof hello - 1; len++) {
        struct error err = { 0 };
        bool done;
        AUTO(bytes_release) struct bytes back = BYTES(1000);
        assert_true(inflate_all((struct span){ hello, len }, 7, HELLO_SIZE, &back, &done, &err));
        assert_false(done);
    }
}

static void another_size_than_was_said_is_an_error(void **state)
{
    (void)state;
    static const int64_t sizes[] = { 0, HELLO_SIZE - 1, HELLO_SIZE + 1, MANY_SIZE };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct error err = { 0 };
        bool done;
        AUTO(bytes_release) struct bytes back = BYTES(1000);
        assert_false(inflate_all((struct span){ hello, sizeof hello - 1 }, 5, sizes[i], &back, &done, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_true((int64_t)back.len <= sizes[i]);
    }
}

static void damage_is_found(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof hello - 1; at++) {
        struct error err = { 0 };
        bool done;
        char data[sizeof hello - 1];
        AUTO(bytes_release) struct bytes back = BYTES(1000);
        memcpy(data, hello, sizeof data);
        data[at] ^= 0x55;
        bool good = inflate_all((struct span){ data, sizeof data }, sizeof data, HELLO_SIZE, &back, &done, &err);
        assert_false(good && done);
        assert_true(good || err.kind == ERROR_INVALID);
    }
}

static bool refuse(void *context, const void *data, size_t len, struct error *err)
{
    (void)context, (void)data, (void)len;
    return error_set(err, ERROR_CONFLICT, "not wanted");
}

static void the_sinks_error_is_passed_on(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool done;
    AUTO(zlib_stream_free) struct zlib_stream *stream = zlib_stream_new(refuse, NULL, HELLO_SIZE, &err);
    assert_false(zlib_stream_feed(stream, hello, sizeof hello - 1, &done, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
}

static void what_was_deflated_here_comes_back(void **state)
{
    static char plain[300000];
    static const size_t sizes[] = { 0, 1, 1000, sizeof plain };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (char)(i * i >> 7);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        AUTO(bytes_release) struct bytes packed = BYTES(2 * sizeof plain), out = BYTES(sizeof plain);
        bool done;
        assert_true(zlib_append(&packed, (struct span){ plain, sizes[i] }, &err));
        assert_true(inflate_all(bytes_span(&packed), 4096, (int64_t)sizes[i], &out, &done, &err));
        assert_true(done);
        assert_int_equal(out.len, sizes[i]);
        assert_memory_equal(bytes_text(&out), plain, sizes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_come_back_in_any_pieces),
        cmocka_unit_test(what_stands_behind_is_ignored),
        cmocka_unit_test(a_stream_that_is_cut_is_never_done),
        cmocka_unit_test(another_size_than_was_said_is_an_error),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(the_sinks_error_is_passed_on),
        cmocka_unit_test(what_was_deflated_here_comes_back),
    };
    return cmocka_run_group_tests_name("shared/oci/zlib_stream", tests, NULL, NULL);
}
