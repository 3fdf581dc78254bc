/* A private key as people have it: in PEM as openssl writes it, or as `cosign generate-key-pair` does, locked with a password
 * (cosign.key: "ENCRYPTED SIGSTORE PRIVATE KEY", in older versions "ENCRYPTED COSIGN PRIVATE KEY"). */
#ifndef PUSHWRIGHT_ATTEST_KEY_H
#define PUSHWRIGHT_ATTEST_KEY_H

#include "shared/base/ecdsa.h"

/* password: of a locked key; "" where none is told. Locked in another way is ERROR_UNSUPPORTED, with the command that unlocks it. */
struct ecdsa_key *signing_key(struct span text, struct span password, struct error *err);

#endif
