/* Who a process has become, where the kernel knows one user only: setuid(2) and the like are answered with success, and from then on the process
 * and what it starts are told, and counted, as that user's. What a process is stands where the kernel hands it on with fork and exec and acts
 * on it in no other way: in its soft limits RLIMIT_RSS (users) and RLIMIT_LOCKS (groups). Saved ids are not kept apart: back to what is real or
 * effective; who is to keep his capabilities (PR_SET_KEEPCAPS) goes on to be who he likes. No allocation. */
#ifndef PUSHWRIGHT_SANDBOX_IDENTITY_H
#define PUSHWRIGHT_SANDBOX_IDENTITY_H

#include "shared/sandbox/owners.h"
#include "shared/sandbox/privilege.h"
#include "shared/sandbox/request.h"

/* Appended to the calls that are watched, count of which there are; returns how many there are then. */
size_t identity_calls(struct privilege_watched calls[static PRIVILEGE_WATCHED_MAX], size_t count);

/* In the first process: it is who it was made. */
void identity_begin(void);

/* Whose a new file of the process is. */
struct owner identity_of_files(const struct request *request, struct owner own);

/* To one of these calls. */
long identity_answer(const struct request *request, struct owner own);

#endif
