/* A control group (version 2) of its own for what runs in a sandbox, where the place delegates one: where its directory may be written to, as in
 * a service with Delegate=, below a user's systemd, or in a container that was given its group writable. */
#ifndef PUSHWRIGHT_SANDBOX_GROUP_H
#define PUSHWRIGHT_SANDBOX_GROUP_H

#include "shared/base/error.h"
#include "shared/sandbox/sandbox.h"

/* Inside the directory that sandbox_find_groups() has found. */
struct group {
    char path[SANDBOX_GROUPS_MAX + 64]; /* "": none */
    int fd;
};

bool group_make(const char *groups, const struct sandbox_limits *limits, struct group *out, struct error *err);
/* What is in it ends, then it goes. */
void group_end(struct group *group);
/* Which limit was reached so that something was ended or refused; NULL: none. */
const char *group_reached(const struct group *group);

#endif
