/* Memory of one request: taken piece by piece, given back at once. Bounded, so that no input can take more. */
#ifndef PUSHWRIGHT_BASE_ARENA_H
#define PUSHWRIGHT_BASE_ARENA_H

#include "shared/base/auto.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

struct arena; /* not safe for two threads at once */

struct arena *arena_new(size_t max); /* NULL when memory is out */
struct arena *arena_new_small(
    size_t max); /* for a few texts that are kept for long: begins with 1 KB instead of 16 KB */
void arena_free(struct arena *arena);
AUTO_FREE(struct arena, arena_free)

/* Forget everything that was taken, keep one block for the next request. */
void arena_reset(struct arena *arena);

/* `size` bytes, zeroed, aligned for any type, valid until reset or free; NULL over the ceiling or when memory is out. */
void *arena_take(struct arena *arena, size_t size);
/* A piece of `had` bytes with `size` of them, the new ones not zeroed: where it stands, when nothing was taken after it. */
void *arena_grow(struct arena *arena, void *piece, size_t had, size_t size);
char *arena_dup(struct arena *arena, struct span s); /* terminated copy */
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *arena, const char *format, ...);

/* Why one of these gave NULL; returns false. Over the ceiling ERROR_TOO_LARGE, "<what> needs more memory than allowed", which stays so
 * however often it is tried; ERROR_INTERNAL when the machine had none. */
bool arena_no_room(const struct arena *arena, const char *what, struct error *err);

#endif
