#include "shared/builder/expander.h"

#include "shared/oci/compress.h"

#include <bzlib.h>
#include <lzma.h>

enum {
    PIECE = 64 * 1024,
    MAGIC = 6,
    XZ_MEMORY_MAX = 65 * 1024 * 1024, /* what "xz -9" asks for, and the most we give */
};

struct expander;

/* One format: how it is told, begun, fed and ended. */
struct format {
    struct span magic;
    bool (*begin)(struct expander *expander, struct error *err);
    bool (*feed)(struct expander *expander, const char *data, size_t len, struct error *err);
    bool (*end)(struct expander *expander, struct error *err);
    void (*release)(struct expander *expander);
};

struct expander {
    http_body_fn *on_data;
    void *context;
    int64_t max, total;
    const struct format *format; /* NULL: not enough bytes to tell */
    char magic[MAGIC];
    size_t magic_len;
    bool open; /* inside a stream */
    bz_stream bzip2;
    lzma_stream xz;
    struct inflater *inflater;
    char out[PIECE];
};

static bool deliver(struct expander *expander, size_t len, struct error *err)
{
    if ((int64_t)len > expander->max - expander->total)
        return error_set(err, ERROR_TOO_LARGE, "a bomb of compressed data: more than the %lld bytes allowed",
                         (long long)expander->max);
    expander->total += (int64_t)len;
    return len == 0 || expander->on_data(expander->context, expander->out, len, err);
}

static bool truncated(struct error *err)
{
    return error_set(err, ERROR_INVALID, "compressed data is truncated");
}

/* ---- bzip2 ---- */

/* What the library calls when it finds itself in a state that cannot be. */
void bz_internal_error(int code);
void bz_internal_error(int code)
{
    (void)code;
    abort();
}

static bool bzip2_begin(struct expander *expander, struct error *err)
{
    expander->open = BZ2_bzDecompressInit(&expander->bzip2, 0, 0) == BZ_OK;
    return expander->open || error_set(err, ERROR_INTERNAL, "out of memory for inflating");
}

static void bzip2_release(struct expander *expander)
{
    if (expander->open)
        BZ2_bzDecompressEnd(&expander->bzip2);
}

/* Streams may follow each other, as parallel compressors write them. */
static bool bzip2_feed(struct expander *expander, const char *data, size_t len, struct error *err)
{
    bz_stream *z = &expander->bzip2;
    int result = BZ_OK;

    memcpy(&z->next_in, &data, sizeof(data)); /* the library wants it writable and does not write */
    z->avail_in = (unsigned)len;
    do {
        if (!expander->open && !bzip2_begin(expander, err))
            return false;
        z->next_out = expander->out;
        z->avail_out = PIECE;
        result = BZ2_bzDecompress(z);
        if (result != BZ_OK && result != BZ_STREAM_END)
            return error_set(err, ERROR_INVALID, "malformed bzip2 data");
        if (!deliver(expander, PIECE - z->avail_out, err))
            return false;
        if (result == BZ_STREAM_END) {
            bz_stream rest = { .next_in = z->next_in, .avail_in = z->avail_in };

            BZ2_bzDecompressEnd(z);
            expander->open = false;
            *z = rest;
        }
    } while (z->avail_in > 0 || (result == BZ_OK && z->avail_out == 0));
    return true;
}

static bool bzip2_end(struct expander *expander, struct error *err)
{
    return !expander->open || truncated(err);
}

/* ---- xz ---- */

static bool xz_begin(struct expander *expander, struct error *err)
{
    expander->xz = (lzma_stream)LZMA_STREAM_INIT;
    return lzma_stream_decoder(&expander->xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) == LZMA_OK ||
           error_set(err, ERROR_INTERNAL, "out of memory for inflating");
}

static void xz_release(struct expander *expander)
{
    lzma_end(&expander->xz);
}

static bool xz_step(struct expander *expander, lzma_action action, lzma_ret *result, struct error *err)
{
    lzma_stream *z = &expander->xz;

    z->next_out = (uint8_t *)expander->out;
    z->avail_out = PIECE;
    *result = lzma_code(z, action);
    switch (*result) {
    case LZMA_OK:
    case LZMA_STREAM_END:
    case LZMA_BUF_ERROR: /* no more input: not an error before the end */
        return deliver(expander, PIECE - z->avail_out, err);
    case LZMA_MEMLIMIT_ERROR:
        return error_set(err, ERROR_TOO_LARGE, "xz data that takes more than %d MB to unpack", XZ_MEMORY_MAX >> 20);
    case LZMA_MEM_ERROR:
        return error_set(err, ERROR_INTERNAL, "out of memory for inflating");
    case LZMA_OPTIONS_ERROR:
        return error_set(err, ERROR_UNSUPPORTED, "xz data with a filter other than LZMA2");
    default:
        return error_set(err, ERROR_INVALID, "malformed xz data");
    }
}

static bool xz_feed(struct expander *expander, const char *data, size_t len, struct error *err)
{
    lzma_ret result;

    expander->xz.next_in = (const uint8_t *)data;
    expander->xz.avail_in = len;
    do {
        if (!xz_step(expander, LZMA_RUN, &result, err))
            return false;
    } while (expander->xz.avail_in > 0 || expander->xz.avail_out == 0);
    return true;
}

static bool xz_end(struct expander *expander, struct error *err)
{
    lzma_ret result;

    do {
        if (!xz_step(expander, LZMA_FINISH, &result, err))
            return false;
    } while (result == LZMA_OK);
    return result == LZMA_STREAM_END || truncated(err);
}

/* ---- the others ---- */

static bool other_begin(struct expander *expander, struct error *err)
{
    expander->inflater = inflater_new(expander->on_data, expander->context, expander->max, err);
    return expander->inflater != NULL;
}

static bool other_feed(struct expander *expander, const char *data, size_t len, struct error *err)
{
    return inflater_feed(expander->inflater, data, len, err);
}

static bool other_end(struct expander *expander, struct error *err)
{
    return inflater_end(expander->inflater, err);
}

static void other_release(struct expander *expander)
{
    inflater_free(expander->inflater);
}

static const struct format formats[] = {
    { { "BZh", 3 }, bzip2_begin, bzip2_feed, bzip2_end, bzip2_release },
    { { "\xfd"
        "7zXZ\0",
        6 },
      xz_begin,
      xz_feed,
      xz_end,
      xz_release },
    { { "", 0 }, other_begin, other_feed, other_end, other_release }, /* fits always */
};

struct expander *expander_new(http_body_fn *on_data, void *context, int64_t max, struct error *err)
{
    struct expander *expander = calloc(1, sizeof(*expander));

    if (!expander) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    expander->on_data = on_data;
    expander->context = context;
    expander->max = max;
    return expander;
}

void expander_free(struct expander *expander)
{
    if (expander && expander->format)
        expander->format->release(expander);
    free(expander);
}

static bool begin(struct expander *expander, struct error *err)
{
    const struct format *format = formats;

    while (format->magic.len > expander->magic_len ||
           memcmp(format->magic.data, expander->magic, format->magic.len) != 0)
        format++;
    expander->format = format;
    return format->begin(expander, err) && format->feed(expander, expander->magic, expander->magic_len, err);
}

bool expander_feed(struct expander *expander, const void *data, size_t len, struct error *err)
{
    const char *at = data;

    for (; !expander->format && len > 0; len--) {
        expander->magic[expander->magic_len++] = *at++;
        if (expander->magic_len == MAGIC && !begin(expander, err))
            return false;
    }
    while (len > 0) {
        size_t n = len < PIECE ? len : PIECE;

        if (!expander->format->feed(expander, at, n, err))
            return false;
        at += n;
        len -= n;
    }
    return true;
}

bool expander_end(struct expander *expander, struct error *err)
{
    return (expander->format || begin(expander, err)) && expander->format->end(expander, err);
}
