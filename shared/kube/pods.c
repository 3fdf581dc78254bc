#include "shared/kube/pods.h"

#include "shared/kube/status.h"

#include <stdio.h>
#include <string.h>

enum {
    RESTARTS_MAX = 4,  /* after which the kubelet has waited 10 + 20 + 40 + 80 s for what the container may want */
    MESSAGE_MAX = 600, /* of foreign words */
};

/* ---- containers ---- */

struct pod {
    struct arena *arena;
    const char *name;
    struct kube_trouble worst;
};

static bool is(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

bool kube_trouble_is_worse(const struct kube_trouble *trouble, const struct kube_trouble *other)
{
    return trouble->reason && (!other->reason || (trouble->fatal && !other->fatal) || (!trouble->slow && other->slow));
}

static void note(struct pod *p, struct kube_trouble found)
{
    found.pod = p->name;
    if (kube_trouble_is_worse(&found, &p->worst))
        p->worst = found;
}

/* What a registry says of an image that it does not have, or not for this node. */
static bool says_missing(const char *message)
{
    static const char *const signs[] = { "not found",    "manifest unknown", "does not exist", "no match for platform",
                                         "unauthorized", "denied",           "forbidden" };
    for (size_t i = 0; message && i < sizeof signs / sizeof signs[0]; i++)
        if (strcasestr(message, signs[i]))
            return true;
    return false;
}

/* How it ended; `restarts` before. What could not even be started says why in its message, all else in its log. */
static struct kube_trouble ended(struct pod *p, const char *reason, const struct json *end, int64_t restarts)
{
    const char *how = json_get_string(end, "reason"), *message = json_get_string(end, "message");
    bool oom = is(how, "OOMKilled"), started = oom || !how || is(how, "Error") || is(how, "Completed");
    int64_t code = 0;
    char again[48] = "";
    (void)json_integer(json_get(end, "exitCode"), &code);
    if (restarts > 0)
        snprintf(again, sizeof again, ", restarted %lld times", (long long)restarts);
    return (struct kube_trouble){
        .reason = oom ? how : reason,
        .message = started || !message
                       ? arena_printf(p->arena, "it ended with exit code %lld%s", (long long)code, again)
                       : message,
        .fatal = restarts >= RESTARTS_MAX,
        .crashed = started,
    };
}

static struct kube_trouble waits(struct pod *p, const struct json *waiting, const struct json *last, int64_t restarts)
{
    const char *reason = json_get_string(waiting, "reason"), *message = json_get_string(waiting, "message");
    if (is(reason, "PodInitializing")) /* for an init container, which says itself what is wrong */
        return (struct kube_trouble){ 0 };
    if (is(reason, "CrashLoopBackOff")) {
        struct kube_trouble found = ended(p, reason, last, restarts);
        found.restarted = true;
        return found;
    }
    bool fatal = is(reason, "InvalidImageName") || is(reason, "ErrImageNeverPull") ||
                 (is(reason, "ImagePullBackOff") && says_missing(message));
    return (struct kube_trouble){
        .reason = reason, .message = message, .slow = is(reason, "ContainerCreating"), .fatal = fatal
    };
}

static struct kube_trouble runs(struct pod *p, const struct json *status, const struct json *last, int64_t restarts)
{
    int64_t code = 0;
    if (json_boolean(json_get(status, "ready"), false))
        return (struct kube_trouble){ 0 };
    if (restarts > 0 && json_integer(json_get(last, "exitCode"), &code) && code != 0) {
        struct kube_trouble found = ended(p, "Restarted", last, restarts);
        found.restarted = true;
        found.fatal = false; /* this time it may be all right */
        return found;
    }
    return (struct kube_trouble){ .reason = "NotReady",
                                  .message = json_boolean(json_get(status, "started"), true)
                                                 ? "it runs, but its readiness probe has not succeeded yet"
                                                 : "it runs, but its startup probe has not succeeded yet",
                                  .slow = true };
}

static struct kube_trouble of_container(struct pod *p, const struct json *status, bool init)
{
    const struct json *state = json_get(status, "state"), *end = json_get(state, "terminated");
    const struct json *last = json_get(json_get(status, "lastState"), "terminated");
    int64_t restarts = 0, code = 0;
    (void)json_integer(json_get(status, "restartCount"), &restarts);
    (void)json_integer(json_get(end, "exitCode"), &code);
    if (json_get(state, "waiting"))
        return waits(p, json_get(state, "waiting"), last, restarts);
    if (code != 0)
        return ended(p, "Error", end, restarts);
    if (json_get(state, "running") && !init)
        return runs(p, status, last, restarts);
    return (struct kube_trouble){ 0 };
}

static void look_at_containers(struct pod *p, const struct json *statuses, bool init)
{
    for (const struct json *one = json_first(statuses); one; one = json_next(one)) {
        struct kube_trouble found = of_container(p, one, init);
        found.container = json_get_string(one, "name");
        note(p, found);
    }
}

/* "Unschedulable", "SchedulingGated". */
static void look_at_conditions(struct pod *p, const struct json *conditions)
{
    for (const struct json *one = json_first(conditions); one; one = json_next(one))
        if (is(json_get_string(one, "type"), "PodScheduled") && is(json_get_string(one, "status"), "False"))
            note(p, (struct kube_trouble){ .reason = json_get_string(one, "reason"),
                                           .message = json_get_string(one, "message") });
}

/* The tree goes, these stay. */
static bool keep(struct arena *arena, const char **text, struct error *err)
{
    char line[MESSAGE_MAX];
    if (!*text)
        return true;
    kube_copy_line(line, sizeof line, span_of(*text));
    *text = arena_dup(arena, span_of(line));
    return *text || arena_no_room(arena, "a pod's state", err);
}

bool kube_trouble_keep(struct arena *arena, struct kube_trouble *trouble, struct error *err)
{
    return keep(arena, &trouble->pod, err) && keep(arena, &trouble->container, err) &&
           keep(arena, &trouble->reason, err) && keep(arena, &trouble->message, err);
}

bool kube_trouble_of_pod(struct arena *arena, const struct json *pod, struct kube_trouble *out, struct error *err)
{
    const struct json *metadata = json_get(pod, "metadata"), *status = json_get(pod, "status");
    const char *phase = json_get_string(status, "phase"), *reason = json_get_string(status, "reason");
    struct pod p = { .arena = arena, .name = json_get_string(metadata, "name") };
    *out = p.worst;
    if (json_get(metadata, "deletionTimestamp") || is(phase, "Succeeded"))
        return true;
    look_at_containers(&p, json_get(status, "initContainerStatuses"), true);
    look_at_containers(&p, json_get(status, "containerStatuses"), false);
    look_at_conditions(&p, json_get(status, "conditions"));
    if (is(phase, "Failed")) /* "Evicted" */
        note(&p,
             (struct kube_trouble){ .reason = reason ? reason : phase, .message = json_get_string(status, "message") });
    *out = p.worst;
    return kube_trouble_keep(arena, out, err);
}

const char *kube_trouble_describe(struct arena *arena, const struct kube_trouble *trouble)
{
    const char *container = trouble->container, *message = trouble->message;
    return arena_printf(arena, "%s of %s%s%spod '%s'%s%s", trouble->reason, container ? "container '" : "",
                        container ? container : "", container ? "' in " : "", trouble->pod ? trouble->pod : "",
                        message ? ": " : "", message ? message : "");
}

/* ---- which pods ---- */

static bool add_term(struct bytes *out, const char *key, const char *operator, const char * value, struct error *err)
{
    return bytes_printf(out, err, "%s%s%s%s", out->len > 0 ? "," : "", key, operator, value);
}

/* {"key": "tier", "operator": "In", "values": ["a", "b"]} is "tier in (a,b)". */
static bool add_expression(struct bytes *out, const struct json *one, struct error *err)
{
    const char *key = json_get_string(one, "key"), *operator= json_get_string(one, "operator");
    bool in = is(operator, "In"), absent = is(operator, "DoesNotExist");
    if (in || is(operator, "NotIn")) {
        const char *comma = "";
        if (!add_term(out, key, in ? " in (" : " notin (", "", err))
            return false;
        for (const struct json *v = json_first(json_get(one, "values")); v; v = json_next(v), comma = ",")
            if (!bytes_printf(out, err, "%s%s", comma, json_string(v) ? json_string(v) : ""))
                return false;
        return bytes_append_char(out, ')', err);
    }
    return (!absent && !is(operator, "Exists")) || add_term(out, absent ? "!" : "", key, "", err);
}

bool kube_pods_selector(struct bytes *out, const struct kube_resource *resource, const struct json *object,
                        struct error *err)
{
    const struct json *selector = json_get(json_get(object, "spec"), "selector");
    const char *name = json_get_string(json_get(object, "metadata"), "name");
    if (span_is(kube_resource_group(resource), "serving.knative.dev") && name)
        return add_term(
            out, is(resource->kind, "Service") ? "serving.knative.dev/service" : "serving.knative.dev/configuration",
            "=", name, err);
    for (const struct json *one = json_first(json_get(selector, "matchLabels")); one; one = json_next(one))
        if (json_string(one) && !add_term(out, json_key(one), "=", json_string(one), err))
            return false;
    for (const struct json *one = json_first(json_get(selector, "matchExpressions")); one; one = json_next(one))
        if (json_get_string(one, "key") && !add_expression(out, one, err))
            return false;
    return true;
}

/* "sha256:..." behind the '@'; absent: none. */
static struct span digest_of(const char *image)
{
    struct span rest = span_of(image);
    (void)span_cut(&rest, '@');
    return rest;
}

bool kube_pod_has_image(const struct json *pod, const char *container, const char *image)
{
    static const char *const lists[] = { "containers", "initContainers" };
    const struct json *spec = json_get(pod, "spec");
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct json *one = json_first(json_get(spec, lists[i])); one; one = json_next(one)) {
            const char *its = json_get_string(one, "image");
            struct span a = digest_of(its), b = digest_of(image);
            bool same = a.data && b.data ? span_equal(a, b) : is(its, image);
            if (same && (!container || is(json_get_string(one, "name"), container)))
                return true;
        }
    return false;
}
