/* What is asked of a target, with the marks that go with it: who asks, what ran well before, what is not to come again. */
#ifndef PUSHWRIGHT_TARGET_WISH_H
#define PUSHWRIGHT_TARGET_WISH_H

#include "shared/target/target.h"

/* Who asks for which image; what is NULL is not known. */
struct asked {
    const char *image;
    const char *event, *source, *chain, *rule; /* as in struct marks */
    const char *sequence, *commit, *person;
    const char *by; /* for people who look at the workload's history: "trigger web" */
};

bool wish_for(struct arena *arena, const struct asked *asked, const struct workload *now, struct wish *out,
              struct error *err);

/* Reasons that begin so are decisions, not failures. */
#define REASON_TAKEN_BACK "taken back, "
#define REASON_ROLLED_BACK "rolled back by "
bool reason_is_decided(const char *reason);

/* The image that *now was asked for is not wanted here any more: back to what ran well before it, where that is known. ERROR_CONFLICT: the
 * workload changed meanwhile. */
bool target_give_up(struct target *target, struct arena *arena, struct workload *now, const char *reason,
                    struct error *err);

#endif
