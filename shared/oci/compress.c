#include "shared/oci/compress.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
    PIECE_SIZE = 64 * 1024,
    MAGIC_SIZE = 4,
    GZIP_WINDOW = 15 + 16, /* zlib: largest window, gzip wrapping only */
    ZSTD_WINDOW_LOG = 27,  /* 128 MB: what "zstd --ultra -22" asks for, and the most we give */
};

enum format { FORMAT_UNKNOWN, FORMAT_PLAIN, FORMAT_GZIP, FORMAT_ZSTD };

struct inflater {
    http_body_fn *on_data;
    void *context;
    int64_t max, total;
    enum format format;
    char magic[MAGIC_SIZE]; /* first bytes, until there are enough to tell */
    size_t magic_length;
    bool open; /* inside a gzip member or zstd frame */
    z_stream gzip;
    ZSTD_DStream *zstd;
    unsigned char out[PIECE_SIZE];
};

struct inflater *inflater_new(http_body_fn *on_data, void *context, int64_t max, struct error *err)
{
    struct inflater *inflater = calloc(1, sizeof *inflater);
    if (!inflater) {
        error_set(err, ERROR_INTERNAL, "out of memory for inflating");
        return NULL;
    }
    inflater->on_data = on_data;
    inflater->context = context;
    inflater->max = max;
    return inflater;
}

void inflater_free(struct inflater *inflater)
{
    if (!inflater)
        return;
    if (inflater->format == FORMAT_GZIP)
        inflateEnd(&inflater->gzip);
    ZSTD_freeDStream(inflater->zstd);
    free(inflater);
}

static bool deliver(struct inflater *inflater, const void *data, size_t len, struct error *err)
{
    if (len == 0)
        return true;
    if ((uint64_t)len > (uint64_t)(inflater->max - inflater->total))
        return error_set(err, ERROR_TOO_LARGE, "a bomb of compressed data: more than the %lld bytes allowed",
                         (long long)inflater->max);
    inflater->total += (int64_t)len;
    return inflater->on_data(inflater->context, data, len, err);
}

/* ---- gzip ---- */

/* Members may follow each other (RFC 1952 section 2.2); anything else behind one is garbage. */
static bool next_member(struct inflater *inflater, struct error *err)
{
    if (inflater->open)
        return true;
    inflater->open = true;
    return inflateReset(&inflater->gzip) == Z_OK || error_set(err, ERROR_INTERNAL, "cannot start inflating");
}

static bool gzip_step(struct inflater *inflater, struct error *err)
{
    z_stream *z = &inflater->gzip;
    z->next_out = inflater->out;
    z->avail_out = PIECE_SIZE;
    int result = inflate(z, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR)
        return error_set(err, ERROR_INTERNAL, "out of memory for inflating");
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return error_set(err, ERROR_INVALID, "malformed gzip data");
    inflater->open = result != Z_STREAM_END;
    return deliver(inflater, inflater->out, PIECE_SIZE - z->avail_out, err);
}

static bool feed_gzip(struct inflater *inflater, const unsigned char *data, size_t len, struct error *err)
{
    z_stream *z = &inflater->gzip;
    while (len > 0) {
        unsigned n = len < PIECE_SIZE ? (unsigned)len : PIECE_SIZE;
        memcpy(&z->next_in, &data, sizeof data); /* zlib wants it writable and does not write */
        z->avail_in = n;
        do
            if (!next_member(inflater, err) || !gzip_step(inflater, err))
                return false;
        while (z->avail_in > 0 || (inflater->open && z->avail_out == 0));
        data += n;
        len -= n;
    }
    return true;
}

/* ---- zstd ---- */

static bool feed_zstd(struct inflater *inflater, const unsigned char *data, size_t len, struct error *err)
{
    ZSTD_inBuffer in = { .src = data, .size = len };
    bool full = true;
    while (in.pos < in.size || (inflater->open && full)) {
        ZSTD_outBuffer out = { .dst = inflater->out, .size = PIECE_SIZE };
        size_t left = ZSTD_decompressStream(inflater->zstd, &out, &in);
        if (ZSTD_isError(left))
            return error_set(err, ERROR_INVALID, "malformed zstd data (%s)", ZSTD_getErrorName(left));
        inflater->open = left > 0;
        full = out.pos == out.size;
        if (!deliver(inflater, out.dst, out.pos, err))
            return false;
    }
    return true;
}

/* ---- which one ---- */

static bool start_gzip(struct inflater *inflater, struct error *err)
{
    if (inflateInit2(&inflater->gzip, GZIP_WINDOW) != Z_OK)
        return error_set(err, ERROR_INTERNAL, "out of memory for inflating");
    inflater->format = FORMAT_GZIP;
    inflater->open = true;
    return true;
}

static bool start_zstd(struct inflater *inflater, struct error *err)
{
    inflater->zstd = ZSTD_createDStream();
    if (!inflater->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(inflater->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
        return error_set(err, ERROR_INTERNAL, "out of memory for inflating");
    inflater->format = FORMAT_ZSTD;
    return true;
}

/* RFC 8878 section 3.1.2: frames of data for somebody else, which may stand before those with content. */
static bool is_skippable(struct span magic)
{
    return magic.len == MAGIC_SIZE && ((unsigned char)magic.data[0] & 0xf0) == 0x50 &&
           memcmp(magic.data + 1, "\x2a\x4d\x18", 3) == 0;
}

static bool start(struct inflater *inflater, struct error *err)
{
    struct span magic = { inflater->magic, inflater->magic_length };
    if (span_starts(magic, "\x1f\x8b"))
        return start_gzip(inflater, err);
    if (span_starts(magic, "\x28\xb5\x2f\xfd") || is_skippable(magic))
        return start_zstd(inflater, err);
    inflater->format = FORMAT_PLAIN;
    return true;
}

static bool feed(struct inflater *inflater, const void *data, size_t len, struct error *err)
{
    if (inflater->format == FORMAT_GZIP)
        return feed_gzip(inflater, data, len, err);
    if (inflater->format == FORMAT_ZSTD)
        return feed_zstd(inflater, data, len, err);
    return deliver(inflater, data, len, err);
}

static bool start_with_magic(struct inflater *inflater, struct error *err)
{
    return start(inflater, err) && feed(inflater, inflater->magic, inflater->magic_length, err);
}

bool inflater_feed(struct inflater *inflater, const void *data, size_t len, struct error *err)
{
    const char *p = data;
    if (inflater->format == FORMAT_UNKNOWN) {
        size_t n = MAGIC_SIZE - inflater->magic_length;
        n = n < len ? n : len;
        if (n > 0)
            memcpy(inflater->magic + inflater->magic_length, p, n);
        inflater->magic_length += n;
        if (inflater->magic_length < MAGIC_SIZE)
            return true;
        p += n;
        len -= n;
        if (!start_with_magic(inflater, err))
            return false;
    }
    return len == 0 || feed(inflater, p, len, err);
}

bool inflater_end(struct inflater *inflater, struct error *err)
{
    if (inflater->format == FORMAT_UNKNOWN && !start_with_magic(inflater, err))
        return false;
    return !inflater->open || error_set(err, ERROR_INVALID, "compressed data is truncated");
}
