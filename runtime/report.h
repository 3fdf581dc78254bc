/* The shim's words in the log and in the metrics: one line and one count an outcome, made in one place. */
#ifndef PUSHWRIGHT_RUNTIME_REPORT_H
#define PUSHWRIGHT_RUNTIME_REPORT_H

#include "runtime/call.h"

/* "listening": tests and the local chain read the port from it. */
void report_listening(const struct shim *shim, const char *listen, unsigned port);

/* A decision not to do something, with its reason. */
void report_skip(struct call *call, const char *rule, const char *reason);

/* The call is over; err NULL: it went well. `status` is what the sender was told; 0 in one-shot mode. */
void report_outcome(struct call *call, int status, const struct error *err);

/* A message that never became a call. */
void report_refusal(const struct shim *shim, int status, const struct error *err);

/* The process cannot go on: on standard error for whoever started it, and in the log. */
void report_fatal(const char *name, const struct error *err);

#endif
