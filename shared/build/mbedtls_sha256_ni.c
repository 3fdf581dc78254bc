/*
 * SHA-256 block function for mbedTLS on x86_64 (MBEDTLS_SHA256_PROCESS_ALT).
 *
 * Uses the SHA extensions when CPUID reports them, portable C otherwise. Both
 * are visible to mbedtls_selfcheck.c, which compares them after every build.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

#include "mbedtls_sha256_ni.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <string.h>

/* FIPS 180-4, 4.2.2 */
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load_big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void pushwright_sha256_block_portable(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64], s[8];

    for (int t = 0; t < 16; t++)
        w[t] = load_big_endian(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }

    /* Instead of moving eight words each round, S() moves their names; with
     * the inner loop unrolled they stay in registers. */
#define S(i) s[((i) - j) & 7]
    memcpy(s, state, sizeof s);
    for (int t = 0; t < 64; t += 8) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            uint32_t a = S(0), b = S(1), c = S(2), e = S(4), f = S(5), g = S(6), h = S(7);
            uint32_t t1 =
                h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + K[t + j] + w[t + j];
            uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            S(3) += t1;
            S(7) = t1 + t2;
        }
    }
#undef S
    for (int i = 0; i < 8; i++)
        state[i] += s[i];

    /* The block may hold an HMAC key. */
    mbedtls_platform_zeroize(w, sizeof w);
    mbedtls_platform_zeroize(s, sizeof s);
}

/*
 * The instructions want the state as ABEF and CDGH, and do two rounds each;
 * one turn of the loop does four rounds and keeps a window of 16 words of the
 * message schedule in m[].
 */
__attribute__((target("sha,sse4.1,ssse3"))) void pushwright_sha256_block_ni(uint32_t state[8], const uint8_t block[64])
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i m[4];

    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const void *)&state[0]), 0xb1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const void *)&state[4]), 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    const __m128i abef_before = abef, cdgh_before = cdgh;

#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m128i *now = &m[i & 3], *previous = &m[(i + 3) & 3];
        if (i < 4) {
            *now = _mm_loadu_si128((const void *)(block + 16 * i));
            *now = _mm_shuffle_epi8(*now, big_endian);
        } else {
            __m128i sum = _mm_sha256msg1_epu32(*now, m[(i + 1) & 3]);
            sum = _mm_add_epi32(sum, _mm_alignr_epi8(*previous, m[(i + 2) & 3], 4));
            *now = _mm_sha256msg2_epu32(sum, *previous);
        }
        __m128i wk = _mm_add_epi32(*now, _mm_load_si128((const void *)&K[4 * i]));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }

    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((void *)&state[0], _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((void *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}

/* Two questions, each of which costs a virtual machine microseconds of a start.
 * Whether there is a leaf 7 is not asked: every x86-64 has leaf 1, and where 7
 * is beyond the highest, AMD answers zeroes and Intel with the highest leaf,
 * which on a processor with SSE4.1 has no such bit in EBX. */
static int detect(void)
{
    unsigned a, b, c, d;
    const unsigned need = bit_SSSE3 | bit_SSE4_1;

    __cpuid(1, a, b, c, d);
    if ((c & need) != need)
        return 0;
    __cpuid_count(7, 0, a, b, c, d);
    return (b & bit_SHA) != 0;
}

int pushwright_sha256_has_ni(void)
{
    /* 0 = not asked yet. CPUID traps in a virtual machine, so ask once; two
     * threads that ask at the same time write the same answer. */
    static atomic_int answer;
    int known = atomic_load_explicit(&answer, memory_order_relaxed);

    if (known == 0) {
        known = detect() ? 1 : -1;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known > 0;
}

int mbedtls_internal_sha256_process(mbedtls_sha256_context *context, const unsigned char data[64])
{
    if (pushwright_sha256_has_ni())
        pushwright_sha256_block_ni(context->state, data);
    else
        pushwright_sha256_block_portable(context->state, data);
    return 0;
}
