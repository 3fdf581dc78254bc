/* git's packets (gitprotocol-common "pkt-line Format"): four hexadecimal digits of length, themselves included, then the content.
 * Whatever was received is untrusted. */
#ifndef PUSHWRIGHT_GITREFS_PKTLINE_H
#define PUSHWRIGHT_GITREFS_PKTLINE_H

#include "shared/base/bytes.h"

enum packet_kind { PACKET_FLUSH, PACKET_DELIMITER, PACKET_RESPONSE_END, PACKET_LINE, PACKET_NONE };

struct packet {
    enum packet_kind kind; /* PACKET_NONE: nothing is left */
    struct span line;      /* of a PACKET_LINE, without the line's end; borrowed from what is read */
};

/* Take the next one off *rest. ERROR_INVALID: not a packet, one that is cut off, or "ERR" with what the server has to say. */
bool packet_next(struct span *rest, struct packet *out, struct error *err);

/* Append a line (its end is added), and one of the packets without content. */
bool packet_write(struct bytes *out, const char *line, struct error *err);
bool packet_write_mark(struct bytes *out, enum packet_kind kind, struct error *err);

#endif
