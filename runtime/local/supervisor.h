/* Keeps the processes of the functions running: starts them, starts them again when they die, ends them with the chain. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_SUPERVISOR_H
#define PUSHWRIGHT_RUNTIME_LOCAL_SUPERVISOR_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

#include <sys/types.h>

struct supervisor;

struct child {
    const char *name;
    char *const *argv; /* argv[0] is the program's path */
    char *const *environment;
    const char *
        log; /* file that takes standard output and error, appended; one over 16 MB becomes LOG.old at the next start */
};

struct supervisor_options {
    const struct child *children; /* borrowed until freed */
    size_t child_count;
    /* From the supervisor's thread: a child ended by itself, or could not be started again (why says so, else NULL); it is
     * started again in restart_in_ms. */
    void (*ended)(void *context, const struct child *child, int wait_status, const struct error *why,
                  long restart_in_ms);
    void *context;
};

/* Starts all of them, or none: the error says which program could not be executed, and why. Each dies with this process, whatever ends it
 * (and with the calling thread: the kernel binds a child to the thread that made it). */
struct supervisor *supervisor_new(const struct supervisor_options *options, struct error *err);

/* SIGTERM to all, SIGKILL to those that are still there after grace_ms, and wait. */
void supervisor_stop(struct supervisor *supervisor, long grace_ms);
void supervisor_free(struct supervisor *supervisor); /* stops with a short grace if nobody did */
AUTO_FREE(struct supervisor, supervisor_free)

pid_t supervisor_pid(struct supervisor *supervisor, const char *name); /* -1: not running now */

#endif
