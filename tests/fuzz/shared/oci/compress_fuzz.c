/* Any bytes as a compressed layer: inflated whole and in odd pieces with the same result, within the ceiling. */
#include "shared/oci/compress.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_MAX = 1024 * 1024 };

static bool take(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static bool inflate_in(struct bytes *out, const uint8_t *data, size_t size, size_t step, struct error *err)
{
    AUTO(inflater_free) struct inflater *inflater = inflater_new(take, out, PLAIN_MAX, err);
    for (size_t at = 0; at < size; at += step)
        if (!inflater_feed(inflater, data + at, size - at < step ? size - at : step, err))
            return false;
    return inflater_end(inflater, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error first = { 0 }, second = { 0 };
    AUTO(bytes_release) struct bytes whole = BYTES(PLAIN_MAX);
    AUTO(bytes_release) struct bytes pieces = BYTES(PLAIN_MAX);
    bool a = inflate_in(&whole, data, size, size > 0 ? size : 1, &first);
    bool b = inflate_in(&pieces, data, size, 13, &second);
    assert(a == b);
    assert(!a || span_equal(bytes_span(&whole), bytes_span(&pieces)));
    return 0;
}
