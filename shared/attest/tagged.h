/* Where cosign kept what belongs to an image before registries could list it, and where most verifiers still look: a manifest behind the
 * tag "sha256-HEX.sig" or "sha256-HEX.att", a layer for each signature. Source: cosign specs/SIGNATURE_SPEC.md, "Tag-based Discovery". */
#ifndef PUSHWRIGHT_ATTEST_TAGGED_H
#define PUSHWRIGHT_ATTEST_TAGGED_H

#include "shared/oci/store.h"

struct tagged_layer {
    const char *media_type;
    struct span content;
    const char *signature;      /* Base64; "" where the content holds it */
    const char *predicate_type; /* NULL: none */
};

/* Behind those that stand there already; nothing changes when it is among them. suffix: "sig", "att". */
bool tagged_add(struct store *store, const char *subject, const char *suffix, const struct tagged_layer *layer,
                struct error *err);

#endif
