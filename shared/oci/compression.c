#include "shared/oci/compress.h"
#include "shared/oci/store.h"

static const struct {
    const char *name, *media_type;
    int most;
} kinds[] = {
    [COMPRESSION_GZIP] = { "gzip", MEDIA_OCI_LAYER_GZIP, 9 },
    [COMPRESSION_ZSTD] = { "zstd", MEDIA_OCI_LAYER_ZSTD, 22 },
};

bool compression_parse(struct span text, struct compression *out)
{
    struct span level = text, name = span_cut(&level, ':');
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!span_is(name, kinds[i].name))
            continue;
        *out = (struct compression){ .kind = (enum compression_kind)i };
        for (size_t k = 0; k < level.len; k++) {
            if (level.data[k] < '0' || level.data[k] > '9' || level.len > 2)
                return false;
            out->level = out->level * 10 + (level.data[k] - '0');
        }
        return !level.data || (level.len > 0 && out->level >= 1 && out->level <= kinds[i].most);
    }
    return false;
}

const char *compression_media_type(const struct compression *compression)
{
    return kinds[compression->kind].media_type;
}
