#include "shared/base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK_MIN = 16 * 1024, BLOCK_SMALL = 1024 };

struct block {
    struct block *before;
    size_t size, used;
    alignas(max_align_t) char data[];
};

struct arena {
    struct block *last;
    size_t total, max; /* bytes in blocks */
    size_t first;      /* of a block */
    bool refused;      /* by the machine, not by the ceiling */
};

/* The first block of an arena that has ended, for the next one: a function that starts reads its configuration in the memory of its
 * first call. Not under a sanitizer, which is to see who uses an arena that has ended. */
static _Atomic(struct block *) spare;

#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
enum { KEEP_SPARE = 0 };
#else
enum { KEEP_SPARE = 1 };
#endif

static struct arena *begin(size_t max, size_t first)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena)
        *arena = (struct arena){ .max = max, .first = first };
    return arena;
}

struct arena *arena_new(size_t max)
{
    return begin(max, BLOCK_MIN);
}

struct arena *arena_new_small(size_t max)
{
    return begin(max, BLOCK_SMALL);
}

static void free_blocks(struct block *block, const struct block *keep)
{
    while (block != keep) {
        struct block *before = block->before;
        free(block);
        block = before;
    }
}

static struct block *first_of(const struct arena *arena)
{
    struct block *first = arena->last;
    while (first && first->before)
        first = first->before;
    return first;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    struct block *first = first_of(arena), *none = NULL;
    free_blocks(arena->last, first);
    if (!KEEP_SPARE || !first || first->size != BLOCK_MIN || !atomic_compare_exchange_strong(&spare, &none, first))
        free(first);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    struct block *first = first_of(arena);
    free_blocks(arena->last, first);
    arena->last = first;
    arena->total = first ? first->size : 0;
    if (first)
        first->used = 0;
}

static struct block *add_block(struct arena *arena, size_t need)
{
    size_t size = arena->last ? arena->last->size * 2 : arena->first;
    if (size > arena->max - arena->total)
        size = arena->max - arena->total;
    if (size < need)
        size = need;
    if (size > arena->max - arena->total)
        return NULL;
    struct block *block = size == BLOCK_MIN ? atomic_exchange(&spare, NULL) : NULL;
    if (!block)
        block = malloc(sizeof *block + size);
    arena->refused = !block;
    if (!block)
        return NULL;
    *block = (struct block){ .before = arena->last, .size = size };
    arena->last = block;
    arena->total += size;
    return block;
}

static size_t aligned(size_t size)
{
    return (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
}

void *arena_take(struct arena *arena, size_t size)
{
    if (size > PTRDIFF_MAX / 2) /* what no machine has; sums stay in range */
        return NULL;
    size_t need = aligned(size);
    struct block *block = arena->last;
    if (!block || block->size - block->used < need)
        block = add_block(arena, need);
    if (!block)
        return NULL;
    char *piece = block->data + block->used;
    block->used += need;
    return memset(piece, 0, need);
}

void *arena_grow(struct arena *arena, void *piece, size_t had, size_t size)
{
    struct block *block = arena->last;
    assert(size >= had);
    if (size > PTRDIFF_MAX / 2)
        return NULL;
    if (had > 0 && (char *)piece + aligned(had) == block->data + block->used &&
        aligned(size) - aligned(had) <= block->size - block->used) {
        block->used += aligned(size) - aligned(had);
        return piece;
    }
    void *moved = arena_take(arena, size);
    if (moved && had > 0)
        memcpy(moved, piece, had);
    return moved;
}

bool arena_no_room(const struct arena *arena, const char *what, struct error *err)
{
    if (arena->refused)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return error_set(err, ERROR_TOO_LARGE, "%s needs more memory than allowed", what);
}

char *arena_dup(struct arena *arena, struct span s)
{
    char *copy = arena_take(arena, s.len + 1);
    if (copy && s.len > 0)
        memcpy(copy, s.data, s.len);
    return copy;
}

/* Formats into what is left of the last block, and once more only when that was too little. */
char *arena_printf(struct arena *arena, const char *format, ...)
{
    struct block *block = arena->last;
    char *room = block ? block->data + block->used : NULL;
    size_t size = block ? block->size - block->used : 0;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(room, size, format, args);
    va_end(args);
    if (block && n >= 0 && aligned((size_t)n + 1) <= size) {
        block->used += aligned((size_t)n + 1);
        return room;
    }
    char *text = n < 0 ? NULL : arena_take(arena, (size_t)n + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}
