/* A growable buffer with a ceiling that is part of its creation. Always NUL-terminated behind len once it holds anything,
 * so that data may be read as a string when the content is known to have no NUL. */
#ifndef PUSHWRIGHT_BASE_BYTES_H
#define PUSHWRIGHT_BASE_BYTES_H

#include "shared/base/arena.h"
#include "shared/base/auto.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

struct bytes {
    char *data; /* NULL until something was appended */
    size_t len;
    size_t capacity;
    size_t max;          /* bytes of content that it may hold */
    struct arena *arena; /* where its memory is from, and goes with; NULL: its own */
};

#define BYTES(ceiling) ((struct bytes){ .max = (ceiling) })
#define ARENA_BYTES(from, ceiling) ((struct bytes){ .max = (ceiling), .arena = (from) })

void bytes_init(struct bytes *bytes, size_t max);
void bytes_release(struct bytes *bytes);
AUTO_RELEASE(struct bytes, bytes_release)
/* The same for one that held a secret. */
void bytes_wipe(struct bytes *bytes);
AUTO_RELEASE(struct bytes, bytes_wipe)

/* False with ERROR_TOO_LARGE over the ceiling, its own or the arena's, ERROR_INTERNAL when memory is out; the content stays as it was. */
bool bytes_append(struct bytes *bytes, const void *data, size_t len, struct error *err);
bool bytes_append_span(struct bytes *bytes, struct span span, struct error *err);
bool bytes_append_text(struct bytes *bytes, const char *text, struct error *err);
bool bytes_append_char(struct bytes *bytes, char c, struct error *err);
__attribute__((format(printf, 3, 4))) bool bytes_printf(struct bytes *bytes, struct error *err, const char *format,
                                                        ...);

/* Make room for `more` bytes behind len, to be written by the caller, who then adds to len. */
bool bytes_reserve(struct bytes *bytes, size_t more, struct error *err);
size_t bytes_capacity_for(const struct bytes *bytes, size_t more); /* what bytes_reserve would make it */

/* Forget the content, keep the memory. */
void bytes_clear(struct bytes *bytes);
void bytes_truncate(struct bytes *bytes, size_t len); /* what stands behind `len` (at most the present one) */

struct span bytes_span(const struct bytes *bytes); /* never absent */
const char *bytes_text(const struct bytes *bytes); /* "" when empty */

/* Hand the memory to the caller, who frees it (so not an arena's); NULL only when memory is out. */
char *bytes_take(struct bytes *bytes);

#endif
