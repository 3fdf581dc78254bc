/* --provenance, --sbom, --attest and --sign: what is said of the image beside it. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_ATTEST_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_ATTEST_H

#include "shared/base/arena.h"
#include "shared/base/ecdsa.h"

struct build_attest {
    bool provenance, sbom;
    struct ecdsa_key *key; /* NULL: nothing is signed */
};

/* The value of an option. */
bool build_attest_any(struct build_attest *attest, struct arena *arena, const char *value, struct error *err);
bool build_attest_provenance(struct build_attest *attest, struct arena *arena, const char *value, struct error *err);
bool build_attest_sbom(struct build_attest *attest, struct arena *arena, const char *value, struct error *err);

/* A file with a key; the password of a locked one is $COSIGN_PASSWORD, as for cosign. */
bool build_attest_sign(struct build_attest *attest, const char *path, struct error *err);

#endif
