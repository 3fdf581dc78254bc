/* Go's filepath.Match, which decides about wildcards of COPY and ADD. */
#ifndef PUSHWRIGHT_DOCKERFILE_GOMATCH_H
#define PUSHWRIGHT_DOCKERFILE_GOMATCH_H

#include "shared/base/span.h"

enum gomatch { GOMATCH_NO, GOMATCH_YES, GOMATCH_BAD_PATTERN };

/* The whole name against the whole pattern: `*` and `?` within one segment, [a-z] [^a-z], `\` quotes. As in Go, a pattern
 * is found to be bad also when the name had not matched before the bad place. */
enum gomatch gomatch(struct span pattern, struct span name);

/* Does the pattern need matching at all, or is it a plain path? */
bool gomatch_has_wildcard(struct span pattern);

#endif
