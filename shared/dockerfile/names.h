/* Names with what stands for them, found in a few steps however many there are. */
#ifndef PUSHWRIGHT_DOCKERFILE_NAMES_H
#define PUSHWRIGHT_DOCKERFILE_NAMES_H

#include "shared/dockerfile/text.h"

struct name_slot {
    struct span name; /* data NULL: free; borrowed */
    const char *text; /* what stands for it, borrowed */
    size_t value;
};

/* Zeroed is empty. */
struct names {
    struct name_slot *slots; /* open addressing */
    size_t count, capacity;
    size_t *steps; /* counts looks at a slot, for those who want to know; NULL: nobody */
};

const struct name_slot *names_find(const struct names *names, struct span name); /* NULL without one */

/* In the place of what stood for the name, if there was something. */
bool names_put(struct arena *arena, struct names *names, struct name_slot slot, struct error *err);
void names_drop(struct names *names, struct span name);

#endif
