/* A few threads over a list of independent jobs. */
#ifndef PUSHWRIGHT_BASE_PARALLEL_H
#define PUSHWRIGHT_BASE_PARALLEL_H

#include "shared/base/error.h"

/* worker: which thread this is, below the number that was asked for; what is not safe for several threads is kept once
 * for each. */
typedef bool parallel_fn(void *context, size_t worker, size_t job, struct error *err);

enum { PARALLEL_WORKERS_MAX = 16 };

/* Runs job 0 to count - 1, begun in this order, in at most `workers` threads of which the caller is one. After a failure
 * nothing new is begun; when everything that was begun has ended, the failure of the first job that failed is told. */
bool parallel_run(size_t count, size_t workers, parallel_fn *run, void *context, struct error *err);

#endif
