/* What is said about images: in-toto Statements v1, and the predicate of a build, SLSA provenance v1.
 * Sources: in-toto attestation framework, spec/v1/statement.md; slsa.dev/spec/v1.0/provenance.
 *
 * Two pushes of one commit make one image, and two statements: an image tells nothing of the push that made it. */
#ifndef PUSHWRIGHT_ATTEST_STATEMENT_H
#define PUSHWRIGHT_ATTEST_STATEMENT_H

#include "shared/base/json.h"

#define PREDICATE_PROVENANCE "https://slsa.dev/provenance/v1"
#define PREDICATE_SPDX "https://spdx.dev/Document"

/* The names under which provenance tells what was done, and by whom; README says what is in it. */
#define PROVENANCE_BUILD_TYPE "https://pushwright.dev/build/dockerfile/v1"
#define PROVENANCE_BUILDER "https://pushwright.dev/builder/v1"

struct subject {
    const char *name;   /* of the image, without a tag; NULL: none is said */
    const char *digest; /* "sha256:..." */
};

/* predicate is JSON. */
bool statement_write(struct bytes *out, const struct subject *subjects, size_t count, const char *predicate_type,
                     struct span predicate, struct error *err);

struct dependency {
    const char *uri;
    const char *digest; /* "sha256:...", or the id of a commit: told as gitCommit */
};

/* Strings may be NULL: not said. No value of a build argument, and no secret, has a place here. */
struct provenance {
    const char *rule, *source, *ref, *dockerfile, *context, *target;
    const char *const *arguments; /* names */
    size_t argument_count;
    const char *const *platforms;
    size_t platform_count;
    const struct dependency *dependencies;
    size_t dependency_count;
    const char *invocation;
    int64_t started_ms, finished_ms; /* wall clock */
};

/* The predicate. */
bool provenance_write(struct bytes *out, const struct provenance *provenance, struct error *err);

#endif
