/* What a rule wants to be said of its images beside them: `provenance`, `sbom`, `sign`. */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_ATTEST_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_ATTEST_H

#include "functions/build/order.h"
#include "shared/builder/attestation.h"

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
