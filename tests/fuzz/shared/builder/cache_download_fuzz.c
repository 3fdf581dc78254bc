/* Any bytes as what the cache notes of a download: what is taken is written again as the same bytes. */
#include "shared/builder/cache_download.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct span text = { (const char *)data, size };
    AUTO(bytes_release) struct bytes again = BYTES(CACHE_DOWNLOAD_MAX);
    struct download got = { 0 };
    struct error err = { 0 };

    if (cache_download_parse(text, &got))
        assert(cache_download_write(&got, &again, &err) && span_equal(bytes_span(&again), text));
    return 0;
}
