/* Bytes set aside in an unnamed temporary file: layers on their way to a registry, downloads, what was taken out of an archive. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_SPOOL_H
#define PUSHWRIGHT_SHARED_BUILDER_SPOOL_H

#include "shared/http/client.h" /* http_body_fn: a sink for pieces */

struct spool; /* one thread at a time */

/* max: more bytes than this are ERROR_TOO_LARGE. */
struct spool *spool_new(int64_t max, struct error *err);
void spool_free(struct spool *spool);
AUTO_FREE(struct spool, spool_free)

bool spool_append(struct spool *spool, const void *data, size_t len, struct error *err);
int64_t spool_size(const struct spool *spool);
int spool_fd(const struct spool *spool); /* readable from offset 0; stays the spool's */

/* `size` bytes from `offset`, in pieces. */
bool spool_read(const struct spool *spool, int64_t offset, int64_t size, http_body_fn *on_data, void *context,
                struct error *err);

/* Forget what stands behind `size`. */
bool spool_cut(struct spool *spool, int64_t size, struct error *err);

#endif
