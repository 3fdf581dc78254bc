#include "shared/base/digest.h"

#include <assert.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/encode.h"

enum { BLOCK_SIZE = 64 }; /* FIPS 180-4: SHA-256 works on blocks of 512 bits */

static_assert(sizeof(mbedtls_sha256_context) <= sizeof(struct sha256), "the library's context fits");
static_assert(alignof(mbedtls_sha256_context) <= alignof(struct sha256), "and is aligned");

static_assert(sizeof(mbedtls_sha1_context) <= sizeof(struct sha1), "so does this one");
static_assert(alignof(mbedtls_sha1_context) <= alignof(struct sha1), "and is aligned");

static mbedtls_sha256_context *context_of(struct sha256 *sha)
{
    return (mbedtls_sha256_context *)(void *)sha;
}

/* The library's calls fail only on hardware that it is not built for here. A wrong digest must not be taken for a right one. */
static void must(int failed)
{
    if (failed)
        abort();
}

void sha256_init(struct sha256 *sha)
{
    mbedtls_sha256_init(context_of(sha));
    must(mbedtls_sha256_starts(context_of(sha), 0));
}

void sha256_update(struct sha256 *sha, const void *data, size_t len)
{
    if (len > 0)
        must(mbedtls_sha256_update(context_of(sha), data, len));
}

void sha256_final(struct sha256 *sha, uint8_t out[static SHA256_SIZE])
{
    must(mbedtls_sha256_finish(context_of(sha), out));
    mbedtls_sha256_free(context_of(sha)); /* wipes: the state of an HMAC is as good as its key */
}

void sha1_init(struct sha1 *sha)
{
    mbedtls_sha1_init((mbedtls_sha1_context *)(void *)sha);
    must(mbedtls_sha1_starts((mbedtls_sha1_context *)(void *)sha));
}

void sha1_update(struct sha1 *sha, const void *data, size_t len)
{
    if (len > 0)
        must(mbedtls_sha1_update((mbedtls_sha1_context *)(void *)sha, data, len));
}

void sha1_final(struct sha1 *sha, uint8_t out[static SHA1_SIZE])
{
    must(mbedtls_sha1_finish((mbedtls_sha1_context *)(void *)sha, out));
}

void sha256_of(struct span data, uint8_t out[static SHA256_SIZE])
{
    struct sha256 sha;
    sha256_init(&sha);
    sha256_update(&sha, data.data, data.len);
    sha256_final(&sha, out);
}

void sha256_hex_of(struct span data, char out[static SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    sha256_of(data, digest);
    hex_encode(out, digest, sizeof digest);
}

static void start_padded(struct sha256 *sha, const uint8_t key[static BLOCK_SIZE], uint8_t pad)
{
    uint8_t block[BLOCK_SIZE];
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        block[i] = key[i] ^ pad;
    sha256_init(sha);
    sha256_update(sha, block, sizeof block);
    explicit_bzero(block, sizeof block);
}

/* RFC 2104: H(key ^ opad, H(key ^ ipad, text)); a key longer than a block is hashed first. */
void hmac_sha256_init(struct hmac_sha256 *hmac, struct span key)
{
    uint8_t block[BLOCK_SIZE] = { 0 };
    if (key.len > sizeof block)
        sha256_of(key, block);
    else if (key.len > 0)
        memcpy(block, key.data, key.len);
    start_padded(&hmac->inner, block, 0x36);
    start_padded(&hmac->outer, block, 0x5c);
    explicit_bzero(block, sizeof block);
}

void hmac_sha256_update(struct hmac_sha256 *hmac, const void *data, size_t len)
{
    sha256_update(&hmac->inner, data, len);
}

void hmac_sha256_final(struct hmac_sha256 *hmac, uint8_t out[static SHA256_SIZE])
{
    uint8_t inner[SHA256_SIZE];
    sha256_final(&hmac->inner, inner);
    sha256_update(&hmac->outer, inner, sizeof inner);
    sha256_final(&hmac->outer, out);
}

bool constant_time_equal(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *left = a, *right = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (uint8_t)(left[i] ^ right[i]);
    return difference == 0;
}
