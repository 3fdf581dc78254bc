/* Who a build is to the servers that it fetches from: secrets of these names, as BuildKit knows them, are meant for sources.
 *
 *   HTTP_AUTH_HEADER_host        the value of Authorization for ADD of a URL, and a context that is one
 *   HTTP_AUTH_TOKEN_host         "Bearer" and this, which counts where both are given
 *   GIT_AUTH_HEADER[.host]       the value of Authorization for ADD of a repository, and a context that is one; or just the scheme,
 *                                "basic" or "bearer", that the token is given by
 *   GIT_AUTH_TOKEN[.host]        the password of x-access-token, or "user:password"
 *
 * The host of HTTP_ is without its port, that of GIT_ with it where the URL names one; those of a host go before those of all. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_SOURCEAUTH_H
#define PUSHWRIGHT_SHARED_BUILDER_SOURCEAUTH_H

#include "shared/secrets/secret.h"

/* What RUN --mount=type=secret may be given, too. */
struct engine_secret {
    const char *id;
    struct span value;
};

/* The value of Authorization for the URL; NULL without an error: there is none. ERROR_INVALID for a value that no header can have. Zeroed:
 * nobody is anybody, and nothing of this is linked. */
struct sourceauth {
    const struct engine_secret *secrets;
    size_t count;
    struct secret *(*http)(const struct sourceauth *auth, const char *url, struct error *err);
    struct secret *(*git)(const struct sourceauth *auth, const char *url, struct error *err);
};

/* Borrows the secrets. */
struct sourceauth sourceauth_by(const struct engine_secret *secrets, size_t count);

#endif
