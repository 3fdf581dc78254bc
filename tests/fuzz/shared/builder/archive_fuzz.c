/* ADD of a hostile archive: whatever it holds, the result is a layer that can be read back, or an error. */
#include "shared/builder/archive.h"
#include "shared/builder/layer.h"
#include "shared/oci/compress.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_MAX = 4 * 1024 * 1024 };

static bool to_reader(void *context, const void *data, size_t len, struct error *err)
{
    return tar_reader_feed(context, data, len, err);
}

static bool check_name(void *context, const struct tar_entry *entry, struct error *err)
{
    (void)err;
    *(size_t *)context += 1;
    if (entry->path[0] == '/' || strncmp(entry->path, "../", 3) == 0 || strstr(entry->path, "/../"))
        abort();
    return true;
}

static void check_layer(const struct tree *tree)
{
    static const struct compression gzip = { .kind = COMPRESSION_GZIP };
    struct error err = { 0 };
    AUTO(layer_free) struct layer *layer = layer_write(tree, 1, &gzip, NULL, NULL, &err);
    size_t count = 0;
    struct tar_events events = { .entry = check_name, .context = &count };
    AUTO(tar_reader_free) struct tar_reader *reader = tar_reader_new(&events, &err);

    if (!layer)
        return;
    AUTO(inflater_free) struct inflater *inflater = inflater_new(to_reader, reader, INT64_MAX, &err);
    AUTO(bytes_release) struct bytes packed = BYTES(4 * PLAIN_MAX);
    packed.data = malloc((size_t)layer->blob.size + 1);
    packed.len = (size_t)layer->blob.size;
    if (!packed.data || pread(spool_fd(layer->spool), packed.data, packed.len, 0) != (ssize_t)packed.len)
        abort();
    if (!inflater_feed(inflater, packed.data, packed.len, &err) || !inflater_end(inflater, &err) ||
        !tar_reader_end(reader, &err))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    AUTO(tree_free) struct tree *tree = tree_new(&err);
    AUTO(spool_free) struct spool *spool = spool_new(PLAIN_MAX, &err);
    AUTO(free) char *copied = malloc(size + 1);
    struct content content = { .kind = CONTENT_MEMORY, .size = (int64_t)size, .memory = copied };
    uint64_t files = 0;
    struct copy copy = { .to = tree,
                         .layer = 1,
                         .workdir = "/",
                         .dest = "/in/",
                         .from_name = "fuzz",
                         .time_s = 1,
                         .newest_s = 1,
                         .file_number = &files };
    struct archive_options options = { spool, &files, PLAIN_MAX };
    bool unpacked;

    if (!tree || !spool || !copied)
        return 0;
    memcpy(copied, data, size);
    if (archive_unpack(&copy, &content, &options, &unpacked, &err) && unpacked)
        check_layer(tree);
    return 0;
}
