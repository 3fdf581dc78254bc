/* An SSH agent as a command sees it: a socket with the owner and mode that its mount asks for, whatever the agent's own socket has. What
 * is said over it is carried to the agent and back. Source: `RUN --mount=type=ssh` of the Dockerfile reference. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_AGENT_H
#define PUSHWRIGHT_SHARED_BUILDER_AGENT_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

#include <stdint.h>

enum { AGENT_LINES_MAX = 16 }; /* connections at the same time; more wait */

struct agent_options {
    const char *socket;    /* the agent's; borrowed */
    const char *path;      /* where the command's is made; its directory is nobody else's */
    const uint32_t *owner; /* user and group; NULL: ours */
    uint32_t mode;
};

struct agent; /* a socket, and a thread that carries */

struct agent *agent_new(const struct agent_options *options, struct error *err);
/* Every connection ends; the socket is removed. */
void agent_free(struct agent *agent);
AUTO_FREE(struct agent, agent_free)

#endif
