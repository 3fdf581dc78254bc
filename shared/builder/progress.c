#include "shared/builder/progress.h"

#include "shared/base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct progress {
    pthread_mutex_t lock;
    progress_fn *listener;
    void *context;
    unsigned last;
    struct span *secrets; /* longest first */
    size_t secret_count;
};

struct progress *progress_new(progress_fn *listener, void *context, struct error *err)
{
    struct progress *progress = calloc(1, sizeof(*progress));

    if (!progress || pthread_mutex_init(&progress->lock, NULL) != 0) {
        free(progress);
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    progress->listener = listener;
    progress->context = context;
    return progress;
}

void progress_free(struct progress *progress)
{
    if (!progress)
        return;
    for (size_t i = 0; i < progress->secret_count; i++) {
        char *copy = (char *)(uintptr_t)progress->secrets[i].data;
        explicit_bzero(copy, progress->secrets[i].len);
        free(copy);
    }
    pthread_mutex_destroy(&progress->lock);
    free(progress->secrets);
    free(progress);
}

/* ---- secrets ---- */

/* The longest first: one may be part of another. */
static bool hide(struct progress *progress, struct span secret, struct error *err)
{
    size_t at = progress->secret_count;

    secret = span_trim(secret);
    if (secret.len < PROGRESS_SECRET_MIN)
        return true;
    if (at == PROGRESS_SECRETS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "secrets of more than %d lines", PROGRESS_SECRETS_MAX);
    struct span *grown = reallocarray(progress->secrets, at + 1, sizeof(grown[0]));
    if (grown)
        progress->secrets = grown;
    char *copy = grown ? malloc(secret.len) : NULL;
    if (!copy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    memcpy(copy, secret.data, secret.len);
    for (; at > 0 && progress->secrets[at - 1].len < secret.len; at--)
        progress->secrets[at] = progress->secrets[at - 1];
    progress->secrets[at] = (struct span){ copy, secret.len };
    progress->secret_count++;
    return true;
}

bool progress_hide(struct progress *progress, struct span secret, struct error *err)
{
    struct span rest = secret;

    while (rest.data) {
        if (!hide(progress, span_cut(&rest, '\n'), err))
            return false;
    }
    return true;
}

static const char stars[] = { '*', '*', '*' };

/* The password that `text` begins with when it is what stands behind "://": "user:PASSWORD@host". Empty: none, or too short to be one. */
static struct span password_of(const char *text, size_t len)
{
    size_t end = 0, at;

    while (end < len && !strchr(" \t\"'/?#", text[end]))
        end++;
    const char *host = memrchr(text, '@', end), *colon = memchr(text, ':', end);
    at = host && colon && colon < host ? (size_t)(host - colon) - 1 : 0;
    return (struct span){ colon ? colon + 1 : text, at < sizeof(stars) ? 0 : at };
}

static void mask_urls(char *text, size_t *len)
{
    char *at = text;

    while ((at = memmem(at, *len - (size_t)(at - text), "://", 3))) {
        at += 3;
        struct span password = password_of(at, *len - (size_t)(at - text));
        if (password.len == 0)
            continue;
        char *start = at + (password.data - at), *rest = start + password.len;
        memcpy(start, stars, sizeof(stars));
        memmove(start + sizeof(stars), rest, *len - (size_t)(rest - text));
        *len -= password.len - sizeof(stars);
    }
}

void progress_mask(const struct progress *progress, char *text, size_t *len)
{
    mask_urls(text, len);
    for (size_t i = 0; progress && i < progress->secret_count; i++) {
        struct span secret = progress->secrets[i];
        char *at = text;

        while ((at = memmem(at, *len - (size_t)(at - text), secret.data, secret.len))) {
            memcpy(at, stars, sizeof(stars));
            at += sizeof(stars);
            size_t cut = secret.len - sizeof(stars);
            *len -= cut;
            memmove(at, at + cut, *len - (size_t)(at - text));
        }
    }
}

size_t progress_overlap(const struct progress *progress)
{
    return progress && progress->secret_count > 0 ? progress->secrets[0].len - 1 : 0;
}

/* ---- telling ---- */

/* A text that cannot be copied is not told. */
static void tell(struct progress_step *step, enum progress_what what, const char *text)
{
    struct progress *progress = step->progress;
    AUTO(free) char *name = strdup(step->name), *shown = text ? strdup(text) : NULL;

    if (!name)
        return;
    size_t name_len = strlen(name), shown_len = shown ? strlen(shown) : 0;
    progress_mask(progress, name, &name_len);
    name[name_len] = '\0';
    if (shown) {
        progress_mask(progress, shown, &shown_len);
        shown[shown_len] = '\0';
    }
    const struct progress_event event = {
        what, step->number, name, text && !shown ? "***" : shown, clock_monotonic_ms() - step->began_ms,
    };
    pthread_mutex_lock(&progress->lock);
    progress->listener(progress->context, &event);
    pthread_mutex_unlock(&progress->lock);
}

void progress_begin(struct progress *progress, struct progress_step *step, const char *name)
{
    *step = (struct progress_step){ .progress = progress, .name = name };
    if (!progress)
        return;
    pthread_mutex_lock(&progress->lock);
    step->number = ++progress->last;
    pthread_mutex_unlock(&progress->lock);
    step->began_ms = clock_monotonic_ms();
    tell(step, PROGRESS_STARTED, NULL);
}

void progress_say(struct progress_step *step, const char *line)
{
    if (step->progress)
        tell(step, PROGRESS_SAID, line);
}

void progress_cached(struct progress_step *step)
{
    step->cached = true;
}

void progress_cancel(struct progress_step *step)
{
    step->cancelled = true;
}

void progress_end(struct progress_step *step, const struct error *failed)
{
    if (!step->progress)
        return;
    if (failed && step->cancelled)
        tell(step, PROGRESS_CANCELLED, NULL);
    else if (failed)
        tell(step, PROGRESS_FAILED, failed->message);
    else
        tell(step, step->cached ? PROGRESS_CACHED : PROGRESS_DONE, NULL);
    step->progress = NULL;
}

/* ---- for people ---- */

bool progress_line(const struct progress_event *event, struct bytes *out, struct error *err)
{
    double seconds = (double)event->since_ms / 1000;

    switch (event->what) {
    case PROGRESS_STARTED:
        return bytes_printf(out, err, "#%u %s", event->step, event->name);
    case PROGRESS_SAID:
        return bytes_printf(out, err, "#%u %.3f %s", event->step, seconds, event->text);
    case PROGRESS_CACHED:
        return bytes_printf(out, err, "#%u CACHED", event->step);
    case PROGRESS_DONE:
        return bytes_printf(out, err, "#%u DONE %.1fs", event->step, seconds);
    case PROGRESS_CANCELLED:
        return bytes_printf(out, err, "#%u CANCELED", event->step);
    case PROGRESS_FAILED:
        return bytes_printf(out, err, "#%u ERROR: %s", event->step, event->text);
    }
    return true;
}
