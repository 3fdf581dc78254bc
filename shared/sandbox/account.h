/* USER of an image looked up in its passwd and group files. No allocation: it runs between clone and exec. */
#ifndef PUSHWRIGHT_SANDBOX_ACCOUNT_H
#define PUSHWRIGHT_SANDBOX_ACCOUNT_H

#include "shared/base/error.h"
#include "shared/base/span.h"

#include <stdint.h>

enum { ACCOUNT_GROUPS_MAX = 64, ACCOUNT_HOME_MAX = 4096 };

struct account {
    uint32_t uid, gid;
    uint32_t groups
        [ACCOUNT_GROUPS_MAX]; /* supplementary ones: its own first, then those that list the user; alone the group that was
                                            asked for, by its line when a line has that name */
    size_t group_count;
    char home[ACCOUNT_HOME_MAX]; /* "/" for a user who is not in passwd */
};

/* user: "name", "uid", either with ":group" or ":gid", or that alone, which is root's; NULL or "": root. A number needs no line in passwd, its group is then 0, as with
 * Docker. ERROR_NOT_FOUND: no such user or group; ERROR_INVALID: not a name and not a 32-bit number. */
bool account_resolve(const char *user, struct span passwd, struct span group, struct account *account,
                     struct error *err);

#endif
