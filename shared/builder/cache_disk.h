/* The build cache on disk: records by the keys of steps, and the layers that they name.
 *
 * Below the directory:
 *   records/HEX        see cache_record.h; a file's time is that of the last use
 *   blobs/sha256/HEX   layers as they are sent to registries, an OCI layout that reads them again; likewise
 *   blobs/sha256/.new-*   on their way
 *
 * Several processes may use it at once, and each may end at any moment: files get their names once they are whole, and whatever is
 * wrong with one makes it a miss. A layer is hashed before it is believed, so nothing needs to have reached the disk by then. Who
 * uses a layer holds a shared lock on it; the longest unused ones that nobody holds give way to new ones. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_DISK_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_DISK_H

#include "shared/builder/cache_record.h"

enum { CACHE_DISK_RECORDS_MAX = 4000, CACHE_DISK_PATH_MAX = 4096 };

/* The layer that the step of this key made, unless `suits` does not want it. *hold is a descriptor that keeps it there, to be closed by the
 * caller. False: a miss. */
bool cache_disk_find(const char *directory, const char *key, bool (*suits)(void *, const struct cache_record *),
                     void *context, struct cache_record *out, int *hold);

/* Remember it; the layer's bytes are the file's from offset 0 on. Of layers more than about bytes_max in all are not kept. Errors are about
 * the disk, and leave the cache as it was. */
bool cache_disk_keep(const char *directory, int64_t bytes_max, const struct cache_record *record, int fd,
                     struct error *err);

/* What the both do with a layer, for other contents that lie with them: the blob's file, held, or -1; keeping one that is not too large. */
int cache_disk_hold(const char *directory, const struct descriptor *blob);
bool cache_disk_put(const char *directory, int64_t bytes_max, const struct descriptor *blob, int fd, struct error *err);
/* A small text by its name (hexadecimal digits of a SHA-256), whole or not at all, in a folder that forgets what was longest unused. */
bool cache_disk_note(const char *directory, const char *folder, const char *name, struct span text, struct error *err);

/* Remember it under this key too: the layer is there. */
bool cache_disk_name(const char *directory, const struct cache_record *record, struct error *err);

#endif
