#include "shared/kube/owner.h"

#include "tests/unit/shared/base/test.h"

#define OBJECT(members) "{\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\"," members "}}"
#define LABELS(members) "\"labels\":{" members "}"
#define ANNOTATIONS(members) "\"annotations\":{" members "}"
#define KUSTOMIZED                                                                                                     \
    "\"kustomize.toolkit.fluxcd.io/name\":\"apps\",\"kustomize.toolkit.fluxcd.io/namespace\":\"flux-system\""
#define HELMED "\"helm.toolkit.fluxcd.io/name\":\"web\",\"helm.toolkit.fluxcd.io/namespace\":\"shop\""
#define RELEASE ANNOTATIONS("\"meta.helm.sh/release-name\":\"w1\",\"meta.helm.sh/release-namespace\":\"shop\"")
#define MANAGED "\"app.kubernetes.io/managed-by\":\"Helm\""
#define TRACKED(id) ANNOTATIONS("\"argocd.argoproj.io/tracking-id\":\"" id "\"")
#define CHART LABELS("\"app.kubernetes.io/instance\":\"shop\"")

static const struct {
    const char *object, *owner;
} rows[] = {
    { OBJECT(LABELS("\"app\":\"web\"")), NULL },
    { OBJECT(LABELS(KUSTOMIZED)), "Flux's Kustomization 'flux-system/apps'" },
    { OBJECT(LABELS(KUSTOMIZED) "," ANNOTATIONS("\"kustomize.toolkit.fluxcd.io/reconcile\":\"disabled\"")), NULL },
    { OBJECT(LABELS(KUSTOMIZED) "," ANNOTATIONS("\"kustomize.toolkit.fluxcd.io/ssa\":\"Ignore\"")), NULL },
    { OBJECT(LABELS(HELMED "," MANAGED) "," RELEASE), "Flux's HelmRelease 'shop/web'" },
    { OBJECT(LABELS(MANAGED) "," RELEASE), "Helm's release 'shop/w1'" },
    { OBJECT(LABELS(MANAGED)), NULL }, /* of a chart that was only rendered */
    { OBJECT(RELEASE), NULL },
    { OBJECT(TRACKED("store:apps/Deployment:shop/web")), "Argo CD's application 'store'" },
    { OBJECT(TRACKED("store:apps/Deployment:shop/other")), NULL },
    { OBJECT(TRACKED("store:apps/StatefulSet:shop/web")), NULL },
    { OBJECT(TRACKED("nonsense")), NULL },
    { OBJECT(LABELS("\"argocd.argoproj.io/instance\":\"store\"")), "Argo CD's application 'store'" },
    { OBJECT(CHART), NULL },
    { OBJECT(CHART ",\"managedFields\":[{\"manager\":\"kubectl\"},{\"manager\":\"argocd-controller\"}]"),
      "Argo CD's application 'shop'" },
    { OBJECT("\"ownerReferences\":[{\"kind\":\"Foo\",\"name\":\"a\"},{\"kind\":\"Shop\",\"name\":\"b\",\"controller\":"
             "true}]"),
      "Shop 'b'" },
    { OBJECT("\"ownerReferences\":[{\"kind\":\"Foo\",\"name\":\"a\"}]"), NULL },
    { "{}", NULL },
};

static void who_keeps_an_object_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
        struct error err = { 0 };
        const struct json *object = json_parse(arena, span_of(rows[i].object), &err);
        assert_non_null(object);
        const char *owner = kube_owner(arena, object);
        if (rows[i].owner ? !owner || strcmp(owner, rows[i].owner) != 0 : owner != NULL)
            fail_msg("%s: %s", rows[i].object, owner ? owner : "nobody");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(who_keeps_an_object_is_told) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
