/* A function's binary, asked about itself (--manifest): what the local chain needs to start and feed it. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_PROGRAM_H
#define PUSHWRIGHT_RUNTIME_LOCAL_PROGRAM_H

#include "runtime/manifest.h"

/* Runs `program --manifest` and reads its answer; the caller frees it. */
struct manifest *program_manifest(const char *program, struct error *err);

#endif
