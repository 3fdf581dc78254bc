/* How to reach one Kubernetes cluster, and as whom. */
#ifndef PUSHWRIGHT_KUBE_ACCESS_H
#define PUSHWRIGHT_KUBE_ACCESS_H

#include "shared/base/arena.h"
#include "shared/secrets/secret.h"

/* Texts live in the arena, which goes with it. NULL where there is none. */
struct kube_access {
    struct arena *arena;
    const char *server;    /* "https://10.0.0.1:6443", a path behind it where a gateway wants one; no '/' at the end */
    const char *namespace; /* that the context or the service account says */
    const char *ca_pem;    /* trusted alone; NULL: the system's bundle */
    const char *tls_server_name; /* what the server's certificate is for, instead of the host in `server` */
    const char *proxy;           /* instead of the environment's */
    bool insecure;               /* any certificate will do */
    const char *certificate_pem; /* with key_pem: shown to the server */
    struct secret *key_pem;
    const char *token_file; /* read again for each request: what it holds rotates */
    struct secret *token;   /* where there is no token_file */
    const char *username;   /* with password: basic authentication, which gateways in front of clusters take */
    struct secret *password;
};

void kube_access_release(struct kube_access *access);
AUTO_RELEASE(struct kube_access, kube_access_release)

/* As the service account of the pod that this runs in: $KUBERNETES_SERVICE_HOST and _PORT, and the files `token`, `ca.crt` and
 * `namespace` of a folder (NULL: where the kubelet mounts them). ERROR_UNAVAILABLE outside of a cluster. */
bool kube_access_in_cluster(struct kube_access *out, const char *folder, struct error *err);

#endif
