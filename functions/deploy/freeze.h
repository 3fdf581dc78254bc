/* Windows in which what runs is left alone (shared/policy/calendar.h). What is asked for meanwhile waits in the workload's marks, the newest alone,
 * and is put into service by the timer (resume.h) when the window has closed. */
#ifndef PUSHWRIGHT_FUNCTIONS_DEPLOY_FREEZE_H
#define PUSHWRIGHT_FUNCTIONS_DEPLOY_FREEZE_H

#include "functions/deploy/request.h"

/* Are the time zones of all windows known here? */
bool freeze_check(const struct config *config, struct error *err);

/* FROZEN_NOT also for who asks by hand, and where nothing runs yet. */
bool freeze_until(const struct request_facts *request, const struct workload *now, int64_t *until_ms,
                  struct error *err);

/* The request that waits, as if it were in service; false: none does. */
bool freeze_waiting(struct call *call, const struct workload *now, struct workload *out);

/* Let the request wait, instead of what waits, and tell until when. ERROR_CONFLICT: the workload changed meanwhile. */
bool freeze_park(struct call *call, struct target *target, const struct request_facts *request, struct workload *now,
                 int64_t until_ms, struct error *err);
bool freeze_forget(struct call *call, struct target *target, const struct workload *now, struct error *err);

#endif
