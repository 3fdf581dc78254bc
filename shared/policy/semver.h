/* Versions and ranges of versions, read exactly as npm's `semver` (7.8) reads them in its strict mode: ranges by
 * github.com/npm/node-semver "Range Grammar", precedence by semver.org 2.0.0 section 11. A `v` before a version is accepted; a
 * prerelease is in a range only where the range names one of the same major.minor.patch. */
#ifndef PUSHWRIGHT_POLICY_SEMVER_H
#define PUSHWRIGHT_POLICY_SEMVER_H

#include <stdint.h>

#include "shared/base/auto.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

struct semver {
    uint64_t major, minor, patch;
    struct span prerelease; /* borrowed from the text; absent: none */
};

/* False: it is no version. Build metadata is read and forgotten. */
bool semver_parse(struct span text, struct semver *out);

/* Negative, 0 or positive as a stands before, with or behind b. */
int semver_compare(const struct semver *a, const struct semver *b);

struct semver_range;
/* ERROR_INVALID says which part is no comparator. */
struct semver_range *semver_range_new(struct span text, struct error *err);
void semver_range_free(struct semver_range *range);
AUTO_FREE(struct semver_range, semver_range_free)

/* Safe for several threads. */
bool semver_range_accepts(const struct semver_range *range, const struct semver *version);

#endif
