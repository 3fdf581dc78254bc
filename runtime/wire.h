/* A small HTTP/1.1 client for the next hop: one kept-alive connection to a plain http address or a unix socket.
 *
 * A hop inside a cluster or a machine is an exchange of a few hundred bytes without TLS; the full client of shared/http costs
 * ten times what the exchange itself does, in processor time and in a cold start. It speaks with the same request
 * and response, so that a caller can use either. Source: RFC 9112; llhttp reads the answers as strictly as it reads requests. */
#ifndef PUSHWRIGHT_RUNTIME_WIRE_H
#define PUSHWRIGHT_RUNTIME_WIRE_H

#include "shared/http/client.h"

struct wire; /* one thread at a time */

/* Is this a URL for it? Plain http, and no proxy in between. */
bool wire_can_reach(const char *url);

/* The URL's host and port, or the unix socket when that is not NULL. Connects at the first call. */
struct wire *wire_new(const char *url, const char *unix_socket, struct error *err);
void wire_free(struct wire *wire);
AUTO_FREE(struct wire, wire_free)

/* As http_call(), with these limits: the address is the wire's own, the body is a span, the answer's body is collected (at most
 * body_max bytes). A kept connection that the other side has closed meanwhile is opened anew, and the request sent
 * again when no byte of an answer had come: the receiver must know duplicates. */
bool wire_call(struct wire *wire, const struct http_request *request, struct http_response *response,
               struct error *err);

#endif
