/* What triggers said no to, each with its reason. A few are an event each, by the rule's name; thousands would drown what matters, and are one
 * that tells each reason with those who gave it. */
#ifndef PUSHWRIGHT_FUNCTIONS_TRIGGER_DECISIONS_H
#define PUSHWRIGHT_FUNCTIONS_TRIGGER_DECISIONS_H

#include "runtime/function.h"

enum { DECISIONS_APART_MAX = 50 };

/* Zeroed: none. What it points to lives in the call's arena, of a bounded size however many decisions there are. */
struct decisions {
    size_t count;
    struct reasons *reasons;
};

/* rule and about live as long as the call; reason is copied. */
bool decisions_add(struct call *call, struct decisions *decisions, const char *rule, const char *about,
                   struct span reason, struct error *err);

/* Once, behind all of them. */
bool decisions_tell(struct call *call, const struct decisions *decisions, struct error *err);

#endif
