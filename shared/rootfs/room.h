/* Directories of a store that has a bound: the longest unused ones give way. Each is named by 64 hexadecimal digits and holds a file "size": how many
 * bytes, in decimal; nothing while that is not known. Its time is that of the last use.
 *
 * Who uses a directory holds a shared lock on it, who changes it an exclusive one; what nobody holds may be removed by anybody. It is given a name
 * that begins with "dead-" before, so that the end of a process at any moment leaves nothing half. */
#ifndef PUSHWRIGHT_ROOTFS_ROOM_H
#define PUSHWRIGHT_ROOTFS_ROOM_H

#include "shared/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Open `path` for locking with flock(2). Its lock counts only when room_is_named() still says so afterwards: it may have been removed, and made
 * again, meanwhile. */
int room_open(const char *path);
bool room_is_named(int fd, const char *path);

/* Of the directory, by who holds it: used now, and of a size that is not known. */
bool room_use(const char *path, struct error *err);

/* What is not known is measured, what is abandoned is removed, then the longest unused ones go until the rest has no more bytes. */
void room_make(const char *store, int64_t bytes_max);

/* Remove the directory of the store, unless somebody holds it. */
bool room_retire(const char *store, const char *name);

/* Remove those whose names begin so and which nobody holds. */
void room_clear(const char *store, const char *prefix);

#define ROOM_DEAD "dead-"

#endif
