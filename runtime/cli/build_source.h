/* The CONTEXT of a command line, whatever kind it is. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_SOURCE_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_SOURCE_H

#include "runtime/cli/build_request.h"
#include "shared/builder/context.h"
#include "shared/git/git.h"

struct build_source {
    struct context context;
    struct git_snapshot *snapshot; /* NULL: not from git */
    const char *commit, *remote;   /* of a commit */
    const char *name;              /* of the Dockerfile, for people */
    struct spool *spool;           /* what was downloaded or read; NULL: nothing */
};

/* Strings are made in the request's arena. */
bool build_source_open(struct build_request *request, struct progress *progress, bool (*cancelled)(void *context),
                       struct build_source *out, struct error *err);
void build_source_release(struct build_source *source);
AUTO_RELEASE(struct build_source, build_source_release)

#endif
