/* What keeps a pod from getting up, and which pods a workload has. */
#ifndef PUSHWRIGHT_KUBE_PODS_H
#define PUSHWRIGHT_KUBE_PODS_H

#include "shared/base/json.h"
#include "shared/kube/resource.h"

struct kube_trouble {
    const char *pod, *container; /* container NULL: of the pod as a whole */
    const char *reason;          /* "ImagePullBackOff", "OOMKilled", "Unschedulable", ...; NULL: nothing is wrong */
    const char *message;         /* the kubelet's or scheduler's words, or ours about a container that ended */
    bool slow;                   /* nothing but that it is not ready yet */
    bool fatal;                  /* waiting longer will not help: no such image, or crashing again and again */
    bool crashed;                /* the container has ended, which its log explains; */
    bool restarted;              /* it is the one before: kube_pod_log(previous) */
};

/* The worst of init containers, containers and conditions, the first of those that are as bad. A pod that is being deleted or has ended well
 * has none. Texts live in the arena. */
bool kube_trouble_of_pod(struct arena *arena, const struct json *pod, struct kube_trouble *out, struct error *err);

/* Worse than the other, or the other is none. */
bool kube_trouble_is_worse(const struct kube_trouble *trouble, const struct kube_trouble *other);

/* Its texts, copied into the arena. */
bool kube_trouble_keep(struct arena *arena, struct kube_trouble *trouble, struct error *err);

/* "ImagePullBackOff of container 'web' in pod 'web-1': ..." in the arena. */
const char *kube_trouble_describe(struct arena *arena, const struct kube_trouble *trouble);

/* The label selector of a workload's pods: its spec.selector, or Knative's label. Nothing is appended: not known. */
bool kube_pods_selector(struct bytes *out, const struct kube_resource *resource, const struct json *object,
                        struct error *err);

/* Has a container of that name (NULL: any) the image? Where both have a digest, that is compared alone: Knative's pods have no tags. */
bool kube_pod_has_image(const struct json *pod, const char *container, const char *image);

#endif
