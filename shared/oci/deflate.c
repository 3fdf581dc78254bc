/* Writing gzip and zstd. Apart from reading them and from their names: only what makes layers needs the code. */
#include "shared/oci/compress.h"

#include <libdeflate.h>
#include <zstd.h>

enum { GZIP_LEVEL = 6, ZSTD_LEVEL = 3 };

static void auto_compressor(struct libdeflate_compressor **compressor)
{
    libdeflate_free_compressor(*compressor);
}

bool gzip_append(struct bytes *out, struct span plain, int level, struct error *err)
{
    AUTO(compressor) struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level);
    if (!compressor)
        return error_set(err, ERROR_INTERNAL, "out of memory for deflating");
    size_t room = libdeflate_gzip_compress_bound(compressor, plain.len);
    if (room > out->max - out->len)
        room = out->max - out->len; /* it may fit nevertheless */
    if (!bytes_reserve(out, room, err))
        return false;
    size_t n =
        libdeflate_gzip_compress(compressor, plain.data ? plain.data : "", plain.len, out->data + out->len, room);
    if (n == 0)
        return error_set(err, ERROR_TOO_LARGE, "compressed data exceeds the %zu bytes allowed", out->max);
    out->len += n;
    out->data[out->len] = '\0';
    return true;
}

/* With a checksum, as gzip has one; one thread, because what several make depends on their number. */
static bool zstd_append(struct bytes *out, struct span plain, int level, struct error *err)
{
    size_t room = ZSTD_compressBound(plain.len);
    if (room > out->max - out->len)
        room = out->max - out->len;
    if (!bytes_reserve(out, room, err))
        return false;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context)
        return error_set(err, ERROR_INTERNAL, "out of memory for compressing");
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t n = ZSTD_compress2(context, out->data + out->len, room, plain.data ? plain.data : "", plain.len);
    ZSTD_freeCCtx(context);
    if (ZSTD_isError(n))
        return error_set(err, ERROR_TOO_LARGE, "compressed data exceeds the %zu bytes allowed", out->max);
    out->len += n;
    out->data[out->len] = '\0';
    return true;
}

bool compress_append(struct bytes *out, struct span plain, const struct compression *compression, struct error *err)
{
    int level = compression->level;
    if (compression->kind == COMPRESSION_ZSTD)
        return zstd_append(out, plain, level > 0 ? level : ZSTD_LEVEL, err);
    return gzip_append(out, plain, level > 0 ? level : GZIP_LEVEL, err);
}

uint32_t checksum_of(struct span data)
{
    return libdeflate_crc32(0, data.data, data.len);
}
