/* URLs taken apart, for checking and for messages. */
#ifndef PUSHWRIGHT_HTTP_URL_H
#define PUSHWRIGHT_HTTP_URL_H

#include "shared/base/bytes.h"

struct url {
    struct span scheme, userinfo, host, path, query, fragment; /* slices of the text; absent where there is none */
    unsigned port;                                             /* 0: none written */
};

/* Absolute URLs with an authority (scheme://host...) and file:///path. ERROR_INVALID for control characters, blanks, a
 * bad port or a missing host. IPv6 hosts come without brackets. */
bool url_parse(struct span text, struct url *url, struct error *err);

/* "https://host:port/path" for logs and messages: without user information, query and fragment. */
bool url_redacted(struct bytes *out, struct span text, struct error *err);

#endif
