/* kubeconfig files, as kubectl and clouds write them (k8s.io/client-go/tools/clientcmd/api/v1). */
#ifndef PUSHWRIGHT_KUBE_KUBECONFIG_H
#define PUSHWRIGHT_KUBE_KUBECONFIG_H

#include "shared/kube/access.h"

enum { KUBECONFIG_MAX = 1024 * 1024 };

/* One context of the text (NULL: its current one). Files that it names are relative to `folder` (NULL: only absolute ones).
 *
 * ERROR_NOT_FOUND: no such context, or a user or cluster that the context names and the file has not.
 * ERROR_UNSUPPORTED: what would need a program or a service beside it (exec and auth-provider plugins), or would act as somebody else
 * (impersonation). ERROR_DENIED: `insecure-skip-tls-verify`, or credentials over plain http to another machine, without `insecure`.
 * ERROR_INVALID, with line and column where it has one: everything else that is wrong. */
bool kubeconfig_read(struct kube_access *out, struct span text, const char *folder, const char *context, bool insecure,
                     struct error *err);

/* The same of a file. */
bool kubeconfig_load(struct kube_access *out, const char *path, const char *context, bool insecure, struct error *err);

#endif
