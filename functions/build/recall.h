/* What the registry remembers of this rule and ref (shared/record.h): the same commit is not built twice because it was asked for twice, and
 * what was lost on the way is found by `webhook` (reconcile.h there).
 *
 * Read before the build begins, and written after everything that it has to tell was accepted: two requests. A build that takes longer than
 * RECALL_NOTE_MS says meanwhile that it runs, unless another event's build of the commit says so already: then it gives way.
 * A rule with "reconcile": false is not remembered.
 * Nor is what `webhook` does not compare: a ref that is neither a branch nor a tag, and a commit that a person names, which need not
 * be where its ref stands (building an old one must not look as if the push of the newest had been lost).
 * Nor is one whose registry refuses such records for good: that is logged, and the build goes on. */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_RECALL_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_RECALL_H

#include "functions/build/order.h"
#include "shared/builder/engine.h"
#include "shared/git/git.h"
#include "shared/record/record.h"

#include <pthread.h>
#include <stdatomic.h>

enum { RECALL_NOTE_MS = 1000 }; /* `webhook` looks twice, further apart than that, before it misses a build */

struct recall { /* borrows all that it is opened with */
    struct call *call;
    const struct config_build *rule;
    const struct order *order;
    struct store *store; /* NULL: nothing is remembered */
    struct record found; /* before the build */
    const char *bases;   /* that were noted, or are to be */
    bool begun;
    bool noting; /* there is a thread that notes that it runs, which has the store and what follows: */
    pthread_t noter;
    char commit[GIT_OID_TEXT_SIZE];
    bool noted;
    pthread_mutex_t lock; /* of: */
    pthread_cond_t changed;
    bool over;
    atomic_bool gives_way;
};

bool recall_open(struct recall *recall, struct call *call, const struct config_build *rule, const struct order *order,
                 const struct registry_options *registries, struct error *err);
void recall_release(struct recall *recall);
AUTO_RELEASE(struct recall, recall_release)

/* *why NULL: build the commit. A person's wish, and the event that is in the record itself (it comes again), are built always.
 * ERROR_CONFLICT: another event's build of it is running. */
bool recall_look(struct recall *recall, const char *commit, const char **why, struct error *err);

/* It runs from now on. The first time that the rule builds, the refs of the repository are noted. */
bool recall_begin(struct recall *recall, const char *commit, const struct git_remote_options *remote,
                  struct error *err);

/* Another event's build of the commit has come first: this one is to end without a trace. From any thread. */
bool recall_gives_way(const struct recall *recall);

/* What is built stands on these; to be told before the end. */
bool recall_bases(struct recall *recall, const struct built *built, struct error *err);

/* How it ended; nothing when it had not begun, but for a failure, nor when it gave way. */
bool recall_end(struct recall *recall, const char *commit, enum record_outcome outcome, struct error *err);

#endif
