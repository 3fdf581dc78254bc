/* The events that a build makes, in the order in which they are told. */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_EVENTS_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_EVENTS_H

#include "functions/build/order.h"
#include "shared/builder/publish.h"

struct build_told {
    const struct order *order;
    const char *commit;  /* NULL: not known, the build failed before */
    int64_t duration_ms; /* for the finished ones */
    const char *log;     /* where it is kept (logbook.h); NULL: nowhere */
};

/* build.started, taskrun.started. */
bool events_started(struct call *call, const struct build_told *told, struct error *err);

/* taskrun.finished, artifact.packaged, artifact.published, build.finished. */
bool events_published(struct call *call, const struct build_told *told, const struct publication *publication,
                      const struct tags *tags, struct error *err);

/* taskrun.finished and build.finished of a build without an image. outcome: "failure" or "cancel"; reason in one sentence. */
bool events_not_published(struct call *call, const struct build_told *told, const char *outcome, const char *reason,
                          struct error *err);

#endif
