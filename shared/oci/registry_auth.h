/* Who we are to a registry: credentials from the login, the challenge of a 401, and the token that answers it
 * (distribution's token specification, RFC 7235, RFC 6750). No network here. */
#ifndef PUSHWRIGHT_OCI_REGISTRY_AUTH_H
#define PUSHWRIGHT_OCI_REGISTRY_AUTH_H

#include "shared/oci/store.h"

/* At most one of the two is there; both NULL: anonymous. */
struct credentials {
    struct secret *basic;    /* "user:password" */
    struct secret *identity; /* an OAuth2 refresh token ("identitytoken" of docker's configuration) */
};

/* The login's own user and password, or what its docker configuration holds for the repository or its host.
 * ERROR_UNSUPPORTED when that is kept by a credential helper, ERROR_INVALID when the configuration is malformed. */
bool credentials_for(const struct registry_login *login, const char *registry, const char *repository,
                     struct credentials *out, struct error *err);
void credentials_release(struct credentials *credentials);
AUTO_RELEASE(struct credentials, credentials_release)

/* What a 401 asks for. */
struct challenge {
    bool basic, bearer;
    struct bytes realm, service, scope; /* of Bearer */
};

/* From every WWW-Authenticate header of the answer; unknown schemes are passed over. ERROR_INVALID when malformed. */
bool challenge_parse(const struct http_response *response, struct challenge *out, struct error *err);
void challenge_release(struct challenge *challenge);
AUTO_RELEASE(struct challenge, challenge_release)

/* Value of the Authorization header for basic credentials; the caller frees it. NULL with *err filled. */
struct secret *basic_authorization(const struct credentials *credentials, struct error *err);

/* The scopes to ask for, in form encoding: "service=..&scope=..&scope=.." of a query, "service=..&scope=..%20.." of a body, where no
 * parameter may come twice (RFC 6749, 3.2). mounts: repositories to pull from as well, each with a newline behind it. */
bool token_query(struct bytes *out, const struct challenge *challenge, const char *repository, bool push,
                 struct span mounts, bool is_body, struct error *err);

/* "Bearer TOKEN" from the token service's answer, and how long it is good. NULL with *err filled. */
struct secret *bearer_authorization(struct span answer, int64_t *lifetime_s, struct error *err);

#endif
