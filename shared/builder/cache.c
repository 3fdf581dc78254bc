#include "shared/builder/cache.h"

#include "shared/base/encode.h"
#include "shared/builder/cache_disk.h"
#include "shared/builder/publish.h"

#include <stdlib.h>
#include <string.h>

enum { TITLE_MAX = 1024 };

static const int64_t bytes_max_default = INT64_C(5) << 30;

/* A manifest at a registry. */
struct source {
    struct cache_place place;
    bool asked;
    struct store *store;                /* NULL: not opened, or out of use */
    struct registry_options registries; /* its */
    struct cache_records known;
};

struct cache {
    const struct engine_options *options;
    char *directory; /* of cache_disk.h; NULL: none */
    char *place;     /* the layout that it is */
    bool complained;
    char tag[CACHE_REGISTRY_TAG_SIZE]; /* for the rule's name */
    struct source *sources;            /* the one that is written to first, if there is one */
    size_t source_count;
};

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < cache->source_count; i++) {
        store_free(cache->sources[i].store);
        cache_records_release(&cache->sources[i].known);
    }
    free(cache->sources);
    free(cache->directory);
    free(cache->place);
    free(cache);
}

const char *cache_directory(const struct cache *cache)
{
    return cache->directory;
}

const struct engine_options *cache_options(const struct cache *cache)
{
    return cache->options;
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

static bool choose_sources(struct cache *cache, const struct cache_registry_options *options, struct error *err)
{
    size_t own = options->repository ? 1 : 0;

    cache->sources = calloc(own + options->other_count + 1, sizeof(cache->sources[0]));
    if (!cache->sources)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    cache->source_count = own + options->other_count;
    cache->sources[0].place = (struct cache_place){ options->repository, options->tag ? options->tag : cache->tag };
    for (size_t i = 0; i < options->other_count; i++)
        cache->sources[own + i].place = options->others[i];
    return true;
}

struct cache *cache_new(const struct engine_options *options, struct error *err)
{
    AUTO(cache_free) struct cache *cache = calloc(1, sizeof(*cache));

    if (!cache) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    cache->options = options;
    cache_registry_tag("", options->run.cache_scope, cache->tag);
    bool good = choose_directory(cache, options->cache_directory, err) && choose_sources(cache, &options->cache, err);
    return good ? TAKE(cache) : NULL;
}

static bool read_source(const struct cache *cache, struct source *source, struct error *err)
{
    const struct cache_registry_options *options = &cache->options->cache;
    AUTO(store_free)
    struct store *store = cache_registry_open(options, source->place.repository, false, &source->registries, err);

    if (!store || !cache_registry_read(store, options, source->place.tag, &source->known, err))
        return false;
    source->store = TAKE(store);
    return true;
}

/* Of what somebody has named it is told how it went; no build fails for it. */
static bool read_named(const struct cache *cache, struct source *source, struct error *err)
{
    AUTO(bytes_release) struct bytes title = BYTES(TITLE_MAX), counted = BYTES(TITLE_MAX);
    struct progress_step step;

    if (!bytes_printf(&title, err, "importing cache from %s:%s", source->place.repository, source->place.tag))
        return false;
    progress_begin(cache->options->progress, &step, title.data);
    bool read = read_source(cache, source, err) && bytes_printf(&counted, err, "steps: %zu", source->known.count);
    progress_say(&step, read ? counted.data : err->message);
    progress_end(&step, NULL);
    return read;
}

/* Once; what fails leaves us without. */
static bool ask_registry(const struct cache *cache, struct source *source, struct error *err)
{
    bool is_own = cache->options->cache.repository && source == cache->sources;

    if (source->asked)
        return source->store || error_set(err, ERROR_UNAVAILABLE, "it could not be read before");
    source->asked = true;
    return is_own ? read_source(cache, source, err) : read_named(cache, source, err);
}

static bool suits(void *context, const struct cache_record *record)
{
    const struct cache_wish *wish = context;

    return record->time_s == wish->time_s ||
           (wish->retimed && (record->until_s == 0 || wish->time_s <= record->until_s));
}

/* Beside the newest layer of a step, those for other times are known on the disk, so that branches that are built by turns have theirs. */
static void key_at(const char *key, int64_t time_s, char out[static SHA256_HEX_SIZE])
{
    char text[SHA256_HEX_SIZE + DECIMAL_SIZE + 1];
    int len = snprintf(text, sizeof(text), "%s %lld", key, (long long)time_s);

    sha256_hex_of((struct span){ text, (size_t)len }, out);
}

static bool find_on_disk(const struct cache *cache, const struct cache_wish *wish, struct cache_hit *out)
{
    char at[SHA256_HEX_SIZE];

    if (!cache->directory)
        return false;
    key_at(wish->key, wish->time_s, at);
    *out = (struct cache_hit){ .place = cache->place, .hold = -1 };
    return (wish->time_s > 0 &&
            cache_disk_find(cache->directory, at, suits, (void *)(uintptr_t)wish, &out->record, &out->hold)) ||
           cache_disk_find(cache->directory, wish->key, suits, (void *)(uintptr_t)wish, &out->record, &out->hold);
}

/* Registries forget layers by rules of their own. */
static bool find_at(const struct cache *cache, struct source *source, const struct cache_wish *wish,
                    struct cache_hit *out)
{
    struct error failed = { 0 };
    bool there = false;

    if (!ask_registry(cache, source, &failed))
        return false;
    const struct cache_record *record = cache_records_find(&source->known, wish->key);
    if (!record || !suits((void *)(uintptr_t)wish, record) ||
        !store_has_blob(source->store, record->layer.blob.digest, &there, &failed) || !there)
        return false;
    *out = (struct cache_hit){ .record = *record, .place = source->place.repository, .hold = -1 };
    return true;
}

static bool find_at_registries(const struct cache *cache, const struct cache_wish *wish, struct cache_hit *out)
{
    for (size_t i = 0; i < cache->source_count; i++) {
        if (find_at(cache, &cache->sources[i], wish, out))
            return true;
    }
    return false;
}

bool cache_find(struct cache *cache, const struct cache_wish *wish, struct cache_hit *out)
{
    return !cache->options->no_cache && (find_on_disk(cache, wish, out) || find_at_registries(cache, wish, out));
}

static bool record_of(const struct built_layer *layer, size_t i, struct cache_record *out)
{
    *out =
        (struct cache_record){ .layer = { .blob = layer->blob }, .time_s = layer->time_s, .until_s = layer->until_s };
    memcpy(out->layer.diff_id, layer->diff_id, sizeof(out->layer.diff_id));
    memcpy(out->origin, layer->origin, sizeof(out->origin));
    memcpy(out->key, layer->keys[i], sizeof(out->key));
    return out->key[0] != '\0';
}

int64_t cache_bytes_max(const struct engine_options *options)
{
    return options->cache_bytes ? options->cache_bytes : bytes_max_default;
}

static bool keep(const struct cache *cache, const struct built_layer *layer, struct error *err)
{
    int64_t bytes_max = cache_bytes_max(cache->options);
    struct cache_record record;
    bool there = false;

    for (size_t i = 0; i < CACHE_KEYS_MAX; i++) {
        if (!record_of(layer, i, &record))
            continue;
        if (there ? !cache_disk_name(cache->directory, &record, err)
                  : !cache_disk_keep(cache->directory, bytes_max, &record, spool_fd(layer->layer->spool), err))
            return false;
        there = true;
        if (record.time_s == 0)
            continue;
        key_at(layer->keys[i], record.time_s, record.key);
        if (!cache_disk_name(cache->directory, &record, err))
            return false;
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

/* ---- to the registry ---- */

struct exporting {
    struct cache *cache;
    struct source *to;
    struct store *store;
    struct registry_options registries; /* its */
    struct reference image;
    struct cache_records records;
};

static void exporting_release(struct exporting *exporting)
{
    store_free(exporting->store);
    reference_release(&exporting->image);
    cache_records_release(&exporting->records);
}
AUTO_RELEASE(struct exporting, exporting_release)

static bool holds_all(const struct source *source, const struct cache_records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        const struct cache_record *known = cache_records_find(&source->known, records->items[i].key);
        if (!known || strcmp(known->layer.blob.digest, records->items[i].layer.blob.digest) != 0)
            return false;
    }
    return true;
}

/* From the image's repository; a stage's that the image does not hold from where it is. */
static bool send(struct exporting *exporting, const struct built_layer *layer, struct error *err)
{
    const struct cache_records *known = &exporting->to->known;
    bool done = false;

    for (size_t i = 0; i < CACHE_KEYS_MAX; i++) {
        const struct cache_record *record = cache_records_find(known, layer->keys[i]);
        if (record && strcmp(record->layer.blob.digest, layer->blob.digest) == 0)
            return true;
    }
    return store_mount_blob(exporting->store, &layer->blob, &exporting->image, &done, err) &&
           (done || publish_layer(exporting->store, layer, exporting->cache->options->cache.registries, err));
}

/* Stages that stand on each other share layers. */
static bool is_listed(const struct built_layer *const *layers, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(layers[i]->blob.digest, layers[at]->blob.digest) == 0)
            return true;
    }
    return false;
}

static bool add_records(struct cache_records *records, const struct built_layer *layer, struct error *err)
{
    struct cache_record record;

    for (size_t i = 0; i < CACHE_KEYS_MAX; i++) {
        if (record_of(layer, i, &record) && !cache_records_add(records, &record, err))
            return false;
    }
    return true;
}

/* What other builds of the rule have made stays, behind our own, unless the registry no longer has it. */
static bool write_all(struct exporting *exporting, struct error *err)
{
    const struct engine_options *options = exporting->cache->options;
    const struct cache_records *known = &exporting->to->known;
    const char *tag = exporting->to->place.tag;
    size_t own = exporting->records.count;
    struct error failed = { 0 };

    for (size_t i = 0; i < known->count; i++) {
        if (!cache_records_add(&exporting->records, &known->items[i], err))
            return false;
    }
    if (cache_registry_write(exporting->store, &options->cache, tag, &exporting->records, &failed))
        return true;
    exporting->records.count = own;
    return cache_registry_write(exporting->store, &options->cache, tag, &exporting->records, err);
}

bool cache_export(struct cache *cache, const struct built_layer *const *layers, size_t count, const char *image,
                  struct error *err)
{
    const struct cache_registry_options *options = &cache->options->cache;
    AUTO(exporting_release) struct exporting exporting = { .cache = cache, .to = &cache->sources[0] };

    if (!options->repository)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (!add_records(&exporting.records, layers[i], err))
            return false;
    }
    if (exporting.records.count == 0 || !ask_registry(cache, exporting.to, err))
        return exporting.records.count == 0;
    if (holds_all(exporting.to, &exporting.records))
        return true;
    exporting.store = cache_registry_open(options, options->repository, true, &exporting.registries, err);
    if (!exporting.store || !reference_parse(span_of(image), &exporting.image, err) ||
        !store_will_mount(exporting.store, &exporting.image, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_listed(layers, i) && !send(&exporting, layers[i], err))
            return false;
    }
    return write_all(&exporting, err);
}
