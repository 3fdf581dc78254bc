/* Who else keeps an object as it wants it, so that a change of ours would be undone. */
#ifndef PUSHWRIGHT_KUBE_OWNER_H
#define PUSHWRIGHT_KUBE_OWNER_H

#include "shared/base/json.h"

/* "Flux's Kustomization 'apps/web'", "Argo CD's application 'shop'", "Helm's release 'shop/web'", or the controlling object, "Foo 'bar'"; NULL: nobody.
 * By the labels of Flux's controllers (kustomize.toolkit.fluxcd.io, helm.toolkit.fluxcd.io; not where reconciling is disabled), Argo CD's
 * tracking-id and instance label, Helm's release annotations, and ownerReferences. The text lives in the arena. */
const char *kube_owner(struct arena *arena, const struct json *object);

#endif
