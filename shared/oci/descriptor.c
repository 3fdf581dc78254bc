#include "shared/oci/descriptor.h"

#include "shared/base/digest.h"

#include <stdio.h>
#include <string.h>

struct descriptor descriptor_of(const char *media_type, struct span content)
{
    struct descriptor descriptor = { .digest = "sha256:", .size = (int64_t)content.len };

    snprintf(descriptor.media_type, sizeof(descriptor.media_type), "%s", media_type);
    sha256_hex_of(content, descriptor.digest + strlen("sha256:"));
    return descriptor;
}

void descriptor_write(struct json_writer *w, const char *key, const struct descriptor *descriptor)
{
    json_open_object(w, key);
    json_add_string(w, "mediaType", descriptor->media_type);
    json_add_string(w, "digest", descriptor->digest);
    json_add_integer(w, "size", descriptor->size);
    json_close_object(w);
}
