#include "shared/kube/rollout.h"

#include "tests/unit/shared/base/test.h"

/* Objects as the API documents them, as far as their rules look. */
#define OBJECT(spec, status)                                                                                           \
    "{\"metadata\":{\"name\":\"web\",\"generation\":3},\"spec\":{" spec "},\"status\":{" status "}}"
#define SEEN "\"observedGeneration\":3"
#define CONDITION(type, status, reason, message)                                                                       \
    "{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason "\",\"message\":\"" message                \
    "\",\"lastUpdateTime\":\"2026-01-31T12:00:00Z\"}"
#define CONDITIONS(list) "\"conditions\":[" list "]"
#define DEPLOYED(replicas, updated, available)                                                                         \
    "\"replicas\":" #replicas ",\"updatedReplicas\":" #updated ",\"availableReplicas\":" #available
#define DEADLINE CONDITION("Progressing", "False", "ProgressDeadlineExceeded", "ReplicaSet has timed out progressing.")
#define ROLLING(partition)                                                                                             \
    "\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"partition\":" #partition "}}"
#define CANARY(pause) "\"strategy\":{\"canary\":{\"steps\":[{\"setWeight\":20},{\"pause\":{" pause "}}]}}"

static const struct row {
    const char *api_version, *kind, *object;
    enum kube_phase phase;
    const char *says;
} rows[] = {
    { "apps/v1", "Deployment", OBJECT("\"replicas\":3", SEEN "," DEPLOYED(3, 3, 3)), KUBE_COMPLETE, NULL },
    { "apps/v1", "Deployment", OBJECT("\"replicas\":3", "\"observedGeneration\":2," DEPLOYED(3, 3, 3)),
      KUBE_PROGRESSING, "its controller has not seen the change yet" },
    { "apps/v1", "Deployment", OBJECT("\"replicas\":3", ""), KUBE_PROGRESSING, "has not seen the change" },
    { "apps/v1", "Deployment", OBJECT("\"replicas\":3", SEEN "," DEPLOYED(3, 1, 3)), KUBE_PROGRESSING,
      "1 of 3 pods have the new image" },
    { "apps/v1", "Deployment", OBJECT("\"replicas\":3", SEEN "," DEPLOYED(4, 3, 3)), KUBE_PROGRESSING,
      "1 old pods have not ended" },
    { "apps/v1", "Deployment", OBJECT("\"replicas\":3", SEEN "," DEPLOYED(3, 3, 2)), KUBE_PROGRESSING,
      "2 of 3 new pods are available" },
    { "apps/v1", "Deployment", OBJECT("", SEEN "," DEPLOYED(1, 1, 1)), KUBE_COMPLETE, NULL },
    { "apps/v1", "Deployment",
      OBJECT("\"replicas\":3,\"progressDeadlineSeconds\":60", SEEN "," DEPLOYED(4, 1, 3) "," CONDITIONS(DEADLINE)),
      KUBE_BROKEN, "it made no progress for 60 s, its progressDeadlineSeconds" },
    { "apps/v1", "Deployment",
      OBJECT("\"replicas\":3", "\"observedGeneration\":2," DEPLOYED(4, 1, 3) "," CONDITIONS(DEADLINE)),
      KUBE_PROGRESSING, "has not seen the change" },
    { "apps/v1", "Deployment",
      OBJECT("\"replicas\":3", SEEN "," DEPLOYED(3, 0, 3) "," CONDITIONS(
                                   CONDITION("ReplicaFailure", "True", "FailedCreate", "exceeded quota: pods"))),
      KUBE_PROGRESSING, "its pods are refused: FailedCreate: exceeded quota: pods" },
    { "apps/v1", "Deployment", OBJECT("\"replicas\":3,\"paused\":true", SEEN "," DEPLOYED(3, 3, 3)), KUBE_NOT_WATCHED,
      "spec.paused" },
    { "apps/v1", "Deployment", OBJECT("\"replicas\":0", SEEN), KUBE_NOT_WATCHED, "no replicas" },
    { "apps/v1", "Deployment",
      "{\"metadata\":{\"name\":\"web\",\"generation\":3,\"deletionTimestamp\":\"2026-01-31T12:00:00Z\"}}", KUBE_GONE,
      "being deleted" },

    { "apps/v1", "StatefulSet",
      OBJECT("\"replicas\":3," ROLLING(0), SEEN ",\"readyReplicas\":3,\"updatedReplicas\":3,\"currentReplicas\":3"),
      KUBE_COMPLETE, NULL },
    { "apps/v1", "StatefulSet", OBJECT("\"replicas\":3," ROLLING(0), SEEN ",\"readyReplicas\":3,\"updatedReplicas\":1"),
      KUBE_PROGRESSING, "1 of 3 pods have the new image" },
    { "apps/v1", "StatefulSet", OBJECT("\"replicas\":3," ROLLING(0), SEEN ",\"readyReplicas\":2,\"updatedReplicas\":3"),
      KUBE_PROGRESSING, "2 of 3 pods are ready" },
    { "apps/v1", "StatefulSet", OBJECT("\"replicas\":3," ROLLING(2), SEEN ",\"readyReplicas\":3,\"updatedReplicas\":1"),
      KUBE_COMPLETE, NULL },
    { "apps/v1", "StatefulSet", OBJECT("\"replicas\":3," ROLLING(2), SEEN ",\"readyReplicas\":3,\"updatedReplicas\":0"),
      KUBE_PROGRESSING, "0 of 1 pods have the new image" },
    { "apps/v1", "StatefulSet", OBJECT("\"replicas\":3," ROLLING(3), SEEN ",\"readyReplicas\":3"), KUBE_NOT_WATCHED,
      "its partition 3 keeps all 3 pods as they are" },
    { "apps/v1", "StatefulSet", OBJECT("\"replicas\":3,\"updateStrategy\":{\"type\":\"OnDelete\"}", SEEN),
      KUBE_NOT_WATCHED, "OnDelete" },
    { "apps/v1", "StatefulSet", OBJECT("\"replicas\":3", ""), KUBE_PROGRESSING, "has not seen the change" },

    { "apps/v1", "DaemonSet",
      OBJECT("", SEEN ",\"desiredNumberScheduled\":2,\"updatedNumberScheduled\":2,\"numberAvailable\":2"),
      KUBE_COMPLETE, NULL },
    { "apps/v1", "DaemonSet",
      OBJECT("", SEEN ",\"desiredNumberScheduled\":2,\"updatedNumberScheduled\":1,\"numberAvailable\":2"),
      KUBE_PROGRESSING, "1 of 2 pods have the new image" },
    { "apps/v1", "DaemonSet", OBJECT("", SEEN ",\"desiredNumberScheduled\":2,\"updatedNumberScheduled\":2"),
      KUBE_PROGRESSING, "0 of 2 pods are available" },
    { "apps/v1", "DaemonSet",
      OBJECT("\"updateStrategy\":{\"type\":\"OnDelete\"}", SEEN ",\"desiredNumberScheduled\":2"), KUBE_NOT_WATCHED,
      "OnDelete" },
    { "apps/v1", "DaemonSet", OBJECT("", SEEN ",\"desiredNumberScheduled\":0"), KUBE_NOT_WATCHED, "no node" },

    { "apps/v1", "ReplicaSet", OBJECT("\"replicas\":3", SEEN), KUBE_NOT_WATCHED, "replaces no pod" },
    { "batch/v1", "CronJob", OBJECT("\"schedule\":\"0 3 * * *\"", ""), KUBE_NOT_WATCHED,
      "its next run has the image (schedule '0 3 * * *')" },
    { "batch/v1", "CronJob", OBJECT("\"schedule\":\"0 3 * * *\",\"suspend\":true", ""), KUBE_NOT_WATCHED,
      "spec.suspend" },
    { "batch/v1", "Job", OBJECT("", "\"active\":1"), KUBE_PROGRESSING, "0 of its pods have ended well" },
    { "batch/v1", "Job", OBJECT("", "\"succeeded\":1," CONDITIONS(CONDITION("Complete", "True", "", ""))),
      KUBE_COMPLETE, NULL },
    { "batch/v1", "Job",
      OBJECT("", CONDITIONS(CONDITION("Complete", "False", "", "") "," CONDITION(
                     "Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))),
      KUBE_BROKEN, "it failed: BackoffLimitExceeded: Job has reached" },
    { "batch/v1", "Job", OBJECT("\"suspend\":true", ""), KUBE_NOT_WATCHED, "spec.suspend" },

    { "serving.knative.dev/v1", "Service",
      OBJECT("", SEEN ",\"url\":\"http://web.shop.example.com\"," CONDITIONS(CONDITION("Ready", "True", "", ""))),
      KUBE_COMPLETE, NULL },
    { "serving.knative.dev/v1", "Service",
      OBJECT("", SEEN "," CONDITIONS(CONDITION("Ready", "Unknown", "RevisionMissing", "w"))), KUBE_PROGRESSING,
      "it is not ready: RevisionMissing: w" },
    { "serving.knative.dev/v1", "Service",
      OBJECT("", SEEN "," CONDITIONS(CONDITION("ConfigurationsReady", "False", "x", "y") "," CONDITION(
                     "Ready", "False", "RevisionFailed", "container failed"))),
      KUBE_BROKEN, "it is not ready: RevisionFailed: container failed" },
    { "serving.knative.dev/v1", "Service",
      OBJECT("", "\"observedGeneration\":2," CONDITIONS(CONDITION("Ready", "True", "", ""))), KUBE_PROGRESSING,
      "has not seen the change" },

    { "argoproj.io/v1alpha1", "Rollout", OBJECT("", "\"observedGeneration\":\"3\",\"phase\":\"Healthy\""),
      KUBE_COMPLETE, NULL },
    { "argoproj.io/v1alpha1", "Rollout", OBJECT("", "\"observedGeneration\":\"2\",\"phase\":\"Healthy\""),
      KUBE_PROGRESSING, "has not seen the change" },
    { "argoproj.io/v1alpha1", "Rollout", OBJECT("", "\"observedGeneration\":\"5f7c\",\"phase\":\"Healthy\""),
      KUBE_COMPLETE, NULL },
    { "argoproj.io/v1alpha1", "Rollout",
      OBJECT("", "\"observedGeneration\":\"3\",\"phase\":\"Degraded\",\"message\":\"RolloutAborted: aborted\""),
      KUBE_BROKEN, "it is degraded: RolloutAborted: aborted" },
    { "argoproj.io/v1alpha1", "Rollout",
      OBJECT("",
             "\"observedGeneration\":\"3\",\"phase\":\"Progressing\",\"message\":\"more replicas need to be updated\""),
      KUBE_PROGRESSING, "it is Progressing: more replicas need to be updated" },
    { "argoproj.io/v1alpha1", "Rollout",
      OBJECT(
          CANARY(""),
          "\"observedGeneration\":\"3\",\"phase\":\"Paused\",\"message\":\"CanaryPauseStep\",\"currentStepIndex\":1"),
      KUBE_NOT_WATCHED, "it waits for a person to promote it (CanaryPauseStep)" },
    { "argoproj.io/v1alpha1", "Rollout",
      OBJECT(
          CANARY("\"duration\":\"10m\""),
          "\"observedGeneration\":\"3\",\"phase\":\"Paused\",\"message\":\"CanaryPauseStep\",\"currentStepIndex\":1"),
      KUBE_PROGRESSING, "it is Paused: CanaryPauseStep" },
    { "argoproj.io/v1alpha1", "Rollout",
      OBJECT(CANARY(""),
             "\"observedGeneration\":\"3\",\"phase\":\"Paused\",\"controllerPause\":true,\"currentStepIndex\":1"),
      KUBE_PROGRESSING, "it is Paused" },

    { "apps.kruise.io/v1alpha1", "CloneSet",
      OBJECT("\"replicas\":5", SEEN ",\"updatedReplicas\":5,\"updatedReadyReplicas\":5,\"updatedAvailableReplicas\":4"),
      KUBE_PROGRESSING, "4 of 5 new pods are available" },
    { "apps.kruise.io/v1alpha1", "CloneSet",
      OBJECT("\"replicas\":5,\"updateStrategy\":{\"partition\":\"60%\"}",
             SEEN ",\"expectedUpdatedReplicas\":2,\"updatedReplicas\":2,\"updatedReadyReplicas\":2"),
      KUBE_COMPLETE, NULL },
    { "apps.kruise.io/v1alpha1", "CloneSet", OBJECT("\"replicas\":5,\"updateStrategy\":{\"partition\":\"100%\"}", SEEN),
      KUBE_NOT_WATCHED, "its partition keeps all 5" },
    { "apps.kruise.io/v1alpha1", "CloneSet", OBJECT("\"replicas\":5,\"updateStrategy\":{\"paused\":true}", SEEN),
      KUBE_NOT_WATCHED, "spec.updateStrategy.paused" },

    { "example.com/v1", "Thing", OBJECT("", ""), KUBE_NOT_WATCHED, "its status does not say how far it is" },
    { "example.com/v1", "Thing", OBJECT("", SEEN), KUBE_COMPLETE, NULL },
    { "example.com/v1", "Thing", OBJECT("", "\"observedGeneration\":2"), KUBE_PROGRESSING, "has not seen the change" },
    { "example.com/v1", "Thing", OBJECT("", CONDITIONS(CONDITION("Ready", "True", "", ""))), KUBE_COMPLETE, NULL },
    { "example.com/v1", "Thing",
      OBJECT("", CONDITIONS("{\"type\":\"Ready\",\"status\":\"True\",\"observedGeneration\":2}")), KUBE_PROGRESSING,
      "it is not ready" },
    { "example.com/v1", "Thing", OBJECT("", SEEN "," CONDITIONS(CONDITION("Ready", "False", "Starting", "two more"))),
      KUBE_PROGRESSING, "it is not ready: Starting: two more" },
    { "example.com/v1", "Thing",
      OBJECT("",
             SEEN "," CONDITIONS(CONDITION("Stalled", "True", "NoQuota", "") "," CONDITION("Ready", "False", "", ""))),
      KUBE_BROKEN, "it is stalled: NoQuota" },
    { "example.com/v1", "Thing",
      OBJECT("", SEEN
             "," CONDITIONS(CONDITION("Reconciling", "True", "Rolling", "") "," CONDITION("Ready", "True", "", ""))),
      KUBE_PROGRESSING, "it is being reconciled: Rolling" },
    { "example.com/v1", "Thing", "[]", KUBE_NOT_WATCHED, "does not say" },
};

static void check(const struct row *row, int64_t age_ms, enum kube_phase phase)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    const struct kube_resource resource = { .api_version = row->api_version, .kind = row->kind };
    struct kube_progress progress;
    struct error err = { 0 };
    const struct json *object = json_parse(arena, span_of(row->object), &err);
    if (!object || !kube_progress_read(arena, &resource, object, age_ms, &progress, &err))
        fail_msg("%s: %s", row->object, err.message);
    if (progress.phase != phase)
        fail_msg("%s %s is %d, not %d (%s)", row->kind, row->object, progress.phase, phase, progress.reason);
    assert_int_equal(progress.phase == KUBE_COMPLETE, progress.reason == NULL);
    if (row->says && phase == row->phase && !strstr(progress.reason, row->says))
        fail_msg("'%s' does not say '%s'", progress.reason, row->says);
}

static void each_kind_has_its_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i], KUBE_AGE_UNKNOWN, rows[i].phase);
}

/* A rollback to a ReplicaSet that exists, with the strategy Recreate: the condition stays as it was. */
static void a_deadline_of_another_rollout_is_none(void **state)
{
    (void)state;
    static const struct row row = { "apps/v1", "Deployment",
                                    OBJECT("\"replicas\":3", SEEN "," DEPLOYED(3, 0, 0) "," CONDITIONS(DEADLINE)),
                                    KUBE_BROKEN, "no progress" };
    check(&row, KUBE_AGE_UNKNOWN, KUBE_BROKEN);
    check(&row, 700 * 1000, KUBE_BROKEN); /* the deadline is 600 s where nothing else is said */
    check(&row, 600 * 1000, KUBE_BROKEN);
    check(&row, 400 * 1000, KUBE_PROGRESSING);
    check(&row, -3000, KUBE_PROGRESSING);
}

static void what_is_wanted_to_know_besides(void **state)
{
    (void)state;
    static const char text[] =
        "{\"metadata\":{\"generation\":7},\"status\":{\"observedGeneration\":7,\"url\":\"http://w\"}}";
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct kube_progress progress;
    struct error err = { 0 };
    const struct json *object = json_parse(arena, span_of(text), &err);
    assert_true(
        kube_progress_read(arena, kube_resource_find(NULL, "Service"), object, KUBE_AGE_UNKNOWN, &progress, &err));
    assert_int_equal(progress.generation, 7);
    assert_string_equal(progress.url, "http://w");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_rules),
        cmocka_unit_test(a_deadline_of_another_rollout_is_none),
        cmocka_unit_test(what_is_wanted_to_know_besides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
