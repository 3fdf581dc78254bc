/* Short-lived credentials of the large clouds' registries, without a helper program: found where the cloud puts them for
 * what runs there (environment, token files, metadata services), exchanged for what the registry takes. */
#ifndef PUSHWRIGHT_OCI_CLOUD_H
#define PUSHWRIGHT_OCI_CLOUD_H

#include "shared/oci/session.h"

enum cloud {
    CLOUD_NONE,
    CLOUD_ECR, /* Amazon ECR: a user and password of 12 hours */
    CLOUD_GAR, /* Google Artifact Registry: an access token of an hour as password */
    CLOUD_ACR, /* Azure Container Registry: a refresh token of 3 hours */
    CLOUD_KINDS
};

/* "USER:PASSWORD" for ECR and GAR, the refresh token for ACR; the caller frees it. ERROR_NOT_FOUND: this place offers no
 * credentials (the message lists where they were looked for), ERROR_DENIED: they were refused, otherwise as http_call. */
struct secret *cloud_login(enum cloud cloud, const char *registry, bool plain_http, struct registry_session *session,
                           int64_t *lifetime_s, struct error *err);

#endif
