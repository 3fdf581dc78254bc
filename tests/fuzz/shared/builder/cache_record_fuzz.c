/* Any bytes as a record of the build cache, by itself and as a file holds it: what is taken is written again as the same bytes. */
#include "shared/builder/cache_record.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct span text = { (const char *)data, size };
    AUTO(bytes_release) struct bytes again = BYTES(CACHE_RECORD_MAX);
    struct cache_record record;
    struct error err = { 0 };

    if (cache_record_parse(text, &record))
        assert(cache_record_write(&record, &again, &err) && span_equal(bytes_span(&again), text));
    bytes_clear(&again);
    if (cache_record_unseal(text, &record))
        assert(cache_record_seal(&record, &again, &err) && span_equal(bytes_span(&again), text));
    return 0;
}
