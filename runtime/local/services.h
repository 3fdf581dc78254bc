/* The local platform's service agent: to the function `deploy` it is what a Kubernetes API server is in a cluster.
 *
 * It runs images as sandboxed programs on this machine, one instance a service, replaces an instance by the next one without
 * refusing a connection, keeps the old one when the new one does not come up, starts one that died again, and remembers all of it
 * in files: started again, it goes on where it was.
 *
 * HTTP, JSON:
 *   GET    /services                  {"services": [STATE, ...]}
 *   GET    /services/NAMESPACE/NAME   STATE; with ?wait=GENERATION&timeout=MS answers once that generation is running or failed, or a newer
 *                                     one is wanted, or the time (2 s at most) is over; 404 when there is no such service
 *   PUT    /services/NAMESPACE/NAME   If-Match: GENERATION as last seen (0 or absent: there is none yet);
 *                                     {"image": "REGISTRY/REPOSITORY[:TAG]@DIGEST" or "oci:DIRECTORY[:TAG]@DIGEST", "containerPort": 0,
 *                                      "servicePort": "127.0.0.1:8080", "readyTimeoutSeconds": 60, "annotations": {...}}
 *                                     202 and STATE with the new generation; 409 and STATE when it is another one by now
 *   PATCH  /services/NAMESPACE/NAME   If-Match as above; {"annotations": {...}}: added to those of that generation, which stays as it is; 200
 *                                     and STATE; 409 and STATE when it is another one by now
 *   DELETE /services/NAMESPACE/NAME   204: it is being stopped, its port is closed
 * STATE: {"namespace", "name", "generation", "state": "starting" | "running" | "failed", "reason", "image", "digest", "annotations"
 * (of the generation), "runningImage", "runningDigest", "previousDigest", "url"}; what is not known is left out. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_H
#define PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_H

#include "runtime/function.h"
#include "shared/oci/store.h"

struct services; /* safe for several threads */

struct services_options {
    const char *state_dir;                        /* made when missing; one agent at a time */
    struct registry_options registry;             /* where images are pulled from; borrowed until services_free() */
    void (*say)(void *context, const char *text); /* one line for people about what happened; from threads of its
                                                     own, under its lock: it must not call back */
    void *context;
};

/* ERROR_CONFLICT: another agent uses the directory. Where this machine can't isolate programs, that is said, and each PUT is answered with
 * 501 and the reason: the rest of the local chain works without. */
struct services *services_new(const struct services_options *options, struct error *err);

/* Start again what was running when the last agent of this directory ended. */
void services_resume(struct services *services);

/* A worker thread of the server. */
void services_handle(struct services *services, const struct request *request, struct reply *reply);

/* Stop every instance: answers in progress are finished, then the image's stop signal, after five seconds SIGKILL. Waiting calls of
 * services_handle() return. What runs is remembered. */
void services_stop(struct services *services);

void services_free(struct services *services); /* stops first */
AUTO_FREE(struct services, services_free)

#endif
