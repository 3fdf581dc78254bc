/* The shim behind HTTP: requests become events and calls, outcomes become answers. */
#ifndef PUSHWRIGHT_RUNTIME_SERVE_H
#define PUSHWRIGHT_RUNTIME_SERVE_H

#include "runtime/call.h"

/* Serve on `listen` until the process is told to stop and what has begun is finished. */
bool serve_run(struct shim *shim, const char *listen, struct error *err);

/* From the signal handler. */
void serve_stop(void);

#endif
