/* What json.c asks of the scanner beyond json_scan.h: the check that goes before a tree is built, and where in the text a
 * value of the tree stands. Private to shared/base. */
#ifndef PUSHWRIGHT_BASE_JSON_STRICT_H
#define PUSHWRIGHT_BASE_JSON_STRICT_H

#include "shared/base/error.h"
#include "shared/base/span.h"

/* json_scan without picking, and refusing also what a tree cannot hold: nesting over depth_max, an escaped NUL, a lone
 * surrogate, a number of more than JSON_NUMBER_MAX characters (what cJSON reads of one). */
enum { JSON_NUMBER_MAX = 63 };
bool json_check_strictly(struct span text, size_t depth_max, struct error *err);

/* ERROR_INVALID "line L column C: SENTENCE" about an offset of the text. */
__attribute__((format(printf, 4, 5))) bool json_error_at(struct error *err, struct span text, size_t offset,
                                                         const char *format, ...);

/* Offset of the ordinals[count-1]-th member or element of the ... of the ordinals[0]-th one of the document; of its key
 * when it has one. The text must be valid. */
size_t json_offset_of(struct span text, const size_t *ordinals, size_t count);

#endif
