/* Numbers and bytes as text and back: decimal, hexadecimal, base64, base32, percent. */
#ifndef PUSHWRIGHT_BASE_ENCODE_H
#define PUSHWRIGHT_BASE_ENCODE_H

#include "shared/base/bytes.h"

#include <stdint.h>

/* Terminated; the length is returned. */
enum { DECIMAL_SIZE = 21 };
size_t decimal_encode(char out[static DECIMAL_SIZE], uint64_t number);

/* Lower case, terminated: out holds 2 * len + 1. */
void hex_encode(char *out, const uint8_t *data, size_t len);

/* Exactly 2 * len digits of either case; false otherwise. */
bool hex_decode(uint8_t *out, size_t len, struct span text);

/* RFC 4648 section 4, with padding. */
bool base64_encode(struct bytes *out, struct span data, struct error *err);
/* Strict (no blanks, right padding, no stray bits); ERROR_INVALID otherwise. */
bool base64_decode(struct bytes *out, struct span text, struct error *err);

/* RFC 4648 section 6 in lower case, no padding; out holds (len * 8 + 4) / 5 + 1. */
void base32_encode(char *out, const uint8_t *data, size_t len);

/* RFC 3986: everything but unreserved characters and those in `keep` becomes %XX. */
bool percent_encode(struct bytes *out, struct span text, const char *keep, struct error *err);
/* One round; with `plus` also '+' to blank (form data). ERROR_INVALID for a '%' without two digits. */
bool percent_decode(struct bytes *out, struct span text, bool plus, struct error *err);

#endif
