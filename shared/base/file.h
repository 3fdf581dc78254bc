/* Files: read with a ceiling, written so that a crash leaves the old or the new content, never a part. */
#ifndef PUSHWRIGHT_BASE_FILE_H
#define PUSHWRIGHT_BASE_FILE_H

#include "shared/base/bytes.h"

#include <sys/types.h>

/* Append the file's content to *out; over its ceiling is ERROR_TOO_LARGE. "-" reads standard input. */
bool file_read(struct bytes *out, const char *path, struct error *err);

/* Write beside it, fsync, rename over it, fsync the directory. */
bool file_write_atomic(const char *path, struct span content, mode_t mode, struct error *err);

/* For a cache: written beside it and renamed over it, never a part for who reads at the same time. Not forced to the disk: after a crash
 * it may be torn, which its reader must find out. */
bool file_write_cached(const char *path, struct span content, struct error *err);

/* All of it, whatever signals and short writes do. */
bool file_write_all(int fd, const void *data, size_t len, struct error *err);

/* The directory and its parents; an existing one is fine. */
bool directory_make(const char *path, mode_t mode, struct error *err);

/* A directory for this user alone, in one where everybody may write: made, or found as it was made. ERROR_DENIED when there is
 * something else of that name, a link or another user's: whoever was first could decide what we read. One that cannot be made for want
 * of its parent is left to whoever writes into it. */
bool directory_make_own(const char *path, struct error *err);

/* The directory and everything in it, never following a symbolic link; a missing one is fine. */
bool directory_remove(const char *path, struct error *err);

/* Those of that prefix which belong to us and were last changed that long ago are removed: who made them was killed. */
void directory_clear_temporary(const char *prefix, int64_t older_than_s);

/* A new private directory below $TMPDIR or /tmp, named PREFIX-random; the caller frees the path. */
char *directory_make_temporary(const char *prefix, struct error *err);

#endif
