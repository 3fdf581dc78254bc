/* Any bytes as a payload of simple signing and as a Sigstore bundle. The key is known to all here, so that what the fuzzer changes about a good
 * one is found out by the signature alone: nothing but the very bytes of the corpus may hold. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/attest/sign.h"
#include "shared/attest/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST "sha256:0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"

static const char private_key[] = "-----BEGIN PRIVATE KEY-----\n"
                                  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSzgeeZGpow5po5Nb\n"
                                  "VpvHIgQEjE4DX1sDGOsA8WWguoihRANCAASdQNbr0RCg/X5IMiCIvtSBCxbyESK9\n"
                                  "MFloYVWMvwqN82Y84Vj32yFw6Qc0rxyZuZNxeGw2EzQyLhBvd4Nk0d4h\n"
                                  "-----END PRIVATE KEY-----\n";

static void must(bool promise)
{
    if (!promise)
        abort();
}

/* What we sign holds, as it is, and about nothing else. */
static void check_own(const struct ecdsa_key *key, struct span text)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes payload = BYTES(4096);
    AUTO(bytes_release) struct bytes signature = BYTES(128);
    must(simple_signing_write(&payload, "acme/web", DIGEST, &err) &&
         sign_text(&signature, key, bytes_span(&payload), &err));
    must(simple_signature_holds(key, bytes_span(&payload), bytes_text(&signature), DIGEST));
    must(span_equal(text, bytes_span(&payload)) || !simple_signature_holds(key, text, bytes_text(&signature), DIGEST));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct span text = { (const char *)data, size };
    AUTO(ecdsa_key_free) struct ecdsa_key *key = ecdsa_private_key(span_of(private_key), &err);
    AUTO(bytes_release) struct bytes signature = BYTES(128);
    must(key != NULL);
    check_own(key, text);
    /* Signed for once: whatever is in it, only a payload about the digest counts. */
    if (sign_text(&signature, key, text, &err) && simple_signature_holds(key, text, bytes_text(&signature), DIGEST))
        must(memmem(text.data, text.len, DIGEST, sizeof DIGEST - 1) != NULL ||
             memchr(text.data, '\\', text.len) != NULL);
    (void)bundle_holds(key, text, DIGEST);
    return 0;
}
