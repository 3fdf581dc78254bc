/* What is said of an image beside it: where it comes from, what packages are in it, and by whom it is signed. Said before a tag names the
 * image, so that who sees the tag finds it. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_ATTESTATION_H
#define PUSHWRIGHT_SHARED_BUILDER_ATTESTATION_H

#include "shared/attest/statement.h"
#include "shared/base/ecdsa.h"
#include "shared/builder/publish.h"

struct attestation { /* borrows all of it */
    struct arena *arena;
    bool provenance, sbom;
    const struct ecdsa_key *key; /* NULL: nothing is signed */
    struct built *built; /* one for each platform; what is in them is still to be seen when there is an `sbom` */
    const char *const *platforms;
    size_t count;
    struct dependency source; /* of the files; digest NULL: it is not told */
    struct provenance facts;  /* but platforms, dependencies and the time of the end, which are filled in */
};

/* Between publication_upload() and publication_tag(). */
bool attestation_publish(const struct attestation *attestation, struct publication *publication, struct error *err);

#endif
