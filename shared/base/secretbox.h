/* What cosign locks private keys with: scrypt (RFC 7914) makes a key of a password, NaCl's secretbox (XSalsa20 and Poly1305; mbedTLS
 * behind the latter) opens with it. */
#ifndef PUSHWRIGHT_BASE_SECRETBOX_H
#define PUSHWRIGHT_BASE_SECRETBOX_H

#include "shared/base/bytes.h"

#include <stdint.h>

enum { SECRETBOX_KEY_SIZE = 32, SECRETBOX_NONCE_SIZE = 24, SECRETBOX_TAG_SIZE = 16 };

struct scrypt_cost {
    uint64_t n; /* a power of two */
    uint32_t r, p;
};

/* out_len at most 64. Takes 128 * n * r bytes of memory meanwhile: ERROR_INVALID over 256 MB, and for costs that are none. */
bool scrypt(struct span password, struct span salt, const struct scrypt_cost *cost, uint8_t *out, size_t out_len,
            struct error *err);

/* Appended to *out. ERROR_DENIED: another key, or not what was locked. */
bool secretbox_open(const uint8_t key[static SECRETBOX_KEY_SIZE], const uint8_t nonce[static SECRETBOX_NONCE_SIZE],
                    struct span box, struct bytes *out, struct error *err);

#endif
