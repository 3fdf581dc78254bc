/* .dockerignore files and COPY --exclude patterns, as moby/patternmatcher understands them: Go-like patterns with `**`,
 * `!` for exceptions, the last match decides, and what matches a directory matches everything below it. */
#ifndef PUSHWRIGHT_DOCKERFILE_IGNORE_H
#define PUSHWRIGHT_DOCKERFILE_IGNORE_H

#include "shared/base/auto.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

enum {
    IGNORE_PATTERNS_MAX = 10000,
    IGNORE_PATTERN_MAX = 4096,
};

struct ignore; /* read-only once made: any number of threads may ask it */

/* The text of an ignore file. NULL with ERROR_INVALID for `!` alone and for broken patterns, ERROR_TOO_LARGE. */
struct ignore *ignore_parse(struct span text, struct error *err);

/* Patterns one by one, as --exclude gives them. */
struct ignore *ignore_new(const char *const *patterns, size_t count, struct error *err);

void ignore_free(struct ignore *ignore);
AUTO_FREE(struct ignore, ignore_free)

/* Is the path (relative, "a/b/c", no leading or trailing slash, no dots) left out? Looks at its parents too, so that each
 * path can be asked by itself. NULL ignores nothing. */
bool ignore_excludes(const struct ignore *ignore, struct span path);

/* The path is a directory that is left out: may something below it be let in again by an exception? False: skip it. */
bool ignore_may_include_below(const struct ignore *ignore, struct span path);

/* Does a pattern let something in again? Does one that is plainly for everything (`*`, `**`, double-star slash star) leave
 * the root's own entries out? */
bool ignore_has_exceptions(const struct ignore *ignore);
bool ignore_leaves_out_root(const struct ignore *ignore);

#endif
