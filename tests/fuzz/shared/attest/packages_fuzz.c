/* Any bytes as what an image holds where package managers keep their databases: whatever they say, the document is JSON. The first byte
 * chooses the reader. */
#include "shared/attest/inventory.h"
#include "shared/attest/spdx.h"
#include "shared/base/json.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 64 * 1024 * 1024, TEXTS = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    AUTO(inventory_release) struct inventory inventory = { .unlisted = NULL };
    AUTO(bytes_release) struct bytes out = BYTES(OUT_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(OUT_MAX);
    const struct inventory_place *place = size > 0 ? &inventory_places[data[0] % TEXTS] : NULL;

    if (!place || !arena || !inventory_init(&inventory, &err))
        return 0;
    const struct span content = { (const char *)data + 1, size - 1 };
    assert(place->read(&inventory, content, &err));
    assert(inventory_places[0].read(&inventory, content, &err));
    packages_sort(&inventory.packages);
    const struct spdx spdx = { .name = "r.example/a",
                               .digest = "sha256:7a6708975c41af22fef6e88fbb408e9edf95d560730a1434d2c6258c3bd9f74e",
                               .packages = &inventory.packages,
                               .distribution = inventory.distribution };
    assert(spdx_write(&out, &spdx, &err));
    assert(json_parse(arena, bytes_span(&out), &err) || err.kind == ERROR_TOO_LARGE);
    return 0;
}
