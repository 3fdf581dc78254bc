#include "shared/dockerfile/names.h"

/* FNV-1a. Names that are made to collide are looked at one by one, and there are not many: DOCKERFILE_VARIABLES_MAX. */
static size_t hash(struct span name)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < name.len; i++)
        sum = (sum ^ (unsigned char)name.data[i]) * UINT64_C(1099511628211);
    return (size_t)(sum ^ sum >> 32);
}

/* The slot of the name, or the free one where it would stand. */
static struct name_slot *slot_of(const struct names *names, struct span name)
{
    size_t mask = names->capacity - 1, at = hash(name) & mask;
    for (;; at = (at + 1) & mask) {
        if (names->steps)
            ++*names->steps;
        if (!names->slots[at].name.data || span_equal(names->slots[at].name, name))
            return &names->slots[at];
    }
}

const struct name_slot *names_find(const struct names *names, struct span name)
{
    const struct name_slot *slot = names->capacity ? slot_of(names, name) : NULL;
    return slot && slot->name.data ? slot : NULL;
}

static bool grow(struct arena *arena, struct names *names, struct error *err)
{
    struct names larger = { .capacity = names->capacity ? names->capacity * 2 : 64, .steps = names->steps };
    larger.slots = arena_take(arena, larger.capacity * sizeof *larger.slots);
    if (!larger.slots)
        return no_memory(err);
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i].name.data)
            *slot_of(&larger, names->slots[i].name) = names->slots[i];
    larger.count = names->count;
    *names = larger;
    return true;
}

bool names_put(struct arena *arena, struct names *names, struct name_slot slot, struct error *err)
{
    if (names->count * 2 >= names->capacity && !grow(arena, names, err))
        return false;
    struct name_slot *place = slot_of(names, slot.name);
    names->count += !place->name.data;
    *place = slot;
    return true;
}

void names_drop(struct names *names, struct span name)
{
    struct name_slot *slot = names->capacity ? slot_of(names, name) : NULL;
    if (!slot || !slot->name.data)
        return;
    size_t mask = names->capacity - 1, hole = (size_t)(slot - names->slots);
    *slot = (struct name_slot){ 0 };
    names->count--;
    /* what stood behind it because the place was taken moves up */
    for (size_t i = (hole + 1) & mask; names->slots[i].name.data; i = (i + 1) & mask) {
        size_t home = hash(names->slots[i].name) & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        names->slots[hole] = names->slots[i];
        names->slots[i] = (struct name_slot){ 0 };
        hole = i;
    }
}
