/* Any bytes as a line of a watch. */
#include "shared/kube/line.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *arena = arena_new(64 << 20);
    struct kube_line line;
    struct error err = { 0 };
    if (kube_line_read(arena, (struct span){ (const char *)data, size }, &line, &err)) {
        bool failed = line.kind == KUBE_LINE_ERROR;
        assert(json_type(line.object) == JSON_OBJECT && failed == (line.code != 0));
        assert(failed || line.resource_version);
    } else {
        assert(err.kind == ERROR_UNAVAILABLE || err.kind == ERROR_TOO_LARGE);
    }
    return 0;
}
