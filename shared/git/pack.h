/* Large files out of a pack in pieces: libgit2 hands out what lies in a pack only as a whole, in memory. Private to shared/git. */
#ifndef PUSHWRIGHT_GIT_PACK_H
#define PUSHWRIGHT_GIT_PACK_H

#include "shared/git/git.h"

/* Where in a pack of the repository's "objects" directory the blob lies undeltified. False without *err: nowhere here. */
struct pack_place {
    int fd; /* of the pack; the caller closes it */
    int64_t offset, size;
};
bool pack_find(const char *objects, const unsigned char oid[static 20], struct pack_place *place, struct error *err);

/* The compressed bytes from there on, until *done. ERROR_INVALID when the pack ends before. */
bool pack_read(const struct pack_place *place, git_packed_fn *on_packed, void *context, struct error *err);

#endif
