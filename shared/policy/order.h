/* Which of two tags is the newer one, told from their text. */
#ifndef PUSHWRIGHT_POLICY_ORDER_H
#define PUSHWRIGHT_POLICY_ORDER_H

#include "shared/policy/pattern.h"

/* Runs of digits count as numbers, of any length: "v9" before "v10", "1.02" like "1.2" before it is told apart by its text. */
int order_natural(struct span a, struct span b);

enum order_kind {
    ORDER_NUMERIC, /* each group is a number; the first that differs decides */
    ORDER_CALENDAR, /* groups named year, month, week, day, hour, minute, second and serial, the larger unit first wherever it
                       stands; without names every run of digits of the groups, in order */
    ORDER_KINDS
};
const char *order_kind_name(enum order_kind kind); /* as in the file */

/* Has the expression the groups that the order reads? ERROR_INVALID. */
bool order_check(enum order_kind kind, const struct regex *regex, struct error *err);

/* Does the tag match, and are its groups what the order reads? Otherwise *fit is false. */
bool order_fits(enum order_kind kind, const struct regex *regex, struct span tag, bool *fit, struct error *err);

/* Both tags fit. */
bool order_compare(enum order_kind kind, const struct regex *regex, struct span a, struct span b, int *result,
                   struct error *err);

#endif
