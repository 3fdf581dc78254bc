/* Client of a Kubernetes API server, over shared/http: objects read, patched, created, listed and watched; a pod's log.
 *
 * One connection, kept open: requests that follow each other take one TLS handshake. A watch that is broken off (KUBE_ENOUGH, cancelled) ends
 * its connection, one that runs until its time is over does not.
 *
 * Errors say what was asked, of what, what the server said and what to do: "patch deployments.apps 'web' in namespace 'shop': 403 Forbidden:
 * ... (...)". Kinds: ERROR_DENIED 401, 403 (also what an admission webhook refuses); ERROR_NOT_FOUND 404; ERROR_CONFLICT 409 and a JSON patch
 * whose test failed; ERROR_INVALID 400, 422; ERROR_UNSUPPORTED 415; ERROR_BUSY 429; ERROR_UNAVAILABLE 5xx and no connection, nothing was
 * done; ERROR_UNCERTAIN sent, but no answer: read again. kube_refusal() has the details. */
#ifndef PUSHWRIGHT_KUBE_KUBE_H
#define PUSHWRIGHT_KUBE_KUBE_H

#include "shared/base/json.h"
#include "shared/kube/access.h"
#include "shared/kube/resource.h"

enum {
    KUBE_OBJECT_MAX = 4 * 1024 * 1024, /* of an answer: etcd keeps 1.5 MB of an object, a list comes in pages */
    KUBE_VERSION_SIZE = 64,            /* of a resourceVersion, which is opaque */
};

struct kube; /* one thread at a time */

struct kube_options {
    long timeout_ms; /* of a request that is no watch; 0: 30 s */
    long
        patience_ms; /* waiting, all in all for one call, where the server says "later" (429); 0: 10 s; -1: not at all */
    const char *field_manager; /* NULL: "pushwright" */
    bool (*cancelled)(
        void *); /* asked about once a second; true ends waits and watches with ERROR_UNAVAILABLE. NULL: never */
    void *context;
};

/* Borrows `access` until it is closed. Nothing is sent yet. options NULL: defaults. */
struct kube *kube_open(const struct kube_access *access, const struct kube_options *options, struct error *err);
void kube_close(struct kube *kube);
AUTO_FREE(struct kube, kube_close)

/* What the server said when it last refused; valid until the next call. */
struct kube_refusal {
    int code;          /* HTTP status; 0: it did not refuse */
    char reason[64];   /* "Forbidden", "Conflict", "Invalid", "AlreadyExists", "Expired", ...; "" where it gave none */
    char message[512]; /* its own words, cut */
};
const struct kube_refusal *kube_refusal(const struct kube *kube);

/* Trees live in the arena. Each of these: false with *err filled, see above. */
bool kube_get(struct kube *kube, struct arena *arena, const struct kube_object *object, const struct json **out,
              struct error *err);

enum kube_patch_kind { KUBE_PATCH_STRATEGIC, KUBE_PATCH_JSON, KUBE_PATCH_MERGE };

/* The object as it is after it, or would be with dry_run (dryRun=All: admission and all, nothing kept). */
bool kube_patch(struct kube *kube, struct arena *arena, const struct kube_object *object, enum kube_patch_kind kind,
                struct span body, bool dry_run, const struct json **out, struct error *err);

/* `where->name` is not looked at: the body has metadata.name, or generateName. */
bool kube_create(struct kube *kube, struct arena *arena, const struct kube_object *where, struct span body,
                 bool dry_run, const struct json **out, struct error *err);

/* Complete what the table does not know: plural, whether it is there at all, from /apis/GROUP/VERSION. Texts live in the arena. */
bool kube_discover(struct kube *kube, struct arena *arena, const char *api_version, const char *kind,
                   struct kube_resource *out, struct error *err);

/* The last lines of a container's log, appended to *out (its ceiling cuts at a line's end); `previous`: of the container that ended
 * before the present one. */
bool kube_pod_log(struct kube *kube, const char *namespace, const char *pod, const char *container, unsigned lines,
                  bool previous, struct bytes *out, struct error *err);

/* ---- several objects ---- */

struct kube_selection {
    const struct kube_resource *resource;
    const char *namespace;
    const char *name;   /* that one object; NULL: all */
    const char *labels; /* a label selector, "app=web,tier!=db"; NULL: all */
    unsigned page;      /* objects in memory at once, of a list; 0: 50 */
};

enum kube_change {
    KUBE_LISTING, /* forget what you know, what there is follows as KUBE_ADDED: at the begin, and when the server has forgotten where we were */
    KUBE_LISTED,  /* that was all there is */
    KUBE_ADDED,
    KUBE_MODIFIED,
    KUBE_DELETED,
};

enum kube_verdict { KUBE_GO_ON, KUBE_ENOUGH, KUBE_FAILED /* *err is filled */ };

/* `object` is NULL with LISTING and LISTED, and is gone after the call: take out of it what counts. */
typedef enum kube_verdict kube_change_fn(void *context, enum kube_change change, const struct json *object,
                                         struct error *err);

/* Where a watch is; zeroed: at the begin. Kept between calls it goes on where the last one ended. */
struct kube_cursor {
    char resource_version[KUBE_VERSION_SIZE];
};

/* LISTING, ADDED each, LISTED; page by page. True also after KUBE_ENOUGH. */
bool kube_list(struct kube *kube, const struct kube_selection *what, struct kube_cursor *cursor, kube_change_fn *fn,
               void *context, struct error *err);

/* Lists where the cursor is at the begin, then tells each change until timeout_ms are over (rounded up to whole seconds; both true) or
 * KUBE_ENOUGH. Connections that break, servers that restart, and 410 Gone are overcome meanwhile; what is refused (401, 403, 404) is not,
 * nor a server that cannot be reached for the whole time: then false with the last reason. */
bool kube_watch(struct kube *kube, const struct kube_selection *what, struct kube_cursor *cursor, long timeout_ms,
                kube_change_fn *fn, void *context, struct error *err);

#endif
