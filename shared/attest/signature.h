/* Signatures that others made, read: may an image count as signed by a key? Whatever is malformed is no signature; nothing here is
 * believed before it is verified. Formats as in sign.h. */
#ifndef PUSHWRIGHT_ATTEST_SIGNATURE_H
#define PUSHWRIGHT_ATTEST_SIGNATURE_H

#include "shared/base/ecdsa.h"

enum { SIGNED_TEXT_MAX = 1024 * 1024 };

/* A payload of simple signing with its signature in Base64: is it this key's, and about the image of that digest? */
bool simple_signature_holds(const struct ecdsa_key *key, struct span payload, const char *signature,
                            const char *digest);

/* A Sigstore bundle: does it hold a statement by this key that signs the image? Other statements (provenance, an SBOM) do not sign it. */
bool bundle_holds(const struct ecdsa_key *key, struct span bundle, const char *digest);

#endif
