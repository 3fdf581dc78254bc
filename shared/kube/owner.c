#include "shared/kube/owner.h"

#include <string.h>
#include <strings.h>

#define FLUX_KUSTOMIZE "kustomize.toolkit.fluxcd.io"
#define FLUX_HELM "helm.toolkit.fluxcd.io"
#define ARGO "argocd.argoproj.io"
#define INSTANCE "app.kubernetes.io/instance"

struct metadata {
    struct arena *arena;
    const struct json *all, *labels, *annotations;
    const char *kind;
};

static bool is(const char *text, const char *wanted)
{
    return text && strcasecmp(text, wanted) == 0;
}

static const char *named(const struct metadata *m, const char *who, const char *namespace, const char *name)
{
    return name ? arena_printf(m->arena, "%s '%s%s%s'", who, namespace ? namespace : "", namespace ? "/" : "", name)
                : NULL;
}

static const char *flux_kustomize(const struct metadata *m)
{
    if (is(json_get_string(m->annotations, FLUX_KUSTOMIZE "/reconcile"), "disabled") ||
        is(json_get_string(m->annotations, FLUX_KUSTOMIZE "/ssa"), "Ignore"))
        return NULL;
    return named(m, "Flux's Kustomization", json_get_string(m->labels, FLUX_KUSTOMIZE "/namespace"),
                 json_get_string(m->labels, FLUX_KUSTOMIZE "/name"));
}

static const char *flux_helm(const struct metadata *m)
{
    return named(m, "Flux's HelmRelease", json_get_string(m->labels, FLUX_HELM "/namespace"),
                 json_get_string(m->labels, FLUX_HELM "/name"));
}

/* "APPLICATION:GROUP/KIND:NAMESPACE/NAME": one that names another object was copied from there, which Argo CD itself does not count. */
static const char *argo_tracked(const struct metadata *m)
{
    struct span rest = span_of(json_get_string(m->annotations, ARGO "/tracking-id"));
    struct span application = span_cut(&rest, ':'), kind = span_cut(&rest, ':');
    const char *name = json_get_string(m->all, "name");
    (void)span_cut(&kind, '/');
    (void)span_cut(&rest, '/');
    if (!name || !m->kind || !span_is(rest, name) || !span_is(kind, m->kind))
        return NULL;
    return named(m, "Argo CD's application", NULL, arena_dup(m->arena, application));
}

/* Where it tracks by the label that charts set as well, only its field manager tells. */
static const char *argo_labelled(const struct metadata *m)
{
    static const char who[] = "Argo CD's application";
    const struct json *one = json_first(json_get(m->all, "managedFields"));
    const char *instance = json_get_string(m->labels, ARGO "/instance");
    if (instance)
        return named(m, who, NULL, instance);
    while (one && !span_starts(span_of(json_get_string(one, "manager")), "argocd-"))
        one = json_next(one);
    return one ? named(m, who, NULL, json_get_string(m->labels, INSTANCE)) : NULL;
}

static const char *helm(const struct metadata *m)
{
    if (!is(json_get_string(m->labels, "app.kubernetes.io/managed-by"), "Helm"))
        return NULL;
    return named(m, "Helm's release", json_get_string(m->annotations, "meta.helm.sh/release-namespace"),
                 json_get_string(m->annotations, "meta.helm.sh/release-name"));
}

static const char *controller(const struct metadata *m)
{
    const struct json *one = json_first(json_get(m->all, "ownerReferences"));
    while (one && !json_boolean(json_get(one, "controller"), false))
        one = json_next(one);
    const char *kind = json_get_string(one, "kind");
    return kind ? named(m, kind, NULL, json_get_string(one, "name")) : NULL;
}

const char *kube_owner(struct arena *arena, const struct json *object)
{
    /* The nearest first: Helm's marks are there, too, where Flux runs Helm. */
    static const char *(*const owners[])(const struct metadata *) = { flux_kustomize, flux_helm, argo_tracked,
                                                                      argo_labelled,  helm,      controller };
    const struct json *all = json_get(object, "metadata");
    const struct metadata m = { arena, all, json_get(all, "labels"), json_get(all, "annotations"),
                                json_get_string(object, "kind") };
    const char *found = NULL;
    for (size_t i = 0; !found && i < sizeof owners / sizeof owners[0]; i++)
        found = owners[i](&m);
    return found;
}
