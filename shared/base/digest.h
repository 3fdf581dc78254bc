/* SHA-256, HMAC-SHA256, SHA-1 and comparing in constant time (mbedTLS behind it, with the processor's instructions). */
#ifndef PUSHWRIGHT_BASE_DIGEST_H
#define PUSHWRIGHT_BASE_DIGEST_H

#include "shared/base/span.h"

#include <stdint.h>

enum { SHA256_SIZE = 32, SHA256_HEX_SIZE = 65 };

struct sha256 {
    uint64_t state[20]; /* opaque; holds the library's context */
};

void sha256_init(struct sha256 *sha);
void sha256_update(struct sha256 *sha, const void *data, size_t len);
void sha256_final(struct sha256 *sha, uint8_t out[static SHA256_SIZE]);
void sha256_of(struct span data, uint8_t out[static SHA256_SIZE]);
void sha256_hex_of(struct span data, char out[static SHA256_HEX_SIZE]);

/* For git's own file formats only, which end in it: it holds against accidents, not against anybody. */
enum { SHA1_SIZE = 20 };

struct sha1 {
    uint64_t state[12]; /* opaque; holds the library's context */
};

void sha1_init(struct sha1 *sha);
void sha1_update(struct sha1 *sha, const void *data, size_t len);
void sha1_final(struct sha1 *sha, uint8_t out[static SHA1_SIZE]);

struct hmac_sha256 {
    struct sha256 inner, outer;
};

void hmac_sha256_init(struct hmac_sha256 *hmac, struct span key);
void hmac_sha256_update(struct hmac_sha256 *hmac, const void *data, size_t len);
void hmac_sha256_final(struct hmac_sha256 *hmac, uint8_t out[static SHA256_SIZE]);

/* Time depends on the length only. */
bool constant_time_equal(const void *a, const void *b, size_t len);

#endif
