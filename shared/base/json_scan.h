/* One strict pass over a JSON text that picks the members of interest, without building a tree.
 *
 * Memory does not grow with the document: a 25 MB webhook body costs no more than a small one. The whole text is checked
 * (RFC 8259 grammar, UTF-8, depth) even where nothing is picked. */
#ifndef PUSHWRIGHT_BASE_JSON_SCAN_H
#define PUSHWRIGHT_BASE_JSON_SCAN_H

#include "shared/base/bytes.h"
#include "shared/base/error.h"
#include "shared/base/json.h"
#include "shared/base/span.h"

enum { JSON_SCAN_DEPTH_MAX = 512, JSON_SCAN_PATHS_MAX = 64 };

/* Where a member of interest stands: keys joined by dots, "[]" for every element of an array:
 * "repository.full_name", "commits[].added[]", "commits[]" (each element), "events[].target.digest", "" (the document).
 * A key that holds a dot or bracket is escaped with a backslash. */
struct json_path {
    const char *path;
    int field; /* handed to the callback */
};

/* One picked value, called in the order of the text; containers are announced when they close, after what they hold.
 *   raw    the value's text, quotes included
 *   index  position in the innermost array of the path, 0 when there is none
 * Return false with *err filled to stop the scan with that error. */
typedef bool json_scan_fn(void *context, int field, enum json_type type, struct span raw, size_t index,
                          struct error *err);

/* False with ERROR_INVALID ("line 3 column 7: ...") for malformed text, trailing bytes, invalid UTF-8, nesting over
 * JSON_SCAN_DEPTH_MAX, or a picked member that stands twice in its object; or with the callback's error. */
bool json_scan(struct span text, const struct json_path *paths, size_t count, json_scan_fn *on_value, void *context,
               struct error *err);

/* The text of a scanned string: escapes resolved, appended to *out. False with ERROR_INVALID for a value that is not a
 * string, a lone surrogate or an escaped NUL (which no name or message may hold); ERROR_TOO_LARGE over out's ceiling. */
bool json_unquote(struct bytes *out, struct span raw, struct error *err);

/* Line and column (both from 1, column in bytes) of an offset; for messages. */
void json_position(struct span text, size_t offset, size_t *line, size_t *column);

/* Offset of the value at a path whose elements are numbered ("builds[0].on.tags[2]"); of its nearest enclosing value
 * when that does not exist. The text must have passed json_scan or json_parse. */
size_t json_locate(struct span text, const char *path);
/* The same, but of the member's key where the path ends in one. */
size_t json_locate_key(struct span text, const char *path);

#endif
