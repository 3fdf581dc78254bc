/* Any bytes as the manifest of a build cache: every record that is taken is one that we could have written. */
#include "shared/builder/cache_registry.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cache_registry_options options = { .trusted = true };
    AUTO(cache_records_release) struct cache_records records = { 0 };
    struct error err = { 0 };

    if (!cache_registry_parse((struct span){ (const char *)data, size }, &options, &records, &err))
        return 0;
    for (size_t i = 0; i < records.count; i++) {
        AUTO(bytes_release) struct bytes line = BYTES(CACHE_RECORD_MAX);
        struct cache_record again;

        assert(cache_record_write(&records.items[i], &line, &err) && cache_record_parse(bytes_span(&line), &again));
        assert(cache_records_find(&records, again.key) == &records.items[i]);
    }
    return 0;
}
