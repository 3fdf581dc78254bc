/* Users and groups of an image, for --chown and for the owner of a WORKDIR. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_ACCOUNTS_H
#define PUSHWRIGHT_SHARED_BUILDER_ACCOUNTS_H

#include "shared/builder/tree.h"

enum { ACCOUNTS_MAX = 10 * 1024 * 1024 }; /* a larger /etc/passwd or /etc/group is refused */

/* Does it take a look into the image to tell the owner? */
bool accounts_needed(const char *owner);

/* "user[:group]" as BuildKit reads it: a number is taken as it is (alone for the group too), a name is looked up in the tree's
 * /etc/passwd and /etc/group. A user that is not there, or is over 2^31 - 1, is 0; a group that is not there is the user's. tree NULL: names are ERROR_INVALID. */
bool accounts_owner(const struct tree *tree, const char *owner, uint32_t *uid, uint32_t *gid, struct error *err);

#endif
