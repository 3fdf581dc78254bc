/* Private to shared/gitrefs: refs as they are gathered, and the three forms in which servers and files tell them. */
#ifndef PUSHWRIGHT_GITREFS_LISTING_H
#define PUSHWRIGHT_GITREFS_LISTING_H

#include "shared/base/arena.h"
#include "shared/gitrefs/refs.h"

enum { LISTING_BYTES_MAX = 16 * 1024 * 1024 };

struct listing {
    struct refs refs; /* first: refs_free() finds the rest by it; items as they were told, until listing_settle() */
    size_t capacity;
    struct arena *arena;
};

struct listing *listing_new(struct error *err);
void listing_free(struct listing *listing);
AUTO_FREE(struct listing, listing_free)

/* What is neither a branch nor a tag, or has a name that no ref can have, is passed over. peeled absent: not told. ERROR_INVALID: no
 * object's name. */
bool listing_add(struct listing *listing, struct span oid, struct span name, struct span peeled, struct error *err);
bool listing_set_head(struct listing *listing, struct span branch, struct error *err);

/* The body of info/refs. *commands true: the server speaks protocol 2 and told no refs: ask for them (listing_read_answer). */
bool listing_read_advertisement(struct listing *listing, struct span body, bool *commands, struct error *err);
/* The answer to "ls-refs". */
bool listing_read_answer(struct listing *listing, struct span body, struct error *err);
/* The file packed-refs. */
bool listing_read_packed(struct listing *listing, struct span text, struct error *err);

/* Sorted by name, each name once; only a server that lies tells one twice. */
void listing_settle(struct listing *listing);

#endif
