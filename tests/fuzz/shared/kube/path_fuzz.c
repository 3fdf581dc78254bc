/* Any bytes as a path into an object. */
#include "shared/kube/path.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "{\"spec\":{\"image\":\"x\",\"sets\":[{\"name\":\"p\",\"image\":\"1\"},[2]],\"0\":{}}}";
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    AUTO(bytes_release) struct bytes pointer = BYTES(1 << 16);
    struct error err = { 0 };
    const struct json *object = json_parse(arena, span_of(text), &err), *parent, *value;
    const struct span path = { (const char *)data, size };
    if (path_follow(&pointer, object, path, &parent, &value, &err)) {
        assert(parent && bytes_text(&pointer)[0] == '/');
        assert(pointer_get(object, bytes_text(&pointer)) == value);
        assert(path_follow(&pointer, NULL, path, &parent, &value, &err));
    } else {
        assert(err.kind == ERROR_INVALID || err.kind == ERROR_NOT_FOUND);
    }
    return 0;
}
