/* The client of Kubernetes, asked by tests/peers/kube_test.py: one JSON object a line on standard input ("do" names what), on standard output
 * one a line for each change of a list or watch, and one that ends the answer ("ok"). */
#include "shared/base/json.h"
#include "shared/kube/kube.h"
#include "shared/kube/kubeconfig.h"
#include "shared/kube/owner.h"
#include "shared/kube/rollout.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MEMORY_MAX = 64 << 20, ANSWER_MAX = 16 << 20, ANNOTATIONS_MAX = 16, CROWD_MAX = 256, STACK = 128 << 10 };

struct session {
    struct kube_access access;
    struct kube *kube;
    char cancel[256]; /* a file: once it is there, all is broken off */
    struct kube_cursor cursor;
};

struct question {
    struct session *session;
    struct arena *arena;
    const struct json *json;
    struct json_writer *answer;
    int64_t enough; /* changes after which a watch is */
};

static const char *text(const struct question *q, const char *key)
{
    return json_get_string(q->json, key);
}

static long number(const struct question *q, const char *key)
{
    int64_t value = 0;
    (void)json_integer(json_get(q->json, key), &value);
    return (long)value;
}

static struct kube_resource resource_of(const struct question *q)
{
    const struct kube_resource *known = kube_resource_find(text(q, "apiVersion"), text(q, "kind"));
    if (known)
        return *known;
    return (struct kube_resource){ .api_version = text(q, "apiVersion"),
                                   .kind = text(q, "kind"),
                                   .plural = text(q, "plural"),
                                   .pod_template = "/spec/template" };
}

static bool add_tree(const struct question *q, const struct json *tree, struct error *err)
{
    AUTO(bytes_release) struct bytes printed = BYTES(ANSWER_MAX);
    if (!json_print(&printed, tree, err))
        return false;
    json_add_raw(q->answer, "object", bytes_span(&printed));
    return true;
}

/* ---- questions ---- */

static bool is_cancelled(void *context)
{
    const struct session *s = context;
    return s->cancel[0] && access(s->cancel, F_OK) == 0;
}

static bool ask_open(struct question *q, struct error *err)
{
    struct session *s = q->session;
    const struct kube_options options = { .timeout_ms = number(q, "timeoutMs"),
                                          .patience_ms = number(q, "patienceMs"),
                                          .cancelled = is_cancelled,
                                          .context = s };
    const char *file = text(q, "kubeconfig"), *cancel = text(q, "cancel");
    snprintf(s->cancel, sizeof s->cancel, "%s", cancel ? cancel : "");
    kube_close(TAKE(s->kube));
    kube_access_release(&s->access);
    s->cursor = (struct kube_cursor){ 0 };
    bool read = file ? kubeconfig_load(&s->access, file, text(q, "context"),
                                       json_boolean(json_get(q->json, "insecure"), false), err)
                     : kube_access_in_cluster(&s->access, NULL, err);
    if (!read)
        return false;
    json_add_string(q->answer, "namespace", s->access.namespace);
    s->kube = kube_open(&s->access, &options, err);
    return s->kube != NULL;
}

static bool ask_get(struct question *q, struct error *err)
{
    const struct kube_resource resource = resource_of(q);
    const struct kube_object object = { &resource, text(q, "namespace"), text(q, "name") };
    const struct json *tree;
    return kube_get(q->session->kube, q->arena, &object, &tree, err) && add_tree(q, tree, err);
}

static bool ask_create(struct question *q, struct error *err)
{
    const struct kube_resource resource = resource_of(q);
    const struct kube_object where = { &resource, text(q, "namespace"), NULL };
    const struct json *tree;
    return kube_create(q->session->kube, q->arena, &where, span_of(text(q, "body")), false, &tree, err) &&
           add_tree(q, tree, err);
}

/* Read, find the image, write the patch, send it: as deploy does. */
static bool ask_edit(struct question *q, struct error *err)
{
    const struct kube_resource resource = resource_of(q);
    const struct kube_object object = { &resource, text(q, "namespace"), text(q, "name") };
    struct kube_annotation annotations[ANNOTATIONS_MAX];
    struct kube_edit edit = { .image = text(q, "image"),
                              .annotations = annotations,
                              .guarded = json_boolean(json_get(q->json, "guarded"), false),
                              .clear_revision = json_boolean(json_get(q->json, "clearRevision"), false) };
    const struct json *tree, *one = json_first(json_get(q->json, "annotations"));
    AUTO(bytes_release) struct bytes body = BYTES(ANSWER_MAX);
    struct kube_place place;
    enum kube_patch_kind kind;
    for (; one && edit.annotation_count < ANNOTATIONS_MAX; one = json_next(one))
        annotations[edit.annotation_count++] = (struct kube_annotation){ json_key(one), json_string(one) };
    if (!kube_get(q->session->kube, q->arena, &object, &tree, err))
        return false;
    bool found = text(q, "path")
                     ? kube_place_of_path(q->arena, tree, text(q, "path"), &place, err)
                     : kube_place_of_container(q->arena, &resource, tree, text(q, "container"), &place, err);
    if (!found || !kube_patch_write(&body, &resource, tree, &place, &edit, &kind, err))
        return false;
    json_add_string(q->answer, "patch", bytes_text(&body));
    json_add_string(q->answer, "was", place.image);
    if (text(q, "meanwhile")) { /* somebody else is faster */
        const struct json *theirs;
        if (!kube_patch(q->session->kube, q->arena, &object, KUBE_PATCH_MERGE, span_of(text(q, "meanwhile")), false,
                        &theirs, err))
            return false;
    }
    return kube_patch(q->session->kube, q->arena, &object, kind, bytes_span(&body),
                      json_boolean(json_get(q->json, "dryRun"), false), &tree, err) &&
           add_tree(q, tree, err);
}

static bool ask_discover(struct question *q, struct error *err)
{
    struct kube_resource found;
    if (!kube_discover(q->session->kube, q->arena, text(q, "apiVersion"), text(q, "kind"), &found, err))
        return false;
    json_add_string(q->answer, "plural", found.plural);
    return true;
}

static bool ask_log(struct question *q, struct error *err)
{
    AUTO(bytes_release) struct bytes lines = BYTES(4096);
    if (!kube_pod_log(q->session->kube, text(q, "namespace"), text(q, "name"), text(q, "container"),
                      (unsigned)number(q, "lines"), false, &lines, err))
        return false;
    json_add_string(q->answer, "log", bytes_text(&lines));
    return true;
}

/* ---- rollouts ---- */

static const char *phase_name(enum kube_phase phase)
{
    static const char *const names[] = { "progressing", "complete", "broken", "not watched", "gone", "overtaken" };
    return names[phase];
}

/* As it is at the moment: what it waits for, and who else keeps it. */
static bool ask_progress(struct question *q, struct error *err)
{
    const struct kube_resource resource = resource_of(q);
    const struct kube_object object = { &resource, text(q, "namespace"), text(q, "name") };
    struct kube_progress progress;
    const struct json *tree;
    if (!kube_get(q->session->kube, q->arena, &object, &tree, err) ||
        !kube_progress_read(q->arena, &resource, tree, KUBE_AGE_UNKNOWN, &progress, err))
        return false;
    json_add_string(q->answer, "phase", phase_name(progress.phase));
    json_add_string(q->answer, "reason", progress.reason);
    json_add_string(q->answer, "owner", kube_owner(q->arena, tree));
    return true;
}

static bool watch_rollout(struct question *q, struct kube *kube, struct kube_outcome *out, struct error *err)
{
    const struct kube_resource resource = resource_of(q);
    const struct kube_object object = { &resource, text(q, "namespace"), text(q, "name") };
    const struct kube_place place = { .pointer = text(q, "path"), .container = text(q, "container") };
    const struct kube_expectation what = { .object = &object,
                                           .place = &place,
                                           .image = text(q, "image"),
                                           .age_ms = json_get(q->json, "ageMs") ? number(q, "ageMs") : KUBE_AGE_UNKNOWN,
                                           .timeout_ms = number(q, "timeoutMs") };
    return kube_rollout_watch(kube, q->arena, &what, out, err);
}

static bool ask_rollout(struct question *q, struct error *err)
{
    struct kube_outcome outcome;
    if (!watch_rollout(q, q->session->kube, &outcome, err))
        return false;
    json_add_string(q->answer, "phase", phase_name(outcome.progress.phase));
    json_add_string(q->answer, "reason", outcome.progress.reason);
    json_add_string(q->answer, "pod", outcome.trouble.pod);
    json_add_string(q->answer, "trouble", outcome.trouble.reason);
    json_add_string(q->answer, "log", outcome.log);
    return true;
}

struct member {
    struct question question;
    struct kube_outcome outcome;
    struct error err;
    bool ok;
    pthread_t thread;
};

static void *watch_beside(void *context)
{
    struct member *m = context;
    const struct session *s = m->question.session;
    AUTO(kube_close) struct kube *kube = kube_open(&s->access, NULL, &m->err);
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    m->question.arena = arena;
    m->ok = kube && arena && watch_rollout(&m->question, kube, &m->outcome, &m->err) &&
            m->outcome.progress.phase == KUBE_COMPLETE;
    return NULL;
}

/* "times" threads, each with a connection of its own, as the workers of a function have. */
static bool ask_crowd(struct question *q, struct error *err)
{
    static struct member crowd[CROWD_MAX];
    long times = number(q, "times"), complete = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    for (long i = 0; i < times && i < CROWD_MAX; i++) {
        crowd[i] = (struct member){ .question = *q };
        pthread_create(&crowd[i].thread, &attributes, watch_beside, &crowd[i]);
    }
    for (long i = 0; i < times && i < CROWD_MAX; i++) {
        pthread_join(crowd[i].thread, NULL);
        complete += crowd[i].ok;
        if (!crowd[i].ok)
            *err = crowd[i].err;
    }
    pthread_attr_destroy(&attributes);
    json_add_integer(q->answer, "complete", complete);
    return true;
}

/* ---- changes ---- */

static enum kube_verdict tell(void *context, enum kube_change change, const struct json *object, struct error *err)
{
    static const char *const names[] = { "LISTING", "LISTED", "ADDED", "MODIFIED", "DELETED" };
    struct question *q = context;
    const struct json *metadata = json_get(object, "metadata");
    AUTO(bytes_release) struct bytes line = BYTES(ANSWER_MAX);
    struct json_writer w = json_writer_on(&line);
    json_open_object(&w, NULL);
    json_add_string(&w, "change", names[change]);
    json_add_string(&w, "name", json_get_string(metadata, "name"));
    json_add_string(&w, "note", json_get_string(json_get(metadata, "annotations"), "note"));
    json_close_object(&w);
    if (!json_writer_end(&w, err))
        return KUBE_FAILED;
    puts(bytes_text(&line));
    fflush(stdout);
    return object && q->enough > 0 && --q->enough == 0 ? KUBE_ENOUGH : KUBE_GO_ON;
}

static bool ask_changes(struct question *q, bool watch, struct error *err)
{
    const struct kube_resource resource = resource_of(q);
    const struct kube_selection what = {
        .resource = &resource, .namespace = text(q, "namespace"), .name = text(q, "name"), .labels = text(q, "labels")
    };
    struct session *s = q->session;
    q->enough = number(q, "enough");
    if (text(q, "version"))
        snprintf(s->cursor.resource_version, sizeof s->cursor.resource_version, "%s", text(q, "version"));
    bool ok = watch ? kube_watch(s->kube, &what, &s->cursor, number(q, "timeoutMs"), tell, q, err)
                    : kube_list(s->kube, &what, &s->cursor, tell, q, err);
    json_add_string(q->answer, "version", s->cursor.resource_version);
    return ok;
}

static bool ask_list(struct question *q, struct error *err)
{
    return ask_changes(q, false, err);
}

static bool ask_watch(struct question *q, struct error *err)
{
    return ask_changes(q, true, err);
}

static const struct {
    const char *name;
    bool (*ask)(struct question *q, struct error *err);
} questions[] = {
    { "open", ask_open },         { "get", ask_get },         { "create", ask_create }, { "edit", ask_edit },
    { "discover", ask_discover }, { "log", ask_log },         { "list", ask_list },     { "watch", ask_watch },
    { "progress", ask_progress }, { "rollout", ask_rollout }, { "crowd", ask_crowd },
};

static bool ask(struct question *q, struct error *err)
{
    const char *what = text(q, "do");
    for (size_t i = 0; what && i < sizeof questions / sizeof questions[0]; i++)
        if (strcmp(questions[i].name, what) == 0)
            return questions[i].ask(q, err);
    return error_set(err, ERROR_INVALID, "no such question");
}

static void answer(struct session *session, struct span line)
{
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    AUTO(bytes_release) struct bytes out = BYTES(ANSWER_MAX);
    struct json_writer w = json_writer_on(&out);
    struct error err = { 0 };
    struct question q = { .session = session, .arena = arena, .json = json_parse(arena, line, &err), .answer = &w };
    json_open_object(&w, NULL);
    bool ok = q.json && ask(&q, &err);
    json_add_boolean(&w, "ok", ok);
    if (!ok) {
        json_add_string(&w, "error", err.message);
        json_add_string(&w, "kind", error_kind_name(err.kind));
        json_add_integer(&w, "retryAfter", err.retry_after_s);
        if (session->kube)
            json_add_integer(&w, "code", kube_refusal(session->kube)->code);
    }
    json_close_object(&w);
    puts(json_writer_end(&w, &err) ? bytes_text(&out) : "{\"ok\":false,\"error\":\"too large\"}");
    fflush(stdout);
}

int main(void)
{
    struct session session = { 0 };
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    while ((len = getline(&line, &capacity, stdin)) > 0)
        answer(&session, (struct span){ line, (size_t)len });
    kube_close(session.kube);
    kube_access_release(&session.access);
    free(line);
    return 0;
}
