/* Pushes that nobody told us of: on a timer the refs of every build rule are compared with what was built (shared/record).
 *
 * The timer's event is TIMER_EVENT, posted to "/", unsigned: it only starts a comparison that anybody may start. One runs at a time, none within
 * RECONCILE_PAUSE_MS of the last one, and it ends before the platform's patience does: what it did not get to is looked at the next
 * time (it begins at another rule each time). A git host or registry that is down, slow or lies costs its own rules a line in the log.
 *
 * Missing is a branch or tag that the rule wants, whose newest build is of another commit, was never begun, or was begun and did not end
 * within the rule's time. Looked at twice, RECONCILE_AGAIN_MS apart, because a push may be on its way. A build that failed, or was skipped
 * because the commit asks for it, is not missing. What the repository had when the rule first built, and has still, is older than the rule.
 * A rule that never built anything is begun with the branch that HEAD stands for, or with the only one that it wants: never with tags, and
 * never with all of them. For an inline Dockerfile its text is what the commit is for others.
 *
 * What is found now counts as pushed now, but a tag, which `build` dates by its commit: an old one must not follow newer ones into service.
 *
 * A rule with "base" also misses a build of a branch, or of its inline Dockerfile, when an image that the newest one stands on has another
 * digest by now (bases.h).
 *
 * The event's id is made from rule, ref, commit and the record that was found, and changes every hour: two comparisons ask for one build, and what
 * is lost again is asked for again. What is asked for is decided by `build`, which looks at the record, too. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_RECONCILE_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_RECONCILE_H

#include "runtime/function.h"
#include "shared/config/config.h"

enum {
    RECONCILE_PAUSE_MS = 10 * 1000,
    RECONCILE_AGAIN_MS = 2 * 1000,
    RECONCILE_REFS_MAX = 1000, /* of a rule, looked at in one comparison; of more a part each time */
    RECONCILE_BUILDS_MAX = 50, /* asked for by one comparison */
};

struct reconciler; /* safe for several threads */

struct reconciler *reconciler_new(const struct config *config, struct error *err); /* borrows it */
void reconciler_free(struct reconciler *reconciler);
AUTO_FREE(struct reconciler, reconciler_free)

#define PUBLISHED_EVENT "dev.cdevents.artifact.published.0.3.0"

/* Is the request the timer's event, or one that tells of an image? The latter is believed as little: which image stands where is read
 * from the registry. */
enum reconcile_asked { RECONCILE_NOTHING, RECONCILE_ALL, RECONCILE_BASES };
enum reconcile_asked reconcile_asked(struct call *call, const struct request *request);

/* Compare, unless it is too early. False only when the next hop did not take what was found. */
bool reconcile_run(struct reconciler *reconciler, struct call *call, struct error *err);

/* Compare only what rules with "base" stand on. ERROR_BUSY: it is being done. */
bool reconcile_bases(struct reconciler *reconciler, struct call *call, struct error *err);

#endif
