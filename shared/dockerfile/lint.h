/* What BuildKit's linter warns of, in its words: https://docs.docker.com/reference/build-checks/
 *
 * The whole Dockerfile is gone through as a build would, up to where a build would fail. The check directive, build argument
 * BUILDKIT_DOCKERFILE_CHECK above it, and `# check=skip=Rule` above one instruction say which rules run. */
#ifndef PUSHWRIGHT_DOCKERFILE_LINT_H
#define PUSHWRIGHT_DOCKERFILE_LINT_H

#include "shared/dockerfile/ignore.h"
#include "shared/dockerfile/scope.h"

enum { DOCKERFILE_WARNINGS_MAX = 500 }; /* of one file; what is more is not looked for */

struct dockerfile_warning {
    const char *rule; /* "StageNameCasing" */
    const char *message;
    unsigned line, last_line;
};

/* What is to be read of a rule; for people only. */
struct dockerfile_rule {
    const char *name, *description;
    const char *url; /* of its page; "" */
};
const struct dockerfile_rule *dockerfile_rule_find(const char *name);

struct dockerfile_warnings {
    const struct dockerfile_warning *items;
    size_t count;
    bool refused; /* the check directive makes them errors */
};

/* What a base image's config tells; texts live as long as the lint's arena. */
struct dockerfile_image {
    struct dockerfile_base base;
    struct dockerfile_words onbuild;
    const char *platform; /* that it was made for, "os/arch[/variant]"; NULL: as wanted */
};

struct dockerfile_lint_options {
    struct dockerfile_options build;
    const struct ignore *ignore; /* the context's; NULL: none */
    /* Asked for the image of every stage that is looked at. NULL: no image is known, and then a variable that an image
     * could define is never said to be undefined. platform NULL: the target's. */
    bool (*find)(void *context, const char *image, const char *platform, struct dockerfile_image *out,
                 struct error *err);
    void *context;
};

/* The warnings in *out, in memory of the arena, also when false is answered: with a build's error, or with ERROR_INVALID
 * "lint violation found for rules: A, B" where the check directive makes warnings errors. */
bool dockerfile_lint(const struct dockerfile *dockerfile, const struct dockerfile_lint_options *options,
                     struct arena *arena, struct dockerfile_warnings *out, struct error *err);

#endif
