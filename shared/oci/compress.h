/* gzip and zstd of layers: inflated as a stream with a ceiling, deflated deterministically. */
#ifndef PUSHWRIGHT_OCI_COMPRESS_H
#define PUSHWRIGHT_OCI_COMPRESS_H

#include "shared/base/bytes.h"
#include "shared/http/client.h" /* http_body_fn: a sink for pieces */

#include <stdint.h>

struct inflater; /* gzip (several members too), zstd or plain, told apart by the first bytes */

/* on_data receives the plain bytes; more than max of them is ERROR_TOO_LARGE ("a bomb of ..."). */
struct inflater *inflater_new(http_body_fn *on_data, void *context, int64_t max, struct error *err);
void inflater_free(struct inflater *inflater);
AUTO_FREE(struct inflater, inflater_free)
bool inflater_feed(struct inflater *inflater, const void *data, size_t len, struct error *err);
bool inflater_end(struct inflater *inflater, struct error *err); /* ERROR_INVALID: truncated or trailing garbage */

enum compression_kind { COMPRESSION_GZIP, COMPRESSION_ZSTD };

/* Zeroes: gzip at its usual level. */
struct compression {
    enum compression_kind kind;
    int level; /* gzip 1 to 9, zstd 1 to 22 (5 to 15 are as 4); 0: 6 and 3 */
};

/* "gzip", "gzip:9", "zstd", "zstd:19"; false when it is neither. */
bool compression_parse(struct span text, struct compression *out);
const char *compression_media_type(const struct compression *compression); /* of a layer */

/* One gzip member or zstd frame; several behind each other are one stream to every reader. The same input, kind and level
 * give the same bytes on every machine. */
bool compress_append(struct bytes *out, struct span plain, const struct compression *compression, struct error *err);

/* One gzip member, no name, no time: the same input and level give the same bytes on every machine. */
bool gzip_append(struct bytes *out, struct span plain, int level, struct error *err);

/* One zlib stream (RFC 1950), likewise. */
bool zlib_append(struct bytes *out, struct span plain, struct error *err);

uint32_t checksum_of(struct span data); /* gzip's (RFC 1952): finds what is torn or rotten, not who means harm */
uint32_t checksum_add(uint32_t checksum, struct span data); /* of more behind it; 0: of nothing */
uint32_t adler32_add(uint32_t checksum, struct span data);  /* zlib's, likewise; 1: of nothing */

#endif
