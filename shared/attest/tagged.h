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

/* One whose content is at the registry. Borrows the layer's texts. */
struct tagged_entry {
    struct descriptor blob;
    const char *signature, *predicate_type;
};

bool tagged_put(struct store *store, const struct tagged_layer *layer, struct tagged_entry *out, struct error *err);
bool tagged_enter(struct store *store, const char *subject, const char *suffix, const struct tagged_entry *entries,
                  size_t count, struct error *err);

/* Both halves of one. Behind those that stand there already; nothing changes when it is among them. suffix: "sig", "att". */
bool tagged_add(struct store *store, const char *subject, const char *suffix, const struct tagged_layer *layer,
                struct error *err);

#endif
