/* tar archives (POSIX pax, ustar, GNU long names), read as a stream and written deterministically. */
#ifndef PUSHWRIGHT_OCI_TAR_H
#define PUSHWRIGHT_OCI_TAR_H

#include "shared/base/bytes.h"

#include <stdint.h>

enum tar_type { TAR_FILE, TAR_HARDLINK, TAR_SYMLINK, TAR_CHARACTER, TAR_BLOCK, TAR_DIRECTORY, TAR_FIFO };
enum { TAR_PATH_MAX = 4096, TAR_PAX_MAX = 1024 * 1024 };

struct tar_entry {
    enum tar_type type;
    const char *path; /* as written, not cleaned: the reader of layers must distrust it */
    const char *link; /* target; "" when none */
    uint32_t mode;    /* permission bits with setuid, setgid, sticky */
    uint32_t uid, gid;
    uint32_t device_major, device_minor;
    int64_t size; /* of the content that follows (files only) */
    int64_t mtime_s;
    struct span capability; /* security.capability (SCHILY.xattr), absent when none */
};

struct tar_reader;

struct tar_events {
    bool (*entry)(void *context, const struct tar_entry *entry, struct error *err);  /* strings valid during the call */
    bool (*content)(void *context, const void *data, size_t len, struct error *err); /* NULL: content is skipped */
    bool (*entry_end)(void *context, struct error *err); /* after the last content byte; NULL: not of interest */
    void *context;
};

struct tar_reader *tar_reader_new(const struct tar_events *events, struct error *err);
void tar_reader_free(struct tar_reader *reader);
AUTO_FREE(struct tar_reader, tar_reader_free)

/* Bytes of the archive in any pieces. ERROR_INVALID: bad checksum, bad number, path over TAR_PATH_MAX, pax over
 * TAR_PAX_MAX, negative size; or the callback's error. */
bool tar_reader_feed(struct tar_reader *reader, const void *data, size_t len, struct error *err);
/* The input is over: ERROR_INVALID "truncated" when inside an entry. */
bool tar_reader_end(struct tar_reader *reader, struct error *err);

/* Append one header (with a pax header before it where a value does not fit ustar), content follows by the caller, then
 * tar_write_padding. The same entry always gives the same bytes. */
bool tar_write_header(struct bytes *out, const struct tar_entry *entry, struct error *err);
size_t tar_padding(int64_t size);                         /* zero bytes that follow the content */
extern const char tar_zeros[1024];                        /* as many as follow anything */
bool tar_write_end(struct bytes *out, struct error *err); /* two zero blocks */

#endif
