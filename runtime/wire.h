/* A small HTTP/1.1 client for the next hop: one kept-alive connection to a plain http address or a unix socket.
 *
 * A hop inside a cluster or a machine is an exchange of a few hundred bytes without TLS; the full client of shared/http costs
 * ten times what the exchange itself does, in processor time and in a cold start. It speaks with the same request
 * and response, so that a caller can use either. Source: RFC 9112; llhttp reads the answers as strictly as it reads requests.
 *
 * Two ways to use it, which may take turns on one wire: wire_call() waits for the answer; wire_begin() and wire_continue() never
 * wait, their caller watches the descriptor. */
#ifndef PUSHWRIGHT_RUNTIME_WIRE_H
#define PUSHWRIGHT_RUNTIME_WIRE_H

#include "shared/http/client.h"

#include <sys/socket.h>

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

/* An address that needs no name server: known from the start for numbers and unix sockets, else after wire_call() has connected. */
struct wire_address {
    struct sockaddr_storage to;
    socklen_t len; /* 0: not known */
};
const struct wire_address *wire_address(const struct wire *wire);
void wire_set_address(struct wire *wire, const struct wire_address *address);

enum wire_progress {
    WIRE_READS,    /* go on when there is something to read */
    WIRE_WRITES,   /* ... or when more can be written */
    WIRE_ANSWERED, /* *response holds the answer: of a 2xx only the status */
    WIRE_FAILED,   /* as when wire_call() returns false; the connection is closed */
};

/* Make ready to post the body with the header lines ("Name: value\r\n"...); wire_continue() sends. The address must be known or the connection
 * open; body, response and err must last until the exchange is over. Sent again on a new connection as wire_call() does. */
enum wire_progress wire_begin(struct wire *wire, struct span header_lines, struct span body, size_t body_max,
                              struct http_response *response, struct error *err);
enum wire_progress wire_continue(struct wire *wire);

/* End the exchange that is under way, or the idle connection; the error tells whether the request may have arrived. */
void wire_abandon(struct wire *wire, const char *why, struct error *err);

int wire_fd(const struct wire *wire); /* -1: not connected */
unsigned wire_opened(
    const struct wire *wire); /* connections so far: tells one descriptor from the next of the same number */

#endif
