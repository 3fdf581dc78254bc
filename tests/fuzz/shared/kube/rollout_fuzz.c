/* Any object as a workload of each kind and as a pod of it; the first byte is the kind. */
#include "shared/kube/owner.h"
#include "shared/kube/rollout.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { MEMORY_MAX = 16 << 20, REASON_MAX = 4096 };

static const struct kube_resource kinds[] = {
    { .api_version = "apps/v1", .kind = "Deployment" },
    { .api_version = "apps/v1", .kind = "StatefulSet" },
    { .api_version = "apps/v1", .kind = "DaemonSet" },
    { .api_version = "batch/v1", .kind = "Job" },
    { .api_version = "batch/v1", .kind = "CronJob" },
    { .api_version = "serving.knative.dev/v1", .kind = "Service" },
    { .api_version = "argoproj.io/v1alpha1", .kind = "Rollout" },
    { .api_version = "apps.kruise.io/v1alpha1", .kind = "CloneSet" },
    { .api_version = "example.com/v1", .kind = "Thing" },
};

static void check_line(const char *text)
{
    for (const char *c = text; text && *c; c++)
        assert((unsigned char)*c >= 0x20 && *c != 0x7f); /* it goes into logs */
    assert(!text || strlen(text) <= REASON_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct kube_resource *kind = &kinds[data[0] % (sizeof kinds / sizeof kinds[0])];
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    AUTO(bytes_release) struct bytes selector = BYTES(4096);
    struct error err = { 0 };
    struct kube_progress progress;
    struct kube_trouble trouble;
    char *text = arena_dup(arena, (struct span){ (const char *)data + 1, size - 1 });
    const struct json *object = text ? json_parse(arena, (struct span){ text, size - 1 }, &err) : NULL;
    if (!object)
        return 0;
    if (kube_progress_read(arena, kind, object, KUBE_AGE_UNKNOWN, &progress, &err))
        check_line(progress.reason);
    if (kube_trouble_of_pod(arena, object, &trouble, &err) && trouble.reason)
        check_line(kube_trouble_describe(arena, &trouble));
    (void)kube_owner(arena, object);
    (void)kube_pods_selector(&selector, kind, object, &err);
    (void)kube_pod_has_image(object, "web", "w@sha256:1");
    return 0;
}
