#include "shared/oci/zlib_stream.h"

#include <zlib.h>

enum { PIECE = 32 * 1024 };

struct zlib_stream {
    http_body_fn *on_data;
    void *context;
    int64_t left;
    bool done;
    z_stream z;
    unsigned char out[PIECE];
};

struct zlib_stream *zlib_stream_new(http_body_fn *on_data, void *context, int64_t size, struct error *err)
{
    struct zlib_stream *stream = calloc(1, sizeof(*stream));

    if (!stream || inflateInit(&stream->z) != Z_OK) {
        free(stream);
        error_set(err, ERROR_INTERNAL, "out of memory for inflating");
        return NULL;
    }
    stream->on_data = on_data;
    stream->context = context;
    stream->left = size;
    return stream;
}

void zlib_stream_free(struct zlib_stream *stream)
{
    if (!stream)
        return;
    inflateEnd(&stream->z);
    free(stream);
}

static bool step(struct zlib_stream *stream, struct error *err)
{
    z_stream *z = &stream->z;

    z->next_out = stream->out;
    z->avail_out = PIECE;
    int result = inflate(z, Z_NO_FLUSH);
    size_t len = PIECE - z->avail_out;
    stream->left -= (int64_t)len;
    stream->done = result == Z_STREAM_END;
    if ((result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) || stream->left < 0 ||
        (stream->done && stream->left > 0))
        return error_set(err, ERROR_INVALID, "malformed zlib data");
    return len == 0 || stream->on_data(stream->context, stream->out, len, err);
}

bool zlib_stream_feed(struct zlib_stream *stream, const void *data, size_t len, bool *done, struct error *err)
{
    z_stream *z = &stream->z;

    memcpy(&z->next_in, &data, sizeof(data)); /* zlib wants it writable and does not write */
    z->avail_in = (unsigned)len;
    do {
        if (!stream->done && !step(stream, err))
            return false;
    } while (!stream->done && (z->avail_in > 0 || z->avail_out == 0));
    *done = stream->done;
    return true;
}
