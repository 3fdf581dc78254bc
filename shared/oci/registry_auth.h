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

/* The scopes to ask for, in form encoding: "service=..&scope=..&scope=..". mount_from may be NULL. */
bool token_query(struct bytes *out, const struct challenge *challenge, const char *repository, bool push,
                 const char *mount_from, struct error *err);

/* "Bearer TOKEN" from the token service's answer. NULL with *err filled. */
struct secret *bearer_authorization(struct span answer, struct error *err);

/* Release a buffer that held a secret, wiping it. */
void bytes_wipe(struct bytes *bytes);
AUTO_RELEASE(struct bytes, bytes_wipe)

#endif
