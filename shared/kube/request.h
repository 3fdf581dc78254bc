/* One request to the API server, as kube.c and watch.c make them: authorised, repeated where the server says "later", its refusals turned
 * into errors. Private to shared/kube. */
#ifndef PUSHWRIGHT_KUBE_REQUEST_H
#define PUSHWRIGHT_KUBE_REQUEST_H

#include "shared/http/client.h"
#include "shared/kube/kube.h"

struct kube {
    const struct kube_access *access;
    struct kube_options options; /* with the defaults filled in */
    struct http_client *client;  /* NULL: it rests */
    struct kube_refusal refusal;
    bool placed;
};

struct kube_request {
    const char *verb; /* "get", "patch", for messages */
    const char *what; /* "deployments.apps 'web' ...", for messages */
    const char *method;
    const char *path;         /* with query */
    const char *content_type; /* of the body */
    struct span body;
    long timeout_ms; /* 0: the client's */
    size_t body_max; /* 0: KUBE_OBJECT_MAX */
    http_body_fn
        *on_body; /* NULL: collected into the response; else what it says ends the request, and 429 is told at once */
    void *body_context;
};

bool kube_ask(struct kube *kube, const struct kube_request *request, struct http_response *response, struct error *err);

/* False, with *err, when that long was not waited because of options.cancelled. */
bool kube_pause(const struct kube *kube, long ms, struct error *err);

/* A process has so many connections to API servers at once, each of which takes 70 KB: a request of a client that has none waits for a place,
 * in the order of coming. The client keeps it until it rests or is closed. */
enum { KUBE_PLACES = 12 };
bool kube_is_crowded(void); /* somebody waits */
void kube_rest(struct kube *kube);

/* "?name=value" or "&name=value", the value escaped; NULL value: nothing. */
bool kube_add_query(struct bytes *path, const char *name, const char *value, struct error *err);

/* The answer's body as a tree in the arena. */
const struct json *kube_answer(struct arena *arena, const struct kube_request *request,
                               const struct http_response *response, struct error *err);

/* Path and query of a list or watch. */
bool kube_selection_path(struct bytes *out, const struct kube_selection *what, struct error *err);
bool kube_selection_describe(struct bytes *out, const struct kube_selection *what, struct error *err);

enum { KUBE_PATH_MAX = 16 * 1024, KUBE_WHAT_MAX = 4096 };

#endif
