#include "shared/kube/rollout.h"

#include "shared/kube/path.h"
#include "shared/kube/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASON_MAX = 800 };

/* ---- one object ---- */

struct reading {
    struct arena *arena;
    const struct json *object, *spec, *status;
    int64_t age_ms;
    struct kube_progress *out;
};

/* Told: the end of a rule. */
#define TELL(r, its_phase, ...) tell(r, its_phase, arena_printf((r)->arena, __VA_ARGS__))

static bool tell(struct reading *r, enum kube_phase phase, const char *reason)
{
    r->out->phase = phase;
    r->out->reason = reason;
    return true;
}

static bool complete(struct reading *r)
{
    return tell(r, KUBE_COMPLETE, NULL);
}

static bool is(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

static const char *or_nothing(const char *text)
{
    return text ? text : "";
}

static long long count(const struct json *from, const char *key, int64_t absent)
{
    (void)json_integer(json_get(from, key), &absent);
    return (long long)absent;
}

static const struct json *condition(const struct reading *r, const char *type)
{
    const struct json *one = json_first(json_get(r->status, "conditions"));
    while (one && !is(json_get_string(one, "type"), type))
        one = json_next(one);
    return one;
}

static bool holds(const struct json *condition, const char *status)
{
    return is(json_get_string(condition, "status"), status);
}

/* "Reason: message", whichever there is. */
static const char *words(const struct reading *r, const struct json *condition)
{
    const char *reason = or_nothing(json_get_string(condition, "reason"));
    const char *message = or_nothing(json_get_string(condition, "message"));
    return or_nothing(arena_printf(r->arena, "%s%s%s", reason, *reason && *message ? ": " : "", message));
}

/* Is one number still below the other? Then that is what it waits for: "1 of 3 new pods are available". */
static bool lacks(struct reading *r, long long have, long long want, const char *what)
{
    return have < want && TELL(r, KUBE_PROGRESSING, "%lld of %lld %s", have, want, what);
}

/* ---- the kinds' own rules, as far as the generation has been observed ---- */

static bool deployment(struct reading *r)
{
    const struct json *progressing = condition(r, "Progressing"), *refused = condition(r, "ReplicaFailure");
    long long want = count(r->spec, "replicas", 1), updated = count(r->status, "updatedReplicas", 0);
    long long old = count(r->status, "replicas", 0) - updated;
    long long deadline_s = count(r->spec, "progressDeadlineSeconds", 600);
    /* A quarter less, since clocks differ. */
    bool late = r->age_ms / 750 >= deadline_s && is(json_get_string(progressing, "reason"), "ProgressDeadlineExceeded");
    if (late)
        return TELL(r, KUBE_BROKEN, "it made no progress for %lld s, its progressDeadlineSeconds", deadline_s);
    if (updated < want && holds(refused, "True"))
        return TELL(r, KUBE_PROGRESSING, "its pods are refused: %s", words(r, refused));
    if (lacks(r, updated, want, "pods have the new image"))
        return true;
    if (old > 0)
        return TELL(r, KUBE_PROGRESSING, "%lld old pods have not ended", old);
    return lacks(r, count(r->status, "availableReplicas", 0), updated, "new pods are available") || complete(r);
}

static bool stateful_set(struct reading *r)
{
    const struct json *rolling = json_get(json_get(r->spec, "updateStrategy"), "rollingUpdate");
    long long replicas = count(r->spec, "replicas", 1), partition = count(rolling, "partition", 0);
    if (partition >= replicas)
        return TELL(r, KUBE_NOT_WATCHED, "its partition %lld keeps all %lld pods as they are", partition, replicas);
    return lacks(r, count(r->status, "updatedReplicas", 0), replicas - partition, "pods have the new image") ||
           lacks(r, count(r->status, "readyReplicas", 0), replicas, "pods are ready") || complete(r);
}

static bool daemon_set(struct reading *r)
{
    long long want = count(r->status, "desiredNumberScheduled", 0);
    if (want == 0)
        return TELL(r, KUBE_NOT_WATCHED, "no node takes a pod of it");
    return lacks(r, count(r->status, "updatedNumberScheduled", 0), want, "pods have the new image") ||
           lacks(r, count(r->status, "numberAvailable", 0), want, "pods are available") || complete(r);
}

static bool replica_set(struct reading *r)
{
    return TELL(r, KUBE_NOT_WATCHED,
                "a ReplicaSet replaces no pod that runs: those that it makes from now on have the image");
}

static bool cron_job(struct reading *r)
{
    return TELL(r, KUBE_NOT_WATCHED, "its next run has the image (schedule '%s')",
                or_nothing(json_get_string(r->spec, "schedule")));
}

static bool job(struct reading *r)
{
    static const char *const failures[] = { "Failed", "FailureTarget" };
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        if (holds(condition(r, failures[i]), "True"))
            return TELL(r, KUBE_BROKEN, "it failed: %s", words(r, condition(r, failures[i])));
    if (holds(condition(r, "Complete"), "True"))
        return complete(r);
    return TELL(r, KUBE_PROGRESSING, "%lld of its pods have ended well", count(r->status, "succeeded", 0));
}

/* Knative's conditions: Unknown until it is decided, False when something must be done about it. */
static bool knative(struct reading *r)
{
    const struct json *ready = condition(r, "Ready");
    if (holds(ready, "True"))
        return complete(r);
    return TELL(r, holds(ready, "False") ? KUBE_BROKEN : KUBE_PROGRESSING, "it is not ready: %s",
                ready ? words(r, ready) : "nothing is known yet");
}

/* A pause of Argo Rollouts ends by itself where it has a duration; a person promotes otherwise. */
static bool is_timed_pause(const struct reading *r)
{
    const struct json *strategy = json_get(r->spec, "strategy"), *green = json_get(strategy, "blueGreen");
    const struct json *step = json_first(json_get(json_get(strategy, "canary"), "steps"));
    for (long long index = count(r->status, "currentStepIndex", 0); step && index > 0; index--)
        step = json_next(step);
    return json_get(json_get(step, "pause"), "duration") || count(green, "autoPromotionSeconds", 0) > 0;
}

static bool argo_rollout(struct reading *r)
{
    const char *phase = json_get_string(r->status, "phase"), *message = json_get_string(r->status, "message");
    bool resumed = json_boolean(json_get(r->status, "controllerPause"), false) &&
                   json_count(json_get(r->status, "pauseConditions")) == 0;
    if (is(phase, "Healthy") && !resumed)
        return complete(r);
    if (is(phase, "Degraded"))
        return TELL(r, KUBE_BROKEN, "it is degraded: %s", or_nothing(message));
    if (is(phase, "Paused") && !resumed && !is_timed_pause(r))
        return TELL(r, KUBE_NOT_WATCHED, "it waits for a person to promote it (%s)", or_nothing(message));
    return TELL(r, KUBE_PROGRESSING, "it is %s: %s", phase ? phase : "progressing", or_nothing(message));
}

/* OpenKruise: how many are to be updated is in its status, since a partition may be a percentage. */
static bool clone_set(struct reading *r)
{
    const struct json *partition = json_get(json_get(r->spec, "updateStrategy"), "partition");
    long long replicas = count(r->spec, "replicas", 1);
    long long want = count(r->status, "expectedUpdatedReplicas", json_string(partition) ? 0 : replicas);
    long long ready = count(r->status, "updatedReadyReplicas", 0);
    if (want == 0)
        return TELL(r, KUBE_NOT_WATCHED, "its partition keeps all %lld pods as they are", replicas);
    return lacks(r, count(r->status, "updatedReplicas", 0), want, "pods have the new image") ||
           lacks(r, count(r->status, "updatedAvailableReplicas", ready), want, "new pods are available") || complete(r);
}

/* kstatus, for what nobody knows: Ready is what counts, if there is one. */
static bool custom(struct reading *r)
{
    const struct json *ready = condition(r, "Ready");
    int64_t observed = r->out->generation;
    (void)json_integer(json_get(ready, "observedGeneration"), &observed);
    if (!ready && !json_get(r->status, "observedGeneration"))
        return TELL(r, KUBE_NOT_WATCHED, "its status does not say how far it is");
    if (!ready || (holds(ready, "True") && observed >= r->out->generation))
        return complete(r);
    return TELL(r, KUBE_PROGRESSING, "it is not ready: %s", words(r, ready));
}

static const struct rule {
    const char *group, *kind;
    bool (*read)(struct reading *r);
    bool observes; /* writes observedGeneration from the first time on */
} rules[] = {
    { "apps", "Deployment", deployment, true },
    { "apps", "StatefulSet", stateful_set, true },
    { "apps", "DaemonSet", daemon_set, true },
    { "apps", "ReplicaSet", replica_set, false },
    { "batch", "CronJob", cron_job, false },
    { "batch", "Job", job, false },
    { "serving.knative.dev", "Service", knative, true },
    { "serving.knative.dev", "Configuration", knative, true },
    { "argoproj.io", "Rollout", argo_rollout, true },
    { "apps.kruise.io", "CloneSet", clone_set, true },
    { "apps.kruise.io", "StatefulSet", stateful_set, true },
};

static const struct rule *rule_of(const struct kube_resource *resource)
{
    static const struct rule unknown = { .read = custom };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (span_is(kube_resource_group(resource), rules[i].group) && is(resource->kind, rules[i].kind))
            return &rules[i];
    return &unknown;
}

/* ---- what every kind has ---- */

/* What keeps the new image from being rolled out at all: where it is written, and what it means. */
static const struct {
    const char *pointer, *text; /* text NULL: true, or 0 replicas */
    const char *reason;
} reasons[] = {
    { "/spec/paused", NULL, "spec.paused: it is rolled out when that is taken back" },
    { "/spec/updateStrategy/paused", NULL, "spec.updateStrategy.paused: it is rolled out when that is taken back" },
    { "/spec/updateStrategy/rollingUpdate/paused", NULL,
      "spec.updateStrategy.rollingUpdate.paused: it is rolled out when that is taken back" },
    { "/spec/suspend", NULL, "spec.suspend: it runs when that is taken back" },
    { "/spec/updateStrategy/type", "OnDelete", "updateStrategy OnDelete: each pod has it when it is deleted" },
    { "/spec/replicas", NULL, "no replicas: it runs when there are some" },
};

static bool is_set(const struct json *value, const char *text)
{
    int64_t number = 1;
    if (text)
        return is(json_string(value), text);
    return json_boolean(value, false) || (json_integer(value, &number) && number == 0);
}

static bool is_held(struct reading *r)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (is_set(pointer_get(r->object, reasons[i].pointer), reasons[i].text))
            return tell(r, KUBE_NOT_WATCHED, reasons[i].reason);
    return false;
}

/* A number; Argo Rollouts writes it as text, which was a hash long ago. */
static bool is_unobserved(struct reading *r, bool observes)
{
    const struct json *value = json_get(r->status, "observedGeneration");
    const char *text = json_string(value);
    char *end = NULL;
    int64_t observed = text ? strtoll(text, &end, 10) : 0;
    if (text ? *end != '\0' : !json_integer(value, &observed) && !observes)
        return false;
    return observed < r->out->generation && tell(r, KUBE_PROGRESSING, "its controller has not seen the change yet");
}

static bool has_standard_condition(struct reading *r)
{
    const struct json *stalled = condition(r, "Stalled"), *reconciling = condition(r, "Reconciling");
    if (holds(reconciling, "True"))
        return TELL(r, KUBE_PROGRESSING, "it is being reconciled: %s", words(r, reconciling));
    return holds(stalled, "True") && TELL(r, KUBE_BROKEN, "it is stalled: %s", words(r, stalled));
}

static bool keep_line(struct reading *r)
{
    char line[REASON_MAX];
    if (r->out->reason) {
        kube_copy_line(line, sizeof line, span_of(r->out->reason));
        r->out->reason = arena_dup(r->arena, span_of(line));
    }
    return r->out->reason;
}

bool kube_progress_read(struct arena *arena, const struct kube_resource *resource, const struct json *object,
                        int64_t age_ms, struct kube_progress *out, struct error *err)
{
    const struct json *metadata = json_get(object, "metadata"), *status = json_get(object, "status");
    const char *url = json_get_string(status, "url");
    const struct rule *rule = rule_of(resource);
    struct reading r = { arena, object, json_get(object, "spec"), status, age_ms, out };
    *out = (struct kube_progress){ .url = url ? arena_dup(arena, span_of(url)) : NULL };
    (void)json_integer(json_get(metadata, "generation"), &out->generation);
    if (json_get(metadata, "deletionTimestamp"))
        tell(&r, KUBE_GONE, "it is being deleted");
    else if (!is_held(&r) && !is_unobserved(&r, rule->observes) && !has_standard_condition(&r))
        rule->read(&r);
    return out->phase == KUBE_COMPLETE || keep_line(&r) || arena_no_room(arena, "how far a rollout is", err);
}
