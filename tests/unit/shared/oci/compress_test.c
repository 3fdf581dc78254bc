#include "shared/oci/compress.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

/* "hello hello hello hello\n" by the zstd command, with checksum. */
static const char zstd_hello[] = "\x28\xb5\x2f\xfd\x04\x58\x6d\x00\x00\x38\x68\x65\x6c\x6c\x6f\x20\x0a"
                                 "\x01\x00\x99\x4b\x11\xa8\x7c\x2e\xa8";

static bool take(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

/* Feed in pieces of `step` bytes. */
static bool inflate_all(struct span data, size_t step, int64_t max, struct bytes *out, struct error *err)
{
    AUTO(inflater_free) struct inflater *inflater = inflater_new(take, out, max, err);
    assert_non_null(inflater);
    for (size_t at = 0; at < data.len; at += step)
        if (!inflater_feed(inflater, data.data + at, data.len - at < step ? data.len - at : step, err))
            return false;
    return inflater_end(inflater, err);
}

static void fill(struct bytes *plain, size_t len)
{
    struct error err = { 0 };
    for (size_t i = 0; plain->len < len; i++)
        assert_true(bytes_printf(plain, &err, "%zu ", i * 7919));
}

static void gzip_there_and_back_in_any_pieces(void **state)
{
    (void)state;
    static const size_t steps[] = { 1, 2, 3, 5, 1000, 65536, 1000000 };
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes plain = BYTES(1000000);
    AUTO(bytes_release) struct bytes packed = BYTES(1000000);
    fill(&plain, 400000);
    assert_true(gzip_append(&packed, bytes_span(&plain), 6, &err));
    assert_true(packed.len < plain.len / 2);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        AUTO(bytes_release) struct bytes back = BYTES(1000000);
        assert_true(inflate_all(bytes_span(&packed), steps[i], 1000000, &back, &err));
        assert_true(span_equal(bytes_span(&back), bytes_span(&plain)));
    }
}

static void gzip_holds_no_name_and_no_time(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes packed = BYTES(1000);
    assert_true(gzip_append(&packed, SPAN("x"), 6, &err));
    assert_memory_equal(packed.data, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8);
}

static void members_follow_each_other(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes packed = BYTES(1000);
    AUTO(bytes_release) struct bytes back = BYTES(1000);
    assert_true(gzip_append(&packed, SPAN("one "), 6, &err));
    assert_true(gzip_append(&packed, SPAN(""), 6, &err));
    assert_true(gzip_append(&packed, SPAN("two"), 1, &err));
    assert_true(inflate_all(bytes_span(&packed), 7, 1000, &back, &err));
    assert_string_equal(bytes_text(&back), "one two");
}

static void zstd_and_plain_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        struct span data;
        const char *want;
    } rows[] = {
        { { zstd_hello, sizeof zstd_hello - 1 }, "hello hello hello hello\n" },
        { SPAN("plain text"), "plain text" },
        { SPAN("abc"), "abc" },
        { SPAN(""), "" },
        { SPAN("\x28\xb5"), "\x28\xb5" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 1; step < 40; step += 4) {
            struct error err = { 0 };
            AUTO(bytes_release) struct bytes back = BYTES(1000);
            assert_true(inflate_all(rows[i].data, step, 1000, &back, &err));
            assert_string_equal(bytes_text(&back), rows[i].want);
        }
}

static void every_kind_and_level_comes_back(void **state)
{
    (void)state;
    static const char *const names[] = { "gzip", "gzip:1", "gzip:9", "zstd", "zstd:1", "zstd:9", "zstd:22" };
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes plain = BYTES(1000000);
    fill(&plain, 400000);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        AUTO(bytes_release) struct bytes packed = BYTES(1000000);
        AUTO(bytes_release) struct bytes again = BYTES(1000000);
        AUTO(bytes_release) struct bytes back = BYTES(1000000);
        struct compression compression;
        assert_true(compression_parse(span_of(names[i]), &compression));
        assert_non_null(strstr(compression_media_type(&compression), i < 3 ? "tar+gzip" : "tar+zstd"));
        assert_true(compress_append(&packed, bytes_span(&plain), &compression, &err));
        assert_true(compress_append(&again, bytes_span(&plain), &compression, &err));
        assert_true(packed.len < plain.len / 2 && span_equal(bytes_span(&packed), bytes_span(&again)));
        assert_true(compress_append(&packed, bytes_span(&plain), &compression, &err));
        assert_true(inflate_all(bytes_span(&packed), 1000, 1000000, &back, &err));
        assert_int_equal(back.len, 2 * plain.len);
        assert_memory_equal(back.data + plain.len, plain.data, plain.len);
        AUTO(bytes_release) struct bytes small = BYTES(100);
        assert_false(compress_append(&small, bytes_span(&plain), &compression, &err));
        assert_int_equal(err.kind, ERROR_TOO_LARGE);
    }
}

static void other_names_are_no_compression(void **state)
{
    (void)state;
    static const char *const names[] = { "",       "lz4",     "gzip:",   "gzip:0", "gzip:10", "zstd:23",
                                         "zstd:0", "zstd:-1", "zstd:3x", "Gzip",   "gzip:6:6" };
    struct compression compression;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (compression_parse(span_of(names[i]), &compression))
            fail_msg("'%s' is a compression", names[i]);
}

static void zstd_frames_follow_each_other_and_skippable_ones_are_skipped(void **state)
{
    (void)state;
    static const struct span hello = { zstd_hello, sizeof zstd_hello - 1 };
    static const struct span skippable = { "\x5a\x2a\x4d\x18\x06\0\0\0ignore", 14 };
    const struct span parts[] = { skippable, hello, skippable, hello, hello, skippable };
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes packed = BYTES(1000);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_true(bytes_append_span(&packed, parts[i], &err));
    for (size_t step = 1; step < 200; step += 7) {
        AUTO(bytes_release) struct bytes back = BYTES(1000);
        assert_true(inflate_all(bytes_span(&packed), step, 1000, &back, &err));
        assert_string_equal(bytes_text(&back),
                            "hello hello hello hello\nhello hello hello hello\nhello hello hello hello\n");
    }
    AUTO(bytes_release) struct bytes back = BYTES(1000);
    assert_false(inflate_all((struct span){ packed.data, packed.len - 3 }, 7, 1000, &back, &err));
    assert_string_equal(err.message, "compressed data is truncated");
}

/* RFC 1952 section 2.3: what may stand in a header, checked and left alone. */
static void headers_with_everything_are_read(void **state)
{
    (void)state;
    static const char header[] = "\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x04\0more"
                                 "a name\0"
                                 "a comment\0"
                                 "\x43\xbe";
    static const char without_sum[] = "\x1f\x8b\x08\x02\0\0\0\0\0\x03";
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes member = BYTES(1000);
    AUTO(bytes_release) struct bytes packed = BYTES(1000);
    assert_true(gzip_append(&member, SPAN("text"), 6, &err));
    struct span body = { member.data + 10, member.len - 10 };
    assert_true(bytes_append(&packed, header, sizeof header - 1, &err) && bytes_append_span(&packed, body, &err));
    for (size_t step = 1; step < 60; step++) {
        AUTO(bytes_release) struct bytes back = BYTES(1000);
        assert_true(inflate_all(bytes_span(&packed), step, 1000, &back, &err));
        assert_string_equal(bytes_text(&back), "text");
    }
    AUTO(bytes_release) struct bytes wrong = BYTES(1000);
    AUTO(bytes_release) struct bytes back = BYTES(1000);
    assert_true(bytes_append(&wrong, without_sum, sizeof without_sum - 1, &err) &&
                bytes_append(&wrong, "no", 2, &err) && bytes_append_span(&wrong, body, &err));
    assert_false(inflate_all(bytes_span(&wrong), 100, 1000, &back, &err));
    assert_string_equal(err.message, "malformed gzip data");
    member.data[3] = 0x20; /* a flag that means nothing yet */
    assert_false(inflate_all(bytes_span(&member), 100, 1000, &back, &err));
    assert_string_equal(err.message, "malformed gzip data");
}

static void bombs_are_stopped(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes plain = BYTES(10 * 1024 * 1024);
    AUTO(bytes_release) struct bytes packed = BYTES(1024 * 1024);
    AUTO(bytes_release) struct bytes back = BYTES(10 * 1024 * 1024);
    assert_true(bytes_reserve(&plain, plain.max, &err));
    memset(plain.data, 0, plain.max);
    plain.len = plain.max;
    assert_true(gzip_append(&packed, bytes_span(&plain), 9, &err));
    assert_false(inflate_all(bytes_span(&packed), packed.len, 1000000, &back, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_non_null(strstr(err.message, "a bomb of compressed data: more than the 1000000 bytes allowed"));
    assert_true(back.len <= 1000000);
    assert_false(inflate_all((struct span){ zstd_hello, sizeof zstd_hello - 1 }, 100, 23, &back, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_false(inflate_all(SPAN("plain"), 100, 4, &back, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

static void damage_is_found(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes packed = BYTES(1000);
    AUTO(bytes_release) struct bytes back = BYTES(100000);
    assert_true(gzip_append(&packed, SPAN("some text that is packed"), 6, &err));
    for (size_t len = 2; len < packed.len; len++) {
        assert_false(inflate_all((struct span){ packed.data, len }, 9, 1000, &back, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_non_null(strstr(err.message, "truncated"));
    }
    packed.data[packed.len - 6] ^= 1; /* the checksum */
    assert_false(inflate_all(bytes_span(&packed), 9, 1000, &back, &err));
    assert_string_equal(err.message, "malformed gzip data");
    packed.data[packed.len - 6] ^= 1;
    packed.data[packed.len - 1] ^= 1; /* the length */
    assert_false(inflate_all(bytes_span(&packed), 9, 1000, &back, &err));
    assert_string_equal(err.message, "malformed gzip data");
    packed.data[packed.len - 1] ^= 1;
    assert_true(bytes_append_text(&packed, "garbage", &err));
    assert_false(inflate_all(bytes_span(&packed), 9, 1000, &back, &err));
    assert_string_equal(err.message, "malformed gzip data");
    for (size_t len = 4; len < sizeof zstd_hello - 1; len++) {
        assert_false(inflate_all((struct span){ zstd_hello, len }, 9, 1000, &back, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
    }
}

static void a_small_ceiling_is_respected(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes packed = BYTES(30);
    assert_true(
        gzip_append(&packed, SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 6, &err));
    size_t before = packed.len;
    assert_false(gzip_append(&packed, SPAN("more"), 6, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_int_equal(packed.len, before);
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
    AUTO(inflater_free) struct inflater *inflater = inflater_new(refuse, NULL, 100, &err);
    assert_false(inflater_feed(inflater, "plain", 5, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_there_and_back_in_any_pieces),
        cmocka_unit_test(gzip_holds_no_name_and_no_time),
        cmocka_unit_test(members_follow_each_other),
        cmocka_unit_test(zstd_and_plain_are_told_apart),
        cmocka_unit_test(every_kind_and_level_comes_back),
        cmocka_unit_test(other_names_are_no_compression),
        cmocka_unit_test(zstd_frames_follow_each_other_and_skippable_ones_are_skipped),
        cmocka_unit_test(headers_with_everything_are_read),
        cmocka_unit_test(bombs_are_stopped),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(a_small_ceiling_is_respected),
        cmocka_unit_test(the_sinks_error_is_passed_on),
    };
    return cmocka_run_group_tests_name("shared/oci/compress", tests, NULL, NULL);
}
