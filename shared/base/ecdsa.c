#include "shared/base/ecdsa.h"

#include "shared/base/digest.h"
#include "shared/base/random.h"

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <stdlib.h>
#include <string.h>

struct ecdsa_key {
    mbedtls_pk_context pk;
};

void ecdsa_key_free(struct ecdsa_key *key)
{
    if (!key)
        return;
    mbedtls_pk_free(&key->pk); /* wipes */
    free(key);
}

static int random_of_kernel(void *context, unsigned char *out, size_t len)
{
    (void)context;
    random_bytes(out, len);
    return 0;
}

/* ---- keys ---- */

typedef int parse_fn(mbedtls_pk_context *pk, const unsigned char *text, size_t len);

static int parse_private(mbedtls_pk_context *pk, const unsigned char *text, size_t len)
{
    return mbedtls_pk_parse_key(pk, text, len, NULL, 0, random_of_kernel, NULL);
}

static int parse_public(mbedtls_pk_context *pk, const unsigned char *text, size_t len)
{
    return mbedtls_pk_parse_public_key(pk, text, len);
}

/* The library wants PEM with the NUL behind it counted, and DER without. */
static bool parse(struct ecdsa_key *key, parse_fn *parse_key, const char *what, struct span text, struct error *err)
{
    AUTO(bytes_wipe) struct bytes copy = BYTES(ECDSA_KEY_TEXT_MAX);

    if (!bytes_append_span(&copy, text, err))
        return error_wrap(err, "%s", what);
    bool pem = span_starts(text, "-----") || memmem(text.data, text.len, "\n-----BEGIN", 11);
    if (text.len == 0 || parse_key(&key->pk, (const unsigned char *)copy.data, copy.len + pem) != 0)
        return error_set(err, ERROR_INVALID, "%s cannot be read", what);
    if (mbedtls_pk_get_type(&key->pk) != MBEDTLS_PK_ECKEY ||
        mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(key->pk)) != MBEDTLS_ECP_DP_SECP256R1)
        return error_set(err, ERROR_UNSUPPORTED, "%s is not an ECDSA key on P-256", what);
    return true;
}

static struct ecdsa_key *key_of(parse_fn *parse_key, const char *what, struct span text, struct error *err)
{
    AUTO(ecdsa_key_free) struct ecdsa_key *key = calloc(1, sizeof(*key));

    if (!key) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    mbedtls_pk_init(&key->pk);
    return parse(key, parse_key, what, text, err) ? TAKE(key) : NULL;
}

struct ecdsa_key *ecdsa_private_key(struct span text, struct error *err)
{
    return key_of(parse_private, "the private key", text, err);
}

struct ecdsa_key *ecdsa_public_key(struct span text, struct error *err)
{
    return key_of(parse_public, "the public key", text, err);
}

/* All of it but the point is the same for every key on this curve. */
bool ecdsa_public_der(const struct ecdsa_key *key, uint8_t out[static ECDSA_PUBLIC_SIZE], struct error *err)
{
    static const uint8_t head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };
    size_t len;

    memcpy(out, head, sizeof(head));
    if (mbedtls_ecp_write_public_key(mbedtls_pk_ec(key->pk), MBEDTLS_ECP_PF_UNCOMPRESSED, &len, out + sizeof(head),
                                     ECDSA_PUBLIC_SIZE - sizeof(head)) != 0)
        return error_set(err, ERROR_INTERNAL, "the key's public half cannot be written");
    return true;
}

/* ---- signatures ---- */

/* The library's calls change nothing in the key, but do not say so. */
static mbedtls_pk_context *context_of(const struct ecdsa_key *key)
{
    union {
        const mbedtls_pk_context *given;
        mbedtls_pk_context *wanted;
    } pk = { &key->pk };

    return pk.wanted;
}

bool ecdsa_sign(const struct ecdsa_key *key, struct span message, struct bytes *out, struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t len;

    sha256_of(message, digest);
    if (mbedtls_pk_sign(context_of(key), MBEDTLS_MD_SHA256, digest, sizeof(digest), signature, sizeof(signature), &len,
                        random_of_kernel, NULL) != 0)
        return error_set(err, ERROR_INVALID, "the key cannot sign: it is a public one");
    return bytes_append(out, signature, len, err);
}

bool ecdsa_verify(const struct ecdsa_key *key, struct span message, struct span signature)
{
    uint8_t digest[SHA256_SIZE];

    sha256_of(message, digest);
    return mbedtls_pk_verify(context_of(key), MBEDTLS_MD_SHA256, digest, sizeof(digest),
                             (const unsigned char *)signature.data, signature.len) == 0;
}
