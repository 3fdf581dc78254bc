/* The smallest patch that sets a container's image: strategic merge by the container's name for kinds that are built in; for every other a
 * JSON patch (RFC 6902) whose tests hold what was read, since there a merge patch would replace the whole list. */
#ifndef PUSHWRIGHT_KUBE_PATCH_H
#define PUSHWRIGHT_KUBE_PATCH_H

#include "shared/base/json.h"
#include "shared/kube/kube.h"

/* Where an image stands in an object that was read. */
struct kube_place {
    const char *pointer;   /* JSON pointer of the text, "/spec/template/spec/containers/0/image" */
    const char *image;     /* what stands there; NULL: nothing */
    const char *list;      /* "containers" or "initContainers", where it was found by a container's name; else NULL */
    const char *container; /* its name; NULL: found by a path to something else */
};

/* By the container's name, in containers, then initContainers of the pod template. container NULL: the only one that there is.
 * ERROR_NOT_FOUND names those that there are. Texts live in the arena. */
bool kube_place_of_container(struct arena *arena, const struct kube_resource *resource, const struct json *object,
                             const char *container, struct kube_place *out, struct error *err);

/* By a path: a JSON pointer ("/spec/image"), or JSONPath as kubectl writes it: "{.spec.containers[0].image}",
 * ".spec.containers[?(@.name=='web')].image", with or without "{}" and "$". It must lead to a string, or its last member be absent. */
bool kube_place_of_path(struct arena *arena, const struct json *object, const char *path, struct kube_place *out,
                        struct error *err);

/* Is the path written well? For those who check a configuration. */
bool kube_path_check(struct span path, struct error *err);

struct kube_annotation {
    const char *name;
    const char *value; /* NULL: removed, if it is there */
};

struct kube_edit {
    const char *image; /* NULL: stays */
    const struct kube_annotation
        *annotations; /* of the object itself, not of its pods: those alone would start no rollout */
    size_t annotation_count;
    bool guarded; /* only if the object is still the one that was read (its resourceVersion): else ERROR_CONFLICT */
    bool clear_revision; /* Knative: a fixed name of the revision, which would be refused, is removed */
};

/* Append the patch that makes `edit` of `object`, as it was read; *kind says which it is. */
bool kube_patch_write(struct bytes *out, const struct kube_resource *resource, const struct json *object,
                      const struct kube_place *place, const struct kube_edit *edit, enum kube_patch_kind *kind,
                      struct error *err);

#endif
