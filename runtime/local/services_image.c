#include "runtime/local/services_image.h"

#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/rootfs/layers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { RUN_MEMORY_MAX = 96 * 1024 * 1024, PATH_SIZE = 4096 };

#if defined(__x86_64__)
#define PLATFORM "linux/amd64"
#elif defined(__aarch64__)
#define PLATFORM "linux/arm64"
#elif defined(__riscv)
#define PLATFORM "linux/riscv64"
#else
#error "name this architecture as OCI images do"
#endif

#define DEAD "dead-"

/* --- configuration ------------------------------------------------------------------------------------------------ */

static bool no_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory for the image's configuration");
}

/* Strings of up to two arrays, one after the other. */
static bool strings_read(struct arena *arena, const struct json *first, const struct json *second,
                         const char *const **out, size_t *count, struct error *err)
{
    const struct json *arrays[] = { first, second };
    const char **items = arena_take(arena, (json_count(first) + json_count(second) + 1) * sizeof *items);
    size_t n = 0;
    if (!items)
        return no_memory(err);
    for (size_t i = 0; i < 2; i++)
        for (const struct json *item = json_first(arrays[i]); item; item = json_next(item)) {
            if (!json_string(item))
                return error_set(err, ERROR_INVALID, "the image's configuration lists %s where a string belongs",
                                 json_type_name(json_type(item)));
            items[n++] = json_string(item);
        }
    *out = items;
    *count = n;
    return true;
}

static int signal_number(const char *text)
{
    static const struct {
        const char *name;
        int number;
    } rows[] = {
        { "HUP", SIGHUP },     { "INT", SIGINT },   { "QUIT", SIGQUIT }, { "ABRT", SIGABRT }, { "KILL", SIGKILL },
        { "USR1", SIGUSR1 },   { "USR2", SIGUSR2 }, { "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "TERM", SIGTERM },
        { "WINCH", SIGWINCH }, { "CONT", SIGCONT }, { "TSTP", SIGTSTP }, { "STOP", SIGSTOP }, { "PWR", SIGPWR },
    };
    const char *name = text && strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (size_t i = 0; name && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(name, rows[i].name) == 0)
            return rows[i].number;
    enum { FIRST_REAL_TIME = 34, LAST = 64 }; /* as images mean it, whatever libc keeps for itself */
    long number = name && strncmp(name, "RTMIN+", 6) == 0 ? FIRST_REAL_TIME + strtol(name + 6, NULL, 10) : 0;
    if (name && name[0] >= '0' && name[0] <= '9')
        number = strtol(name, NULL, 10);
    return number > 0 && number <= LAST ? (int)number : 0;
}

static unsigned first_port(const struct json *exposed)
{
    for (const struct json *port = json_first(exposed); port; port = json_next(port)) {
        const char *key = json_key(port), *protocol = key ? strchr(key, '/') : NULL;
        unsigned long number = key ? strtoul(key, NULL, 10) : 0;
        if (number > 0 && number <= 65535 && (!protocol || strcmp(protocol, "/tcp") == 0))
            return (unsigned)number;
    }
    return 0;
}

/* HEALTHCHECK: ["NONE"], ["CMD", ...] or ["CMD-SHELL", "line"]. */
static bool check_read(struct image_run *run, const struct json *settings, struct error *err)
{
    const struct json *health = json_get(settings, "Healthcheck"), *test = json_get(health, "Test");
    const struct json *shell = json_get(settings, "Shell");
    const char *const *words;
    size_t count;
    int64_t timeout_ns = 0;
    if (!strings_read(run->arena, test, NULL, &words, &count, err))
        return false;
    if (json_integer(json_get(health, "Timeout"), &timeout_ns) && timeout_ns > 0)
        run->check_timeout_ms = (long)(timeout_ns / 1000000 + 1);
    if (count >= 2 && strcmp(words[0], "CMD") == 0) {
        run->check = words + 1;
        run->check_count = count - 1;
    } else if (count >= 2 && strcmp(words[0], "CMD-SHELL") == 0) {
        const char *const *prefix;
        size_t prefix_count;
        if (!strings_read(run->arena, shell, NULL, &prefix, &prefix_count, err))
            return false;
        const char **argv = arena_take(run->arena, (prefix_count + 4) * sizeof *argv);
        if (!argv)
            return no_memory(err);
        for (size_t i = 0; i < prefix_count; i++)
            argv[run->check_count++] = prefix[i];
        if (prefix_count == 0) {
            argv[run->check_count++] = "/bin/sh";
            argv[run->check_count++] = "-c";
        }
        argv[run->check_count++] = words[1];
        run->check = argv;
    }
    return true;
}

static bool layers_read(struct image_run *run, const struct json *diff_ids, const char *directory, struct error *err)
{
    size_t count = json_count(diff_ids), n = 0;
    const char **layers = arena_take(run->arena, (count + 1) * sizeof *layers);
    if (!layers)
        return no_memory(err);
    for (const struct json *id = json_first(diff_ids); id; id = json_next(id)) {
        if (!digest_is_legal(span_of(json_string(id))))
            return error_set(err, ERROR_INVALID, "the image's configuration names a layer by what is no digest");
        layers[n++] = arena_printf(run->arena, "%s/%s/fs", directory, json_string(id) + strlen("sha256:"));
    }
    if (n == 0)
        layers[n++] = arena_printf(run->arena, "%s/empty/fs", directory);
    for (size_t i = 0; i < n; i++)
        if (!layers[i])
            return no_memory(err);
    run->layers = layers;
    run->layer_count = n;
    return true;
}

static bool run_read(struct image_run *run, const struct json *tree, const char *layers, struct error *err)
{
    const struct json *settings = json_get(tree, "config");
    if (!strings_read(run->arena, json_get(settings, "Entrypoint"), json_get(settings, "Cmd"), &run->argv,
                      &run->arg_count, err) ||
        !strings_read(run->arena, json_get(settings, "Env"), NULL, &run->env, &run->env_count, err) ||
        !check_read(run, settings, err) ||
        !layers_read(run, json_get(json_get(tree, "rootfs"), "diff_ids"), layers, err))
        return false;
    if (run->arg_count == 0 || run->argv[0][0] == '\0')
        return error_set(err, ERROR_INVALID, "the image says no command: it has neither ENTRYPOINT nor CMD");
    run->cwd = json_get_string(settings, "WorkingDir");
    run->user = json_get_string(settings, "User");
    run->stop_signal = signal_number(json_get_string(settings, "StopSignal"));
    run->exposed_port = first_port(json_get(settings, "ExposedPorts"));
    return true;
}

struct image_run *image_run_parse(struct span config, const char *digest, const char *layers, struct error *err)
{
    struct arena *arena = arena_new(RUN_MEMORY_MAX);
    AUTO(image_run_free) struct image_run *run = arena ? arena_take(arena, sizeof *run) : NULL;
    if (!run) {
        arena_free(arena);
        no_memory(err);
        return NULL;
    }
    *run = (struct image_run){ .arena = arena, .references = 1, .digest = arena_dup(arena, span_of(digest)) };
    const struct json *tree = json_parse(arena, config, err);
    if (!tree || !run_read(run, tree, layers, err))
        return NULL;
    return TAKE(run);
}

struct image_run *image_run_hold(struct image_run *run)
{
    run->references++;
    return run;
}

void image_run_free(struct image_run *run)
{
    if (run && --run->references == 0)
        arena_free(run->arena);
}

/* --- layers on disk ------------------------------------------------------------------------------------------------ */

static bool write_plain(const char *path, const char *text, struct error *err)
{
    AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? error_set_errno(err, errno, "write '%s'", path) : file_write_all(fd, text, strlen(text), err);
}

/* Not forced to the disk: a torn file does not parse, and is pulled again. */
static bool config_write(const char *path, struct span config, struct error *err)
{
    char beside[PATH_SIZE + 8];
    snprintf(beside, sizeof beside, "%s.new", path);
    AUTO(close) int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "write '%s'", beside);
    if (!file_write_all(fd, config.data, config.len, err))
        return false;
    return rename(beside, path) == 0 || error_set_errno(err, errno, "write '%s'", path);
}

/* --- the whole ------------------------------------------------------------------------------------------------------ */

static bool layers_are_whole(const struct image_run *run)
{
    for (size_t i = 0; i < run->layer_count; i++)
        if (!layers_is_whole(run->layers[i]))
            return false;
    return true;
}

/* They may be let go of again: only image_set_aside() takes a layer out of use, and it knows what is needed. */
static bool unpack(const struct image_shop *shop, const struct reference *reference, const struct image *image,
                   struct error *err)
{
    char directory[PATH_SIZE];
    char *paths[IMAGE_LAYERS_MAX] = { NULL };
    snprintf(directory, sizeof directory, "%s/layers", shop->state_dir);
    const struct layers_options options = {
        .directory = directory, .mode = shop->mode, .cancelled = shop->cancelled, .context = shop->context
    };
    AUTO(layers_free) struct layers *layers = layers_open(&options, err);
    bool done =
        layers && layers_get_all(layers, reference, &shop->registry, image->layers, image->layer_count, paths, err);
    for (size_t i = 0; i < image->layer_count; i++)
        free(paths[i]);
    return done;
}

static struct image_run *pull(const struct image_shop *shop, const struct reference *reference, const char *config_path,
                              const char *layers, struct error *err)
{
    AUTO(store_free) struct store *store = store_open(reference, &shop->registry, err);
    AUTO(image_release) struct image image = { .layers = NULL };
    if (!store || !image_load(store, reference->digest, PLATFORM, &image, err) ||
        !image_check_platform(&image, PLATFORM, err))
        return NULL;
    AUTO(image_run_free)
    struct image_run *run = image_run_parse(bytes_span(&image.config), reference->digest, layers, err);
    if (!run)
        return NULL;
    if (image.layer_count > 0 && image.layer_count != run->layer_count) {
        error_set(err, ERROR_INVALID, "the image has %zu layers and its configuration %zu", image.layer_count,
                  run->layer_count);
        return NULL;
    }
    if (!unpack(shop, reference, &image, err))
        return NULL;
    if (!config_write(config_path, bytes_span(&image.config), err))
        return NULL;
    return TAKE(run);
}

struct image_run *image_prepare(const struct image_shop *shop, const char *image, struct error *err)
{
    char config_path[PATH_SIZE], layers[PATH_SIZE];
    struct error ignored;
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(bytes_release) struct bytes config = BYTES(STORE_CONFIG_MAX);
    if (!reference_parse(span_of(image), &reference, err))
        return NULL;
    snprintf(layers, sizeof layers, "%s/layers", shop->state_dir);
    snprintf(config_path, sizeof config_path, "%s/images/%s.json", shop->state_dir,
             reference.digest + strlen("sha256:"));
    if (file_read(&config, config_path, &ignored)) {
        AUTO(image_run_free)
        struct image_run *run = image_run_parse(bytes_span(&config), reference.digest, layers, &ignored);
        if (run && layers_are_whole(run))
            return TAKE(run);
    }
    return pull(shop, &reference, config_path, layers, err);
}

void image_settle(const struct image_shop *shop, const struct image_run *run)
{
    layers_settle(shop->state_dir, run->layers, run->layer_count);
}

static bool names_one_of(const char *name, const char *const *hexes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(name, hexes[i], 64) == 0)
            return true;
    return false;
}

/* What is not kept gets a name that nobody looks for. */
static void set_aside(const char *directory, const char *const *keep, size_t count)
{
    AUTO(closedir) DIR *dir = opendir(directory);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        const char *name = entry->d_name;
        char dead[64];
        if (name[0] == '.' || strcmp(name, "empty") == 0 || strncmp(name, DEAD, strlen(DEAD)) == 0 ||
            names_one_of(name, keep, count))
            continue;
        snprintf(dead, sizeof dead, DEAD "%016llx", (unsigned long long)random_u64());
        renameat(dirfd(dir), name, dirfd(dir), dead);
    }
}

static void clear_dead(const char *directory)
{
    struct error ignored;
    AUTO(closedir) DIR *dir = opendir(directory);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char path[PATH_SIZE + 256];
        if (strncmp(entry->d_name, DEAD, strlen(DEAD)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (unlink(path) < 0)
            sandbox_remove_tree(path, &ignored);
    }
}

void image_clear(const struct image_shop *shop)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/images", shop->state_dir);
    clear_dead(path);
    snprintf(path, sizeof path, "%s/layers", shop->state_dir);
    clear_dead(path);
}

/* The layers that a kept image needs, added to the list. False: it can't be told, and then nothing may go. */
static bool add_layers(const struct image_shop *shop, const char *hex, struct arena *arena, const char **keep,
                       size_t *count, size_t room)
{
    char path[PATH_SIZE];
    struct error ignored;
    AUTO(bytes_release) struct bytes config = BYTES(STORE_CONFIG_MAX);
    snprintf(path, sizeof path, "%s/images/%s.json", shop->state_dir, hex);
    if (access(path, F_OK) < 0)
        return true; /* was never whole */
    if (!file_read(&config, path, &ignored))
        return false;
    AUTO(image_run_free) struct image_run *run = image_run_parse(bytes_span(&config), "", "", &ignored);
    if (!run || *count + run->layer_count > room)
        return false;
    for (size_t i = 0; i < run->layer_count; i++) {
        const char *name = run->layers[i] + 1;
        keep[*count] = arena_dup(arena, (struct span){ name, strcspn(name, "/") });
        if (!keep[(*count)++])
            return false;
    }
    return true;
}

void image_set_aside(const struct image_shop *shop, const char *const *digests, size_t count)
{
    enum { ARENA_MAX = 16 * 1024 * 1024 };
    char path[PATH_SIZE];
    size_t room = count * (IMAGE_LAYERS_MAX + 1) + 1, images = 0, layers = 0;
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const char **keep_images = arena ? arena_take(arena, (count + 1) * sizeof *keep_images) : NULL;
    const char **keep_layers = arena ? arena_take(arena, room * sizeof *keep_layers) : NULL;
    if (!keep_images || !keep_layers)
        return;
    for (size_t i = 0; i < count; i++) {
        keep_images[images++] = digests[i] + strlen("sha256:");
        if (!add_layers(shop, keep_images[i], arena, keep_layers, &layers, room))
            return;
    }
    snprintf(path, sizeof path, "%s/images", shop->state_dir);
    set_aside(path, keep_images, images);
    snprintf(path, sizeof path, "%s/layers", shop->state_dir);
    set_aside(path, keep_layers, layers);
}

bool image_make_directories(const struct image_shop *shop, struct error *err)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/images", shop->state_dir);
    if (!directory_make(path, 0700, err))
        return false;
    snprintf(path, sizeof path, "%s/layers", shop->state_dir);
    if (!directory_make(path, 0700, err))
        return false;
    snprintf(path, sizeof path, "%s/layers/empty/fs", shop->state_dir);
    if (!directory_make(path, 0755, err))
        return false;
    snprintf(path, sizeof path, "%s/layers/empty/synced", shop->state_dir);
    return write_plain(path, "", err);
}
