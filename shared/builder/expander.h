/* The plain bytes of an archive that ADD unpacks: gzip, zstd, bzip2, xz or none of them, told apart by the first bytes. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_EXPANDER_H
#define PUSHWRIGHT_SHARED_BUILDER_EXPANDER_H

#include "shared/http/client.h"

struct expander;

/* on_data receives the plain bytes; more than max of them is ERROR_TOO_LARGE, as is an xz dictionary over 64 MB. */
struct expander *expander_new(http_body_fn *on_data, void *context, int64_t max, struct error *err);
void expander_free(struct expander *expander);
AUTO_FREE(struct expander, expander_free)
bool expander_feed(struct expander *expander, const void *data, size_t len, struct error *err);
bool expander_end(struct expander *expander, struct error *err); /* ERROR_INVALID: truncated */

#endif
