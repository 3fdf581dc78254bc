/* Where the process tells what it counts: /metrics.
 *
 * Functions that take events are reached by their platform only and tell it on their own port. A function that faces the outside tells
 * nobody there, and everything moves to a door of its own when $PUSHWRIGHT_METRICS_LISTEN names one. */
#ifndef PUSHWRIGHT_RUNTIME_SCRAPE_H
#define PUSHWRIGHT_RUNTIME_SCRAPE_H

#include "runtime/function.h"
#include "runtime/metrics.h"

/* A GET or HEAD of /metrics: answered, true. */
bool scrape_answer(const struct metrics *metrics, const struct request *request, struct reply *reply);

/* A server of its own for it, in a thread of its own; `listen` as in server_options. */
struct scrape;
struct scrape *scrape_start(const struct metrics *metrics, const char *listen, struct error *err);
void scrape_stop(struct scrape *scrape);
AUTO_FREE(struct scrape, scrape_stop)

#endif
