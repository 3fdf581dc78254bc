/* A function's fn.json, as the binary itself tells it (--manifest): what the local chain needs to start and feed it. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_MANIFEST_H
#define PUSHWRIGHT_RUNTIME_LOCAL_MANIFEST_H

#include "shared/base/arena.h"
#include "shared/base/error.h"

struct manifest {
    const char *name;
    const char *program;      /* path of the binary */
    const char *const *types; /* "in" */
    size_t type_count;
    unsigned concurrency;
    long timeout_ms;
    bool serves_http;         /* faces the outside: listens on TCP */
};

/* Runs `program --manifest` and reads its answer into the arena. */
bool manifest_ask(struct arena *arena, const char *program, struct manifest *out, struct error *err);

#endif
