/* A workload of a Kubernetes cluster: one container's image, or the image at a path, in an object that somebody else made. */
#include "shared/target/target.h"

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/kube/kubeconfig.h"
#include "shared/kube/owner.h"
#include "shared/kube/patch.h"
#include "shared/kube/rollout.h"
#include "shared/target/image.h"

#include <string.h>

enum {
    PATCH_MAX = 256 * 1024,
    OBJECT_MEMORY_MAX = 48 * 1024 * 1024, /* an object as a tree takes about ten times its text */
    MARKS_MAX = 24,
    NOTE_ATTEMPTS_MAX = 5,
    DEFAULT_DEADLINE_S = 900, /* of workloads that have none of their own */
    EVENT_NOTE_MAX = 1000,    /* the API takes 1024 bytes */
    EVENT_NAME_MAX = 200,
};

struct kubernetes {
    const struct config_target *where;
    struct kube_access access;
    struct arena *names; /* what discovery told */
    struct kube_resource resource;
    struct kube_object object;
    struct kube *kube;
    struct arena *arena; /* of the object as it was seen last: */
    const struct json *tree;
    struct kube_place place;
};

static void kubernetes_close(void *self)
{
    struct kubernetes *k = self;
    if (!k)
        return;
    kube_close(k->kube);
    kube_access_release(&k->access);
    arena_free(k->names);
    arena_free(k->arena);
    free(k);
}
AUTO_FREE(void, kubernetes_close)

/* ---- reaching it ---- */

static bool find_access(struct kubernetes *k, const struct target_options *options, struct error *err)
{
    const struct config_cluster *outside = k->where->outside;
    const char *file = options->kubeconfig ? options->kubeconfig : outside ? outside->kubeconfig : NULL;
    const char *context = options->kubeconfig ? options->kubeconfig_context : outside ? outside->context : NULL;
    return file ? kubeconfig_load(&k->access, file, context, outside && outside->insecure, err)
                : kube_access_in_cluster(&k->access, NULL, err);
}

static bool find_resource(struct kubernetes *k, struct error *err)
{
    const struct config_target *where = k->where;
    const struct kube_resource *known = kube_resource_find(where->api_version, where->kind);
    if (known)
        k->resource = *known;
    else if (where->plural)
        k->resource = (struct kube_resource){ where->api_version, where->kind, where->plural, false, "/spec/template" };
    else
        return kube_discover(k->kube, k->names, where->api_version, where->kind, &k->resource, err);
    return true;
}

static void *kubernetes_open(const struct config_target *where, const struct target_options *options, struct error *err)
{
    AUTO(kubernetes_close) void *owned = calloc(1, sizeof(struct kubernetes));
    struct kubernetes *k = owned;
    const struct kube_options kube_options = { .cancelled = options->cancelled, .context = options->context };
    if (!k || !(k->names = arena_new(OBJECT_MEMORY_MAX))) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    k->where = where;
    if (!find_access(k, options, err) || !(k->kube = kube_open(&k->access, &kube_options, err)) ||
        !find_resource(k, err)) {
        error_wrap(err, "cluster '%s'", where->cluster);
        return NULL;
    }
    k->object = (struct kube_object){ &k->resource, where->namespace, where->workload };
    return TAKE(owned);
}

/* ---- the object ---- */

/* Takes the arena over, with the tree in it. */
static bool hold(struct kubernetes *k, struct arena *arena, const struct json *tree, struct error *err)
{
    const char *path = k->where->path;
    arena_free(k->arena);
    k->arena = arena;
    k->tree = tree;
    return path ? kube_place_of_path(arena, tree, path, &k->place, err)
                : kube_place_of_container(arena, &k->resource, tree, k->where->container, &k->place, err);
}

/* What is not there may be on its way. */
static bool not_yet(struct error *err)
{
    if (err->kind == ERROR_NOT_FOUND)
        err->kind = ERROR_CONFLICT;
    return false;
}

static bool fetch(struct kubernetes *k, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(OBJECT_MEMORY_MAX);
    const struct json *tree;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return (kube_get(k->kube, arena, &k->object, &tree, err) && hold(k, TAKE(arena), tree, err)) || not_yet(err);
}

static const struct json *annotations_of(const struct kubernetes *k)
{
    return json_get(json_get(k->tree, "metadata"), "annotations");
}

/* How long ago its image was asked for by us. */
static int64_t age_of(const struct kubernetes *k)
{
    int64_t age_ms = mark_age_ms(json_get_string(annotations_of(k), "pushwright.dev/time"));
    return age_ms >= 0 ? age_ms : KUBE_AGE_UNKNOWN;
}

static const enum rollout rollouts[] = {
    [KUBE_PROGRESSING] = ROLLOUT_STARTING, [KUBE_COMPLETE] = ROLLOUT_RUNNING, [KUBE_BROKEN] = ROLLOUT_FAILED,
    [KUBE_NOT_WATCHED] = ROLLOUT_RUNNING,  [KUBE_GONE] = ROLLOUT_NONE,        [KUBE_OVERTAKEN] = ROLLOUT_STARTING,
};

static bool keep_text(struct arena *arena, const char *text, const char **out, struct error *err)
{
    *out = text ? arena_dup(arena, span_of(text)) : NULL;
    return !text || *out || arena_no_room(arena, "what runs in a cluster", err);
}

static bool serves(const struct json *object)
{
    const struct json *status = json_get(object, "status");
    int64_t available = 0;
    return (json_integer(json_get(status, "availableReplicas"), &available) ||
            json_integer(json_get(status, "numberAvailable"), &available)) &&
           available > 0;
}

/* `outcome`, where it was watched, knows more than the object. */
static bool understand(struct kubernetes *k, struct arena *arena, const struct kube_outcome *outcome,
                       struct workload *out, struct error *err)
{
    struct kube_progress progress;
    *out = (struct workload){ 0 };
    if (!kube_progress_read(arena, &k->resource, k->tree, age_of(k), &progress, err))
        return false;
    if (progress.phase == KUBE_GONE)
        return error_set(err, ERROR_CONFLICT, "%s '%s' is being deleted", k->resource.kind, k->object.name);
    if (outcome && progress.phase == KUBE_PROGRESSING)
        progress = outcome->progress;
    out->rollout = rollouts[progress.phase];
    out->generation = progress.generation;
    out->owner = kube_owner(arena, k->tree);
    out->serves = out->rollout == ROLLOUT_STARTING && serves(k->tree);
    return keep_text(arena, progress.reason, &out->reason, err) && keep_text(arena, progress.url, &out->url, err) &&
           keep_text(arena, k->place.image, &out->image, err) &&
           marks_read(arena, annotations_of(k), &out->marks, err) && workload_view(out, arena, err);
}

static bool kubernetes_read(void *self, struct arena *arena, struct workload *out, struct error *err)
{
    return fetch(self, err) && understand(self, arena, NULL, out, err);
}

/* ---- changes ---- */

/* What is NULL in `marks` is removed where it stands there, unless it is only to be added to. */
static size_t list_annotations(const struct kubernetes *k, const struct marks *marks, bool adding,
                               struct kube_annotation out[static MARKS_MAX])
{
    const struct json *present = annotations_of(k);
    size_t count = 0;
    for (const struct mark *mark = mark_table; mark < mark_table + mark_count && count < MARKS_MAX; mark++) {
        const char *value = mark_of(marks, mark), *stands = json_get_string(present, mark->annotation);
        bool there = value && *value;
        if ((!value && adding) || (!there && !stands) || (there && stands && strcmp(value, stands) == 0))
            continue;
        out[count++] = (struct kube_annotation){ mark->annotation, there ? value : NULL };
    }
    return count;
}

/* An admission's "no" stays a "no", unlike that of a role that is not there yet. */
static bool refused(const struct kubernetes *k, struct error *err)
{
    if (err->kind == ERROR_DENIED && strstr(kube_refusal(k->kube)->message, " denied "))
        err->kind = ERROR_INVALID;
    return not_yet(err);
}

static bool write_patch(struct kubernetes *k, const struct wish *wish, bool adding, struct bytes *out,
                        enum kube_patch_kind *kind, struct error *err)
{
    struct kube_annotation annotations[MARKS_MAX];
    struct kube_edit edit = {
        .annotations = annotations,
        .annotation_count = list_annotations(k, &wish->marks, adding, annotations),
        .guarded = true,
        .clear_revision = wish->image != NULL,
    };
    if (wish->image && !(edit.image = image_write(k->arena, k->where->write, wish->image, k->place.image)))
        return arena_no_room(k->arena, "an image's name", err);
    return kube_patch_write(out, &k->resource, k->tree, &k->place, &edit, kind, err);
}

static bool change(struct kubernetes *k, const struct wish *wish, bool adding, struct error *err)
{
    AUTO(bytes_release) struct bytes patch = BYTES(PATCH_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(OBJECT_MEMORY_MAX);
    enum kube_patch_kind kind;
    const struct json *tree;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!write_patch(k, wish, adding, &patch, &kind, err))
        return false;
    return (kube_patch(k->kube, arena, &k->object, kind, bytes_span(&patch), false, &tree, err) &&
            hold(k, TAKE(arena), tree, err)) ||
           refused(k, err);
}

static bool kubernetes_apply(void *self, struct arena *arena, const struct wish *wish, struct workload *now,
                             struct error *err)
{
    return change(self, wish, false, err) && understand(self, arena, NULL, now, err);
}

static bool kubernetes_try(void *self, struct arena *arena, const struct wish *wish, struct target_trial *out,
                           struct error *err)
{
    struct kubernetes *k = self;
    AUTO(bytes_release) struct bytes patch = BYTES(PATCH_MAX);
    enum kube_patch_kind kind;
    if (!write_patch(k, wish, false, &patch, &kind, err))
        return false;
    *out = (struct target_trial){ .kind = kind == KUBE_PATCH_STRATEGIC ? "strategic merge patch" : "JSON patch",
                                  .patch = arena_dup(arena, bytes_span(&patch)),
                                  .before = k->tree };
    if (!out->patch)
        return arena_no_room(arena, "a patch", err);
    return kube_patch(k->kube, k->arena, &k->object, kind, bytes_span(&patch), true, &out->after, err) ||
           refused(k, err);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Controllers change the object's status all the time, which is no reason to give up. */
static bool kubernetes_note(void *self, struct arena *arena, const struct workload *now, const struct marks *more,
                            struct error *err)
{
    const struct wish wish = { .marks = *more };
    struct marks marks;
    for (int attempt = 1; !change(self, &wish, true, err); attempt++) {
        if (err->kind != ERROR_CONFLICT || attempt == NOTE_ATTEMPTS_MAX || !fetch(self, err) ||
            !marks_read(arena, annotations_of(self), &marks, err))
            return false;
        if (!same_text(marks.event, now->marks.event))
            return error_set(err, ERROR_CONFLICT, "another image is wanted by now");
    }
    return true;
}

/* ---- waiting ---- */

/* Milliseconds until the rollout counts as failed; a great many where the workload has a deadline of its own. */
static int64_t time_left(const struct kubernetes *k, const struct workload *now, long *seconds)
{
    int64_t own;
    *seconds = k->where->timeout_s;
    if (*seconds == 0 && json_integer(json_get(json_get(k->tree, "spec"), "progressDeadlineSeconds"), &own))
        return INT64_MAX;
    if (*seconds == 0)
        *seconds = DEFAULT_DEADLINE_S;
    int64_t age_ms = mark_age_ms(now->marks.time);
    return *seconds * 1000 - (age_ms > 0 ? age_ms : 0);
}

/* What a container said last stands behind the reason. */
static bool explain(struct kube_outcome *outcome, struct arena *arena, long late_s, struct error *err)
{
    struct kube_progress *progress = &outcome->progress;
    if (late_s > 0 && progress->phase == KUBE_PROGRESSING) {
        progress->phase = KUBE_BROKEN;
        progress->reason = arena_printf(arena, "not up within %ld s: %s", late_s, progress->reason);
    }
    if (progress->phase == KUBE_BROKEN && outcome->log)
        progress->reason = arena_printf(arena, "%s; it said last: %s", progress->reason, outcome->log);
    return progress->reason || progress->phase == KUBE_COMPLETE || arena_no_room(arena, "a rollout's reason", err);
}

/* The tree goes meanwhile, which is most of the memory that a wait would take. */
static bool let_go(struct kubernetes *k, struct arena *texts, struct kube_place *place, struct error *err)
{
    *place = (struct kube_place){ 0 };
    bool kept = keep_text(texts, k->place.image, &place->image, err) &&
                keep_text(texts, k->place.pointer, &place->pointer, err) &&
                keep_text(texts, k->place.container, &place->container, err);
    k->place = (struct kube_place){ 0 };
    k->tree = NULL;
    arena_free(TAKE(k->arena));
    return kept;
}

static bool kubernetes_wait(void *self, struct arena *arena, struct workload *now, int64_t timeout_ms,
                            struct error *err)
{
    struct kubernetes *k = self;
    AUTO(arena_free) struct arena *texts = arena_new_small(OBJECT_MEMORY_MAX);
    struct kube_outcome outcome;
    struct kube_place place;
    long seconds;
    if (!texts)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (now->rollout != ROLLOUT_STARTING)
        return true;
    if (!k->tree && !fetch(k, err))
        return false;
    int64_t left_ms = time_left(k, now, &seconds), age_ms = age_of(k);
    bool last = left_ms <= timeout_ms;
    if (!let_go(k, texts, &place, err))
        return false;
    const struct kube_expectation what = {
        .object = &k->object,
        .place = &place,
        .image = place.image,
        .age_ms = age_ms,
        .timeout_ms = (long)(!last         ? timeout_ms
                             : left_ms > 0 ? left_ms
                                           : 0),
    };
    const char *event = now->marks.event;
    if (!(kube_rollout_watch(k->kube, texts, &what, &outcome, err) || not_yet(err)) ||
        !explain(&outcome, texts, last ? seconds : 0, err) || !fetch(k, err))
        return false;
    bool overtaken = !same_text(event, json_get_string(annotations_of(k), "pushwright.dev/event"));
    return understand(k, arena, overtaken ? NULL : &outcome, now, err);
}

/* ---- a Kubernetes Event ---- */

static bool name_event(char out[static EVENT_NAME_MAX + 20], const struct workload *now, const char *workload,
                       const char *reason)
{
    char id[SHA256_HEX_SIZE], text[512];
    int len = snprintf(text, sizeof text, "%s %s", now->marks.event ? now->marks.event : "", reason);
    sha256_hex_of((struct span){ text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1 }, id);
    return snprintf(out, EVENT_NAME_MAX + 20, "%.*s.%.16s", EVENT_NAME_MAX, workload, id) > 0;
}

static struct span cut_note(const char *text)
{
    struct span note = span_of(text);
    if (note.len > EVENT_NOTE_MAX)
        note.len = EVENT_NOTE_MAX;
    while (note.len > 0 && !span_is_utf8(note))
        note.len--;
    return note;
}

static void add_regarding(struct json_writer *w, const struct kubernetes *k)
{
    json_open_object(w, "regarding");
    json_add_string(w, "apiVersion", k->resource.api_version);
    json_add_string(w, "kind", k->resource.kind);
    json_add_string(w, "namespace", k->object.namespace);
    json_add_string(w, "name", k->object.name);
    json_add_string(w, "uid", json_get_string(json_get(k->tree, "metadata"), "uid"));
    json_close_object(w);
}

static bool write_event(const struct kubernetes *k, struct bytes *out, const char *name,
                        const struct target_record *record, struct error *err)
{
    char time[RFC3339_SIZE], micro[RFC3339_SIZE + 8];
    struct json_writer w = json_writer_on(out);
    rfc3339_format(time, clock_wall_ms() / 1000 * 1000);
    snprintf(micro, sizeof micro, "%.19s.000000Z", time);
    json_open_object(&w, NULL);
    json_open_object(&w, "metadata");
    json_add_string(&w, "name", name);
    json_add_string(&w, "namespace", k->object.namespace);
    json_close_object(&w);
    json_add_string(&w, "eventTime", micro);
    json_add_string(&w, "type", record->warning ? "Warning" : "Normal");
    json_add_string(&w, "reason", record->reason);
    json_add_string(&w, "action", "Deploy");
    json_add_string(&w, "reportingController", "pushwright.dev/deploy");
    json_add_string(&w, "reportingInstance", "deploy");
    json_add_span(&w, "note", cut_note(record->text));
    add_regarding(&w, k);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool kubernetes_record(void *self, const struct workload *now, const struct target_record *record,
                              struct error *err)
{
    static const struct kube_resource events = { "events.k8s.io/v1", "Event", "events", true, NULL };
    struct kubernetes *k = self;
    const struct kube_object where = { &events, k->object.namespace, NULL };
    AUTO(arena_free) struct arena *arena = arena_new(OBJECT_MEMORY_MAX);
    AUTO(bytes_release) struct bytes body = BYTES(PATCH_MAX);
    char name[EVENT_NAME_MAX + 20];
    const struct json *made;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return name_event(name, now, k->object.name, record->reason) && write_event(k, &body, name, record, err) &&
           (kube_create(k->kube, arena, &where, bytes_span(&body), false, &made, err) || err->kind == ERROR_CONFLICT);
}

const struct target_kind target_kubernetes = {
    .open = kubernetes_open,
    .close = kubernetes_close,
    .read = kubernetes_read,
    .apply = kubernetes_apply,
    .try = kubernetes_try,
    .wait = kubernetes_wait,
    .note = kubernetes_note,
    .record = kubernetes_record,
};
