/* Is an image signed by a key? Looked for where cosign puts signatures, of the older shape and of the newer: behind the tag
 * "sha256-HEX.sig", and among the image's referrers. */
#ifndef PUSHWRIGHT_ATTEST_VERIFY_H
#define PUSHWRIGHT_ATTEST_VERIFY_H

#include "shared/base/ecdsa.h"
#include "shared/oci/store.h"

enum { SIGNATURES_MAX = 100 }; /* so many of an image are looked at */

/* *signed_by_key false: the sentence why not ("has 2 signatures, none of which is by the key") is appended to *reason. False only
 * when the registry could not be asked. */
bool verify_image(struct store *store, const char *digest, const struct ecdsa_key *key, bool *signed_by_key,
                  struct bytes *reason, struct error *err);

#endif
