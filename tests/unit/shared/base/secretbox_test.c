#include "shared/base/secretbox.h"

#include "shared/base/encode.h"
#include "tests/unit/shared/base/test.h"

/* RFC 7914, section 12. */
static const struct {
    const char *password, *salt;
    struct scrypt_cost cost;
    const char *key;
} rows[] = {
    { "",
      "",
      { 16, 1, 1 },
      "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
      "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906" },
    { "password",
      "NaCl",
      { 1024, 8, 16 },
      "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
      "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640" },
};

static void keys_are_the_standards(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        uint8_t key[64];
        char hex[129];

        assert_true(scrypt(span_of(rows[i].password), span_of(rows[i].salt), &rows[i].cost, key, sizeof(key), &err));
        hex_encode(hex, key, sizeof(key));
        assert_string_equal(hex, rows[i].key);
    }
}

static void costs_are_bounded(void **state)
{
    (void)state;
    static const struct scrypt_cost costs[] = { { 0, 8, 1 },      { 1, 8, 1 },
                                                { 1000, 8, 1 },   { 1024, 0, 1 },
                                                { 1024, 8, 0 },   { 1024, 65, 1 },
                                                { 1024, 8, 65 },  { UINT64_C(1) << 40, 8, 1 },
                                                { 1 << 19, 8, 1 } };

    for (size_t i = 0; i < COUNT(costs); i++) {
        struct error err = { 0 };
        uint8_t key[32];

        assert_false(scrypt(SPAN("a"), SPAN("b"), &costs[i], key, sizeof(key), &err));
        assert_int_equal(err.kind, ERROR_INVALID);
    }
}

/* NaCl's own example, tests/secretbox.c. */
static const char box_key[] = "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389";
static const char box_nonce[] = "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37";
static const char box[] =
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a"
    "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae"
    "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74"
    "e355a5";
static const char box_content[] =
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c"
    "61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f"
    "21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705";

static void boxes_are_opened_by_their_key_alone(void **state)
{
    (void)state;
    struct error err = { 0 };
    uint8_t key[SECRETBOX_KEY_SIZE], nonce[SECRETBOX_NONCE_SIZE], locked[sizeof(box) / 2];
    char hex[sizeof(box_content)];
    struct span all = { (const char *)locked, sizeof(locked) };
    AUTO(bytes_wipe) struct bytes out = BYTES(1024);

    assert_true(hex_decode(key, sizeof(key), span_of(box_key)) &&
                hex_decode(nonce, sizeof(nonce), span_of(box_nonce)) &&
                hex_decode(locked, sizeof(locked), span_of(box)));
    assert_true(secretbox_open(key, nonce, all, &out, &err));
    hex_encode(hex, (const uint8_t *)out.data, out.len);
    assert_string_equal(hex, box_content);
    for (size_t i = 0; i < all.len; i++) {
        locked[i] ^= 1;
        assert_false(secretbox_open(key, nonce, all, &out, &err));
        locked[i] ^= 1;
    }
    assert_int_equal(err.kind, ERROR_DENIED);
    key[0] ^= 1;
    assert_false(secretbox_open(key, nonce, all, &out, &err));
    assert_false(secretbox_open(key, nonce, (struct span){ all.data, 15 }, &out, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_the_standards),
        cmocka_unit_test(costs_are_bounded),
        cmocka_unit_test(boxes_are_opened_by_their_key_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
