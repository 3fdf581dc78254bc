/* Rollouts whose outcome nobody heard of: who watched them was killed, and its event is not delivered again.
 *
 * What is told of a rollout is noted on the workload once the next hop has it. On TIMER_EVENT every target of every trigger is looked at: an
 * outcome that is not noted is told, under the ids that the event that asked for it would have given, so that what was told after all is told as the
 * same; what failed is rolled back first (follow.h). One that is still coming up is left to the next tick. What waited for the end of a freeze is
 * put into service when it is over (freeze.h). */
#ifndef PUSHWRIGHT_FUNCTIONS_DEPLOY_RESUME_H
#define PUSHWRIGHT_FUNCTIONS_DEPLOY_RESUME_H

#include "functions/deploy/request.h"

enum { RESUME_PAUSE_MS = 10 * 1000, RESUME_WAIT_MS = 2000 /* for each that a freeze has let go */ };

/* How a request is put into service. ERROR_CONFLICT: it has not come up within wait_ms. */
typedef bool resume_put(struct call *call, struct target *target, const struct request_facts *request, int64_t wait_ms,
                        struct error *err);

/* One at a time, none within the pause: then nothing is done. What cannot be looked at is logged, and is for the next tick. */
void resume_all(struct call *call, const struct config *config, resume_put *put);

#endif
