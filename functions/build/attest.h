/* What is said of an image beside it, as the rule wants: `provenance`, `sbom`, `sign`. Said before a tag names the image, so that who sees
 * the tag finds it. */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_ATTEST_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_ATTEST_H

#include "functions/build/order.h"
#include "shared/base/ecdsa.h"
#include "shared/builder/publish.h"

/* The rule's key; *out NULL when it signs nothing. */
bool attest_key(const struct config_build *rule, struct ecdsa_key **out, struct error *err);

struct attest_facts { /* borrows all of it */
    struct call *call;
    const struct config_build *rule;
    const struct order *order;
    const char *commit;
    const struct ecdsa_key *key; /* NULL: nothing is signed */
    struct built *built;         /* one for each of the rule's platforms */
    int64_t started_ms;          /* wall clock */
};
bool attest_publication(const struct attest_facts *facts, struct publication *publication, struct error *err);

#endif
