/* Any bytes as .gitmodules, and what it says as a URL seen from the parent's. */
#include "shared/builder/submodules.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(bytes_release) struct bytes said = BYTES(4096), url = BYTES(8192);
    struct error err = { 0 };

    if (submodules_url((struct span){ (const char *)data, size }, "a", &said, &err) &&
        submodules_resolve("https://h/a/b.git", bytes_span(&said), &url, &err))
        assert(strncmp(url.data, "http://", 7) == 0 || strncmp(url.data, "https://", 8) == 0);
    return 0;
}
