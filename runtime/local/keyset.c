#include "runtime/local/keyset.h"

#include "shared/base/encode.h"

#include <string.h>

enum { KEY_SIZE = 32, SLOTS_FIRST = 1024 };

/* Open addressing; a key of all zeros marks a free slot (SHA-256 gives none that anybody could find). */
struct keyset {
    uint8_t (*slots)[KEY_SIZE];
    size_t capacity, count; /* capacity is a power of two */
};

static const uint8_t nothing[KEY_SIZE];

struct keyset *keyset_new(void)
{
    return calloc(1, sizeof(struct keyset));
}

void keyset_free(struct keyset *set)
{
    if (!set)
        return;
    free(set->slots);
    free(set);
}

/* Where the key stands or would stand. The key is a hash already: its first bytes are the slot. */
static size_t find(uint8_t (*slots)[KEY_SIZE], size_t capacity, const uint8_t key[static KEY_SIZE])
{
    size_t at;
    memcpy(&at, key, sizeof at);
    for (at &= capacity - 1; memcmp(slots[at], nothing, KEY_SIZE) != 0; at = (at + 1) & (capacity - 1))
        if (memcmp(slots[at], key, KEY_SIZE) == 0)
            break;
    return at;
}

bool keyset_has(const struct keyset *set, const char *key)
{
    uint8_t raw[KEY_SIZE];
    if (set->count == 0 || !hex_decode(raw, KEY_SIZE, span_of(key)))
        return false;
    return memcmp(set->slots[find(set->slots, set->capacity, raw)], raw, KEY_SIZE) == 0;
}

static bool grow(struct keyset *set, struct error *err)
{
    size_t capacity = set->capacity ? set->capacity * 2 : SLOTS_FIRST;
    uint8_t(*slots)[KEY_SIZE] = calloc(capacity, KEY_SIZE);
    if (!slots)
        return error_set(err, ERROR_INTERNAL, "out of memory for %zu events", capacity);
    for (size_t i = 0; i < set->capacity; i++)
        if (memcmp(set->slots[i], nothing, KEY_SIZE) != 0)
            memcpy(slots[find(slots, capacity, set->slots[i])], set->slots[i], KEY_SIZE);
    free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return true;
}

bool keyset_add(struct keyset *set, const char *key, struct error *err)
{
    uint8_t raw[KEY_SIZE];
    if (!hex_decode(raw, KEY_SIZE, span_of(key)))
        return error_set(err, ERROR_INVALID, "'%s' is not an event's key", key);
    if (set->count * 4 >= set->capacity * 3 && !grow(set, err))
        return false;
    size_t at = find(set->slots, set->capacity, raw);
    if (memcmp(set->slots[at], raw, KEY_SIZE) != 0) {
        memcpy(set->slots[at], raw, KEY_SIZE);
        set->count++;
    }
    return true;
}
