#include "shared/gitrefs/pktline.h"

#include "shared/base/encode.h"

#include <stdint.h>

enum { LENGTH_DIGITS = 4, SAID_MAX = 200 };

static bool read_length(struct span text, size_t *length)
{
    uint8_t raw[LENGTH_DIGITS / 2];

    if (text.len < LENGTH_DIGITS || !hex_decode(raw, sizeof(raw), (struct span){ text.data, LENGTH_DIGITS }))
        return false;
    *length = (size_t)raw[0] << 8 | raw[1];
    return true;
}

/* What it says may go into a log: text, or nothing of it. */
static bool server_says(struct span text, struct error *err)
{
    bool printable = text.len <= SAID_MAX && span_is_utf8(text);

    for (size_t i = 0; printable && i < text.len; i++)
        printable = (unsigned char)text.data[i] >= ' ';
    return error_set(err, ERROR_INVALID, "the server says: %.*s", printable ? (int)text.len : 12,
                     printable ? text.data : "what no text is");
}

bool packet_next(struct span *rest, struct packet *out, struct error *err)
{
    size_t length;

    if (rest->len == 0) {
        *out = (struct packet){ .kind = PACKET_NONE };
        return true;
    }
    if (!read_length(*rest, &length) || length == LENGTH_DIGITS - 1)
        return error_set(err, ERROR_INVALID, "what the server sent is not git's protocol");
    if (length > rest->len)
        return error_set(err, ERROR_INVALID, "the server's answer ends in the middle of a packet");
    size_t whole = length < LENGTH_DIGITS ? LENGTH_DIGITS : length;
    *out = (struct packet){ .kind = length < LENGTH_DIGITS ? (enum packet_kind)length : PACKET_LINE,
                            .line = { rest->data + LENGTH_DIGITS, whole - LENGTH_DIGITS } };
    *rest = (struct span){ rest->data + whole, rest->len - whole };
    if (span_ends(out->line, "\n"))
        out->line.len--;
    if (span_starts(out->line, "ERR "))
        return server_says((struct span){ out->line.data + 4, out->line.len - 4 }, err);
    return true;
}

bool packet_write(struct bytes *out, const char *line, struct error *err)
{
    return bytes_printf(out, err, "%04zx%s\n", LENGTH_DIGITS + span_of(line).len + 1, line);
}

bool packet_write_mark(struct bytes *out, enum packet_kind kind, struct error *err)
{
    return bytes_printf(out, err, "%04x", (unsigned)kind);
}
