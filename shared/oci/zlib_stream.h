/* One zlib stream (RFC 1950) of known size, such as an object in a git pack, inflated in pieces. */
#ifndef PUSHWRIGHT_OCI_ZLIB_STREAM_H
#define PUSHWRIGHT_OCI_ZLIB_STREAM_H

#include "shared/http/client.h" /* http_body_fn: a sink for pieces */

#include <stdint.h>

struct zlib_stream;

/* on_data receives the plain bytes. */
struct zlib_stream *zlib_stream_new(http_body_fn *on_data, void *context, int64_t size, struct error *err);
void zlib_stream_free(struct zlib_stream *stream);
AUTO_FREE(struct zlib_stream, zlib_stream_free)

/* What stands behind the stream's end is ignored; *done then. ERROR_INVALID: malformed, or of another size. */
bool zlib_stream_feed(struct zlib_stream *stream, const void *data, size_t len, bool *done, struct error *err);

#endif
