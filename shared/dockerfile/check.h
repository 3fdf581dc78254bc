/* The check directive: which rules of lint.h run, and whether a warning is an error.
 * skip=A,B|all;error=true|false;experimental=A|all */
#ifndef PUSHWRIGHT_DOCKERFILE_CHECK_H
#define PUSHWRIGHT_DOCKERFILE_CHECK_H

#include "shared/dockerfile/text.h"

struct check {
    struct dockerfile_words skipped, experimental; /* names of rules */
    bool skip_all, experimental_all;
    bool error;
};

/* The directive's value, up to its first blank, at the top of a Dockerfile; NULL when there is none. */
bool check_find(struct arena *arena, struct span text, const char **out, struct error *err);

/* NULL is nothing said. ERROR_INVALID `invalid check option "foo"`. */
bool check_parse(struct arena *arena, const char *value, struct check *out, struct error *err);

/* The file's directive, or build argument BUILDKIT_DOCKERFILE_CHECK in its stead. */
bool check_settings(struct arena *arena, const struct dockerfile *dockerfile, const struct dockerfile_pairs *args,
                    struct check *out, struct error *err);

/* What a comment above one instruction adds for it. Only skip and experimental count there, and a broken one nothing. */
bool check_merge(struct arena *arena, struct dockerfile_words comments, struct check *check, struct error *err);

bool check_wants(const struct check *check, const char *rule, bool experimental);

#endif
