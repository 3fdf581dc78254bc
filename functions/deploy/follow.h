/* What becomes of an image that was put into service: it is waited for; when it does not come up, what ran before is put back and the digest
 * remembered; then the outcome is told, and that it was told is noted. Everything stands in the workload's marks, so that whoever comes next
 * goes on where the last one was killed. */
#ifndef PUSHWRIGHT_FUNCTIONS_DEPLOY_FOLLOW_H
#define PUSHWRIGHT_FUNCTIONS_DEPLOY_FOLLOW_H

#include "functions/deploy/request.h"

/* Changes of one workload that are lost to somebody who was faster, before it is left to the next delivery. */
enum { ATTEMPTS_MAX = 12 };

/* As a target is opened within a call. */
struct target *follow_open(struct call *call, const struct request_facts *request, struct error *err);

/* Of what *now was asked for, at most wait_ms. ERROR_CONFLICT: it has not ended. */
bool follow(struct call *call, struct target *target, const struct request_facts *request, struct workload *now,
            int64_t wait_ms, struct error *err);

/* After a conflict or a doubt: pause a little, the longer the more often; then read again. False: *err stands. */
bool follow_again(struct call *call, struct target *target, int attempt, struct workload *now, struct error *err);

#endif
