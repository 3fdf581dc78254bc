/* The progress of a build as people see it: redrawn on a terminal, or one line after the other, or as BuildKit's JSON. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_DISPLAY_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_DISPLAY_H

#include "runtime/cli/build_request.h"
#include "shared/builder/progress.h"

#include <stdio.h>

struct display;

/* BUILD_PROGRESS_AUTO: by whether it is a terminal. */
struct display *display_new(FILE *out, enum build_progress how, struct error *err);
/* The last look: what was still shown as running is told as it ended. */
void display_free(struct display *display);
AUTO_FREE(struct display, display_free)

progress_fn display_event; /* the context is the display */

/* Stop drawing; what is printed from now on stands below. */
void display_finish(struct display *display);

/* The step that failed, and the end of what it printed, as BuildKit repeats them; nothing when none did. */
void display_tell_failed(const struct display *display, FILE *out);

#endif
