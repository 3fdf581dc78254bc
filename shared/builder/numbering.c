#include "shared/builder/numbering.h"

/* Open addressing in a power of two of slots, at most half of them used. */
struct numbered {
    uint64_t a, b, number; /* number 0: free */
};

static struct numbered *slot_of(struct numbered *slots, size_t count, uint64_t a, uint64_t b)
{
    uint64_t hash = (a ^ b << 40 ^ b >> 24) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(hash >> 20) & (count - 1);

    while (slots[at].number != 0 && (slots[at].a != a || slots[at].b != b))
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static bool grow(struct numbering *numbering, struct error *err)
{
    size_t count = numbering->slot_count ? numbering->slot_count * 2 : 64;
    struct numbered *slots = calloc(count, sizeof(slots[0]));

    if (!slots)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < numbering->slot_count; i++) {
        const struct numbered *old = &numbering->slots[i];
        if (old->number != 0)
            *slot_of(slots, count, old->a, old->b) = *old;
    }
    free(numbering->slots);
    numbering->slots = slots;
    numbering->slot_count = count;
    return true;
}

bool numbering_get(struct numbering *numbering, uint64_t a, uint64_t b, uint64_t *number, struct error *err)
{
    if (2 * (numbering->count + 1) > numbering->slot_count && !grow(numbering, err))
        return false;
    struct numbered *slot = slot_of(numbering->slots, numbering->slot_count, a, b);
    if (slot->number == 0) {
        *slot = (struct numbered){ a, b, ++*numbering->last };
        numbering->count++;
    }
    *number = slot->number;
    return true;
}

void numbering_release(struct numbering *numbering)
{
    free(numbering->slots);
    numbering->slots = NULL;
}
