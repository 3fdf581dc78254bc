/* What a build does, told as it happens: steps that begin, print lines and end. Whoever listens draws it, logs it or keeps it.
 *
 * Nothing that is told holds a secret that was named before: its value, and each of its lines, becomes "***". So does the password of a
 * URL ("https://user:***@host/") from three letters on. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_PROGRESS_H
#define PUSHWRIGHT_SHARED_BUILDER_PROGRESS_H

#include "shared/base/auto.h"
#include "shared/base/bytes.h"

#include <stdint.h>

enum progress_what {
    PROGRESS_STARTED,
    PROGRESS_SAID,
    PROGRESS_CACHED,
    PROGRESS_DONE,
    PROGRESS_CANCELLED, /* for no fault of its own */
    PROGRESS_FAILED
};

struct progress_event {
    enum progress_what what; /* a step is started once, and ends once in one of the last four */
    unsigned step;           /* from 1, in the order in which they began */
    const char *name;        /* "[build 2/3] RUN make" */
    const char *text;        /* PROGRESS_SAID: a line; PROGRESS_FAILED: the reason; else NULL */
    int64_t since_ms;        /* since the step began */
};

typedef void progress_fn(void *context, const struct progress_event *event);

struct progress; /* any number of threads; the listener is called by one at a time */

/* A secret shorter than this is not looked for: half of every text would be hidden. */
enum { PROGRESS_SECRET_MIN = 4, PROGRESS_SECRETS_MAX = 4096 };

struct progress *progress_new(progress_fn *listener, void *context, struct error *err);
void progress_free(struct progress *progress);
AUTO_FREE(struct progress, progress_free)

/* To be called before the build begins; the value is copied. ERROR_TOO_LARGE over PROGRESS_SECRETS_MAX lines of them. */
bool progress_hide(struct progress *progress, struct span secret, struct error *err);

/* In place; the text only gets shorter. progress NULL: passwords in URLs alone. */
void progress_mask(const struct progress *progress, char *text, size_t *len);
/* The longest that is hidden, less one byte: what the end of a cut text may hold of one. */
size_t progress_overlap(const struct progress *progress);

struct progress_step {
    struct progress *progress; /* NULL: nobody listens */
    const char *name;
    unsigned number;
    int64_t began_ms;
    bool cached, cancelled;
};

/* name is borrowed until the step ends. */
void progress_begin(struct progress *progress, struct progress_step *step, const char *name);
void progress_say(struct progress_step *step, const char *line);
/* Its result was there before. */
void progress_cached(struct progress_step *step);
/* It is ended because something else went wrong, or somebody wants it. */
void progress_cancel(struct progress_step *step);
/* failed NULL: it went well. A step that was not begun does not end. */
void progress_end(struct progress_step *step, const struct error *failed);

/* One line for people, as BuildKit writes them: "#4 [build 2/3] RUN make", "#4 0.123 a line", "#4 DONE 0.4s". Control characters, which
 * a program may use to colour its output, are left as they are. */
bool progress_line(const struct progress_event *event, struct bytes *out, struct error *err);

#endif
