/* What deploy reads from deploy.requested, checked against the configuration, and the events it makes of the outcome. */
#ifndef PUSHWRIGHT_FUNCTIONS_DEPLOY_REQUEST_H
#define PUSHWRIGHT_FUNCTIONS_DEPLOY_REQUEST_H

#include "runtime/function.h"
#include "shared/target/target.h"

enum { TEXT_MAX = 64 * 1024 };

/* A request that the configuration permits. Strings belong to the call. */
struct request_facts {
    const struct config_trigger *trigger;
    const struct config_target *where;
    size_t index; /* of the target in its trigger */
    struct reference reference;
    const char *image; /* name:tag@digest */
    const char *digest, *tag;
    const char *sequence;    /* decimal milliseconds, of the push; of the event for what was uploaded by hand */
    const char *commit;      /* NULL: not told */
    const char *subject;     /* "cluster/namespace/workload" */
    const char *person;      /* who asked by hand: then neither order nor what failed before counts; NULL: nobody did */
    const char *ref, *build; /* of the push; NULL: not told */
    const char *undo;        /* it is not to go into service but out of it, and why; NULL: into service */
    const char *event_id, *source, *chain;
};

/* ERROR_CONFLICT: the trigger is not in the configuration (it may be on its way). ERROR_INVALID: the event contradicts it. */
bool request_read(struct call *call, const struct config *config, struct request_facts *out, struct error *err);
/* The request that brought the workload to where it is; trigger, where and index are set already. */
bool request_of_workload(struct call *call, const struct workload *now, struct request_facts *out, struct error *err);

/* What waits for the end of a freeze, as it stands in the workload's marks; request_read_parked() checks it as an event. */
const char *request_park(struct call *call, const struct request_facts *request, struct error *err);
bool request_read_parked(struct call *call, const char *text, struct request_facts *out, struct error *err);

/* As it stands in the workload's marks; NULL: no memory. */
const char *request_rule(struct call *call, const struct request_facts *request);

void request_release(struct request_facts *request);
AUTO_RELEASE(struct request_facts, request_release)

/* Negative, 0 or positive as a is older than, the same as, or newer than b: decimal numbers of any length; what is no number
 * is older than everything. */
int sequence_compare(const char *a, const char *b);

/* service.deployed when nothing ran before, else service.upgraded. duration_ms -1: not known. */
bool tell_success(struct call *call, const struct request_facts *request, const struct workload *now,
                  int64_t duration_ms, struct error *err);
/* incident.detected, and service.rolledback when something older stays in service. */
bool tell_failure(struct call *call, const struct request_facts *request, const struct workload *now,
                  struct error *err);

#endif
