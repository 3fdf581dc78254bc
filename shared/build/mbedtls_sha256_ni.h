/* The two SHA-256 block functions of mbedtls_sha256_ni.c, for its check. */
#ifndef PUSHWRIGHT_MBEDTLS_SHA256_NI_H
#define PUSHWRIGHT_MBEDTLS_SHA256_NI_H

#include <stdint.h>

void pushwright_sha256_block_portable(uint32_t state[8], const uint8_t block[64]);

/* Only on a processor for which pushwright_sha256_has_ni() is true. */
void pushwright_sha256_block_ni(uint32_t state[8], const uint8_t block[64]);
int pushwright_sha256_has_ni(void);

#endif
