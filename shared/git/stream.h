/* The connections of libgit2, made by us, so that an address is looked at where it is connected to: one that was looked up before and found
 * harmless may be another one by then. Private to shared/git. */
#ifndef PUSHWRIGHT_GIT_STREAM_H
#define PUSHWRIGHT_GIT_STREAM_H

#include <stdbool.h>

struct sockaddr;

/* Once for the process. */
bool stream_register(void);

/* From here on, of this thread: what may be connected to, unless it is a proxy of the environment. NULL: anything. */
void stream_guard(bool (*connectable)(const struct sockaddr *address));
/* Has it refused an address? */
bool stream_refused(void);

#endif
