/* Writing gzip and zstd. Apart from reading them and from their names: only what makes layers needs the code. */
#include "shared/oci/compress.h"

#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

enum { GZIP_LEVEL = 6, ZSTD_LEVEL = 3 };

static void auto_compressor(struct libdeflate_compressor **compressor)
{
    libdeflate_free_compressor(*compressor);
}

/* One of libdeflate's formats. */
struct format {
    size_t (*bound)(struct libdeflate_compressor *compressor, size_t len);
    size_t (*compress)(struct libdeflate_compressor *compressor, const void *in, size_t len, void *out, size_t room);
};

static bool deflate_append(struct bytes *out, const struct format *format, struct span plain, int level,
                           struct error *err)
{
    AUTO(compressor) struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level);
    if (!compressor)
        return error_set(err, ERROR_INTERNAL, "out of memory for deflating");
    size_t room = format->bound(compressor, plain.len);
    if (room > out->max - out->len)
        room = out->max - out->len; /* it may fit nevertheless */
    if (!bytes_reserve(out, room, err))
        return false;
    size_t n = format->compress(compressor, plain.data ? plain.data : "", plain.len, out->data + out->len, room);
    if (n == 0)
        return error_set(err, ERROR_TOO_LARGE, "compressed data exceeds the %zu bytes allowed", out->max);
    out->len += n;
    out->data[out->len] = '\0';
    return true;
}

bool gzip_append(struct bytes *out, struct span plain, int level, struct error *err)
{
    static const struct format gzip = { libdeflate_gzip_compress_bound, libdeflate_gzip_compress };

    return deflate_append(out, &gzip, plain, level, err);
}

/* The frame by hand: libdeflate's own brings a checksum for every processor with it. */
bool zlib_append(struct bytes *out, struct span plain, struct error *err)
{
    static const struct format bare = { libdeflate_deflate_compress_bound, libdeflate_deflate_compress };
    uint32_t sum = adler32_add(1, plain);
    const char end[] = { (char)(sum >> 24), (char)(sum >> 16), (char)(sum >> 8), (char)sum };

    return bytes_append(out, "\x78\x9c", 2, err) && deflate_append(out, &bare, plain, GZIP_LEVEL, err) &&
           bytes_append(out, end, sizeof(end), err);
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
    return checksum_add(0, data);
}

uint32_t checksum_add(uint32_t checksum, struct span data)
{
    return libdeflate_crc32(checksum, data.data, data.len);
}

uint32_t adler32_add(uint32_t checksum, struct span data)
{
    return data.len > 0 ? (uint32_t)adler32_z(checksum, (const unsigned char *)data.data, data.len) : checksum;
}
