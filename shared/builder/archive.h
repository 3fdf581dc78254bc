/* ADD of a local archive: unpacked below the destination, as if that were the root of everything. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_ARCHIVE_H
#define PUSHWRIGHT_SHARED_BUILDER_ARCHIVE_H

#include "shared/builder/copy.h"

struct archive_options {
    struct spool *spool;   /* keeps the contents of the files */
    uint64_t *file_number; /* counted up for hard links */
    int64_t plain_max;
};

/* Told apart by content, not by name: tar, also in gzip, bzip2, xz or zstd. *unpacked false: it is none, and nothing was done.
 * ERROR_INVALID for an archive that is broken or leads to nothing, ERROR_TOO_LARGE. */
bool archive_unpack(const struct copy *copy, const struct content *content, const struct archive_options *options,
                    bool *unpacked, struct error *err);

#endif
