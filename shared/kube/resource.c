#include "shared/kube/resource.h"

#include "shared/base/encode.h"

#include <string.h>
#include <strings.h>

/* Kubernetes 1.21 and later have all of these versions; Knative Serving since 0.9. */
static const struct kube_resource table[] = {
    { "apps/v1", "Deployment", "deployments", true, "/spec/template" },
    { "apps/v1", "StatefulSet", "statefulsets", true, "/spec/template" },
    { "apps/v1", "DaemonSet", "daemonsets", true, "/spec/template" },
    { "apps/v1", "ReplicaSet", "replicasets", true, "/spec/template" },
    { "apps/v1", "ControllerRevision", "controllerrevisions", true, NULL },
    { "batch/v1", "CronJob", "cronjobs", true, "/spec/jobTemplate/spec/template" },
    { "batch/v1", "Job", "jobs", true, "/spec/template" },
    { "serving.knative.dev/v1", "Service", "services", false, "/spec/template" },
    { "serving.knative.dev/v1", "Configuration", "configurations", false, "/spec/template" },
    { "serving.knative.dev/v1", "Revision", "revisions", false, NULL },
    { "v1", "Pod", "pods", true, NULL },
    { "v1", "Event", "events", true, NULL },
};

const struct kube_resource *kube_resource_find(const char *api_version, const char *kind)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcasecmp(table[i].kind, kind) == 0 && (!api_version || strcmp(table[i].api_version, api_version) == 0))
            return &table[i];
    return NULL;
}

struct span kube_resource_group(const struct kube_resource *resource)
{
    struct span version = span_of(resource->api_version), group = span_cut(&version, '/');
    return version.data ? group : SPAN("");
}

bool kube_object_describe(struct bytes *out, const struct kube_object *object, struct error *err)
{
    struct span group = kube_resource_group(object->resource);
    return bytes_printf(out, err, "%s%s%.*s", object->resource->plural, group.len > 0 ? "." : "", SPAN_ARGS(group)) &&
           (!object->name || bytes_printf(out, err, " '%s'", object->name)) &&
           (!object->namespace || bytes_printf(out, err, " in namespace '%s'", object->namespace));
}

static bool add_segment(struct bytes *out, struct span text, struct error *err)
{
    if (text.len == 0 || span_is(text, ".") || span_is(text, ".."))
        return error_set(err, ERROR_INVALID, "'%.*s' is no name of an object, namespace or resource", SPAN_ARGS(text));
    return bytes_append_char(out, '/', err) && percent_encode(out, text, ":", err);
}

bool kube_api_path(struct bytes *out, const char *api_version, struct error *err)
{
    struct span version = span_of(api_version), group = span_cut(&version, '/');
    bool core = !version.data;
    return bytes_append_text(out, core ? "/api" : "/apis", err) && add_segment(out, group, err) &&
           (core || add_segment(out, version, err));
}

bool kube_object_path(struct bytes *out, const struct kube_object *object, struct error *err)
{
    const char *namespace = object->namespace;
    return kube_api_path(out, object->resource->api_version, err) &&
           (!namespace || (bytes_append_text(out, "/namespaces", err) && add_segment(out, span_of(namespace), err))) &&
           add_segment(out, span_of(object->resource->plural), err) &&
           (!object->name || add_segment(out, span_of(object->name), err));
}
