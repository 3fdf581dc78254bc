#include "shared/attest/key.h"

#include "tests/unit/shared/base/test.h"

/* Made by `cosign generate-key-pair` (3.1.3) with the password "correct horse", and its public half. */
static const char cosign_key[] = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
                                 "eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6\n"
                                 "OCwicCI6MX0sInNhbHQiOiJ1R25Eek5KYTBSQzJiTy8wOHdwb3VZYUowTnluN29u\n"
                                 "Uzhlc0Frdk1xckZBPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94\n"
                                 "Iiwibm9uY2UiOiJSWmI0cmVsYmI2SGE1d3p2K2prYnVXYnY0RU5OcnBzNSJ9LCJj\n"
                                 "aXBoZXJ0ZXh0IjoiU0lENWFlNEJqdHRxU3gzNlo3OXBjYUxRUU83WjZRZUFUYk13\n"
                                 "b2hGSEZSUUVTSkJDVlptL1V4dTduYWhFblR3Tm5mekgrVzRnNnRGQjlpSnVjR0pk\n"
                                 "ZFcvSlhWWUN2Z0N2NFA1eC81N1lSZjVLVDA3YmEzdVlob2JRVmtPbzZPT0VuWHA2\n"
                                 "QnNKUUEvNG1TWnRNY2YybmJubEllT1FFN3VEdG95MFJOY2ZlRW5KNG9yU1lmWENT\n"
                                 "YVoza2ZMbnM4N1A5Ym4wek5INGxNSTdNZ2c9PSJ9\n"
                                 "-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
static const char cosign_public[] = "-----BEGIN PUBLIC KEY-----\n"
                                    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEd85NXj5GtzRM+aVuNk3TZdvbmw8F\n"
                                    "WJxKkx5ofl07vW+czvBjYkFuexmyWklpXRZ9r2P6pRO6J3cWaCk0RncJkw==\n"
                                    "-----END PUBLIC KEY-----\n";

static void cosigns_key_is_unlocked(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(ecdsa_key_free) struct ecdsa_key *key = signing_key(span_of(cosign_key), SPAN("correct horse"), &err);
    AUTO(ecdsa_key_free) struct ecdsa_key *public = ecdsa_public_key(span_of(cosign_public), &err);
    AUTO(bytes_release) struct bytes signature = BYTES(ECDSA_SIGNATURE_MAX);

    assert_string_equal(err.message, "");
    assert_true(ecdsa_sign(key, SPAN("message"), &signature, &err));
    assert_true(ecdsa_verify(public, SPAN("message"), bytes_span(&signature)));
}

static void what_cannot_be_unlocked_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *password, *piece;
        enum error_kind kind;
    } rows[] = {
        { cosign_key, "", "the private key: the password is wrong", ERROR_DENIED },
        { cosign_key, "hunter2", "the private key: the password is wrong", ERROR_DENIED },
        { "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "hunter2",
          "openssl pkcs8 -topk8 -nocrypt", ERROR_UNSUPPORTED },
        { "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "hunter2", "cosign import-key-pair",
          ERROR_UNSUPPORTED },
        { "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----", "", "the private key", ERROR_INVALID },
        { "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END", "", "scrypt and nacl/secretbox",
          ERROR_UNSUPPORTED },
        { "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n!\n-----END", "", "the private key: ", ERROR_INVALID },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };

        assert_null(signing_key(span_of(rows[i].text), span_of(rows[i].password), &err));
        assert_error(err, rows[i].kind, rows[i].piece);
        assert_null(strstr(err.message, "hunter2"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosigns_key_is_unlocked),
        cmocka_unit_test(what_cannot_be_unlocked_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
