/* How requests travel to one repository at a registry: origin, credentials and tokens, redirects, trying again. */
#ifndef PUSHWRIGHT_OCI_REGISTRY_WIRE_H
#define PUSHWRIGHT_OCI_REGISTRY_WIRE_H

#include "shared/http/url.h"
#include "shared/oci/registry_auth.h"
#include "shared/oci/session.h"
#include "shared/oci/store_backend.h"

#include <sys/types.h>

enum { WIRE_URL_MAX = 16 * 1024 };

struct registry {
    const struct registry_options *options;
    const struct registry_login *login; /* NULL: none */
    char *host;                         /* as references name it */
    char *repository;
    char *origin; /* "https://registry-1.docker.io" */
    bool plain_http, push;
    struct registry_session *session;     /* the options', or */
    struct registry_session *own_session; /* ours alone */
    struct http_client *client;           /* for the origin */
    struct http_client *guarded;          /* for other hosts; made when one is met */
    struct challenge challenge;           /* of the last 401 */
    struct session_slot *slot;            /* where the session keeps what authorizes us; NULL: not looked for yet */
    struct secret *authorization;         /* header value, our copy of the slot's; NULL: none yet */
    unsigned generation;                  /* of the slot when it was copied */
    struct bytes mounts; /* repositories that the token must be good for, too, each with a newline behind it */
    struct http_response
        begun; /* the answer to an upload's beginning, for a blob that is still to come; status 0: none */
    void (*take_back)(struct registry *registry); /* what was begun and not used; NULL: nothing was ever begun */
    char (*sent)[DIGEST_TEXT_SIZE];               /* the last blobs that came to be here through us; NULL: none yet */
    size_t sent_count;                            /* in all */
    bool chunks_refused;                          /* uploads in parts are not taken */
    bool mounts_refused;                          /* the token service does not give such a token */
};

bool wire_init(struct registry *registry, const struct reference *reference, const struct registry_options *options,
               struct error *err);
void wire_release(struct registry *registry);

/* A request body from memory or from a file, or a part of one; begun anew for every attempt. */
struct wire_source {
    const struct blob_source *blob;
    const struct registry_options *options; /* whether it is still wanted; NULL: it is */
    off_t start, end;                       /* of the part */
    off_t offset;
};
http_source_fn wire_read_source; /* context: struct wire_source */

/* One request to the origin ("/v2/..." is put behind it by the caller: request->url is whole). A 401 is answered
 * once. True when there is an answer; its status is the caller's to judge. request->source, if any, is
 * wire_read_source. */
bool wire_send(struct registry *registry, const struct http_request *request, struct http_response *response,
               struct error *err);

/* The same for GET and HEAD, following one redirect: without credentials, to https only (unless the registry itself is
 * plain), to no private address (unless the registry itself is on one). */
bool wire_fetch(struct registry *registry, const struct http_request *request, struct http_response *response,
                struct error *err);

/* One request to where a Location pointed: with credentials at the origin, guarded and without them elsewhere. */
bool wire_send_to(struct registry *registry, const struct http_request *request, bool foreign,
                  struct http_response *response, struct error *err);

/* Where an answer's Location leads; *foreign: to another host than the registry's. ERROR_UNAVAILABLE when there is
 * none or it is malformed, ERROR_DENIED when it would leave https. */
bool wire_location(const struct registry *registry, const struct http_response *response, struct bytes *url,
                   bool *foreign, struct error *err);

/* The same for a location that is known. */
bool wire_resolve(const struct registry *registry, struct span location, struct bytes *url, bool *foreign,
                  struct error *err);

/* "ORIGIN/v2/REPOSITORY/REST". */
bool wire_url(const struct registry *registry, struct bytes *url, struct error *err, const char *kind,
              const char *rest);

/* The client for such a URL: with credentials allowed for the origin, guarded for all else. */
bool wire_client_for(struct registry *registry, const struct url *url, struct http_client **out, struct error *err);
bool wire_is_own(const struct registry *registry, const struct url *url);
bool wire_is_https(const struct url *url);

/* The error of an answer, with what the registry says in its body. */
bool wire_status_error(const struct http_request *request, const struct http_response *response, struct error *err);

/* Run attempt until it succeeds, fails for good (*final, or by the kind of its error), or has been tried a few times
 * with pauses by Retry-After or growing ones. */
typedef bool wire_attempt_fn(struct registry *registry, void *context, bool *final, struct error *err);
bool wire_retry(struct registry *registry, wire_attempt_fn *attempt, void *context, struct error *err);

/* Timeouts: of a call without, and of one with a blob's bytes. */
long wire_short_ms(const struct registry *registry);
long wire_long_ms(const struct registry *registry);

#endif
