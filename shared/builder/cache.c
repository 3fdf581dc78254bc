#include "shared/builder/cache.h"

#include "shared/builder/cache_disk.h"

#include <stdlib.h>
#include <string.h>

static const int64_t bytes_max_default = INT64_C(5) << 30;

struct cache {
    const struct engine_options *options;
    char *directory; /* of cache_disk.h; NULL: none */
    char *place;     /* the layout that it is */
    bool complained;
};

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    free(cache->directory);
    free(cache->place);
    free(cache);
}

static bool choose_directory(struct cache *cache, const char *directory, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(CACHE_DISK_PATH_MAX), place = BYTES(CACHE_DISK_PATH_MAX);

    if (!directory)
        return true;
    if (!bytes_printf(&path, err, "%s/steps", directory) || !bytes_printf(&place, err, "oci:%s", path.data))
        return false;
    cache->directory = bytes_take(&path);
    cache->place = bytes_take(&place);
    return (cache->directory && cache->place) || error_set(err, ERROR_INTERNAL, "out of memory");
}

struct cache *cache_new(const struct engine_options *options, struct error *err)
{
    AUTO(cache_free) struct cache *cache = calloc(1, sizeof(*cache));

    if (!cache) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    cache->options = options;
    return choose_directory(cache, options->cache_directory, err) ? TAKE(cache) : NULL;
}

bool cache_find(struct cache *cache, const char *key, struct cache_hit *out)
{
    struct cache_record record;

    if (cache->options->no_cache)
        return false;
    *out = (struct cache_hit){ .place = cache->place, .hold = -1 };
    if (!cache->directory || !cache_disk_find(cache->directory, key, &record, &out->hold))
        return false;
    out->layer = record.layer;
    return true;
}

static bool keep(const struct cache *cache, const struct built_layer *layer, struct error *err)
{
    int64_t bytes_max = cache->options->cache_bytes ? cache->options->cache_bytes : bytes_max_default;
    struct cache_record record = { .layer = { .blob = layer->blob } };
    bool there = false;

    memcpy(record.layer.diff_id, layer->diff_id, sizeof(record.layer.diff_id));
    for (size_t i = 0; i < CACHE_KEYS_MAX; i++) {
        if (!layer->keys[i][0])
            continue;
        memcpy(record.key, layer->keys[i], sizeof(record.key));
        if (there ? !cache_disk_name(cache->directory, &record, err)
                  : !cache_disk_keep(cache->directory, bytes_max, &record, spool_fd(layer->layer->spool), err))
            return false;
        there = true;
    }
    return true;
}

void cache_keep(struct cache *cache, const struct built_layer *layer, struct progress_step *step)
{
    AUTO(bytes_release) struct bytes line = BYTES(4096);
    struct error failed = { 0 }, ignored;

    if (!cache->directory || cache->complained || keep(cache, layer, &failed))
        return;
    cache->complained = true; /* a full disk need not be told for each layer */
    if (bytes_printf(&line, &ignored, "the build cache keeps nothing of this build: %s", failed.message))
        progress_say(step, line.data);
}
