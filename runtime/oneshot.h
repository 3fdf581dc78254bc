/* One event, one run, one exit code: Knative JobSink, jobs of other platforms, a file or standard input. */
#ifndef PUSHWRIGHT_RUNTIME_ONESHOT_H
#define PUSHWRIGHT_RUNTIME_ONESHOT_H

#include "runtime/call.h"

/* Handle a structured event. 0: done or ignored; EXIT_PERMANENT or 1 as outcome_exit_code() says. */
int oneshot_run(struct shim *shim, struct span event);

/* The outlet of a run without a sink: each event as a line of structured JSON on standard output, which is theirs alone from now on: the
 * log goes to standard error. */
struct outlet oneshot_printer(void);

/* --check-event: decode a structured event or a batch from a file and print what was understood, encoded again. */
int oneshot_check(const char *name, const char *path);

#endif
