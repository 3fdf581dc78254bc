/* What a program inside may ask of the kernel: capabilities, limits, system calls. No allocation: between clone and exec. */
#ifndef PUSHWRIGHT_SANDBOX_PRIVILEGE_H
#define PUSHWRIGHT_SANDBOX_PRIVILEGE_H

#include "shared/base/error.h"

/* Take every capability out of the bounding and ambient sets but Docker's default ones. Needs CAP_SETPCAP. */
bool privilege_bound(struct error *err);

/* Make the default set all that is permitted and effective (keep), or nothing at all. */
bool privilege_hold(bool keep, struct error *err);

bool privilege_limits(struct error *err);

/* No new privileges, then the table of refused system calls. pretend: calls that change identity are answered with success
 * and do nothing, for user namespaces in which one user is mapped. */
bool privilege_filter(bool pretend, struct error *err);

#endif
