#include "shared/base/encode.h"

#include "tests/unit/shared/base/test.h"

/* RFC 4648 section 10. */
static const struct {
    const char *text, *base64, *base32;
} rows[] = {
    { "", "", "" },
    { "f", "Zg==", "my" },
    { "fo", "Zm8=", "mzxq" },
    { "foo", "Zm9v", "mzxw6" },
    { "foob", "Zm9vYg==", "mzxw6yq" },
    { "fooba", "Zm9vYmE=", "mzxw6ytb" },
    { "foobar", "Zm9vYmFy", "mzxw6ytboi" },
};

static void base64_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes text = BYTES(100), back = BYTES(100);
        struct error err = { 0 };
        assert_true(base64_encode(&text, span_of(rows[i].text), &err));
        assert_string_equal(bytes_text(&text), rows[i].base64);
        assert_true(base64_decode(&back, bytes_span(&text), &err));
        assert_string_equal(bytes_text(&back), rows[i].text);
        bytes_release(&back);
    }
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = { "Zg=",  "Zg",    "Zh==",   "Zm9=", "Zg==Zg==", "Z===",
                                       "====", "Zm 9v", "Zm9v\n", "Zm-_", "=m9v" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTO(bytes_release) struct bytes out = BYTES(100);
        struct error err = { 0 };
        assert_true(bytes_append_text(&out, "before", &err));
        if (base64_decode(&out, span_of(bad[i]), &err))
            fail_msg("'%s' was taken", bad[i]);
        assert_error(err, ERROR_INVALID, "base64");
        assert_string_equal(bytes_text(&out), "before");
    }
}

static void encodings_keep_the_ceiling(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes out = BYTES(7);
    struct error err = { 0 };
    assert_false(base64_encode(&out, SPAN("foob"), &err));
    assert_error(err, ERROR_TOO_LARGE, "7");
    assert_false(base64_encode(&out, (struct span){ "x", SIZE_MAX - 4 }, &err));
    assert_false(base64_decode(&out, SPAN("AAAAAAAAAAAA"), &err));
    assert_false(percent_encode(&out, SPAN("///"), "", &err));
    assert_int_equal(out.len, 0);
    assert_false(percent_decode(&out, SPAN("12345678"), false, &err));
    assert_int_equal(out.len, 0);
}

static void base32_without_padding(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[16];
        base32_encode(out, (const uint8_t *)rows[i].text, strlen(rows[i].text));
        assert_string_equal(out, rows[i].base32);
    }
}

static void hexadecimal_of_either_case(void **state)
{
    (void)state;
    const uint8_t bytes[] = { 0x00, 0x7f, 0x80, 0xff };
    char text[9];
    hex_encode(text, bytes, sizeof bytes);
    assert_string_equal(text, "007f80ff");
    uint8_t back[4];
    assert_true(hex_decode(back, sizeof back, SPAN("007F80fF")));
    assert_memory_equal(back, bytes, sizeof bytes);
    assert_false(hex_decode(back, sizeof back, SPAN("007f80f")));
    assert_false(hex_decode(back, sizeof back, SPAN("007f80ff0")));
    assert_false(hex_decode(back, sizeof back, SPAN("007f80fg")));
    assert_memory_equal(back, bytes, sizeof bytes);
}

static void percent_there_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *keep, *encoded;
    } cases[] = {
        { "azAZ09-._~", "", "azAZ09-._~" },
        { "a b/c", "", "a%20b%2Fc" },
        { "a b/c", "/", "a%20b/c" },
        { "\xc3\xa9%+", "", "%C3%A9%25%2B" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO(bytes_release) struct bytes out = BYTES(100), back = BYTES(100);
        struct error err = { 0 };
        assert_true(percent_encode(&out, span_of(cases[i].text), cases[i].keep, &err));
        assert_string_equal(bytes_text(&out), cases[i].encoded);
        assert_true(percent_decode(&back, bytes_span(&out), false, &err));
        assert_string_equal(bytes_text(&back), cases[i].text);
        bytes_release(&back);
    }
}

static void percent_encodes_nul_whatever_is_kept(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes out = BYTES(100);
    struct error err = { 0 };
    assert_true(percent_encode(&out, (struct span){ "\0/", 2 }, "/", &err));
    assert_string_equal(bytes_text(&out), "%00/");
}

static void percent_decoding_form_data_and_mistakes(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes out = BYTES(100);
    struct error err = { 0 };
    assert_true(percent_decode(&out, SPAN("a+b%2b"), true, &err));
    assert_string_equal(bytes_text(&out), "a b+");
    static const char *const bad[] = { "%", "%4", "%4g", "ok%" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(percent_decode(&out, span_of(bad[i]), false, &err));
        assert_error(err, ERROR_INVALID, "hexadecimal");
        assert_string_equal(bytes_text(&out), "a b+");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_there_and_back),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(encodings_keep_the_ceiling),
        cmocka_unit_test(base32_without_padding),
        cmocka_unit_test(hexadecimal_of_either_case),
        cmocka_unit_test(percent_there_and_back),
        cmocka_unit_test(percent_encodes_nul_whatever_is_kept),
        cmocka_unit_test(percent_decoding_form_data_and_mistakes),
    };
    return cmocka_run_group_tests_name("base/encode", tests, NULL, NULL);
}
