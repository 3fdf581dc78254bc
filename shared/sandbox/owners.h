/* Whose the files are that programs make and give away where the kernel knows one user only (SANDBOX_AS_USER). Noted for a file, not for a
 * path: for what the file system itself tells files apart by (name_to_handle_at(2): the inode and its generation; where it has no handles, the
 * inode and its time of birth), so that a note goes along when the file is renamed or linked, and not over to a file that gets its inode.
 *
 * The memory is shared with processes that are split off: what the sandbox notes, its starter reads afterwards. One process at a time writes;
 * nothing here allocates but owners_new(). */
#ifndef PUSHWRIGHT_SANDBOX_OWNERS_H
#define PUSHWRIGHT_SANDBOX_OWNERS_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

#include <stdint.h>

struct owner {
    uint32_t uid, gid;
};

static inline bool owner_is(struct owner a, struct owner b)
{
    return a.uid == b.uid && a.gid == b.gid;
}

enum { OWNERS_MAX = 1024 * 1024 };

struct owners;
struct owners *owners_new(uint32_t max, struct error *err); /* files at most; memory is taken as they come */
void owners_free(struct owners *owners);
AUTO_FREE(struct owners, owners_free)

/* Of the file `name` of the directory, links not followed; "": of the one that is open as `directory` (O_PATH will do). */
bool owners_find(const struct owners *owners, int directory, const char *name, struct owner *out);
/* False with errno: ENOSPC, there are too many (and owners_full() from then on), or why the file has nothing to be known by. */
bool owners_note(struct owners *owners, int directory, const char *name, struct owner owner);
bool owners_full(const struct owners *owners);
bool owners_none(const struct owners *owners);

#endif
