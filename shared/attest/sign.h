/* Signatures as Sigstore's tools read them, in both shapes: the older one that everything knows (cosign's own, containers/image,
 * admission controllers), and the bundle that cosign 3 writes. No transparency log: who verifies has the public key
 * (`cosign verify --key … --insecure-ignore-tlog`).
 * Sources: cosign specs/SIGNATURE_SPEC.md and ATTESTATION_SPEC.md; DSSE v1 protocol.md and envelope.md; protobuf-specs
 * sigstore_bundle.proto v0.3 as JSON. */
#ifndef PUSHWRIGHT_ATTEST_SIGN_H
#define PUSHWRIGHT_ATTEST_SIGN_H

#include "shared/base/ecdsa.h"

#define MEDIA_IN_TOTO "application/vnd.in-toto+json"
#define MEDIA_DSSE "application/vnd.dsse.envelope.v1+json"
#define MEDIA_SIGSTORE_BUNDLE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define MEDIA_SIMPLE_SIGNING "application/vnd.dev.cosign.simplesigning.v1+json"
#define PREDICATE_SIGNATURE "https://sigstore.dev/cosign/sign/v1"

/* What a signature of the older shape is over; name: the image's, without a tag. */
bool simple_signing_write(struct bytes *out, const char *name, const char *digest, struct error *err);

/* Base64 of the signature over these bytes. */
bool sign_text(struct bytes *out, const struct ecdsa_key *key, struct span text, struct error *err);

/* A statement, signed. */
bool envelope_write(struct bytes *out, const struct ecdsa_key *key, struct span statement, struct error *err);
bool bundle_write(struct bytes *out, const struct ecdsa_key *key, struct span statement, struct error *err);

#endif
