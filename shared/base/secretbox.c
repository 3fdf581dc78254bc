#include "shared/base/secretbox.h"

#include "shared/base/digest.h"

#include <mbedtls/poly1305.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, WORDS = 16, SCRYPT_MEMORY_MAX = 256 * 1024 * 1024 };

static uint32_t load(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static void store(uint8_t *to, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(word >> 8 * i);
}

/* ---- Salsa20: cr.yp.to/snuffle/spec.pdf ---- */

static uint32_t rotated(uint32_t word, int by)
{
    return word << by | word >> (32 - by);
}

static void quarter(uint32_t x[static WORDS], const uint8_t i[static 4])
{
    x[i[1]] ^= rotated(x[i[0]] + x[i[3]], 7);
    x[i[2]] ^= rotated(x[i[1]] + x[i[0]], 9);
    x[i[3]] ^= rotated(x[i[2]] + x[i[1]], 13);
    x[i[0]] ^= rotated(x[i[3]] + x[i[2]], 18);
}

static void salsa_rounds(uint32_t x[static WORDS], int rounds)
{
    static const uint8_t columns_and_rows[8][4] = { { 0, 4, 8, 12 },  { 5, 9, 13, 1 },   { 10, 14, 2, 6 },
                                                    { 15, 3, 7, 11 }, { 0, 1, 2, 3 },    { 5, 6, 7, 4 },
                                                    { 10, 11, 8, 9 }, { 15, 12, 13, 14 } };

    for (int round = 0; round < rounds; round += 2) {
        for (size_t i = 0; i < 8; i++)
            quarter(x, columns_and_rows[i]);
    }
}

/* The key between the constants, the 16 bytes of input in the middle. */
static void salsa_state(uint32_t x[static WORDS], const uint8_t key[static 32], const uint8_t input[static 16])
{
    static const uint8_t sigma[] = "expand 32-byte k";

    for (size_t i = 0; i < 4; i++) {
        x[5 * i] = load(sigma + 4 * i);
        x[1 + i] = load(key + 4 * i);
        x[6 + i] = load(input + 4 * i);
        x[11 + i] = load(key + 16 + 4 * i);
    }
}

/* A key for the rest of the nonce, of the first 16 bytes of it: "Extending the Salsa20 nonce". */
static void hsalsa(uint8_t out[static 32], const uint8_t key[static 32], const uint8_t input[static 16])
{
    uint32_t x[WORDS];

    salsa_state(x, key, input);
    salsa_rounds(x, 20);
    for (size_t i = 0; i < 4; i++) {
        store(out + 4 * i, x[5 * i]);
        store(out + 16 + 4 * i, x[6 + i]);
    }
    explicit_bzero(x, sizeof(x));
}

static void salsa_block(uint8_t out[static BLOCK], const uint8_t key[static 32], const uint8_t nonce[static 8],
                        uint64_t number)
{
    uint32_t start[WORDS], x[WORDS];
    uint8_t input[16];

    memcpy(input, nonce, 8);
    store(input + 8, (uint32_t)number);
    store(input + 12, (uint32_t)(number >> 32));
    salsa_state(start, key, input);
    memcpy(x, start, sizeof(x));
    salsa_rounds(x, 20);
    for (size_t i = 0; i < WORDS; i++)
        store(out + 4 * i, x[i] + start[i]);
    explicit_bzero(start, sizeof(start));
    explicit_bzero(x, sizeof(x));
}

/* ---- secretbox: nacl.cr.yp.to/valid.html ---- */

/* The first half of the first block is Poly1305's key, the message begins with the second. */
static bool open_with(const uint8_t key[static 32], const uint8_t nonce[static 8], struct span box, struct bytes *out,
                      struct error *err)
{
    struct span tag = { box.data, SECRETBOX_TAG_SIZE }, locked = { box.data + tag.len, box.len - tag.len };
    uint8_t stream[BLOCK], expected[SECRETBOX_TAG_SIZE];

    salsa_block(stream, key, nonce, 0);
    if (mbedtls_poly1305_mac(stream, (const unsigned char *)locked.data, locked.len, expected) != 0 ||
        !constant_time_equal(expected, tag.data, sizeof(expected)))
        return error_set(err, ERROR_DENIED, "the password is wrong");
    if (!bytes_reserve(out, locked.len, err))
        return false;
    for (size_t i = 0; i < locked.len; i++) {
        size_t at = i + 32;

        if (at % BLOCK == 0)
            salsa_block(stream, key, nonce, at / BLOCK);
        out->data[out->len + i] = (char)((uint8_t)locked.data[i] ^ stream[at % BLOCK]);
    }
    out->len += locked.len;
    explicit_bzero(stream, sizeof(stream));
    return true;
}

bool secretbox_open(const uint8_t key[static SECRETBOX_KEY_SIZE], const uint8_t nonce[static SECRETBOX_NONCE_SIZE],
                    struct span box, struct bytes *out, struct error *err)
{
    uint8_t inner[32];

    if (box.len < SECRETBOX_TAG_SIZE)
        return error_set(err, ERROR_INVALID, "what is locked is cut short");
    hsalsa(inner, key, nonce);
    bool good = open_with(inner, nonce + 16, box, out, err);
    explicit_bzero(inner, sizeof(inner));
    return good;
}

/* ---- scrypt ---- */

/* RFC 8018 PBKDF2 with one iteration. */
static void pbkdf2_once(struct span password, const uint8_t *salt, size_t salt_len, uint8_t *out, size_t len)
{
    uint8_t block[SHA256_SIZE];

    for (uint32_t number = 1; len > 0; number++) {
        const uint8_t counter[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                                     (uint8_t)number };
        size_t piece = len < sizeof(block) ? len : sizeof(block);
        struct hmac_sha256 hmac;

        hmac_sha256_init(&hmac, password);
        hmac_sha256_update(&hmac, salt, salt_len);
        hmac_sha256_update(&hmac, counter, sizeof(counter));
        hmac_sha256_final(&hmac, block);
        memcpy(out, block, piece);
        out += piece;
        len -= piece;
    }
    explicit_bzero(block, sizeof(block));
}

/* RFC 7914, scryptBlockMix: `from` is 2 * r blocks, so is `to`. */
static void mix_blocks(uint32_t *to, const uint32_t *from, size_t r)
{
    uint32_t x[WORDS], sum[WORDS];

    memcpy(x, from + (2 * r - 1) * WORDS, sizeof(x));
    for (size_t i = 0; i < 2 * r; i++) {
        for (size_t k = 0; k < WORDS; k++)
            sum[k] = x[k] ^= from[i * WORDS + k];
        salsa_rounds(x, 8);
        for (size_t k = 0; k < WORDS; k++)
            x[k] += sum[k];
        memcpy(to + (i / 2 + (i % 2) * r) * WORDS, x, sizeof(x));
    }
}

/* RFC 7914, scryptROMix, of one piece of 128 * r bytes; table has room for n of them, and two for work. */
static void mix_memory(uint8_t *piece, const struct scrypt_cost *cost, uint32_t *table)
{
    size_t words = (size_t)cost->r * 2 * WORDS;
    uint32_t *x = table + cost->n * words, *mixed = x + words;

    for (size_t i = 0; i < words; i++)
        x[i] = load(piece + 4 * i);
    for (uint64_t i = 0; i < cost->n; i++) {
        memcpy(table + i * words, x, words * sizeof(x[0]));
        mix_blocks(x, table + i * words, cost->r);
    }
    for (uint64_t i = 0; i < cost->n; i++) {
        const uint32_t *other = table + (x[words - WORDS] & (cost->n - 1)) * words;

        for (size_t k = 0; k < words; k++)
            mixed[k] = x[k] ^ other[k];
        mix_blocks(x, mixed, cost->r);
    }
    for (size_t i = 0; i < words; i++)
        store(piece + 4 * i, x[i]);
}

static bool cost_is_legal(const struct scrypt_cost *cost)
{
    return cost->n > 1 && (cost->n & (cost->n - 1)) == 0 && cost->r > 0 && cost->p > 0 && cost->r <= 64 &&
           cost->p <= 64 && cost->n <= SCRYPT_MEMORY_MAX / 128 / cost->r;
}

bool scrypt(struct span password, struct span salt, const struct scrypt_cost *cost, uint8_t *out, size_t out_len,
            struct error *err)
{
    if (!cost_is_legal(cost))
        return error_set(err, ERROR_INVALID, "scrypt with such numbers is not allowed");
    size_t piece = (size_t)cost->r * 128, table_size = (cost->n + 2) * piece;
    AUTO(free) uint8_t *pieces = malloc(cost->p * piece);
    AUTO(free) uint32_t *table = malloc(table_size);

    if (!pieces || !table)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    pbkdf2_once(password, (const uint8_t *)salt.data, salt.len, pieces, cost->p * piece);
    for (uint32_t i = 0; i < cost->p; i++)
        mix_memory(pieces + i * piece, cost, table);
    pbkdf2_once(password, pieces, cost->p * piece, out, out_len);
    explicit_bzero(pieces, cost->p * piece);
    explicit_bzero(table, table_size);
    return true;
}
