#include "shared/kube/pods.h"

#include "tests/unit/shared/base/test.h"

#define POD(status) "{\"metadata\":{\"name\":\"web-1\"},\"status\":{" status "}}"
#define MAIN(members) "\"containerStatuses\":[{\"name\":\"web\"," members "}]"
#define INIT(members) "\"initContainerStatuses\":[{\"name\":\"init\"," members "}]"
#define WAITING(reason, message) "\"state\":{\"waiting\":{\"reason\":\"" reason "\",\"message\":\"" message "\"}}"
#define ENDED(name, code, reason) "\"" name "\":{\"terminated\":{\"exitCode\":" #code ",\"reason\":\"" reason "\"}}"
#define RESTARTS(count) "\"restartCount\":" #count
#define RUNNING(ready) "\"ready\":" #ready ",\"state\":{\"running\":{}}"
#define PULL "Back-off pulling image \\\"w:2\\\": ErrImagePull: "
#define SCHEDULED(status, reason, message)                                                                             \
    "\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"" status "\",\"reason\":\"" reason                        \
    "\",\"message\":\"" message "\"}]"

enum { SLOW = 1, FATAL = 2, CRASHED = 4, RESTARTED = 8 };

static const struct {
    const char *pod;
    const char *says; /* NULL: nothing is wrong */
    int flags;
} rows[] = {
    { POD("\"phase\":\"Running\"," MAIN(RUNNING(true))), NULL, 0 },
    { POD("\"phase\":\"Pending\""), NULL, 0 },
    { POD(MAIN(WAITING("ContainerCreating", ""))), "ContainerCreating of container 'web' in pod 'web-1'", SLOW },
    { POD(MAIN(RUNNING(false))), "NotReady of container 'web' in pod 'web-1': it runs, but its readiness probe has not",
      SLOW },
    { POD(MAIN("\"started\":false," RUNNING(false))), "its startup probe", SLOW },
    { POD(MAIN(WAITING("ErrImagePull", "rpc error: code = NotFound desc = w:2: not found"))), "ErrImagePull", 0 },
    { POD(MAIN(WAITING("ImagePullBackOff", PULL "w:2: not found"))),
      "ImagePullBackOff of container 'web' in pod 'web-1': Back-off pulling image \"w:2\": ErrImagePull: w:2: not "
      "found",
      FATAL },
    { POD(MAIN(WAITING("ImagePullBackOff", PULL "pull access denied"))), "denied", FATAL },
    { POD(MAIN(WAITING("ImagePullBackOff", PULL "no match for platform in manifest"))), "platform", FATAL },
    { POD(MAIN(WAITING("ImagePullBackOff", PULL "dial tcp 10.0.0.1:443: i/o timeout"))), "timeout", 0 },
    { POD(MAIN(WAITING("InvalidImageName", "couldn't parse"))), "InvalidImageName", FATAL },
    { POD(MAIN(WAITING("ErrImageNeverPull", "not present with pull policy of Never"))), "ErrImageNeverPull", FATAL },
    { POD(MAIN(WAITING("CreateContainerConfigError", "secret \\\"db\\\" not found"))),
      "CreateContainerConfigError of container 'web' in pod 'web-1': secret \"db\" not found", 0 },
    { POD(MAIN(WAITING("RunContainerError", "exec: \\\"serve\\\": executable file not found"))), "RunContainerError",
      0 },
    { POD(MAIN(WAITING("CrashLoopBackOff", "back-off 20s") "," ENDED("lastState", 3, "Error") "," RESTARTS(2))),
      "CrashLoopBackOff of container 'web' in pod 'web-1': it ended with exit code 3, restarted 2 times",
      CRASHED | RESTARTED },
    { POD(MAIN(WAITING("CrashLoopBackOff", "") "," ENDED("lastState", 0, "Completed") "," RESTARTS(4))), "exit code 0",
      FATAL | CRASHED | RESTARTED },
    { POD(MAIN(WAITING("CrashLoopBackOff", "") "," ENDED("lastState", 137, "OOMKilled") "," RESTARTS(1))),
      "OOMKilled of container 'web' in pod 'web-1': it ended with exit code 137, restarted 1 times",
      CRASHED | RESTARTED },
    { POD(MAIN(WAITING("CrashLoopBackOff",
                       "") ",\"lastState\":{\"terminated\":{\"exitCode\":128,\"reason\":\"StartError\",\"message\":"
                           "\"exec: serve: not found\"}}," RESTARTS(1))),
      "CrashLoopBackOff of container 'web' in pod 'web-1': exec: serve: not found", RESTARTED },
    { POD(MAIN(ENDED("state", 1, "Error") "," RESTARTS(0))),
      "Error of container 'web' in pod 'web-1': it ended with exit code 1", CRASHED },
    { POD(MAIN(RUNNING(false) "," ENDED("lastState", 2, "Error") "," RESTARTS(5))), "Restarted of container 'web'",
      CRASHED | RESTARTED },
    { POD(MAIN(RUNNING(true) "," ENDED("lastState", 2, "Error") "," RESTARTS(5))), NULL, 0 },
    { POD(INIT(WAITING("CrashLoopBackOff", "") "," ENDED("lastState", 1, "Error") "," RESTARTS(1)) "," MAIN(
          WAITING("PodInitializing", ""))),
      "CrashLoopBackOff of container 'init'", CRASHED | RESTARTED },
    { POD(INIT(ENDED("state", 0, "Completed")) "," MAIN(RUNNING(true))), NULL, 0 },
    { POD(INIT("\"state\":{\"running\":{}}") "," MAIN(WAITING("PodInitializing", ""))), NULL, 0 },
    { POD("\"containerStatuses\":[{\"name\":\"helper\"," RUNNING(false) "},{\"name\":\"web\"," WAITING(
          "ImagePullBackOff", PULL "not found") "}]"),
      "ImagePullBackOff of container 'web'", FATAL },
    { POD(SCHEDULED("False", "Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.")),
      "Unschedulable of pod 'web-1': 0/3 nodes are available: 3 Insufficient cpu.", 0 },
    { POD(SCHEDULED("False", "SchedulingGated", "gated")), "SchedulingGated", 0 },
    { POD(SCHEDULED("True", "", "")), NULL, 0 },
    { POD("\"phase\":\"Failed\",\"reason\":\"Evicted\",\"message\":\"The node was low on resource: memory.\""),
      "Evicted of pod 'web-1': The node was low on", 0 },
    { POD("\"phase\":\"Succeeded\"," MAIN(ENDED("state", 1, "Error"))), NULL, 0 },
    { "{\"metadata\":{\"name\":\"web-1\",\"deletionTimestamp\":\"2026-01-31T12:00:00Z\"},\"status\":{" MAIN(
          WAITING("ErrImagePull", "")) "}}",
      NULL, 0 },
    { "{}", NULL, 0 },
};

static void a_pods_worst_trouble_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
        struct error err = { 0 };
        struct kube_trouble found;
        const struct json *pod = json_parse(arena, span_of(rows[i].pod), &err);
        if (!pod || !kube_trouble_of_pod(arena, pod, &found, &err))
            fail_msg("%s: %s", rows[i].pod, err.message);
        const char *told = found.reason ? kube_trouble_describe(arena, &found) : NULL;
        if (rows[i].says ? !told || !strstr(told, rows[i].says) : told != NULL)
            fail_msg("%s: '%s'", rows[i].pod, told);
        int flags = (found.slow ? SLOW : 0) | (found.fatal ? FATAL : 0) | (found.crashed ? CRASHED : 0) |
                    (found.restarted ? RESTARTED : 0);
        if (flags != rows[i].flags)
            fail_msg("%s: flags %d, not %d", rows[i].pod, flags, rows[i].flags);
    }
}

static void foreign_words_are_cut(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    char text[4096], message[2048];
    struct error err = { 0 };
    struct kube_trouble found;
    for (size_t i = 0; i + 2 < sizeof message; i += 2)
        memcpy(message + i, "\xc3\xa4", 3);
    message[0] = 'x'; /* so that the cut would be within a character */
    message[1] = 'x';
    snprintf(text, sizeof text, POD(MAIN(WAITING("ErrImagePull", "x%s"))), message);
    assert_true(kube_trouble_of_pod(arena, json_parse(arena, span_of(text), &err), &found, &err));
    assert_int_in_range(strlen(found.message), 590, 600);
    assert_true(span_is_utf8(span_of(found.message)));
}

static const struct {
    const char *kind, *object, *selector;
} selectors[] = {
    { "Deployment", "{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"web\",\"a/b\":\"\"}}}}", "app=web,a/b=" },
    { "Deployment",
      "{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"web\"},\"matchExpressions\":[{\"key\":\"tier\",\"operator\":"
      "\"In\","
      "\"values\":[\"a\",\"b\"]},{\"key\":\"x\",\"operator\":\"NotIn\",\"values\":[\"c\"]},{\"key\":\"y\",\"operator\":"
      "\"Exists\"},{\"key\":\"z\",\"operator\":\"DoesNotExist\"}]}}}",
      "app=web,tier in (a,b),x notin (c),y,!z" },
    { "Service", "{\"metadata\":{\"name\":\"hello\"},\"spec\":{}}", "serving.knative.dev/service=hello" },
    { "Configuration", "{\"metadata\":{\"name\":\"hello\"}}", "serving.knative.dev/configuration=hello" },
    { "CronJob", "{\"metadata\":{\"name\":\"hello\"},\"spec\":{}}", "" },
};

static void pods_are_found_by_the_workloads_selector(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(selectors); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
        AUTO(bytes_release) struct bytes out = BYTES(1024);
        struct error err = { 0 };
        const struct json *object = json_parse(arena, span_of(selectors[i].object), &err);
        assert_true(kube_pods_selector(&out, kube_resource_find(NULL, selectors[i].kind), object, &err));
        assert_string_equal(bytes_text(&out), selectors[i].selector);
    }
}

static void new_pods_have_the_image(void **state)
{
    (void)state;
    static const char text[] =
        "{\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"w@sha256:1\"},{\"name\":\"helper\",\"image\":"
        "\"h:2\"}],\"initContainers\":[{\"name\":\"init\",\"image\":\"i:3\"}]}}";
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct error err = { 0 };
    const struct json *pod = json_parse(arena, span_of(text), &err);
    assert_true(kube_pod_has_image(pod, "web", "w:1@sha256:1"));
    assert_true(kube_pod_has_image(pod, NULL, "w@sha256:1"));
    assert_true(kube_pod_has_image(pod, "init", "i:3"));
    assert_false(kube_pod_has_image(pod, "web", "w:1@sha256:2"));
    assert_false(kube_pod_has_image(pod, "web", "h:2"));
    assert_false(kube_pod_has_image(pod, "helper", "h:1"));
    assert_false(kube_pod_has_image(pod, NULL, "w"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pods_worst_trouble_is_told),
        cmocka_unit_test(foreign_words_are_cut),
        cmocka_unit_test(pods_are_found_by_the_workloads_selector),
        cmocka_unit_test(new_pods_have_the_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
