/* Owners of files in a user namespace with one user: the system calls that give files away or make some, and those that ask whose they are, wait
 * for the supervisor, who does with the file what the kernel would and notes or tells the owner (seccomp_unotify(2)); so do those by which a
 * process becomes another user (identity.h). Calls that change nothing in that go on to the kernel. A process can at most deceive itself about
 * files that it could write to anyway: everything is done with the rights of the sandbox's own user, and seen from its root directory. A signal
 * that comes before the supervisor has taken a call up interrupts it, which shows where its handler does not ask for a restart (SA_RESTART). No
 * allocation. */
#ifndef PUSHWRIGHT_SANDBOX_WATCH_H
#define PUSHWRIGHT_SANDBOX_WATCH_H

#include "shared/sandbox/inside.h"
#include "shared/sandbox/privilege.h"

/* Those that are watched; returns how many. */
size_t watch_calls(struct privilege_watched out[static PRIVILEGE_WATCHED_MAX]);

/* Open what is needed later: the directory that takes the changes, named from outside, and the processes as the supervisor numbers them.
 * `machine` is the machine's root directory. Before the process namespace of the program is made. */
bool watch_prepare(const struct plan *plan, int machine, struct error *err);

/* From now on the working directory is that of the processes. */
bool watch_begin(int listener, struct error *err);

/* One call; there has to be one, or this waits. */
void watch_answer(int listener);

#endif
