/* The one place where an error becomes what a sender is told: DESIGN section 5. */
#ifndef PUSHWRIGHT_RUNTIME_OUTCOME_H
#define PUSHWRIGHT_RUNTIME_OUTCOME_H

#include "runtime/function.h"

/* Knative keeps the first 1024 characters of an error's body, in base64, on the dead letter. */
enum { PROBLEM_MAX = 700 };

enum { EXIT_PERMANENT = 42 }; /* "podFailurePolicy: FailJob on 42" */

/* Status, Retry-After and application/problem+json. */
void outcome_reply(struct reply *reply, const struct error *err);

/* 405, with the methods that are allowed (static text). */
void outcome_wrong_method(struct reply *reply, const char *allow);

/* Exit code of a one-shot run that failed: EXIT_PERMANENT when trying again is of no use, 1 otherwise. */
int outcome_exit_code(const struct error *err);

#endif
