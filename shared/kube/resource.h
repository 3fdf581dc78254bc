/* What a kind of object is called where: by the table for kinds that everybody has, by discovery for every other. */
#ifndef PUSHWRIGHT_KUBE_RESOURCE_H
#define PUSHWRIGHT_KUBE_RESOURCE_H

#include "shared/base/bytes.h"
#include "shared/base/error.h"

struct kube_resource {
    const char *api_version;  /* "apps/v1"; "v1" for the core */
    const char *kind;         /* "Deployment" */
    const char *plural;       /* "deployments", as in paths and RBAC rules */
    bool strategic;           /* built into the API server: takes strategic merge patches */
    const char *pod_template; /* JSON pointer (RFC 6901); NULL: has none, or not known */
};

/* From the table: Deployment, StatefulSet, DaemonSet, ReplicaSet, CronJob, Job, Knative's Service, Configuration and Revision, Pod,
 * Event. Kinds compare without case. api_version NULL: the table's only one of that kind ("Service" is Knative's: the core's runs no
 * image); another than the table's: NULL. */
const struct kube_resource *kube_resource_find(const char *api_version, const char *kind);

/* "apps" of "apps/v1", "" of "v1": as RBAC rules write it. */
struct span kube_resource_group(const struct kube_resource *resource);

struct kube_object {
    const struct kube_resource *resource;
    const char *namespace; /* NULL: not in a namespace */
    const char *name;
};

/* "deployments.apps 'web' in namespace 'shop'", for messages. name NULL: "deployments.apps in namespace 'shop'". */
bool kube_object_describe(struct bytes *out, const struct kube_object *object, struct error *err);

/* "/apis/apps/v1", "/api/v1": where a version of an API says what it has. */
bool kube_api_path(struct bytes *out, const char *api_version, struct error *err);

/* "/apis/apps/v1/namespaces/shop/deployments/web", each part escaped; ERROR_INVALID for parts that could lead elsewhere (empty, ".",
 * "..", a '/' where none belongs). name NULL: the collection. */
bool kube_object_path(struct bytes *out, const struct kube_object *object, struct error *err);

#endif
