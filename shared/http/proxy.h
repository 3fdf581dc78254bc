/* Which proxy the environment names for a URL. */
#ifndef PUSHWRIGHT_HTTP_PROXY_H
#define PUSHWRIGHT_HTTP_PROXY_H

#include "shared/http/url.h"

/* http_proxy (lower case only: a CGI sets HTTP_PROXY from a request's header), https_proxy, all_proxy and the upper
 * case of the last two; NULL when none is set, when no_proxy lists the host ("*", names with their subdomains,
 * addresses and networks, each with or without a port), or when the host is this machine's loopback. Borrowed from
 * the environment. */
const char *proxy_for(const struct url *url);

/* The rule of no_proxy alone. */
bool proxy_is_bypassed(struct span list, struct span host, unsigned port);

#endif
