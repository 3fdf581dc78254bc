/* The builds that run in this process: a newer push of a ref ends the builds of older ones. (Builds in other processes find out by asking
 * the git host before they publish.) */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_RUNNING_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_RUNNING_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

struct running;     /* safe for several threads */
struct running_job; /* one build */

struct running *running_new(struct error *err);
void running_free(struct running *running); /* no job is left */
AUTO_FREE(struct running, running_free)

/* Older builds of this rule and ref are told to end. NULL: ERROR_CONFLICT when the same push is being built already, or *newer is true when
 * a newer push is. */
struct running_job *running_begin(struct running *running, const char *rule, const char *ref, const char *sequence,
                                  bool *newer, struct error *err);
bool running_superseded(const struct running_job *job);
void running_end(struct running_job *job);
AUTO_FREE(struct running_job, running_end)

#endif
