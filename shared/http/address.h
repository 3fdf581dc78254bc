/* Which network an address belongs to: the ground under "do not connect to private addresses". */
#ifndef PUSHWRIGHT_HTTP_ADDRESS_H
#define PUSHWRIGHT_HTTP_ADDRESS_H

#include "shared/base/span.h"

#include <sys/socket.h>

/* Loopback, private (RFC 1918, ULA), shared (RFC 6598), link-local (where clouds keep their metadata), multicast,
 * reserved and unspecified addresses, also when an IPv6 form (mapped, compatible, NAT64, 6to4) carries such an IPv4
 * address. Families other than IPv4 and IPv6 count as private. */
bool address_is_private(const struct sockaddr *address);
bool address_is_public(const struct sockaddr *address); /* the contrary */

/* Is it inside "10.0.0.0/8" or "fd00::/8"; a network without a slash is one address. False for malformed networks. */
bool address_in_network(const struct sockaddr *address, struct span network);

/* A literal IPv4 or IPv6 address (no brackets) as a socket address; false when it is a name. */
bool address_parse(struct span host, struct sockaddr_storage *out);

/* "localhost", a name below it (RFC 6761), or a literal loopback address. */
bool host_is_loopback(struct span host);

/* Does the name, asked for now, have a private address? False when it has none at all. Good for choosing how much to
 * allow an operator's own network, not as a guard: a guard looks at the connection
 * (http_client_options.refuse_private). */
bool host_resolves_to_private(const char *host);

#endif
