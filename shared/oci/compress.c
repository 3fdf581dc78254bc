#include "shared/oci/compress.h"

#include <igzip_lib.h>
#include <string.h>
#include <zstd.h>

enum {
    PIECE_SIZE = 64 * 1024,
    MAGIC_SIZE = 4,
    RESERVED_FLAGS = 0xe0, /* RFC 1952 section 2.3.1.2: an error when one is set */
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
    struct inflate_state gzip;
    struct isal_gzip_header header; /* of a member */
    bool in_header;
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

static bool malformed_gzip(struct error *err)
{
    return error_set(err, ERROR_INVALID, "malformed gzip data");
}

static void start_member(struct inflater *inflater)
{
    isal_gzip_header_init(&inflater->header);
    inflater->in_header = true;
    inflater->open = true;
}

/* Members may follow each other (RFC 1952 section 2.2); anything else behind one is garbage. */
static bool next_member(struct inflater *inflater, struct error *err)
{
    if (inflater->open)
        return true;
    isal_inflate_reset(&inflater->gzip);
    start_member(inflater);
    return *inflater->gzip.next_in == 0x1f || malformed_gzip(err);
}

/* Apart from inflating, because there the library forgets what it has read of a header that is not there as a whole. */
static int read_header(struct inflater *inflater)
{
    int result = isal_read_gzip_header(&inflater->gzip, &inflater->header);
    inflater->in_header = result == ISAL_END_INPUT;
    if (result == ISAL_DECOMP_OK && (inflater->header.flags & RESERVED_FLAGS))
        return ISAL_INVALID_WRAPPER;
    return inflater->in_header ? ISAL_DECOMP_OK : result;
}

/* The library checks headers, checksums and lengths. It must not be asked for ever by what makes it neither take nor give. */
static bool gzip_step(struct inflater *inflater, struct error *err)
{
    struct inflate_state *gzip = &inflater->gzip;
    uint32_t before = gzip->avail_in;
    gzip->next_out = inflater->out;
    gzip->avail_out = PIECE_SIZE;
    int result = inflater->in_header ? read_header(inflater) : isal_inflate(gzip);
    inflater->open = gzip->block_state != ISAL_BLOCK_FINISH;
    bool stuck = inflater->open && before > 0 && gzip->avail_in == before && gzip->avail_out == PIECE_SIZE;
    if (result != ISAL_DECOMP_OK || stuck)
        return malformed_gzip(err);
    return deliver(inflater, inflater->out, PIECE_SIZE - gzip->avail_out, err);
}

static bool feed_gzip(struct inflater *inflater, const unsigned char *data, size_t len, struct error *err)
{
    struct inflate_state *gzip = &inflater->gzip;
    while (len > 0) {
        uint32_t n = len < PIECE_SIZE ? (uint32_t)len : PIECE_SIZE;
        memcpy(&gzip->next_in, &data, sizeof data); /* the library wants it writable and does not write */
        gzip->avail_in = n;
        do
            if (!next_member(inflater, err) || !gzip_step(inflater, err))
                return false;
        while (gzip->avail_in > 0 || (inflater->open && gzip->avail_out == 0));
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

static void start_gzip(struct inflater *inflater)
{
    isal_inflate_init(&inflater->gzip);
    inflater->gzip.crc_flag = ISAL_GZIP_NO_HDR_VER; /* the checksum behind it is read and checked */
    inflater->format = FORMAT_GZIP;
    start_member(inflater);
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
    if (span_starts(magic, "\x28\xb5\x2f\xfd") || is_skippable(magic))
        return start_zstd(inflater, err);
    if (span_starts(magic, "\x1f\x8b"))
        start_gzip(inflater);
    else
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
