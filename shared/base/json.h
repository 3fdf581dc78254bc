/* JSON documents as trees (cJSON behind it, in memory of an arena) and JSON text written piece by piece.
 *
 * For configuration, manifests and answers of peers: a few kilobytes up to a few megabytes. Large bodies of which only
 * some members are of interest go through json_scan.h instead. */
#ifndef PUSHWRIGHT_BASE_JSON_H
#define PUSHWRIGHT_BASE_JSON_H

#include "shared/base/arena.h"
#include "shared/base/bytes.h"
#include "shared/base/error.h"

#include <stdint.h>

struct json; /* a value; lives as long as the arena it was parsed into */

enum json_type { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

enum { JSON_DEPTH_MAX = 64 };

/* Parse exactly one value (RFC 8259, UTF-8). Refused as ERROR_INVALID, with line and column ("line 3 column 7: ..."):
 * malformed text, trailing bytes, nesting over JSON_DEPTH_MAX, an object with the same key twice, and what the tree could
 * not hold: a NUL or half of a surrogate pair inside a string, a number of more than 63 characters. ERROR_TOO_LARGE when
 * the arena's ceiling is hit. Safe in several threads, each with an arena of its own. */
const struct json *json_parse(struct arena *arena, struct span text, struct error *err);

enum json_type json_type(const struct json *value);
const char *json_type_name(enum json_type type); /* "a string", "an object", ... for messages */

/* Each of these takes NULL for "absent" and answers NULL, false, 0 or the fallback, so that they can be chained. */
const struct json *json_get(const struct json *object, const char *key); /* NULL: absent, or not an object */
const char *json_string(const struct json *value);                       /* NULL: absent, or not a string  */
bool json_boolean(const struct json *value, bool fallback);
bool json_integer(const struct json *value, int64_t *out); /* false: absent, not a whole number, or over 2^53 */
size_t json_count(const struct json *array_or_object);

/* Walk: for (const struct json *v = json_first(array); v; v = json_next(v)) ...; members of objects know their key. */
const struct json *json_first(const struct json *array_or_object);
const struct json *json_next(const struct json *value);
const char *json_key(const struct json *member);

/* json_get + json_string; NULL when absent or of another type. */
const char *json_get_string(const struct json *object, const char *key);

/* The value as compact text. Numbers beyond 2^53 lose digits: relay raw text (json_scan.h) where they matter. */
bool json_print(struct bytes *out, const struct json *value, struct error *err);

/* Writing. Commas are set by the writer; the first failure (the ceiling of `out`) sticks and is told by json_writer_end. */
struct json_writer {
    struct bytes *out;
    struct error err;
    bool comma;
};

struct json_writer json_writer_on(struct bytes *out);
void json_open_object(struct json_writer *w, const char *key); /* key NULL: an element, or the document itself */
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w, const char *key);
void json_close_array(struct json_writer *w);
void json_add_string(struct json_writer *w, const char *key, const char *text); /* NULL text: nothing is written */
void json_add_span(struct json_writer *w, const char *key, struct span text);   /* invalid UTF-8 becomes U+FFFD    */
void json_add_integer(struct json_writer *w, const char *key, int64_t number);
void json_add_boolean(struct json_writer *w, const char *key, bool value);
void json_add_raw(struct json_writer *w, const char *key, struct span json); /* already JSON; absent: nothing */
bool json_writer_end(struct json_writer *w, struct error *err);

#endif
