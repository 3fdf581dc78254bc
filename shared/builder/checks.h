/* What BuildKit's linter says of a Dockerfile that is built: unlike `--check` it knows the bases. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CHECKS_H
#define PUSHWRIGHT_SHARED_BUILDER_CHECKS_H

#include "shared/builder/stage.h"
#include "shared/dockerfile/lint.h"

/* Once the bases of the build's stages are found, and before a stage is begun. Everything is in the arena. ERROR_INVALID
 * "lint violation found for rules: A, B" where the check directive makes warnings errors; what else is wrong the build tells in its turn. */
bool checks_run(struct build *build, const struct dockerfile_options *options, struct arena *arena,
                struct dockerfile_warnings *out, struct error *err);

#endif
