#include "shared/base/digest.h"

#include <stdlib.h>

#include "shared/base/encode.h"
#include "tests/unit/shared/base/test.h"

/* FIPS 180-4 examples (NIST's "SHA256.pdf") and the empty message. */
static const struct {
    const char *text, *hex;
} sha_rows[] = {
    { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrst"
      "u",
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
};

static void sha256_gives_the_standards_digests(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sha_rows); i++) {
        char hex[SHA256_HEX_SIZE];
        sha256_hex_of(span_of(sha_rows[i].text), hex);
        assert_string_equal(hex, sha_rows[i].hex);
    }
}

static void a_million_bytes_in_uneven_pieces(void **state)
{
    (void)state;
    char piece[997];
    memset(piece, 'a', sizeof piece);
    struct sha256 sha;
    sha256_init(&sha);
    for (size_t left = 1000000; left > 0;) {
        size_t n = left % sizeof piece ? left % sizeof piece : sizeof piece;
        sha256_update(&sha, piece, n);
        left -= n;
    }
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    sha256_final(&sha, digest);
    hex_encode(hex, digest, sizeof digest);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* FIPS 180-4 examples (NIST's "SHA1.pdf"), the empty message, and a million times "a". */
static void sha1_gives_the_standards_digests(void **state)
{
    static const struct {
        const char *text, *hex;
        size_t times;
    } rows[] = {
        { "", "da39a3ee5e6b4b0d3255bfef95601890afd80709", 1 },
        { "abc", "a9993e364706816aba3e25717850c26c9cd0d89d", 1 },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1", 1 },
        { "aaaaaaaaaa", "34aa973cd4c4daa4f61eeb2bdbad27316534016f", 100000 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sha1 sha;
        uint8_t digest[SHA1_SIZE];
        char hex[2 * SHA1_SIZE + 1];
        sha1_init(&sha);
        for (size_t k = 0; k < rows[i].times; k++)
            sha1_update(&sha, rows[i].text, strlen(rows[i].text));
        sha1_final(&sha, digest);
        hex_encode(hex, digest, sizeof digest);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void a_copy_goes_on_by_itself(void **state)
{
    (void)state;
    struct sha256 sha;
    sha256_init(&sha);
    sha256_update(&sha, "ab", 2);
    struct sha256 copy = sha;
    uint8_t digest[SHA256_SIZE], expected[SHA256_SIZE];
    sha256_final(&sha, digest);
    sha256_update(&copy, "c", 1);
    sha256_final(&copy, digest);
    sha256_of(SPAN("abc"), expected);
    assert_memory_equal(digest, expected, sizeof digest);
}

/* RFC 4231 section 4; a byte repeated `repeat` times where that is not 0. */
static const struct {
    const char *key;
    size_t key_repeat;
    const char *data;
    size_t data_repeat;
    const char *hex;
} hmac_rows[] = {
    { "\x0b", 20, "Hi There", 0, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
    { "Jefe", 0, "what do ya want for nothing?", 0,
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
    { "\xaa", 20, "\xdd", 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
    { "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", 0, "\xcd",
      50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
    { "\xaa", 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0,
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
    { "\xaa", 131,
      "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed "
      "before being used by the HMAC algorithm.",
      0, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
};

static struct span spread(char *room, const char *text, size_t repeat)
{
    if (repeat == 0)
        return span_of(text);
    memset(room, text[0], repeat);
    return (struct span){ room, repeat };
}

static void hmac_gives_the_rfcs_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hmac_rows); i++) {
        char key[256], data[256], hex[SHA256_HEX_SIZE];
        uint8_t code[SHA256_SIZE];
        struct span text = spread(data, hmac_rows[i].data, hmac_rows[i].data_repeat);
        struct hmac_sha256 hmac;
        hmac_sha256_init(&hmac, spread(key, hmac_rows[i].key, hmac_rows[i].key_repeat));
        hmac_sha256_update(&hmac, text.data, 1);
        hmac_sha256_update(&hmac, text.data + 1, text.len - 1);
        hmac_sha256_final(&hmac, code);
        hex_encode(hex, code, sizeof code);
        assert_string_equal(hex, hmac_rows[i].hex);
    }
}

static void comparing_sees_every_byte(void **state)
{
    (void)state;
    char a[33] = "0123456789abcdef0123456789abcdef", b[33];
    assert_true(constant_time_equal(a, a, 32));
    assert_true(constant_time_equal("x", "y", 0));
    for (size_t i = 0; i < 32; i++) {
        memcpy(b, a, sizeof b);
        b[i] ^= 1;
        assert_false(constant_time_equal(a, b, 32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_standards_digests), cmocka_unit_test(a_million_bytes_in_uneven_pieces),
        cmocka_unit_test(a_copy_goes_on_by_itself),           cmocka_unit_test(hmac_gives_the_rfcs_codes),
        cmocka_unit_test(comparing_sees_every_byte),          cmocka_unit_test(sha1_gives_the_standards_digests),
    };
    return cmocka_run_group_tests_name("base/digest", tests, NULL, NULL);
}
