#include "shared/kube/access.h"

#include "shared/base/bytes.h"
#include "shared/base/file.h"

#include <string.h>

enum { ARENA_MAX = 32 * 1024 * 1024, FILE_MAX = 1024 * 1024, PATH_MAX_LENGTH = 4096 };

static const char mounted[] = "/var/run/secrets/kubernetes.io/serviceaccount";

void kube_access_release(struct kube_access *access)
{
    secret_free(access->key_pem);
    secret_free(access->token);
    secret_free(access->password);
    arena_free(access->arena);
    *access = (struct kube_access){ 0 };
}

static char *read_into(struct arena *arena, const char *folder, const char *name, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(PATH_MAX_LENGTH);
    AUTO(bytes_release) struct bytes text = BYTES(FILE_MAX);
    if (!bytes_printf(&path, err, "%s/%s", folder, name) || !file_read(&text, bytes_text(&path), err)) {
        error_wrap(err, "the pod's service account");
        return NULL;
    }
    char *kept = arena_dup(arena, bytes_span(&text));
    if (!kept)
        error_set(err, ERROR_INTERNAL, "out of memory");
    return kept;
}

static bool find_server(struct kube_access *out, struct error *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (!host || !*host || !port || !*port)
        return error_set(
            err, ERROR_UNAVAILABLE,
            "cluster 'in-cluster' is there inside a pod only (KUBERNETES_SERVICE_HOST and _PORT are not set)");
    bool ipv6 = strchr(host, ':');
    out->server = arena_printf(out->arena, "https://%s%s%s:%s", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port);
    return out->server || error_set(err, ERROR_INTERNAL, "out of memory");
}

bool kube_access_in_cluster(struct kube_access *out, const char *folder, struct error *err)
{
    AUTO(kube_access_release) struct kube_access access = { .arena = arena_new_small(ARENA_MAX) };
    struct error ignored = { 0 };
    folder = folder ? folder : mounted;
    if (!access.arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!find_server(&access, err))
        return false;
    access.token_file = arena_printf(access.arena, "%s/token", folder);
    access.ca_pem = read_into(access.arena, folder, "ca.crt", err);
    if (!access.token_file || !access.ca_pem)
        return access.ca_pem ? error_set(err, ERROR_INTERNAL, "out of memory") : false;
    access.namespace = read_into(access.arena, folder, "namespace", &ignored); /* of use, but not of need */
    *out = access;
    access = (struct kube_access){ 0 };
    return true;
}
