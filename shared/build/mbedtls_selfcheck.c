/*
 * Run once after mbedTLS is built: a wrong hash or a missing entropy source
 * must stop the build, not a deployed function.
 *
 * SHA-1 and SHA-256 are checked against the examples of FIPS 180-4, then every
 * SHA-256 block function this processor has against the library for all lengths
 * up to a few blocks. Random numbers are only checked to arrive.
 */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>

#include "mbedtls_sha256_ni.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void block_function(uint32_t state[8], const uint8_t block[64]);

static void fail(const char *what)
{
    fprintf(stderr, "mbedTLS self check failed: %s\n", what);
    exit(1);
}

static void expect(const unsigned char *digest, const char *hex)
{
    char text[65];
    for (size_t i = 0; i < strlen(hex) / 2; i++)
        sprintf(text + 2 * i, "%02x", digest[i]);
    if (strcmp(text, hex) != 0)
        fail(hex);
}

static void library_hash(const void *data, size_t size, unsigned char digest[32])
{
    if (mbedtls_sha256(data, size, digest, 0) != 0)
        fail("mbedtls_sha256");
}

static void check_vectors(void)
{
    static const char *const vectors[][2] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
          "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
    };
    unsigned char digest[32];

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        library_hash(vectors[i][0], strlen(vectors[i][0]), digest);
        expect(digest, vectors[i][1]);
    }

    /* A million times "a", in pieces that do not fit the block size. */
    mbedtls_sha256_context context;
    unsigned char piece[1000];
    memset(piece, 'a', sizeof piece);
    mbedtls_sha256_init(&context);
    mbedtls_sha256_starts(&context, 0);
    for (int i = 0; i < 1000; i++)
        mbedtls_sha256_update(&context, piece, sizeof piece);
    mbedtls_sha256_finish(&context, digest);
    mbedtls_sha256_free(&context);
    expect(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void check_sha1(void)
{
    static const char *const vectors[][2] = {
        { "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
        { "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
    };
    unsigned char digest[20];

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        if (mbedtls_sha1((const void *)vectors[i][0], strlen(vectors[i][0]), digest) != 0)
            fail("mbedtls_sha1");
        expect(digest, vectors[i][1]);
    }
}

#ifdef __x86_64__
/* SHA-256 around a block function, padding included (FIPS 180-4, 5.1.1). */
static void hash_with(block_function *process, const uint8_t *data, size_t size, uint8_t digest[32])
{
    uint32_t state[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
    };
    uint8_t tail[128] = { 0 };
    size_t whole = size - size % 64, rest = size % 64;
    size_t padded = rest < 56 ? 64 : 128;

    for (size_t i = 0; i < whole; i += 64)
        process(state, data + i);
    memcpy(tail, data + whole, rest);
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        tail[padded - 1 - i] = (uint8_t)((uint64_t)size * 8 >> (8 * i));
    for (size_t i = 0; i < padded; i += 64)
        process(state, tail + i);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

static void check_block_function(block_function *process, const char *name)
{
    uint8_t data[517], digest[32];
    unsigned char expected[32];

    hash_with(process, (const uint8_t *)"abc", 3, digest);
    expect(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 167 + i / 256);
    for (size_t size = 0; size <= sizeof data; size++) {
        hash_with(process, data, size, digest);
        library_hash(data, size, expected);
        if (memcmp(digest, expected, sizeof digest) != 0)
            fail(name);
    }
}

static void check_block_functions(void)
{
    check_block_function(pushwright_sha256_block_portable, "portable SHA-256 block");
    if (pushwright_sha256_has_ni())
        check_block_function(pushwright_sha256_block_ni, "SHA-NI block");
    else
        fprintf(stderr, "this processor has no SHA extensions: only the portable SHA-256 was checked\n");
}
#else
static void check_block_functions(void)
{
}
#endif

static void check_random(void)
{
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    unsigned char first[32], second[32];

    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    if (mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0) != 0)
        fail("seeding the random generator");
    if (mbedtls_ctr_drbg_random(&random, first, sizeof first) != 0 ||
        mbedtls_ctr_drbg_random(&random, second, sizeof second) != 0 || memcmp(first, second, sizeof first) == 0)
        fail("random numbers");
    mbedtls_ctr_drbg_free(&random);
    mbedtls_entropy_free(&entropy);
}

int main(void)
{
    check_vectors();
    check_sha1();
    check_block_functions();
    check_random();
    return 0;
}
