/* fn.json: what a function takes, gives and needs. Compiled into each function; manifests and subscriptions are rendered from it.
 *
 *   {"name": "trigger", "summary": "…", "in": ["dev.cdevents.artifact.published.0.3.0"], "out": ["…"], "signed": true,
 *    "concurrency": 4, "timeoutSeconds": 60, "bodyBytes": 1048576, "memoryBytes": 4194304, "secrets": ["chain", "registry"]}
 *
 * "secrets" names what the function reads, so that nothing else has to be mounted for it. Of the configuration: chain (chain.keys),
 * hook (secret and signingSecret of sources), git (token of sources), registry (password and dockerConfig of registries), api (api.token),
 * signing (sign.key and sign.password of builds), log (log.token of builds), verify (verify.key of triggers).
 *
 * "serves": "http" instead of "in" for a function that faces the outside; with "blocking": false when its handler waits for nothing, so
 * that the thread that reads requests may run it. "timer" lists events that tell the time and nothing else: anybody may send them, and
 * what they start may take a while. Members not known here are for other readers. */
#ifndef PUSHWRIGHT_RUNTIME_MANIFEST_H
#define PUSHWRIGHT_RUNTIME_MANIFEST_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

struct manifest_list {
    const char **items;
    size_t count;
};

struct manifest {
    const char *name;    /* [a-z0-9-]+ */
    const char *summary; /* one sentence; "" when absent */
    struct manifest_list in, out, secrets;
    struct manifest_list timer; /* events that only wake: they carry nothing, so they need no signature */
    bool serves_http;           /* "serves": "http" */
    bool is_blocking;           /* unless it says that it is not */
    bool is_signed;             /* refuses events without a good signature */
    unsigned concurrency;       /* calls at once; default 4 */
    long timeout_s;             /* of a call; default 60 */
    size_t body_max;            /* default EVENT_MAX */
    size_t memory_max;          /* the bodies of all requests together; default 4 * body_max */
    struct arena *arena;
};

/* ERROR_INVALID names the member and what is wrong with it. */
struct manifest *manifest_parse(const char *text, struct error *err);
void manifest_free(struct manifest *manifest);
AUTO_FREE(struct manifest, manifest_free)

bool manifest_lists(const struct manifest_list *list, const char *item);

#endif
