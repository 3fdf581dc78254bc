/* A borrowed run of bytes, not terminated. */
#ifndef PUSHWRIGHT_BASE_SPAN_H
#define PUSHWRIGHT_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>

struct span {
    const char *data; /* NULL: absent, which is not the same as empty */
    size_t len;
};

/* For printf's "%.*s". */
#define SPAN_ARGS(s) (int)(s).len, (s).data ? (s).data : ""

#define SPAN(literal) ((struct span){ "" literal, sizeof(literal) - 1 })

struct span span_of(const char *text); /* NULL gives the absent span */
bool span_equal(struct span a, struct span b);
bool span_is(struct span s, const char *text);
bool span_starts(struct span s, const char *prefix);
bool span_ends(struct span s, const char *suffix);
struct span span_trim(struct span s); /* without blanks and tabs, CR and LF at both ends */

/* Cut the part before the first `separator` off *rest and return it; the separator goes. Without one, all of *rest, which
 * becomes absent. An absent *rest gives the absent span, which ends a loop. */
struct span span_cut(struct span *rest, char separator);

/* Offset of the last or first `c`, or -1. */
long span_find(struct span s, char c);
long span_find_last(struct span s, char c);

/* A terminated copy on the heap; NULL when memory is out or the bytes hold a NUL. */
char *span_dup(struct span s);

/* Is it well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF)? */
bool span_is_utf8(struct span s);

/* How many bytes the character takes that it starts with; 0 when it is malformed, or none. */
size_t span_utf8_sequence(struct span s);

#endif
