#include "shared/builder/run.h"

#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/builder/agent.h"
#include "shared/builder/named.h"
#include "shared/builder/run_diff.h"
#include "shared/builder/run_place.h"
#include "shared/builder/turns.h"
#include "shared/rootfs/room.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum { MOUNTS_MAX = 100, FIXED_MAX = 4, STUBS_MAX = 1000, NAMES_FILE_MAX = 64 * 1024, PRIVATE_MAX = 1000 };

/* What is at work for one RUN. */
struct preparing {
    struct stage *stage;
    struct runner *runner;
    struct run_mounts *out;
};

static bool too_large(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
}

static bool is_cancelled(const struct preparing *at, struct error *err)
{
    const struct engine_options *options = at->stage->build->options;

    return options->cancelled && options->cancelled(options->cancelled_context) &&
           !error_set(err, ERROR_UNAVAILABLE, "cancelled");
}

void run_mounts_release(struct run_mounts *mounts)
{
    /* Said, because a sandbox that another stage starts has them too for a moment. */
    while (mounts->lock_count > 0) {
        int fd = mounts->locks[--mounts->lock_count];
        flock(fd, LOCK_UN);
        close(fd);
    }
    while (mounts->agent_count > 0)
        agent_free(mounts->agents[--mounts->agent_count]);
}

/* ---- what is made for a mount point and goes again ---- */

static bool add_stub(struct preparing *at, struct span path, bool directory, struct error *err)
{
    struct run_mounts *out = at->out;
    const char *copy = arena_dup(at->stage->build->arena, path);

    if (!copy || out->stub_count == STUBS_MAX)
        return too_large(err);
    out->stubs[out->stub_count++] = (struct diff_stub){ copy, directory };
    return true;
}

/* Every part of the target that the tree does not have. */
static bool add_stubs(struct preparing *at, const char *target, bool directory, struct error *err)
{
    struct tree *tree = stage_tree(at->stage, err);
    struct tree_place place;
    AUTO(bytes_release) struct bytes path = BYTES(3 * TAR_PATH_MAX);

    if (!tree || !tree_resolve(tree, tree_root(tree), target, true, &place, err))
        return false;
    if (!place.missing[0])
        return true;
    if (!tree_path(place.node, &path, err))
        return false;
    struct span rest = span_of(place.missing);
    for (struct span part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/')) {
        if ((path.data[path.len - 1] != '/' && !bytes_append_char(&path, '/', err)) ||
            !bytes_append_span(&path, part, err) ||
            !add_stub(at, (struct span){ path.data + 1, path.len - 1 }, directory || rest.data, err))
            return false;
    }
    return true;
}

static bool add(struct preparing *at, struct sandbox_mount mount, bool directory, struct error *err)
{
    struct run_mounts *out = at->out;

    if (out->count == MOUNTS_MAX + FIXED_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d mounts", MOUNTS_MAX);
    out->items[out->count++] = mount;
    return add_stubs(at, mount.target, directory, err);
}

/* ---- what every RUN is given ---- */

static bool add_names(struct preparing *at, struct error *err)
{
    static const char hosts[] = "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    struct arena *arena = at->stage->build->arena;
    const struct engine_run *given = &at->stage->build->options->run;
    const char *all = given->hosts ? arena_printf(arena, "%s%s", hosts, given->hosts) : hosts;
    AUTO(bytes_release) struct bytes resolv = BYTES(NAMES_FILE_MAX);

    file_read(&resolv, "/etc/resolv.conf", &(struct error){ 0 });
    const char *copy = arena_dup(arena, bytes_span(&resolv));
    if (!copy || !all)
        return too_large(err);
    const struct sandbox_mount rows[] = {
        { .target = "/etc/hosts", .content = all, .content_len = strlen(all), .mode = 0644, .read_only = true },
        { .target = "/etc/resolv.conf", .content = copy, .content_len = resolv.len, .mode = 0644, .read_only = true },
    };
    /* /dev, /proc and /sys stay where an image has none, as with BuildKit. */
    if (given->shm_bytes)
        at->out->items[at->out->count++] = (struct sandbox_mount){ .target = "/dev/shm", .size = given->shm_bytes };
    return add(at, rows[0], false, err) && add(at, rows[1], false, err);
}

static bool add_script(struct preparing *at, const char *path, const char *script, struct error *err)
{
    const struct sandbox_mount mount = {
        .target = path, .content = script, .content_len = strlen(script), .mode = 0755, .read_only = true
    };

    if (at->out->count == MOUNTS_MAX + FIXED_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d mounts", MOUNTS_MAX);
    at->out->items[at->out->count++] = mount; /* in /dev: no stub is left */
    return true;
}

/* ---- bind, and what a cache begins with ---- */

struct source {
    struct tree_node *node;
    const struct run_root *image; /* one that is unpacked, or */
    const struct stage *stage;
};

static bool find_source(struct preparing *at, const struct dockerfile_mount *mount, struct source *out,
                        struct error *err)
{
    struct build *build = at->stage->build;
    struct dockerfile_source source = { .kind = DOCKERFILE_CONTEXT };
    const struct tree *tree = build->context->files->tree;
    struct tree_node *root = build->context->root;
    struct tree_place place;

    *out = (struct source){ 0 };
    if (mount->from)
        dockerfile_plan_mount_source(build->plan, mount->from, &source);
    if (!named_settle(build, &source, err) ||
        (source.kind == DOCKERFILE_NAMED && !named_files(build, source.context, &tree, &root, err)))
        return false;
    if (source.kind == DOCKERFILE_STAGE) {
        out->stage = &build->stages[source.stage];
        tree = stage_tree(&build->stages[source.stage], err);
    }
    if (source.kind == DOCKERFILE_IMAGE) {
        struct base *base = build_base(build, source.image, NULL, err);
        /* Before its tree, which is made on the way. */
        out->image = base ? runner_image(at->runner, base, err) : NULL;
        tree = out->image ? base_tree(base, build->options->cache_directory, err) : NULL;
    }
    if (source.kind == DOCKERFILE_SCRATCH) {
        if (!build->nothing)
            build->nothing = tree_new(err);
        tree = build->nothing;
    }
    if (!tree)
        return false;
    if (source.kind != DOCKERFILE_CONTEXT && source.kind != DOCKERFILE_NAMED)
        root = tree_root(tree);
    if (!tree_resolve(tree, root, mount->source, true, &place, err))
        return false;
    out->node = place.node;
    return !place.missing[0] || error_set(err, ERROR_INVALID, "\"%s\": not found", mount->source);
}

/* The node as a file or directory of its own. */
static const char *place_source(struct preparing *at, const struct tree_node *node, struct error *err)
{
    const struct engine_options *options = at->stage->build->options;
    const struct place_how how = { .owners = sandbox_has_ids(at->runner->mode),
                                   .all = true,
                                   .cancelled = options->cancelled,
                                   .context = options->cancelled_context };
    bool directory = tree_is_directory(node);
    const char *path = directory ? runner_directory(at->runner, "mount", err) : runner_path(at->runner, "mount", err);

    return path && (directory ? place_below : place_file)(node, path, &how, err) ? path : NULL;
}

/* In the build's arena; the files of a context, an image or a stage that is done do not change. */
struct placed_source {
    const struct tree_node *node;
    const char *path;
    struct placed_source *next;
};

/* Once for all that do not write to it. */
static const char *share_source(struct preparing *at, const struct tree_node *node, struct error *err)
{
    struct placed_source *placed = at->runner->placed;

    while (placed && placed->node != node)
        placed = placed->next;
    if (placed)
        return placed->path;
    placed = arena_take(at->stage->build->arena, sizeof(*placed));
    if (!placed) {
        too_large(err);
        return NULL;
    }
    *placed = (struct placed_source){ node, place_source(at, node, err), at->runner->placed };
    if (placed->path)
        at->runner->placed = placed;
    return placed->path;
}

/* Is something there that lies in a layer still? */
static bool is_in_layers(const struct tree_node *node)
{
    if (node->is.type == TAR_FILE)
        return node->is.content->kind == CONTENT_BASE;
    for (const struct tree_node *child = node->first; child; child = child->next) {
        if (is_in_layers(child))
            return true;
    }
    return false;
}

/* Layers of another build's cache lie there with the times of that build. */
static bool has_other_times(const struct stage *stage)
{
    bool has = false;

    for (size_t i = 0; i < stage->layer_count; i++)
        has = has || (stage->layers[i].base && !retiming_is_none(stage->layers[i].base->times));
    return has;
}

/* Nothing is copied of what lies there in layers: they are stacked again. No lowers: it does not. */
static bool find_layers(struct preparing *at, const struct source *source, struct run_root *out, struct error *err)
{
    const struct stage *stage = source->stage;

    *out = source->image ? *source->image : (struct run_root){ 0 };
    return !stage || has_other_times(stage) || (!stage->root.lowers && !is_in_layers(source->node)) ||
           runner_stage(at->runner, stage, out, err);
}

static bool bind_layers(struct preparing *at, const struct dockerfile_mount *mount, const struct tree_node *node,
                        const struct run_root *layers, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);

    if (!tree_path(node, &path, err))
        return false;
    const struct sandbox_mount bind = {
        .target = mount->target,
        .source = path.len > 1 ? arena_dup(at->stage->build->arena, (struct span){ path.data + 1, path.len - 1 }) : ".",
        .lowers = layers->lowers,
        .lower_count = layers->lower_count,
        .writes = runner_directory(at->runner, "writes", err),
        .read_only = mount->readonly
    };
    if (!bind.source)
        return too_large(err);
    return bind.writes && add(at, bind, tree_is_directory(node), err);
}

static bool prepare_bind(struct preparing *at, const struct dockerfile_mount *mount, struct error *err)
{
    struct source source;
    struct run_root layers = { 0 };

    if (!find_source(at, mount, &source, err))
        return false;
    const struct tree_node *node = source.node;
    if (node->is.type != TAR_FILE && !tree_is_directory(node))
        return error_set(err, ERROR_INVALID, "\"%s\" is neither a file nor a directory", mount->source);
    /* What is written is thrown away with its RUN. Where nothing can be stacked, and where "read-only" is only said, each has a copy of its own. */
    bool kept = at->runner->mode != SANDBOX_IN_CHROOT;
    if (kept && !at->runner->whole && !find_layers(at, &source, &layers, err))
        return false;
    if (layers.lower_count > 0)
        return bind_layers(at, mount, node, &layers, err);
    bool stacked = kept && !mount->readonly && !at->runner->whole && tree_is_directory(node);
    struct sandbox_mount bind = { .target = mount->target, .read_only = mount->readonly };
    bind.source = (kept && mount->readonly) || stacked ? share_source(at, node, err) : place_source(at, node, err);
    if (stacked && bind.source)
        bind.writes = runner_directory(at->runner, "writes", err);
    return bind.source && (bind.writes || !stacked) && add(at, bind, tree_is_directory(node), err);
}

/* ---- cache ---- */

/* What a new cache begins with tells caches of one id apart: its owner, or the state of what it is seeded from. */
static bool append_seed(struct preparing *at, const struct dockerfile_mount *mount, struct bytes *out,
                        struct error *err)
{
    const struct build *build = at->stage->build;
    struct dockerfile_source source;

    if (mount->owner_set && !bytes_printf(out, err, " %u:%u:%o", mount->uid, mount->gid, mount->mode))
        return false;
    if (!mount->from)
        return true;
    dockerfile_plan_mount_source(build->plan, mount->from, &source);
    if (!bytes_printf(out, err, " %zu:%s %s", strlen(mount->source), mount->source,
                      source.kind == DOCKERFILE_IMAGE   ? source.image
                      : source.kind == DOCKERFILE_NAMED ? source.context->value
                                                        : ""))
        return false;
    const struct stage *stage = source.kind == DOCKERFILE_STAGE ? &build->stages[source.stage] : NULL;
    for (size_t i = 0; stage && i < stage->layer_count; i++) {
        if (!bytes_printf(out, err, " %s", stage->layers[i].origin))
            return false;
    }
    return true;
}

/* By a hash, so that no id leads anywhere; the parts cannot be mistaken for each other. */
static const char *cache_path(struct preparing *at, const struct dockerfile_mount *mount, unsigned number,
                              struct error *err)
{
    const struct build *build = at->stage->build;
    const char *scope = build->options->run.cache_scope, *space = build_argument(build, "BUILDKIT_CACHE_MOUNT_NS");
    char hex[SHA256_HEX_SIZE];
    AUTO(bytes_release) struct bytes name = BYTES(DOCKERFILE_SIZE_MAX);

    scope = scope ? scope : "";
    space = space ? space : "";
    if (!bytes_printf(&name, err, "%zu:%s %zu:%s %zu:%s %d %u", strlen(scope), scope, strlen(space), space,
                      strlen(mount->id), mount->id, (int)at->runner->mode, number) ||
        !append_seed(at, mount, &name, err))
        return NULL;
    sha256_hex_of(bytes_span(&name), hex);
    const char *path = arena_printf(build->arena, "%s/mounts/%s", at->runner->directory, hex);
    if (!path)
        too_large(err);
    return path;
}

enum lock { LOCK_FAILED, LOCK_TAKEN, LOCK_REFUSED, LOCK_GONE };

/* Refused: it is another one's at the moment, and we did not want to wait. Gone: it has been removed meanwhile. */
static enum lock wait_for_lock(const struct preparing *at, const char *path, int fd, enum dockerfile_sharing sharing,
                               struct error *err)
{
    /* Without mounts it is moved to the command, which only one can have. */
    bool several = sharing == DOCKERFILE_SHARED && at->runner->mode != SANDBOX_IN_CHROOT;

    while (flock(fd, (several ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            error_set_errno(err, errno, "lock '%s'", path);
            return LOCK_FAILED;
        }
        if (sharing == DOCKERFILE_PRIVATE)
            return LOCK_REFUSED;
        if (is_cancelled(at, err))
            return LOCK_FAILED;
        turns_give(at->stage->build->turns);
        nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
        turns_take(at->stage->build->turns);
    }
    return room_is_named(fd, path) ? LOCK_TAKEN : LOCK_GONE;
}

/* Made when it is missing. */
static enum lock lock_cache(struct preparing *at, const char *path, enum dockerfile_sharing sharing, struct error *err)
{
    for (;;) {
        if (!directory_make(path, 0700, err))
            return LOCK_FAILED;
        AUTO(close) int fd = room_open(path);
        if (fd < 0 && errno == ENOENT)
            continue;
        enum lock lock = fd < 0 ? LOCK_FAILED : wait_for_lock(at, path, fd, sharing, err);
        if (fd < 0)
            error_set_errno(err, errno, "open '%s'", path);
        if (lock == LOCK_TAKEN && !room_use(path, err))
            return LOCK_FAILED;
        if (lock == LOCK_TAKEN) {
            at->out->locks[at->out->lock_count++] = fd;
            fd = -1; /* held until the end */
        }
        if (lock != LOCK_GONE)
            return lock;
    }
}

/* The content stands in "data", which has its name only once it is whole. */
static bool fill_cache(struct preparing *at, const struct dockerfile_mount *mount, struct cache_mount *kept,
                       struct error *err)
{
    const char *fresh = runner_path(at->runner, "cache", err);
    struct source source = { 0 };

    if (!fresh || mkdir(fresh, 0700) < 0)
        return fresh ? error_set_errno(err, errno, "make '%s'", fresh) : false;
    bool restored = cache_mount_restore(at->stage->build, kept, fresh, at->runner->mode);
    if (mount->from && !restored && !find_source(at, mount, &source, err))
        return false;
    const struct tree_node *node = source.node;
    if (node && !tree_is_directory(node))
        return error_set(err, ERROR_INVALID, "\"%s\" is no directory", mount->source);
    const struct place_how how = { .owners = sandbox_has_ids(at->runner->mode), .all = true };
    if (node && !place_below(node, fresh, &how, err))
        return false;
    if (!node || mount->owner_set) {
        if (sandbox_has_ids(at->runner->mode) && chown(fresh, mount->uid, mount->gid) < 0)
            return error_set_errno(err, errno, "give the cache to user %u", mount->uid);
        if (chmod(fresh, mount->mode & 07777) < 0)
            return error_set_errno(err, errno, "set the mode of the cache");
    }
    return rename(fresh, kept->data) == 0 || errno == EEXIST || errno == ENOTEMPTY ||
           error_set_errno(err, errno, "put '%s' in place", kept->data);
}

static bool prepare_cache(struct preparing *at, const struct dockerfile_mount *mount, struct error *err)
{
    enum lock lock = LOCK_REFUSED;
    const char *path = NULL;

    for (unsigned number = 0; lock == LOCK_REFUSED && number < PRIVATE_MAX; number++) {
        path = cache_path(at, mount, number, err);
        lock = path ? lock_cache(at, path, mount->sharing, err) : LOCK_FAILED;
    }
    if (lock == LOCK_FAILED || !path)
        return false;
    if (lock == LOCK_REFUSED)
        return error_set(err, ERROR_BUSY, "more than %d users of one private cache", PRIVATE_MAX);
    const char *data = arena_printf(at->stage->build->arena, "%s/data", path);
    if (!data)
        return too_large(err);
    struct cache_mount *kept = cache_mount_use(at->stage->build, strrchr(path, '/') + 1, data, err);
    if (!kept || (access(data, F_OK) < 0 && !fill_cache(at, mount, kept, err)))
        return false;
    const struct sandbox_mount bind = {
        .target = mount->target, .source = data, .uid = mount->uid, .gid = mount->gid, .read_only = mount->readonly
    };
    return add(at, bind, true, err);
}

/* ---- the others ---- */

static bool prepare_tmpfs(struct preparing *at, const struct dockerfile_mount *mount, struct error *err)
{
    return add(at, (struct sandbox_mount){ .target = mount->target, .size = mount->size, .read_only = mount->readonly },
               true, err);
}

static bool add_variable(struct preparing *at, const char *name, struct span value, struct error *err)
{
    const char *text = arena_printf(at->stage->build->arena, "%s=%.*s", name, SPAN_ARGS(value));

    if (!text)
        return too_large(err);
    at->out->env[at->out->env_count++] = text;
    return true;
}

static bool prepare_secret(struct preparing *at, const struct dockerfile_mount *mount, struct error *err)
{
    const struct engine_run *given = &at->stage->build->options->run;
    const struct engine_secret *secret = NULL;

    for (size_t i = 0; i < given->secret_count; i++) {
        if (strcmp(given->secrets[i].id, mount->id) == 0)
            secret = &given->secrets[i];
    }
    if (!secret)
        return !mount->required || error_set(err, ERROR_INVALID, "secret %s: not found", mount->id);
    if (mount->env && !add_variable(at, mount->env, secret->value, err))
        return false;
    if (!mount->target)
        return true;
    const struct sandbox_mount file = { .target = mount->target,
                                        .content = secret->value.data ? secret->value.data : "",
                                        .content_len = secret->value.len,
                                        .uid = mount->uid,
                                        .gid = mount->gid,
                                        .mode = mount->mode,
                                        .read_only = true };
    return add(at, file, false, err);
}

static bool prepare_ssh(struct preparing *at, const struct dockerfile_mount *mount, struct error *err)
{
    const struct engine_run *given = &at->stage->build->options->run;
    const struct engine_agent *agent = NULL;

    for (size_t i = 0; i < given->agent_count; i++) {
        if (strcmp(given->agents[i].id, mount->id) == 0)
            agent = &given->agents[i];
    }
    if (!agent)
        return !mount->required || error_set(err, ERROR_INVALID, "no SSH key \"%s\" forwarded from the client",
                                             strcmp(mount->id, "default") == 0 ? "" : mount->id);
    const uint32_t owner[] = { mount->uid, mount->gid };
    const struct agent_options options = { .socket = agent->socket,
                                           .path = runner_path(at->runner, "agent", err),
                                           .owner = sandbox_has_ids(at->runner->mode) ? owner : NULL,
                                           .mode = mount->mode };
    const struct sandbox_mount socket = {
        .target = mount->target, .source = options.path, .uid = mount->uid, .gid = mount->gid
    };
    struct agent **agents = at->out->agents;
    agents[at->out->agent_count] = options.path ? agent_new(&options, err) : NULL;
    if (!agents[at->out->agent_count])
        return false;
    if (at->out->agent_count++ == 0 && !add_variable(at, "SSH_AUTH_SOCK", span_of(mount->target), err))
        return false;
    return add(at, socket, false, err);
}

/* As BuildKit: by their targets, so that none is hidden by one that lies above it, in whatever order they are written. */
static void sort(struct sandbox_mount *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct sandbox_mount item = items[i];
        size_t at = i;
        for (; at > 0 && strcmp(items[at - 1].target, item.target) > 0; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

bool run_mounts_prepare(struct stage *stage, const struct dockerfile_run *run, const char *script_path,
                        struct run_mounts *out, struct error *err)
{
    static bool (*const prepare[])(struct preparing *, const struct dockerfile_mount *, struct error *) = {
        [DOCKERFILE_MOUNT_BIND] = prepare_bind,   [DOCKERFILE_MOUNT_CACHE] = prepare_cache,
        [DOCKERFILE_MOUNT_TMPFS] = prepare_tmpfs, [DOCKERFILE_MOUNT_SECRET] = prepare_secret,
        [DOCKERFILE_MOUNT_SSH] = prepare_ssh,
    };
    struct arena *arena = stage->build->arena;
    struct preparing at = { .stage = stage, .runner = stage->build->runner, .out = out };

    if (run->mounts.count > MOUNTS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d mounts", MOUNTS_MAX);
    out->items = arena_take(arena, (MOUNTS_MAX + FIXED_MAX) * sizeof(out->items[0]));
    out->stubs = arena_take(arena, STUBS_MAX * sizeof(out->stubs[0]));
    out->env = arena_take(arena, (2 * run->mounts.count + 1) * sizeof(out->env[0]));
    out->locks = arena_take(arena, (run->mounts.count + 1) * sizeof(out->locks[0]));
    out->agents = arena_take(arena, (run->mounts.count + 1) * sizeof(struct agent *));
    if (!out->items || !out->stubs || !out->env || !out->locks || !out->agents)
        return too_large(err);
    if (!add_names(&at, err) || (script_path && !add_script(&at, script_path, run->script, err)))
        return false;
    size_t fixed = out->count;
    for (size_t i = 0; i < run->mounts.count; i++) {
        const struct dockerfile_mount *mount = &run->mounts.items[i];
        if (!prepare[mount->type](&at, mount, err))
            return false;
    }
    sort(out->items + fixed, out->count - fixed);
    return true;
}
