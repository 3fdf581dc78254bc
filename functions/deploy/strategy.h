/* What the other targets of a trigger hear of the outcome at one of them, by the trigger's strategy. Their part is asked for by events, as all
 * deployments are: each target is one of its own. */
#ifndef PUSHWRIGHT_FUNCTIONS_DEPLOY_STRATEGY_H
#define PUSHWRIGHT_FUNCTIONS_DEPLOY_STRATEGY_H

#include "functions/deploy/request.h"

/* It runs here: in an order, it is the next one's turn. */
bool strategy_go_on(struct call *call, const struct request_facts *request, struct error *err);

/* It did not come up here: where it is all or nothing, it is taken back from all others. */
bool strategy_take_back(struct call *call, const struct request_facts *request, const char *reason, struct error *err);

/* The part of one of the others: what runs it goes back to what ran before, and does not take it again. */
bool strategy_undo(struct call *call, struct target *target, const struct request_facts *request, int64_t wait_ms,
                   struct error *err);

#endif
