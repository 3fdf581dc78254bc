/* What an image's builder says about it, put beside the image: a signature, where it comes from, what packages are in it. As referrers
 * (oci/referrers.h), and what is signed also behind the tags of tagged.h. The image itself does not change by it. */
#ifndef PUSHWRIGHT_ATTEST_ATTEST_H
#define PUSHWRIGHT_ATTEST_ATTEST_H

#include "shared/attest/statement.h"
#include "shared/attest/tagged.h"
#include "shared/base/ecdsa.h"
#include "shared/oci/referrers.h"
#include "shared/oci/store.h"

#define MEDIA_SPDX "application/spdx+json"

enum { STATEMENT_MAX = 64 * 1024 * 1024 };

struct attestor {                /* borrows all of it */
    struct store *store;         /* of the image's repository, for pushing */
    const char *name;            /* of the image, without a tag; "": a directory */
    const struct ecdsa_key *key; /* NULL: nothing is signed */
};

enum { ATTESTED_REFERRERS_MAX = 8, ATTESTED_TAGGED_MAX = 4, ATTESTED_ANNOTATIONS_MAX = 2 };

/* An image, and what was put beside it but is in no list yet. */
struct attested {
    const struct descriptor *image;
    struct referrer_entry referrers[ATTESTED_REFERRERS_MAX];
    struct referrer_annotation annotations[ATTESTED_REFERRERS_MAX][ATTESTED_ANNOTATIONS_MAX];
    size_t referrer_count;
    struct tagged_entry statements[ATTESTED_TAGGED_MAX];
    size_t statement_count;
};

/* The image is ours: what `cosign verify` reads. Needs the key. */
bool attest_signature(const struct attestor *attestor, struct attested *beside, struct error *err);

/* The same statement may be put beside each of the images that it names. predicate_type: a constant. */
bool attest_statement(const struct attestor *attestor, struct attested *beside, const char *predicate_type,
                      struct span statement, struct error *err);

/* An SPDX document about the image. */
bool attest_sbom(const struct attestor *attestor, struct attested *beside, struct span document, struct error *err);

/* All that was put beside it is listed, at once: after this it is found. */
bool attest_list(const struct attestor *attestor, const struct attested *beside, struct error *err);

#endif
