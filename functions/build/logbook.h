/* What a build says, from its first line: logged as it is said, and kept when the build has ended, as the rule's `log` wants it.
 *
 * In the registry it is an artifact of the type below whose one blob is the text. Of an image it is a referrer; a build that failed has
 * no image, and its log stands behind the tag "pushwright-reflog-HASH" of the rule and the ref, until the next one that fails. (Tags that
 * begin with RECORD_TAG_PREFIX are no images.)
 *
 * Of what is longer than LOGBOOK_HEAD and LOGBOOK_TAIL bytes the middle is left out. Nothing is in it that progress.h hides. */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_LOGBOOK_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_LOGBOOK_H

#include "functions/build/order.h"
#include "shared/builder/progress.h"
#include "shared/oci/store.h"

#define LOGBOOK_TYPE "application/vnd.pushwright.build.log.v1"
enum { LOGBOOK_HEAD = 256 * 1024, LOGBOOK_TAIL = 768 * 1024 };

struct logbook;

struct logbook *logbook_new(struct call *call, struct error *err);
void logbook_free(struct logbook *logbook);
AUTO_FREE(struct logbook, logbook_free)

/* The context is the logbook. Lines that come faster than anybody reads are not logged, but kept; the log says how many they were. */
progress_fn logbook_event;
/* A line about the build as a whole. */
void logbook_say(struct logbook *logbook, const char *line);

struct logbook_place {
    const struct config_build *rule;
    const struct order *order;
    const char *commit;
    const struct registry_options *registries;
    const struct descriptor *image; /* NULL: the build failed */
};

/* Where it can be read from now on: a URL, or "registry/repository@sha256:..." of the artifact; NULL: the rule keeps none, or it could
 * not be kept, which is logged and no reason for a build to fail. In the call's arena. */
const char *logbook_keep(struct logbook *logbook, const struct logbook_place *place);

#endif
