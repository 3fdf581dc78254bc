#include "shared/rootfs/layers.h"

#include "shared/base/file.h"
#include "shared/base/random.h"
#include "shared/rootfs/room.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define NEW "new-"

enum { PATH = LAYERS_PATH_MAX, AT_ONCE = 3 };

/* A lock that ends with the store: of a layer in use, or of scratch space. */
struct held {
    int fd;
    char *remove; /* scratch; NULL: a layer */
};

struct layers {
    struct layers_options options;
    char *directory;
    pthread_mutex_t lock; /* of: */
    struct held *held;
    size_t held_count, held_room;
};

/* "sha256:HEX" */
static const char *hex_of(const char *diff_id)
{
    const char *colon = strchr(diff_id, ':');
    return colon ? colon + 1 : diff_id;
}

void layers_path(const char *directory, const char *diff_id, char path[static LAYERS_PATH_MAX])
{
    snprintf(path, PATH, "%s/%s/fs", directory, hex_of(diff_id));
}

/* ---- what is whole ---- */

static void boot_id(char out[static 64])
{
    struct error ignored;
    AUTO(bytes_release) struct bytes text = BYTES(63);
    bool known = file_read(&text, "/proc/sys/kernel/random/boot_id", &ignored);
    snprintf(out, 64, "%s", known ? bytes_text(&text) : "");
}

/* "DIR/HEX/NAME" beside "DIR/HEX/fs". */
static void beside(const char *path, const char *name, char out[static LAYERS_PATH_MAX])
{
    snprintf(out, PATH, "%.*s%s", (int)(strlen(path) - strlen("fs")), path, name);
}

bool layers_is_whole(const char *path)
{
    char note[PATH], now[64];
    struct error ignored;
    AUTO(bytes_release) struct bytes then = BYTES(64);
    if (access(path, F_OK) < 0)
        return false;
    beside(path, "synced", note);
    if (access(note, F_OK) == 0)
        return true;
    beside(path, "boot", note);
    boot_id(now);
    return now[0] && file_read(&then, note, &ignored) && strcmp(bytes_text(&then), now) == 0;
}

static bool write_bytes(const char *path, struct span content, struct error *err)
{
    AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? error_set_errno(err, errno, "write '%s'", path)
                  : file_write_all(fd, content.data, content.len, err);
}

static bool write_plain(const char *path, const char *text, struct error *err)
{
    return write_bytes(path, span_of(text), err);
}

bool layers_implied(const char *path, struct bytes *out, struct error *err)
{
    char note[PATH];
    beside(path, "implied", note);
    return access(note, F_OK) < 0 || file_read(out, note, err);
}

void layers_settle(const char *directory, const char *const *paths, size_t count)
{
    char note[PATH];
    struct error ignored;
    bool flushed = false;
    for (size_t i = 0; i < count; i++) {
        beside(paths[i], "synced", note);
        if (access(note, F_OK) == 0)
            continue;
        if (!flushed) {
            AUTO(close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd < 0 || syncfs(fd) < 0)
                return; /* it then counts until the machine is started again */
            flushed = true;
        }
        write_plain(note, "", &ignored);
    }
}

/* ---- locks ---- */

static bool stop_asked(const struct layers *layers)
{
    return layers->options.cancelled && layers->options.cancelled(layers->options.context);
}

/* Polled, because a build that is cancelled must not wait for another one's download. */
static bool lock_wait(const struct layers *layers, int fd, int operation, struct error *err)
{
    while (flock(fd, operation | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set_errno(err, errno, "lock in '%s'", layers->directory);
        if (stop_asked(layers))
            return error_set(err, ERROR_UNAVAILABLE, "stopped");
        nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
    }
    return true;
}

static int lock_open(const struct layers *layers, const char *name, struct error *err)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/.locks/%s", layers->directory, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        error_set_errno(err, errno, "open '%s'", path);
    return fd;
}

static bool hold(struct layers *layers, int *fd, const char *remove, struct error *err)
{
    char *copy = remove ? strdup(remove) : NULL;
    pthread_mutex_lock(&layers->lock);
    bool grown = true;
    if (layers->held_count == layers->held_room) {
        size_t room = layers->held_room ? 2 * layers->held_room : 16;
        struct held *more = reallocarray(layers->held, room, sizeof *more);
        grown = more != NULL;
        if (grown) {
            layers->held = more;
            layers->held_room = room;
        }
    }
    bool good = grown && (copy || !remove);
    if (good) {
        layers->held[layers->held_count++] = (struct held){ *fd, copy };
        *fd = -1;
    }
    pthread_mutex_unlock(&layers->lock);
    if (!good)
        free(copy);
    return good || error_set(err, ERROR_INTERNAL, "out of memory");
}

/* Hold the layer against removal. False without an error: it is not there, or not whole. */
static bool take_hold(struct layers *layers, const char *path, struct error *err)
{
    char directory[PATH];
    beside(path, "", directory);
    for (;;) {
        AUTO(close) int fd = room_open(directory);
        if (fd < 0)
            return false;
        if (!lock_wait(layers, fd, LOCK_SH, err))
            return false;
        if (!room_is_named(fd, directory))
            continue;
        if (!layers_is_whole(path))
            return false;
        beside(path, "size", directory);
        utimensat(AT_FDCWD, directory, NULL, 0); /* used now */
        return hold(layers, &fd, NULL, err);
    }
}

/* ---- making ---- */

/* A directory with a lock on it from the beginning: nobody looks for abandoned ones while the gate is held. */
static int make_locked(const struct layers *layers, char path[static LAYERS_PATH_MAX], struct error *err)
{
    AUTO(close) int gate = lock_open(layers, "gate", err);
    if (gate < 0 || !lock_wait(layers, gate, LOCK_SH, err))
        return -1;
    snprintf(path, PATH, "%s/" NEW "%016llx", layers->directory, (unsigned long long)random_u64());
    if (mkdir(path, 0700) < 0) {
        error_set_errno(err, errno, "make '%s'", path);
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        error_set_errno(err, errno, "open '%s'", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

bool layers_scratch(struct layers *layers, char path[static LAYERS_PATH_MAX], struct error *err)
{
    AUTO(close) int fd = make_locked(layers, path, err);
    return fd >= 0 && hold(layers, &fd, path, err);
}

static bool fill(const struct layers *layers, struct store *store, const struct image_layer *layer,
                 const char *temporary, struct error *err)
{
    char path[PATH + 16], text[64];
    int64_t size = 0;
    AUTO(bytes_release) struct bytes implied = BYTES(LAYERS_IMPLIED_MAX);
    struct unpack_watch watch;
    struct unpack_how how = { .mode = layers->options.mode,
                              .without_whiteouts = layers->options.without_whiteouts,
                              .cancelled = layers->options.cancelled,
                              .context = layers->options.context,
                              .implied = &implied,
                              .disk_bytes = &size };
    const struct layers_options *options = &layers->options;
    snprintf(path, sizeof path, "%s/fs", temporary);
    if (mkdir(path, 0755) < 0)
        return error_set_errno(err, errno, "make '%s'", path);
    if (options->watch && options->watch(options->watch_context, layer, &watch))
        how.watch = &watch;
    if (!layer_unpack(store, layer, path, &how, err))
        return false;
    snprintf(path, sizeof path, "%s/size", temporary);
    snprintf(text, sizeof text, "%lld", (long long)size);
    if (!write_plain(path, text, err))
        return false;
    snprintf(path, sizeof path, "%s/implied", temporary);
    if (implied.len > 0 && !write_bytes(path, bytes_span(&implied), err))
        return false;
    snprintf(path, sizeof path, "%s/boot", temporary);
    boot_id(text);
    return write_plain(path, text, err);
}

/* A half-written one from before a crash of the machine may stand there. */
static bool put_in_place(const char *temporary, const char *final, struct error *err)
{
    if (rename(temporary, final) == 0)
        return true;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return error_set_errno(err, errno, "put layer '%s' in place", final);
    return sandbox_remove_tree(final, err) &&
           (rename(temporary, final) == 0 || error_set_errno(err, errno, "put layer '%s' in place", final));
}

static bool make(const struct layers *layers, struct store *store, const struct image_layer *layer, const char *path,
                 struct error *err)
{
    char temporary[PATH], final[PATH];
    struct error ignored;
    AUTO(close) int fd = make_locked(layers, temporary, err);
    if (fd < 0)
        return false;
    snprintf(final, sizeof final, "%.*s", (int)(strlen(path) - strlen("/fs")), path);
    bool done = fill(layers, store, layer, temporary, err) && put_in_place(temporary, final, err);
    if (!done)
        sandbox_remove_tree(temporary, &ignored);
    return done;
}

/* ---- the whole ---- */

/* What processes that have ended left on their way. */
static void clear_abandoned(const struct layers *layers)
{
    struct error ignored;
    AUTO(close) int gate = lock_open(layers, "gate", &ignored);
    if (gate < 0 || flock(gate, LOCK_EX | LOCK_NB) < 0)
        return;
    room_clear(layers->directory, NEW);
    room_clear(layers->directory, ROOM_DEAD);
}

struct layers *layers_open(const struct layers_options *options, struct error *err)
{
    char path[PATH];
    AUTO(layers_free) struct layers *layers = calloc(1, sizeof *layers);
    if (!layers || !(layers->directory = strdup(options->directory))) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    layers->options = *options;
    pthread_mutex_init(&layers->lock, NULL);
    snprintf(path, sizeof path, "%s/.locks", layers->directory);
    if (!directory_make(layers->directory, 0700, err) || !directory_make(path, 0700, err))
        return NULL;
    clear_abandoned(layers);
    return TAKE(layers);
}

void layers_free(struct layers *layers)
{
    struct error ignored;
    if (!layers)
        return;
    for (size_t i = 0; i < layers->held_count; i++) {
        if (layers->held[i].remove)
            sandbox_remove_tree(layers->held[i].remove, &ignored);
        free(layers->held[i].remove);
        close(layers->held[i].fd);
    }
    pthread_mutex_destroy(&layers->lock);
    free(layers->held);
    free(layers->directory);
    free(layers);
}

bool layers_get(struct layers *layers, struct store *store, const struct image_layer *layer,
                char path[static LAYERS_PATH_MAX], struct error *err)
{
    char name[3] = { 0 };
    struct error failed = { 0 };
    layers_path(layers->directory, layer->diff_id, path);
    if (take_hold(layers, path, &failed))
        return true;
    memcpy(name, hex_of(layer->diff_id), 2);
    AUTO(close) int making = lock_open(layers, name, err);
    if (making < 0 || !lock_wait(layers, making, LOCK_EX, err))
        return false;
    if (take_hold(layers, path, &failed))
        return true;
    if (failed.kind != ERROR_NONE) {
        *err = failed;
        return false;
    }
    if (layers->options.bytes_max > 0)
        room_make(layers->directory, layers->options.bytes_max);
    return make(layers, store, layer, path, err) &&
           (take_hold(layers, path, err) || error_set(err, ERROR_INTERNAL, "layer '%s' is gone", path));
}

struct fetching {
    struct layers *layers;
    const struct reference *reference;
    const struct registry_options *registries;
    const struct image_layer *list;
    char **paths;
    size_t count, next;
    pthread_mutex_t lock; /* of next and: */
    struct error failure;
};

static bool fetch_one(struct fetching *work, struct store *store, size_t i, struct error *err)
{
    char path[PATH];
    if (!layers_get(work->layers, store, &work->list[i], path, err))
        return false;
    work->paths[i] = strdup(path);
    return work->paths[i] || error_set(err, ERROR_INTERNAL, "out of memory");
}

static void *fetch_main(void *context)
{
    struct fetching *work = context;
    struct error err = { 0 };
    AUTO(store_free) struct store *store = store_open(work->reference, work->registries, &err);
    for (bool good = store != NULL; good;) {
        pthread_mutex_lock(&work->lock);
        size_t i = work->failure.kind == ERROR_NONE ? work->next++ : work->count;
        pthread_mutex_unlock(&work->lock);
        if (i >= work->count)
            return NULL;
        good = fetch_one(work, store, i, &err);
    }
    pthread_mutex_lock(&work->lock);
    if (work->failure.kind == ERROR_NONE)
        work->failure = err;
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

bool layers_get_all(struct layers *layers, const struct reference *reference, const struct registry_options *registries,
                    const struct image_layer *list_of, size_t count, char **paths, struct error *err)
{
    struct fetching work = { .layers = layers,
                             .reference = reference,
                             .registries = registries,
                             .list = list_of,
                             .paths = paths,
                             .count = count,
                             .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t threads[AT_ONCE - 1];
    size_t started = 0;
    while (started < AT_ONCE - 1 && started + 1 < count &&
           pthread_create(&threads[started], NULL, fetch_main, &work) == 0)
        started++;
    fetch_main(&work);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (work.failure.kind != ERROR_NONE)
        *err = work.failure;
    return work.failure.kind == ERROR_NONE;
}
