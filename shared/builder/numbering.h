/* Fresh numbers for files with several names: the same key gets the same number, different ones get different numbers. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_NUMBERING_H
#define PUSHWRIGHT_SHARED_BUILDER_NUMBERING_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

#include <stdint.h>

struct numbered;

struct numbering {
    uint64_t *last; /* number that was given last; who shares it never gets the same */
    struct numbered *slots;
    size_t count, slot_count;
};

/* Of the key, a pair such as device and inode. */
bool numbering_get(struct numbering *numbering, uint64_t a, uint64_t b, uint64_t *number, struct error *err);
void numbering_release(struct numbering *numbering);
AUTO_RELEASE(struct numbering, numbering_release)

#endif
