/*
 * SHA-1 block function for mbedTLS (MBEDTLS_SHA1_PROCESS_ALT): FIPS 180-4, section 6.1.2, as loops. The library's own is
 * unrolled to 5 KB, and nothing here waits for SHA-1: certificates name it in signatures that are not looked at.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/sha1.h>

#include <stdint.h>
#include <string.h>

static uint32_t rotate_left(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static uint32_t mix(int t, uint32_t b, uint32_t c, uint32_t d)
{
    static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };

    if (t < 20)
        return ((b & c) | (~b & d)) + k[0];
    if (t >= 40 && t < 60)
        return ((b & c) | (b & d) | (c & d)) + k[2];
    return (b ^ c ^ d) + k[t / 20];
}

int mbedtls_internal_sha1_process(mbedtls_sha1_context *context, const unsigned char data[64])
{
    uint32_t w[80], s[5];

    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)data[4 * t] << 24 | (uint32_t)data[4 * t + 1] << 16 | (uint32_t)data[4 * t + 2] << 8 |
               data[4 * t + 3];
    for (int t = 16; t < 80; t++)
        w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);

    memcpy(s, context->state, sizeof s);
    for (int t = 0; t < 80; t++) {
        uint32_t next = rotate_left(s[0], 5) + mix(t, s[1], s[2], s[3]) + s[4] + w[t];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = rotate_left(s[1], 30);
        s[1] = s[0];
        s[0] = next;
    }
    for (int i = 0; i < 5; i++)
        context->state[i] += s[i];
    return 0;
}
