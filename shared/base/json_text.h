/* Pieces of JSON text, shared by the scanner, the reader and the writer. Private to shared/base. */
#ifndef PUSHWRIGHT_BASE_JSON_TEXT_H
#define PUSHWRIGHT_BASE_JSON_TEXT_H

#include <stdint.h>

#include "shared/base/span.h"

/* May it stand in a string as it is? (ASCII only: the rest is for the UTF-8 check.) */
static inline bool json_is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

struct json_escape {
    size_t length; /* of its text: 2, 6, or 12 for a pair of surrogates */
    uint32_t code_point;
    bool lone_surrogate;
};

/* The escape that `rest` starts with (at its backslash); false when it is none (RFC 8259 section 7). */
bool json_escape_read(struct span rest, struct json_escape *escape);

/* The key that a path starts with, up to its '.' or '[', backslashes included. */
struct span json_path_key(const char *path);

/* Is the key as it stands in the text (valid, in its quotes) the one that a path names? */
bool json_key_is(struct span raw, struct span path_key);

#endif
