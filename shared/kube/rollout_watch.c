#include "shared/kube/rollout.h"

#include "shared/kube/path.h"
#include "shared/kube/request.h"

#include "shared/base/clock.h"

#include <string.h>

enum {
    PIECE_MS_FIRST = 2000, /* of the workload's watch, before the pods are looked at; the longer it takes, the longer */
    PIECE_MS_MAX = 15 * 1000,
    PIECE_MS_CROWDED = 1000, /* of a turn */
    PODS_MS = 1000,          /* of the pods' watch: what has changed since the last one comes at once */
    PODS_PAGE = 4,           /* pods in memory at once */
    SETTLE_MS = 2000,    /* a failure must last that long: Knative's services are "not ready" for a moment in between */
    STATE_MAX = 1 << 20, /* of what is said about one object: a few sentences */
    LOG_LINES = 10,
    LOG_MAX = 2048,
};

/* What is kept while waiting is as small as can be: there may be hundreds of these. */
struct follow {
    struct kube *kube;
    const struct kube_expectation *what;
    struct kube_progress progress; /* texts in told */
    struct kube_trouble trouble;   /* texts in pods */
    char *told[2], *pods[4];
    struct bytes selector, blind; /* of the pods; why they are not looked at */
    bool seen;                    /* the object is there */
    bool reached;                 /* the server has answered */
    int64_t began_ms;
    int64_t broken_ms; /* since when it has failed; 0: it has not */
};

static void release_texts(char **texts, size_t count)
{
    while (count-- > 0)
        free(TAKE(texts[count]));
}

static void follow_release(struct follow *f)
{
    release_texts(f->told, sizeof f->told / sizeof f->told[0]);
    release_texts(f->pods, sizeof f->pods / sizeof f->pods[0]);
    bytes_release(&f->selector);
    bytes_release(&f->blind);
}
AUTO_RELEASE(struct follow, follow_release)

/* The text, which goes with its tree, on the heap. */
static bool hold(char **held, const char **text, struct error *err)
{
    char *copy = *text ? strdup(*text) : NULL;
    if (*text && !copy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    free(*held);
    *text = *held = copy;
    return true;
}

/* ---- the workload ---- */

/* The image at its place, which may stand elsewhere in its list by now; NULL: gone. */
static const char *present_image(const struct follow *f, struct arena *arena, const struct json *object)
{
    const struct kube_place *place = f->what->place;
    struct kube_place now;
    struct error ignored = { 0 };
    if (!place->container)
        return json_string(pointer_get(object, place->pointer));
    return kube_place_of_container(arena, f->what->object->resource, object, place->container, &now, &ignored)
               ? now.image
               : NULL;
}

static bool is_decided(const struct follow *f)
{
    return f->progress.phase != KUBE_PROGRESSING && f->progress.phase != KUBE_BROKEN;
}

static bool read_workload(struct follow *f, struct arena *arena, const struct json *object, struct error *err)
{
    const struct kube_resource *resource = f->what->object->resource;
    int64_t age_ms = f->what->age_ms;
    struct kube_progress now;
    if (age_ms != KUBE_AGE_UNKNOWN)
        age_ms += clock_monotonic_ms() - f->began_ms;
    if (!kube_progress_read(arena, resource, object, age_ms, &now, err) ||
        (f->selector.len == 0 && !kube_pods_selector(&f->selector, resource, object, err)))
        return false;
    const char *image = present_image(f, arena, object);
    if (now.phase != KUBE_GONE && (!image || strcmp(image, f->what->image) != 0)) {
        now.phase = KUBE_OVERTAKEN;
        now.reason = "another image is wanted by now";
    }
    f->progress = now;
    return hold(&f->told[0], &f->progress.reason, err) && hold(&f->told[1], &f->progress.url, err);
}

/* A failure ends the piece, not yet the watch: see SETTLE_MS. */
static enum kube_verdict take_workload(struct follow *f, const struct json *object, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(STATE_MAX);
    bool was_broken = f->broken_ms > 0;
    f->seen = true;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory"), KUBE_FAILED;
    if (!read_workload(f, arena, object, err))
        return KUBE_FAILED;
    bool broken = f->progress.phase == KUBE_BROKEN;
    f->broken_ms = !broken ? 0 : was_broken ? f->broken_ms : clock_monotonic_ms();
    return is_decided(f) || (broken && !was_broken) ? KUBE_ENOUGH : KUBE_GO_ON;
}

static enum kube_verdict on_workload(void *context, enum kube_change change, const struct json *object,
                                     struct error *err)
{
    struct follow *f = context;
    if (change == KUBE_ADDED || change == KUBE_MODIFIED)
        return take_workload(f, object, err);
    if (change == KUBE_LISTING)
        f->seen = false;
    if (change != KUBE_DELETED && (change != KUBE_LISTED || f->seen))
        return KUBE_GO_ON;
    f->progress = (struct kube_progress){ .phase = KUBE_GONE, .reason = "it was deleted" };
    return KUBE_ENOUGH;
}

/* ---- its pods ---- */

static bool same_pod(const struct follow *f, const char *pod)
{
    return f->trouble.reason && pod && f->trouble.pod && strcmp(f->trouble.pod, pod) == 0;
}

/* The trouble of one pod is kept: the worst, as long as it lasts. */
static enum kube_verdict on_pod(void *context, enum kube_change change, const struct json *pod, struct error *err)
{
    struct follow *f = context;
    AUTO(arena_free) struct arena *scratch = arena_new(STATE_MAX);
    struct kube_trouble found = { 0 };
    bool same = same_pod(f, json_get_string(json_get(pod, "metadata"), "name"));
    if (!scratch)
        return error_set(err, ERROR_INTERNAL, "out of memory"), KUBE_FAILED;
    if (change == KUBE_LISTED || (pod && !kube_pod_has_image(pod, f->what->place->container, f->what->image)))
        return KUBE_GO_ON;
    if (pod && change != KUBE_DELETED && !kube_trouble_of_pod(scratch, pod, &found, err))
        return KUBE_FAILED;
    if (pod && !same && !kube_trouble_is_worse(&found, &f->trouble))
        return KUBE_GO_ON;
    f->trouble = found;
    if (!hold(&f->pods[0], &f->trouble.pod, err) || !hold(&f->pods[1], &f->trouble.container, err) ||
        !hold(&f->pods[2], &f->trouble.reason, err) || !hold(&f->pods[3], &f->trouble.message, err))
        return KUBE_FAILED;
    return f->trouble.fatal ? KUBE_ENOUGH : KUBE_GO_ON;
}

/* ---- both, in turn ---- */

/* Servers that go away are waited for as long as there is time. */
static bool watch_piece(struct follow *f, const struct kube_selection *what, struct kube_cursor *cursor, int64_t ms,
                        kube_change_fn *fn, struct error *err)
{
    struct error said = { 0 };
    if (kube_watch(f->kube, what, cursor, ms > 0 ? (long)ms : 0, fn, f, &said)) {
        f->reached = true;
        return true;
    }
    *err = said;
    return error_is_temporary(&said);
}

static bool look_at_pods(struct follow *f, struct kube_cursor *cursor, struct error *err)
{
    static const struct kube_resource pods = { .api_version = "v1", .kind = "Pod", .plural = "pods" };
    const struct kube_selection what = { .resource = &pods,
                                         .namespace = f->what->object->namespace,
                                         .labels = bytes_text(&f->selector),
                                         .page = PODS_PAGE };
    if (f->selector.len == 0 || f->blind.len > 0 || watch_piece(f, &what, cursor, PODS_MS, on_pod, err))
        return true;
    return bytes_append_text(&f->blind, err->message, err); /* the workload says what is most important */
}

/* How long the next piece of the workload's watch takes at most. */
static int64_t piece_left(const struct follow *f, int64_t piece_ms, int64_t until_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t end_ms = f->broken_ms > 0 ? f->broken_ms + SETTLE_MS : now_ms + piece_ms;
    return (end_ms < until_ms ? end_ms : until_ms) - now_ms;
}

/* Others' turn, where they wait: nothing is lost in between, since a watch goes on where it was. Else the longer it takes, the longer the
 * pieces. */
static int64_t next_piece(struct follow *f, int64_t piece_ms)
{
    if (kube_is_crowded()) {
        kube_rest(f->kube);
        return PIECE_MS_CROWDED;
    }
    piece_ms = piece_ms * 3 / 2;
    return piece_ms < PIECE_MS_FIRST ? PIECE_MS_FIRST : piece_ms < PIECE_MS_MAX ? piece_ms : PIECE_MS_MAX;
}

static bool follow(struct follow *f, struct error *err)
{
    const struct kube_object *object = f->what->object;
    const struct kube_selection workload = { .resource = object->resource,
                                             .namespace = object->namespace,
                                             .name = object->name };
    struct kube_cursor cursor = { 0 }, pods = { 0 };
    int64_t until_ms = f->began_ms + f->what->timeout_ms, piece_ms = next_piece(f, 0);
    for (;;) {
        if (!kube_pause(f->kube, 1, err))
            return false;
        if (f->reached && clock_monotonic_ms() >= until_ms)
            return true;
        if (!watch_piece(f, &workload, &cursor, piece_left(f, piece_ms, until_ms), on_workload, err))
            return false;
        bool settled = f->broken_ms > 0 && clock_monotonic_ms() >= f->broken_ms + SETTLE_MS;
        if (is_decided(f) || settled)
            return true;
        if (!look_at_pods(f, &pods, err))
            return false;
        if (f->trouble.fatal)
            f->progress.phase = KUBE_BROKEN;
        if (f->trouble.fatal || (!f->reached && clock_monotonic_ms() >= until_ms))
            return f->reached;
        piece_ms = next_piece(f, piece_ms);
    }
}

/* ---- the outcome ---- */

/* "0 of 1 pods have the new image (ImagePullBackOff of container 'web' in pod 'web-1': ...)" */
static const char *whole_reason(struct arena *arena, const struct follow *f)
{
    const char *reason = f->progress.reason ? f->progress.reason : "nothing was heard of it";
    if (f->progress.phase != KUBE_PROGRESSING && f->progress.phase != KUBE_BROKEN)
        return arena_dup(arena, span_of(reason));
    if (f->blind.len > 0)
        return arena_printf(arena, "%s (its pods could not be looked at: %s)", reason, bytes_text(&f->blind));
    const char *trouble = f->trouble.reason ? kube_trouble_describe(arena, &f->trouble) : NULL;
    return trouble ? arena_printf(arena, "%s (%s)", reason, trouble) : arena_dup(arena, span_of(reason));
}

/* Best effort: the pod may be gone, and logs are a right of their own. */
static const char *read_log(struct follow *f, struct arena *arena)
{
    const struct kube_trouble *t = &f->trouble;
    AUTO(bytes_release) struct bytes log = BYTES(LOG_MAX);
    struct error ignored = { 0 };
    if (!t->crashed || !kube_pod_log(f->kube, f->what->object->namespace, t->pod, t->container, LOG_LINES, t->restarted,
                                     &log, &ignored))
        return NULL;
    for (char *c = log.data; c < log.data + log.len; c++)
        if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f)
            *c = '?'; /* it may be shown on a terminal */
    return log.len > 0 ? arena_dup(arena, bytes_span(&log)) : NULL;
}

static bool tell(struct follow *f, struct arena *arena, struct kube_outcome *out, struct error *err)
{
    *out = (struct kube_outcome){ .progress = f->progress };
    if (f->progress.url && !(out->progress.url = arena_dup(arena, span_of(f->progress.url))))
        return arena_no_room(arena, "how a rollout went", err);
    if (f->progress.phase == KUBE_COMPLETE)
        return true;
    out->progress.reason = whole_reason(arena, f);
    out->trouble = f->trouble;
    out->log = read_log(f, arena);
    if (!out->progress.reason)
        return arena_no_room(arena, "how a rollout went", err);
    return kube_trouble_keep(arena, &out->trouble, err);
}

bool kube_rollout_watch(struct kube *kube, struct arena *arena, const struct kube_expectation *what,
                        struct kube_outcome *out, struct error *err)
{
    AUTO(follow_release)
    struct follow f = { .kube = kube,
                        .what = what,
                        .began_ms = clock_monotonic_ms(),
                        .selector = BYTES(KUBE_WHAT_MAX),
                        .blind = BYTES(KUBE_WHAT_MAX) };
    struct error said = { 0 };
    if (follow(&f, &said))
        return tell(&f, arena, out, err);
    *err = said;
    return false;
}
