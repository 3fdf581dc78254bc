/* What is said of a Dockerfile: warnings, its stages, and where it failed, in BuildKit's words. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_REPORT_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_REPORT_H

#include "runtime/cli/build_request.h"
#include "runtime/cli/build_source.h"

/* The lines around the one that the error names; nothing when it names none. */
void report_place(const struct build_source *source, const struct error *failed, FILE *out);

/* --check. Bases are not asked for at their registries. The exit code: 1 when there is anything to say. */
int report_check(const struct build_request *request, const struct build_source *source, FILE *out);

/* A line for each warning, after a build. */
void report_warnings(const struct dockerfile_warnings *warnings, FILE *out);

/* --call targets */
int report_targets(const struct build_source *source, FILE *out);

#endif
