#include "shared/base/ecdsa.h"

#include "shared/base/encode.h"
#include "tests/unit/shared/base/test.h"

/* RFC 6979 A.2.5: the key, in the three coats that it may come in, and its signatures over SHA-256. */
static const char sec1[] = "-----BEGIN EC PRIVATE KEY-----\n"
                           "MDECAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"
                           "AwEH\n"
                           "-----END EC PRIVATE KEY-----\n";
static const char private_der[] = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420"
                                  "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
static const char public_der[] = "3059301306072a8648ce3d020106082a8648ce3d030107034200"
                                 "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                                 "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
static const struct {
    const char *message, *signature;
} rows[] = {
    { "sample", "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8" },
    { "test", "3045022100f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
              "0220019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083" },
};

static struct span from_hex(const char *hex, uint8_t *room)
{
    size_t len = strlen(hex) / 2;

    assert_true(hex_decode(room, len, span_of(hex)));
    return (struct span){ (const char *)room, len };
}

static struct ecdsa_key *private_of(struct span text)
{
    struct error err = { 0 };
    struct ecdsa_key *key = ecdsa_private_key(text, &err);

    assert_string_equal(err.message, "");
    assert_non_null(key);
    return key;
}

static void signatures_are_the_standards(void **state)
{
    (void)state;
    uint8_t room[ECDSA_SIGNATURE_MAX], der[128];
    struct error err = { 0 };
    AUTO(ecdsa_key_free) struct ecdsa_key *key = private_of(span_of(sec1));
    AUTO(ecdsa_key_free) struct ecdsa_key *same = private_of(from_hex(private_der, der));
    AUTO(ecdsa_key_free) struct ecdsa_key *public = ecdsa_public_key(from_hex(public_der, der), &err);

    assert_non_null(public);
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes made = BYTES(ECDSA_SIGNATURE_MAX);
        AUTO(bytes_release) struct bytes again = BYTES(ECDSA_SIGNATURE_MAX);
        struct span expected = from_hex(rows[i].signature, room);

        assert_true(ecdsa_sign(key, span_of(rows[i].message), &made, &err));
        assert_true(ecdsa_sign(same, span_of(rows[i].message), &again, &err));
        assert_true(span_equal(bytes_span(&made), expected));
        assert_true(span_equal(bytes_span(&again), expected));
        assert_true(ecdsa_verify(public, span_of(rows[i].message), expected));
        assert_true(ecdsa_verify(key, span_of(rows[i].message), expected));
    }
}

static void the_public_half_is_told(void **state)
{
    (void)state;
    struct error err = { 0 };
    uint8_t told[ECDSA_PUBLIC_SIZE], room[128];
    AUTO(ecdsa_key_free) struct ecdsa_key *key = private_of(span_of(sec1));

    assert_true(ecdsa_public_der(key, told, &err));
    assert_true(span_equal((struct span){ (char *)told, sizeof(told) }, from_hex(public_der, room)));
}

static void what_is_not_signed_is_refused(void **state)
{
    (void)state;
    struct error err = { 0 };
    uint8_t room[ECDSA_SIGNATURE_MAX], der[128];
    AUTO(ecdsa_key_free) struct ecdsa_key *key = ecdsa_public_key(from_hex(public_der, der), &err);
    struct span signature = from_hex(rows[0].signature, room);

    assert_non_null(key);
    assert_false(ecdsa_verify(key, SPAN("Sample"), signature));
    assert_false(ecdsa_verify(key, SPAN("sample"), (struct span){ NULL, 0 }));
    assert_false(ecdsa_verify(key, SPAN("sample"), (struct span){ signature.data, signature.len - 1 }));
    for (size_t i = 0; i < signature.len; i++) {
        room[i] ^= 1;
        assert_false(ecdsa_verify(key, SPAN("sample"), signature));
        room[i] ^= 1;
    }
    AUTO(bytes_release) struct bytes out = BYTES(ECDSA_SIGNATURE_MAX);
    assert_false(ecdsa_sign(key, SPAN("sample"), &out, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
}

static void other_keys_are_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        enum error_kind kind;
    } keys[] = {
        { "", "the private key cannot be read", ERROR_INVALID },
        { "hunter2", "the private key cannot be read", ERROR_INVALID },
        { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "the private key cannot be read",
          ERROR_INVALID },
        /* RFC 8032's first Ed25519 key, a kind that is not known; and one on P-384 */
        { "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
          "-----END PRIVATE KEY-----\n",
          "the private key cannot be read", ERROR_INVALID },
        { "-----BEGIN EC PRIVATE KEY-----\n"
          "MIGkAgEBBDB9Lvai8m8QXFYyJDCedvg7m2C0JF8x6n7fgyJgTAjl3IRh2H6WoBe3\n"
          "VTZ72OJ1YV6gBwYFK4EEACKhZANiAARYfgaDoqi/67bYl5E4ouxy+6ljfl50HYqP\n"
          "1ku3Dq468InUlfnpRwQgS+qyo3pc+brgoKp32Psn29j0gI9PrWZ+vetDtIlYg8gx\n"
          "FC+l0rYOqT5LTMo1jhAOnNZ4N+2HaB0=\n"
          "-----END EC PRIVATE KEY-----\n",
          "the private key is not an ECDSA key on P-256", ERROR_UNSUPPORTED },
    };

    for (size_t i = 0; i < COUNT(keys); i++) {
        struct error err = { 0 };

        assert_null(ecdsa_private_key(span_of(keys[i].text), &err));
        assert_error(err, keys[i].kind, keys[i].message);
        assert_null(strstr(err.message, "hunter2"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_the_standards),
        cmocka_unit_test(the_public_half_is_told),
        cmocka_unit_test(what_is_not_signed_is_refused),
        cmocka_unit_test(other_keys_are_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
