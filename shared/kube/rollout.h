/* How far a change of a workload has come, by the rules of its kind: those of `kubectl rollout status`, of kstatus (sigs.k8s.io/cli-utils) and
 * of each controller's documentation; and watching it until that is decided. */
#ifndef PUSHWRIGHT_KUBE_ROLLOUT_H
#define PUSHWRIGHT_KUBE_ROLLOUT_H

#include "shared/kube/patch.h"
#include "shared/kube/pods.h"

enum kube_phase {
    KUBE_PROGRESSING, /* of a watch: its time was over before */
    KUBE_COMPLETE,    /* every pod that is to have the new image has it, and is available */
    KUBE_BROKEN,      /* the workload's own rules, or a pod that cannot get up, say that it failed */
    KUBE_NOT_WATCHED, /* asked for, but nothing will happen that could be waited for */
    KUBE_GONE,        /* deleted, or being deleted */
    KUBE_OVERTAKEN,   /* told by a watch alone: another image is wanted by now */
};

#define KUBE_AGE_UNKNOWN INT64_MAX

/* Texts live in the arena. */
struct kube_progress {
    enum kube_phase phase;
    const char *reason; /* one sentence, "1 of 3 new pods are available"; NULL with KUBE_COMPLETE */
    int64_t generation; /* metadata.generation */
    const char *url;    /* status.url, as Knative has it; NULL: none */
};

/* Of an object as it was read. Not watched are: what is paused, suspended or has no replicas; OnDelete and partitions that keep every pod;
 * CronJobs, whose next run takes the image; ReplicaSets, which replace no pod; an Argo Rollout that waits for a person; custom resources
 * whose status says nothing (no observedGeneration and no Ready condition).
 * age_ms: how long ago the change was asked for, or KUBE_AGE_UNKNOWN. A Deployment's deadline that is said to have passed sooner than it can
 * is another rollout's: that stays written where a rollback makes no pod available at once. */
bool kube_progress_read(struct arena *arena, const struct kube_resource *resource, const struct json *object,
                        int64_t age_ms, struct kube_progress *out, struct error *err);

struct kube_expectation {
    const struct kube_object *object;
    const struct kube_place *place; /* of the image */
    const char *image;              /* that is wanted there, as the patch's answer has it */
    int64_t age_ms;                 /* at the begin of the watch, see kube_progress_read() */
    long timeout_ms;
};

struct kube_outcome {
    struct kube_progress progress; /* its reason names the pod in trouble, too, unless it is complete */
    struct kube_trouble trouble;   /* of a pod that has the image; reason NULL: none */
    const char *log;               /* last lines of the container that crashed; NULL: none */
};

/* Until the workload's rules decide, a pod's trouble does (kube_trouble.fatal), or the time is over: which is a success of the watch.
 * What it reports of the pods is left out, and said, where that is refused. One connection and one thread: the pods are looked at between
 * pieces of the workload's watch. Connections that break and servers that restart are overcome. False: cancelled, refused (401, 403), or
 * never reached the server. */
bool kube_rollout_watch(struct kube *kube, struct arena *arena, const struct kube_expectation *what,
                        struct kube_outcome *out, struct error *err);

#endif
