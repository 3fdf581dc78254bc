/* One HTTP/1.1 request as it comes in, piece by piece: llhttp behind it, and the checks that llhttp leaves to its
 * user. Private to the server; a header of its own so that tests and the fuzzer can feed bytes without a socket.
 * Source: RFC 9110, RFC 9112. */
#ifndef PUSHWRIGHT_RUNTIME_SERVER_MESSAGE_H
#define PUSHWRIGHT_RUNTIME_SERVER_MESSAGE_H

#include "runtime/server.h"

enum message_state {
    MESSAGE_HEAD,     /* the blank line has not come yet */
    MESSAGE_BODY,     /* request and headers are known, the body is not complete */
    MESSAGE_COMPLETE, /* the whole request is there */
    MESSAGE_REFUSED,  /* status and reason say why; the connection cannot be used further */
};

struct message {
    uint64_t parser[16]; /* opaque; holds the library's state */
    enum message_state state;
    int status;
    const char *reason; /* static text */

    struct request request; /* of use from MESSAGE_BODY on, its body from MESSAGE_COMPLETE on */
    struct bytes head;      /* target, then name, value, name, value ... as sent, without separators */
    struct request_header *fields;
    size_t field_count, field_capacity;
    struct bytes body;

    const char *piece; /* the bytes that are being fed */
    size_t line_end;   /* where in the head the last word of the request line ended */
    size_t target_len;
    size_t head_wire, body_wire; /* bytes taken from the connection, framing and blanks included */
    uint64_t content_length;
    bool chunked, http10, keep_alive, expects_continue;
};

void message_init(struct message *message, size_t body_max);
void message_release(struct message *message);
AUTO_RELEASE(struct message, message_release)

/* As after message_init, with the memory that it has. */
void message_reset(struct message *message, size_t body_max);

/* Feed bytes while the state is HEAD or BODY. Returns how many belong to this message: fewer than `len` only when it
 * became complete (the rest is the next request) or was refused. The message points at itself: it must not be moved
 * after message_init. */
size_t message_feed(struct message *message, const char *data, size_t len);

/* Refuse from outside (time is up, memory is out). */
void message_refuse(struct message *message, int status, const char *reason);

/* Body bytes that are still to come as they are, without framing between them; 0 when chunked or not known yet. */
size_t message_plain_remaining(const struct message *message);

/* Host field value: uri-host [ ":" port ]. Source: RFC 9110 section 7.2, RFC 3986 section 3.2.2. */
bool message_host_is_valid(struct span value);

/* Split a request target of origin-form, absolute-form or asterisk-form (OPTIONS only) into path and query; false when
 * it is none of them. Source: RFC 9112 section 3.2. */
bool message_target_split(struct span method, struct span target, struct span *path, struct span *query);

/* Field values: no control characters but the tab. Source: RFC 9110 section 5.5. */
bool message_value_is_clean(struct span value);

bool message_name_is(struct span name, const char *expected); /* without case */

#endif
