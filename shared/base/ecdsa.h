/* ECDSA on P-256 over SHA-256 (FIPS 186-5; mbedTLS behind it), as cosign signs images: keys in PEM, signatures in DER. */
#ifndef PUSHWRIGHT_BASE_ECDSA_H
#define PUSHWRIGHT_BASE_ECDSA_H

#include "shared/base/bytes.h"

#include <stdint.h>

enum { ECDSA_SIGNATURE_MAX = 72, ECDSA_PUBLIC_SIZE = 91, ECDSA_KEY_TEXT_MAX = 16 * 1024 };

struct ecdsa_key; /* may be used by several threads once made */

/* "PRIVATE KEY" (PKCS 8) or "EC PRIVATE KEY", as PEM or the DER inside; it can verify, too. ERROR_INVALID says what is wrong, never what
 * stands in it. */
struct ecdsa_key *ecdsa_private_key(struct span text, struct error *err);
/* "PUBLIC KEY", as PEM or DER. */
struct ecdsa_key *ecdsa_public_key(struct span text, struct error *err);
void ecdsa_key_free(struct ecdsa_key *key);
AUTO_FREE(struct ecdsa_key, ecdsa_key_free)

/* Appended to *out. RFC 6979: the same message and key give the same signature. */
bool ecdsa_sign(const struct ecdsa_key *key, struct span message, struct bytes *out, struct error *err);

/* Is the signature this key's? Malformed ones are nobody's. */
bool ecdsa_verify(const struct ecdsa_key *key, struct span message, struct span signature);

/* RFC 5480: SubjectPublicKeyInfo, by which keys are told apart. */
bool ecdsa_public_der(const struct ecdsa_key *key, uint8_t out[static ECDSA_PUBLIC_SIZE], struct error *err);

#endif
