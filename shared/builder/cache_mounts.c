#include "shared/builder/cache_mounts.h"

#include "shared/builder/run.h"
#include "shared/builder/run_diff.h"
#include "shared/rootfs/room.h"
#include "shared/rootfs/unpack.h"

#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define KIND "mount-"

enum { LAYER = 1 };

struct cache_mount *cache_mount_use(struct build *build, const char *name, const char *data, struct error *err)
{
    struct cache_mount *mount = build->mounts;

    while (mount && strcmp(mount->name, name) != 0)
        mount = mount->next;
    if (mount)
        return mount;
    mount = arena_take(build->arena, sizeof(*mount));
    if (!mount) {
        error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
        return NULL;
    }
    *mount = (struct cache_mount){ .name = name, .data = data, .next = build->mounts };
    return build->mounts = mount;
}

static bool is_wanted(const struct cache_registry_options *options)
{
    return options->repository && options->mounts;
}

static bool find(struct store *store, const struct cache_registry_options *options, const char *name,
                 struct image_layer *out, struct error *err)
{
    AUTO(cache_records_release) struct cache_records records = { 0 };
    char tag[CACHE_REGISTRY_TAG_SIZE];

    cache_registry_tag(KIND, name, tag);
    if (!cache_registry_read(store, options, tag, &records, err))
        return false;
    const struct cache_record *record = cache_records_find(&records, name);
    if (record)
        *out = record->layer;
    return record != NULL;
}

bool cache_mount_restore(const struct build *build, struct cache_mount *mount, const char *directory,
                         enum sandbox_mode mode)
{
    const struct engine_options *options = build->options;
    const struct unpack_how how = { .mode = mode,
                                    .cancelled = options->cancelled,
                                    .context = options->cancelled_context };
    struct registry_options registries;
    struct image_layer layer;
    struct error failed = { 0 };

    if (!is_wanted(&options->cache))
        return false;
    AUTO(store_free)
    struct store *store = cache_registry_open(&options->cache, options->cache.repository, false, &registries, &failed);
    if (!store || !find(store, &options->cache, mount->name, &layer, &failed))
        return false;
    if (layer_unpack(store, &layer, directory, &how, &failed)) {
        memcpy(mount->digest, layer.blob.digest, sizeof(mount->digest));
        return true;
    }
    sandbox_remove_tree(directory, &failed);
    mkdir(directory, 0700);
    return false;
}

/* ---- keeping ---- */

static int64_t bytes_below(const struct tree_node *directory)
{
    int64_t bytes = 0;

    for (const struct tree_node *child = directory->first; child; child = child->next)
        bytes += child->is.type == TAR_FILE ? child->is.content->size : bytes_below(child);
    return bytes;
}

/* As a layer of files that nothing lies below; NULL without an error: it is not to be kept. */
static struct layer *pack(const struct build *build, const struct cache_mount *mount, struct error *err)
{
    const struct engine_options *options = build->options;
    AUTO(tree_free) struct tree *tree = tree_new(err);
    uint64_t file_number = 0;
    const struct diff diff = { .tree = tree,
                               .untouched = true,
                               .upper = mount->data,
                               .layer = LAYER,
                               .file_number = &file_number,
                               .time_s = INT64_MAX,
                               .started_s = INT64_MAX,
                               .mode = build->runner->mode,
                               .cancelled = options->cancelled,
                               .context = options->cancelled_context };

    if (!tree || !diff_read(&diff, err))
        return NULL;
    if (bytes_below(tree_root(tree)) > cache_mount_max) {
        error_set(err, ERROR_TOO_LARGE, "a cache mount holds more than %lld bytes", (long long)cache_mount_max);
        return NULL;
    }
    return layer_write(tree, LAYER, &options->compression, options->cancelled, options->cancelled_context, err);
}

/* Against change and removal; -1: another build changes it, or it is gone. */
static int hold(const struct cache_mount *mount)
{
    char path[RUN_PATH_MAX];

    snprintf(path, sizeof(path), "%.*s", (int)(strrchr(mount->data, '/') - mount->data), mount->data);
    AUTO(close) int fd = room_open(path);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0 || !room_is_named(fd, path))
        return -1;
    int held = fd;
    fd = -1; /* the caller's */
    return held;
}

static bool save(const struct build *build, const struct cache_mount *mount, struct store *store, struct error *err)
{
    const struct cache_registry_options *options = &build->options->cache;
    AUTO(close) int lock = hold(mount);
    struct cache_record record = { 0 };
    char tag[CACHE_REGISTRY_TAG_SIZE];

    if (lock < 0)
        return true;
    AUTO(layer_free) struct layer *layer = pack(build, mount, err);
    if (!layer)
        return false;
    if (strcmp(layer->blob.digest, mount->digest) == 0)
        return true; /* as it was restored */
    memcpy(record.key, mount->name, sizeof(record.key));
    record.layer.blob = layer->blob;
    memcpy(record.layer.diff_id, layer->diff_id, sizeof(record.layer.diff_id));
    memcpy(record.origin, layer->diff_id, sizeof(record.origin));
    cache_registry_tag(KIND, mount->name, tag);
    return store_put_blob_file(store, &layer->blob, spool_fd(layer->spool), err) &&
           cache_registry_write(store, options, tag, &(struct cache_records){ &record, 1 }, err);
}

/* Platforms share their mounts. */
static bool is_done(const struct built *built, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        for (const struct cache_mount *mount = built[i].owner->mounts; mount; mount = mount->next) {
            if (strcmp(mount->name, name) == 0)
                return true;
        }
    }
    return false;
}

bool cache_mounts_save(const struct built *built, size_t count, struct error *err)
{
    const struct cache_registry_options *options = &built[0].owner->options->cache;
    struct registry_options registries;
    AUTO(store_free)
    struct store *store =
        is_wanted(options) ? cache_registry_open(options, options->repository, true, &registries, err) : NULL;

    if (!store)
        return !is_wanted(options);
    for (size_t i = 0; i < count; i++) {
        for (const struct cache_mount *mount = built[i].owner->mounts; mount; mount = mount->next) {
            if (!is_done(built, i, mount->name) && !save(built[i].owner, mount, store, err))
                return false;
        }
    }
    return true;
}

void cache_mounts_bound(const char *directory, int64_t bytes_max)
{
    char store[RUN_PATH_MAX];

    snprintf(store, sizeof(store), "%.*s/mounts", RUN_PATH_MAX / 2, directory);
    room_clear(store, ROOM_DEAD);
    room_make(store, bytes_max);
}
