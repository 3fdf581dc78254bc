/* Where what was built goes: to registries, layouts, archives and directories. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_OUTPUT_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_OUTPUT_H

#include "runtime/cli/build_request.h"
#include "runtime/cli/build_source.h"
#include "shared/builder/publish.h"

struct build_result {
    const struct build_request *request;
    const struct build_source *source;
    const struct registry_options *registries;
    struct progress *progress;
    struct ahead *ahead; /* to the repository that is sent to first; NULL: there is none */
    struct built *built; /* one for each platform */
    const char *const *platforms;
    size_t count;
    int64_t started_ms;    /* wall clock */
    struct descriptor top; /* of the manifest or index */
    char id[DIGEST_TEXT_SIZE];
};

/* For the repository that will be sent to first. *out NULL: none will be. */
bool build_output_ahead(const struct build_request *request, const struct registry_options *registries,
                        struct ahead **out, struct error *err);

/* What the cache of a build is kept with: the repository of the image, or of the cache itself where there is none. */
const char *build_output_repository(const struct build_request *request, struct error *err);

/* A step for each place; then the files that the command line names. */
bool build_output_all(struct build_result *result, struct error *err);

#endif
