#include "shared/builder/run.h"

#include "shared/base/file.h"
#include "shared/base/machine.h"
#include "shared/builder/accounts.h"
#include "shared/builder/baseindex.h"
#include "shared/builder/cache.h"
#include "shared/builder/cache_mounts.h"
#include "shared/builder/run_diff.h"
#include "shared/builder/run_output.h"
#include "shared/builder/run_place.h"
#include "shared/builder/turns.h"
#include "shared/sandbox/account.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { LOOK_MS = 100, ENVIRONMENT_MAX = 4096, PROXIES_MAX = 10 };
static const int64_t layers_max_default = INT64_C(20) << 30;

/* ---- where it happens ---- */

static bool choose_directory(struct runner *runner, const char *cache, struct error *err)
{
    if (!cache) {
        runner->temporary = directory_make_temporary("pushwright-run", err);
        cache = runner->temporary;
    }
    if (!cache || !directory_make(cache, 0700, err))
        return false;
    AUTO(free) char *real = realpath(cache, NULL);
    if (!real || strlen(real) >= sizeof(runner->directory) / 2)
        return error_set_errno(err, real ? ENAMETOOLONG : errno, "'%s'", cache);
    memcpy(runner->directory, real, strlen(real) + 1);
    return true;
}

static const char works_on_copies[] =
    "changes cannot be stacked on the file system of the cache directory (is it a container's own?): each "
    "RUN works on a copy";

/* An overlayfs takes neither another one's deletions nor its changes. */
static bool takes_whiteouts(const char *directory)
{
    char probe[RUN_PATH_MAX];

    snprintf(probe, sizeof(probe), "%.*s/probe-%d", RUN_PATH_MAX / 2, directory, (int)getpid());
    bool takes = mknod(probe, S_IFCHR, 0) == 0 || errno != EPERM;
    unlink(probe);
    return takes;
}

struct trial {
    pthread_t thread;
    enum sandbox_mode mode;
    bool good;
    struct error why;
};

static void *try_sandbox(void *opaque)
{
    struct trial *trial = opaque;

    trial->good = sandbox_probe(false, &trial->mode, &trial->why);
    return NULL;
}

void build_try_sandbox(struct build *build)
{
    struct trial *trial = build->trial ? NULL : calloc(1, sizeof(*trial));

    if (trial && pthread_create(&trial->thread, NULL, try_sandbox, trial) == 0)
        build->trial = trial;
    else
        free(trial);
}

void trial_free(struct trial *trial)
{
    if (trial)
        pthread_join(trial->thread, NULL);
    free(trial);
}

static bool probe(struct runner *runner, struct error *err)
{
    struct trial *trial = runner->build->trial;

    if (!trial)
        return sandbox_probe(false, &runner->mode, err);
    runner->build->trial = NULL;
    pthread_join(trial->thread, NULL);
    runner->mode = trial->mode;
    *err = trial->why;
    bool good = trial->good;
    free(trial);
    return good;
}

static bool choose_mode(struct runner *runner, bool chroot, struct error *err)
{
    struct error none = { 0 };

    if (probe(runner, &none))
        return true;
    if (!chroot)
        return error_set(
            err, none.kind,
            "%s; for a Dockerfile that you trust, isolation in a chroot will do (\"isolation\": \"chroot\" in the "
            "build rule, --isolation=chroot)",
            none.message);
    runner->mode = SANDBOX_IN_CHROOT;
    return sandbox_probe_chroot(err);
}

static bool runner_start(struct runner *runner, struct error *err)
{
    /* The modes mark and own files in different ways. */
    static const char *const folders[] = {
        [SANDBOX_AS_ROOT] = "layers",
        [SANDBOX_WITH_IDS] = "layers-ids",
        [SANDBOX_AS_USER] = "layers-user",
        [SANDBOX_IN_CHROOT] = "layers-bare",
    };
    const struct engine_options *options = runner->build->options;
    char directory[RUN_PATH_MAX];

    if (!choose_mode(runner, options->run.chroot, err) || !choose_directory(runner, options->cache_directory, err))
        return false;
    runner->whole = runner->mode == SANDBOX_IN_CHROOT || !takes_whiteouts(runner->directory);
    snprintf(directory, sizeof(directory), "%.*s/%s", RUN_PATH_MAX / 2, runner->directory,
             runner->whole ? "layers-bare" : folders[runner->mode]);
    const struct layers_options layers = { .directory = directory,
                                           .mode = runner->mode,
                                           .without_whiteouts = runner->whole,
                                           .bytes_max =
                                               options->run.layers_max ? options->run.layers_max : layers_max_default,
                                           .cancelled = options->cancelled,
                                           .context = options->cancelled_context,
                                           .watch = options->cache_directory ? baseindex_watch : NULL,
                                           .watch_context = (void *)(uintptr_t)options->cache_directory };
    runner->layers = layers_open(&layers, err);
    return runner->layers && layers_scratch(runner->layers, runner->work, err);
}

struct runner *build_runner(struct build *build, struct error *err)
{
    if (build->runner)
        return build->runner;
    struct runner *runner = calloc(1, sizeof(*runner));
    if (!runner) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    runner->build = build;
    runner->mounts_max = cache_bytes_max(build->options); /* the options may be gone when it ends */
    if (!runner_start(runner, err)) {
        runner_free(runner);
        return NULL;
    }
    return build->runner = runner;
}

void runner_free(struct runner *runner)
{
    if (!runner)
        return;
    if (runner->build->mounts)
        cache_mounts_bound(runner->directory, runner->mounts_max);
    layers_free(runner->layers);
    if (runner->temporary)
        sandbox_remove_tree(runner->temporary, &(struct error){ 0 });
    free(runner->temporary);
    free(runner);
}

const char *runner_path(struct runner *runner, const char *kind, struct error *err)
{
    const char *path = arena_printf(runner->build->arena, "%s/%s-%u", runner->work, kind, runner->count++);

    if (!path)
        error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    return path;
}

const char *runner_directory(struct runner *runner, const char *kind, struct error *err)
{
    const char *path = runner_path(runner, kind, err);

    if (path && mkdir(path, 0755) < 0) {
        error_set_errno(err, errno, "make '%s'", path);
        return NULL;
    }
    return path;
}

/* ---- what it stands on ---- */

static const char **room_for_lowers(struct build *build, struct error *err)
{
    const char **lowers = arena_take(build->arena, SANDBOX_LOWERS_MAX * sizeof(lowers[0]));

    if (!lowers)
        error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    return lowers;
}

static bool add_base(struct run_root *root, struct runner *runner, struct base *base, struct error *err)
{
    char *paths[IMAGE_LAYERS_MAX] = { NULL };
    const struct image *image = &base->image;
    size_t first = root->lower_count;

    turns_give(runner->build->turns);
    bool good = layers_get_all(runner->layers, &base->reference, runner->build->options->registries, image->layers,
                               image->layer_count, paths, err);
    turns_take(runner->build->turns);
    for (size_t i = 0; i < image->layer_count; i++) {
        const char *copy = good ? arena_dup(runner->build->arena, span_of(paths[i])) : NULL;
        free(paths[i]);
        if (good && !copy)
            good = error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
        root->lowers[root->lower_count++] = copy;
    }
    if (good)
        base->unpacked = root->lowers + first;
    return good || error_wrap(err, "image '%s'", base->name);
}

static bool add_lower(struct run_root *root, const char *path, struct error *err)
{
    if (root->lower_count == SANDBOX_LOWERS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d layers to run on", SANDBOX_LOWERS_MAX);
    root->lowers[root->lower_count++] = path;
    return true;
}

/* Directories that a layer has only because something is in them look as the layers below say; the last word is on top. */
static bool add_implied(struct stage *stage, struct base *base, struct runner *runner, struct run_root *root,
                        struct error *err)
{
    AUTO(bytes_release) struct bytes paths = BYTES(4 * LAYERS_IMPLIED_MAX);
    const struct place_how how = { .owners = sandbox_has_ids(runner->mode) };

    for (size_t i = 1; i < root->lower_count; i++) {
        if (!layers_implied(root->lowers[i], &paths, err))
            return false;
    }
    if (paths.len == 0)
        return true;
    const struct tree *tree =
        stage ? stage_tree(stage, err) : base_tree(base, runner->build->options->cache_directory, err);
    const char *path = tree ? runner_directory(runner, "implied", err) : NULL;
    return path && place_directories(tree, bytes_span(&paths), path, &how, err) && add_lower(root, path, err);
}

/* The stage below may have been run in, then its layers are there already. */
static bool start_root(struct stage *stage, struct runner *runner, struct error *err)
{
    const struct stage *from = stage->parent;
    struct run_root root = { .lowers = room_for_lowers(stage->build, err) };

    if (!root.lowers)
        return false;
    while (from && !from->root.lowers && from->parent)
        from = from->parent;
    if (from && from->root.lowers) {
        memcpy(root.lowers, from->root.lowers, from->root.lower_count * sizeof(char *));
        root.lower_count = from->root.lower_count;
        root.placed = from->root.placed;
        root.stacked = from->root.stacked;
    } else {
        struct base *base = from ? from->base : stage->base;
        root.stacked = base ? base->image.layer_count : 0;
        if (base && (!add_base(&root, runner, base, err) || !add_implied(stage, base, runner, &root, err)))
            return false;
    }
    stage->root = root;
    return true;
}

/* Layers from the cache, which are whole, and below what was made in between: its files are placed as the tree has them in the end. */
static bool add_cached(struct stage *stage, struct runner *runner, struct error *err)
{
    for (; stage->root.stacked < stage->layer_count; stage->root.stacked++) {
        struct base *base = stage->layers[stage->root.stacked].base;

        if (!base)
            continue;
        if (stage->root.lower_count + base->image.layer_count > SANDBOX_LOWERS_MAX)
            return error_set(err, ERROR_TOO_LARGE, "more than %d layers to run on", SANDBOX_LOWERS_MAX);
        if (!add_base(&stage->root, runner, base, err))
            return false;
    }
    return true;
}

/* What instructions have put into the tree since. */
static bool place_new(struct stage *stage, struct runner *runner, const struct tree *tree, struct error *err)
{
    const struct engine_options *options = stage->build->options;
    const struct place_how how = { .owners = sandbox_has_ids(runner->mode),
                                   .after = stage->root.placed,
                                   .cancelled = options->cancelled,
                                   .context = options->cancelled_context };

    if (!add_cached(stage, runner, err))
        return false;
    bool needed = place_needed(tree_root(tree), stage->root.placed) || stage->root.lower_count == 0;

    stage->root.placed = stage->build->layer_number;
    if (!needed)
        return true;
    const char *path = runner_directory(runner, "copied", err);
    return path && place_below(tree_root(tree), path, &how, err) && add_lower(&stage->root, path, err);
}

/* ---- what is mounted from elsewhere ---- */

/* In the build's arena. */
struct run_image {
    const struct base *base;
    struct run_root root;
    struct run_image *next;
};

const struct run_root *runner_image(struct runner *runner, struct base *base, struct error *err)
{
    struct run_image *image = runner->images;

    while (image && image->base != base)
        image = image->next;
    if (image)
        return &image->root;
    struct run_root root = { .lowers = room_for_lowers(runner->build, err) };
    image = arena_take(runner->build->arena, sizeof(*image));
    if (!root.lowers || !image || !add_base(&root, runner, base, err) || !add_implied(NULL, base, runner, &root, err))
        return NULL;
    *image = (struct run_image){ base, root, runner->images };
    runner->images = image;
    return &image->root;
}

/* Others may be at the same: what is found out is of this copy alone. */
bool runner_stage(struct runner *runner, const struct stage *stage, struct run_root *out, struct error *err)
{
    struct stage copy = *stage;
    const char **lowers = room_for_lowers(stage->build, err);

    if (!lowers)
        return false;
    if (copy.root.lowers)
        copy.root.lowers = memcpy(lowers, copy.root.lowers, copy.root.lower_count * sizeof(lowers[0]));
    if ((!copy.root.lowers && !start_root(&copy, runner, err)) || !place_new(&copy, runner, copy.tree, err))
        return false;
    *out = copy.root;
    return true;
}

/* ---- the command ---- */

/* As Go writes it with %q, which is how BuildKit tells a command. */
static bool quote(struct bytes *out, struct dockerfile_words words, struct error *err)
{
    static const char plain[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";

    if (!bytes_append_char(out, '"', err))
        return false;
    for (size_t i = 0; i < words.count; i++) {
        if (i > 0 && !bytes_append_char(out, ' ', err))
            return false;
        for (const char *at = words.items[i]; *at; at++) {
            const char *special = strchr(plain, *at);
            if (special ? !bytes_append_char(out, '\\', err) || !bytes_append_char(out, letters[special - plain], err)
                        : !bytes_append_char(out, *at, err))
                return false;
        }
    }
    return bytes_append_char(out, '"', err);
}

static bool did_not_complete(struct dockerfile_words words, const char *reason, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(4 * DOCKERFILE_SIZE_MAX);
    struct error ignored;

    quote(&text, words, &ignored);
    return error_set(err, ERROR_INVALID, "process %.700s did not complete successfully: %.200s", bytes_text(&text),
                     reason);
}

static bool exit_told(struct dockerfile_words words, int status, struct error *err)
{
    char reason[64];
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

    snprintf(reason, sizeof(reason), "exit code: %d", code);
    return code == 0 || did_not_complete(words, reason, err);
}

/* What fails before the command is there: a mount that has no place, say. */
static const char cannot_stack[] = "mount the layers", *const of_the_command[] = { "run '", "enter working directory" };

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Variants of a machine run each other's programs, as far as anybody can tell beforehand. */
static bool is_for_this_machine(const char *platform)
{
    size_t len = strlen(MACHINE_PLATFORM);

    return strncmp(platform, MACHINE_PLATFORM, len) == 0 && (!platform[len] || platform[len] == '/');
}

/* Users that are not there stop the process from being made; whatever else does, runc tells as exit code 1. */
static bool start_failed(struct stage *stage, struct dockerfile_words words, const char *text, struct error *err)
{
    if (starts_with(text, "unable to find "))
        return did_not_complete(words, text, err);
    for (size_t i = 0; i < sizeof(of_the_command) / sizeof(of_the_command[0]); i++) {
        if (!starts_with(text, of_the_command[i]))
            continue;
        if (strstr(text, "Exec format error") && !is_for_this_machine(stage_platform(stage)))
            return error_set(err, ERROR_INVALID,
                             "RUN for %s needs qemu-user registered on this machine: apt-get install qemu-user-static "
                             "binfmt-support",
                             stage_platform(stage));
        progress_say(&stage->step, text);
        return did_not_complete(words, "exit code: 1", err);
    }
    return error_set(err, starts_with(text, cannot_stack) ? ERROR_UNSUPPORTED : ERROR_INVALID, "sandbox: %s", text);
}

/* Why owners are not noted, where one user stands for all; "": they are. The first time it is told. */
static void tell_unwatched(struct stage *stage, const char *why)
{
    AUTO(bytes_release) struct bytes line = BYTES(2 * SANDBOX_TEXT_MAX);
    struct runner *runner = stage->build->runner;
    struct error ignored;

    if (why[0] && !runner->unwatched &&
        bytes_printf(&line, &ignored, "whom commands give files to is not recorded here: %s", why))
        progress_say(&stage->step, bytes_text(&line));
    runner->unwatched = runner->unwatched || why[0];
}

static bool attend(struct stage *stage, struct sandbox *sandbox, struct run_output *output,
                   struct dockerfile_words words, char unwatched[static SANDBOX_TEXT_MAX], struct error *err)
{
    const struct engine_options *options = stage->build->options;
    struct pollfd ready[] = { { .fd = sandbox_fd(sandbox), .events = POLLIN },
                              { .fd = run_output_fd(output), .events = POLLIN } };
    struct sandbox_event event;
    bool started = true;
    int status = -1;
    char text[SANDBOX_TEXT_MAX] = "the sandbox has ended";

    do {
        poll(ready, 2, LOOK_MS);
        run_output_read(output);
        if (options->cancelled && options->cancelled(options->cancelled_context))
            return error_set(err, ERROR_UNAVAILABLE, "cancelled");
        sandbox_next(sandbox, &event);
        if (event.kind == SANDBOX_FAILED) {
            started = false;
            memcpy(text, event.text, sizeof(text));
        }
        if (event.kind == SANDBOX_STARTED)
            memcpy(unwatched, event.text, SANDBOX_TEXT_MAX);
        if (event.kind == SANDBOX_EXITED)
            status = event.status;
        if (event.kind == SANDBOX_EXITED && sandbox_reached(sandbox))
            progress_say(&stage->step, sandbox_reached(sandbox));
    } while (event.kind != SANDBOX_ENDED);
    run_output_end(output);
    if (!started || status == -1)
        return start_failed(stage, words, text, err);
    return exit_told(words, status, err);
}

static bool start_and_attend(struct stage *stage, const struct sandbox_spec *spec, struct run_output *output,
                             char unwatched[static SANDBOX_TEXT_MAX], struct error *err)
{
    AUTO(sandbox_free) struct sandbox *sandbox = sandbox_start(spec, err);

    return sandbox &&
           attend(stage, sandbox, output, (struct dockerfile_words){ spec->argv, spec->arg_count }, unwatched, err);
}

const char *build_argument(const struct build *build, const char *name)
{
    const struct dockerfile_pairs *args = &build->options->args;

    for (size_t i = args->count; i-- > 0;) {
        if (strcmp(args->items[i].key, name) == 0 && args->items[i].value)
            return args->items[i].value;
    }
    return NULL;
}

/* Build arguments of these names reach every RUN, and neither history nor image; both spellings are given. A name that the
 * Dockerfile declares is in its scope already. */
static bool add_proxies(struct stage *stage, const char **env, size_t *count, struct error *err)
{
    static const char *const names[] = {
        "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
        "ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = build_argument(stage->build, names[i]);
        if (!value)
            value = build_argument(stage->build, names[i ^ 1]);
        if (!value || dockerfile_scope_get(stage->scope, names[i]))
            continue;
        env[(*count)++] = arena_printf(stage->build->arena, "%s=%s", names[i], value);
        if (!env[*count - 1])
            return error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    }
    return true;
}

static bool execute(struct stage *stage, const struct dockerfile_run *run, struct dockerfile_words words,
                    const struct run_mounts *mounts, const struct sandbox_owners *owners, const char *scratch,
                    const char *whole, struct error *err)
{
    struct dockerfile_words scope = dockerfile_scope_env(stage->scope);
    const char *env[ENVIRONMENT_MAX];
    size_t count = 0;
    const struct run_root *root = &stage->root;
    const char *hostname = build_argument(stage->build, "BUILDKIT_SANDBOX_HOSTNAME");
    struct sandbox_step step = { .network = strcmp(run->network, "none") != 0 && !stage->build->options->run.no_network,
                                 .mounts = mounts->items,
                                 .mount_count = mounts->count,
                                 .owners = owners->notes ? owners : NULL };

    if (scope.count + mounts->env_count + PROXIES_MAX > ENVIRONMENT_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d variables", ENVIRONMENT_MAX);
    if (!add_proxies(stage, env, &count, err))
        return false;
    for (size_t i = 0; i < scope.count; i++)
        env[count++] = scope.items[i];
    for (size_t i = 0; i < mounts->env_count; i++)
        env[count++] = mounts->env[i];
    AUTO(run_output_free)
    struct run_output *output = run_output_new(&stage->step, err);
    if (!output)
        return false;
    const struct sandbox_spec spec = { .mode = stage->build->runner->mode,
                                       .lowers = root->lowers,
                                       .lower_count = root->lower_count,
                                       .whole = whole,
                                       .scratch = scratch,
                                       .argv = words.items,
                                       .arg_count = words.count,
                                       .env = env,
                                       .env_count = count,
                                       .cwd = dockerfile_scope_workdir(stage->scope),
                                       .user = imageconfig_text(stage->config, "User"),
                                       .hostname = hostname ? hostname : "buildkitsandbox",
                                       .output = run_output_write_end(output),
                                       .limits = stage->build->options->run.limits,
                                       .groups = stage->build->runner->groups[0] ? stage->build->runner->groups : NULL,
                                       .step = &step };
    if (!build_settle(stage->build, err))
        return false;
    char unwatched[SANDBOX_TEXT_MAX] = "";
    turns_give(stage->build->turns);
    bool good = start_and_attend(stage, &spec, output, unwatched, err);
    turns_take(stage->build->turns);
    tell_unwatched(stage, unwatched);
    return good;
}

static bool append(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static bool read_from_tree(const struct tree *tree, const char *path, struct bytes *out, struct error *err)
{
    struct tree_place place;

    if (!tree_resolve(tree, tree_root(tree), path, true, &place, err))
        return false;
    if (place.missing[0] || place.node->is.type != TAR_FILE)
        return true;
    struct content *contents[] = { place.node->is.content };
    return base_extract(contents, 1, err) && content_size(place.node->is.content, err) &&
           content_read(place.node->is.content, append, out, err);
}

/* Who runs a command, and what becomes of owners where the disk does not say whose files are. */
struct command_owners {
    struct account account;
    struct sandbox_owners told;
};

static void command_owners_release(struct command_owners *owners)
{
    owners_free(owners->told.notes);
}
AUTO_RELEASE(struct command_owners, command_owners_release)

static int by_id(const void *a, const void *b)
{
    const uint32_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static bool find_owners(const struct stage *stage, struct tree *tree, struct command_owners *out, struct error *err)
{
    AUTO(bytes_release) struct bytes passwd = BYTES(ACCOUNTS_MAX);
    AUTO(bytes_release) struct bytes group = BYTES(ACCOUNTS_MAX);
    struct error ignored; /* no such user: the command will not be started */

    if (sandbox_has_ids(stage->build->runner->mode))
        return true;
    if (!read_from_tree(tree, "/etc/passwd", &passwd, err) || !read_from_tree(tree, "/etc/group", &group, err))
        return false;
    account_resolve(imageconfig_text(stage->config, "User"), bytes_span(&passwd), bytes_span(&group), &out->account,
                    &ignored);
    qsort(out->account.groups, out->account.group_count, sizeof(out->account.groups[0]), by_id);
    out->told = (struct sandbox_owners){ .notes = owners_new(OWNERS_MAX, err),
                                         .own = { out->account.uid, out->account.gid },
                                         .groups = out->account.groups,
                                         .group_count = out->account.group_count,
                                         .below = diff_owner_below,
                                         .context = tree };
    return out->told.notes != NULL;
}

static bool all_noted(const struct command_owners *owners, struct error *err)
{
    if (!owners->told.notes || !owners_full(owners->told.notes))
        return true;
    return error_set(err, ERROR_TOO_LARGE,
                     "the command gives more than %d files to others, which is as many as can be recorded here; with "
                     "ids in /etc/subuid and /etc/subgid (and package uidmap) there is no such bound",
                     OWNERS_MAX);
}

static int64_t file_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* A copy of everything, to be changed in place. */
static const char *place_whole(struct stage *stage, struct runner *runner, const struct tree *tree,
                               struct sandbox_owners *owners, struct error *err)
{
    const struct engine_options *options = stage->build->options;
    const struct place_how how = { .owners = sandbox_has_ids(runner->mode),
                                   .notes = owners->notes,
                                   .own = owners->own,
                                   .all = true,
                                   .separate = true,
                                   .cancelled = options->cancelled,
                                   .context = options->cancelled_context };
    const char *path = runner_directory(runner, "whole", err);

    owners->below = NULL; /* with everything noted that is there */
    if (!path || !place_below(tree_root(tree), path, &how, err))
        return NULL;
    stage->root.copied_ns = file_clock_ns();
    return path;
}

static bool prepare_mounts(struct stage *stage, const struct dockerfile_run *run, struct run_mounts *out,
                           struct error *err)
{
    *out = (struct run_mounts){ 0 };
    return run_mounts_prepare(stage, run, run->script ? run->command.args.items[0] : NULL, out, err);
}

/* On layers; where the file system does not let changes be stacked on them, which is found out by trying, on a copy. */
static bool execute_somehow(struct stage *stage, const struct dockerfile_run *run, struct dockerfile_words words,
                            struct run_mounts *mounts, struct sandbox_owners *owners, const char *scratch,
                            const char **whole, struct error *err)
{
    struct runner *runner = stage->build->runner;
    const struct tree *tree = stage_tree(stage, err);

    *whole = NULL;
    if (!runner->whole) {
        struct error failed = { 0 };
        if (execute(stage, run, words, mounts, owners, scratch, NULL, &failed))
            return true;
        if (failed.kind != ERROR_UNSUPPORTED) {
            *err = failed;
            return false;
        }
        if (!runner->whole)
            progress_say(&stage->step, works_on_copies);
        runner->whole = true;
        run_mounts_release(mounts);
        if (!prepare_mounts(stage, run, mounts, err))
            return false;
    }
    *whole = tree ? place_whole(stage, runner, tree, owners, err) : NULL;
    return *whole && execute(stage, run, words, mounts, owners, scratch, *whole, err);
}

/* Of layers that lie there as another build has made them. */
static size_t times_below(const struct stage *stage, struct retiming out[static STAGE_LAYERS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < stage->layer_count; i++) {
        const struct base *base = stage->layers[i].base;
        if (base && !retiming_is_none(base->times))
            out[count++] = base->times;
    }
    return count;
}

static bool keep_changes(struct stage *stage, struct tree *tree, const struct run_mounts *mounts,
                         const struct sandbox_owners *owners, const char *scratch, const char *whole, int64_t started_s,
                         struct error *err)
{
    struct build *build = stage->build;
    uint32_t number = ++build->layer_number;
    const char *upper = whole ? whole : arena_printf(build->arena, "%s/upper", scratch);
    struct retiming lower_times[STAGE_LAYERS_MAX];
    const struct diff diff = { .tree = tree,
                               .upper = upper,
                               .whole = whole != NULL,
                               .placed_ns = stage->root.copied_ns,
                               .lowers = stage->root.lowers,
                               .lower_count = stage->root.lower_count,
                               .stubs = mounts->stubs,
                               .stub_count = mounts->stub_count,
                               .layer = number,
                               .file_number = &build->file_number,
                               .time_s = build->time_s,
                               .started_s = started_s,
                               .lower_times = lower_times,
                               .lower_time_count = times_below(stage, lower_times),
                               .until_s = &stage->until_s,
                               .mode = build->runner->mode,
                               .notes = build->runner->unwatched ? NULL : owners->notes,
                               .own = owners->own,
                               .cancelled = build->options->cancelled,
                               .context = build->options->cancelled_context };

    if (!upper)
        return error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    if (!diff_read(&diff, err) || !stage_add_layer(stage, tree, number, err))
        return false;
    diff_forget_whiteouts(tree, number);
    if (whole)
        return true; /* the next one has a copy of its own */
    stage->root.placed = number;
    stage->root.stacked = stage->layer_count;
    return add_lower(&stage->root, upper, err);
}

static bool check_allowed(const struct dockerfile_run *run, struct error *err)
{
    if (strcmp(run->network, "host") == 0)
        return error_set(err, ERROR_DENIED, "network.host is not allowed");
    if (strcmp(run->security, "insecure") == 0)
        return error_set(err, ERROR_DENIED, "security.insecure is not allowed");
    return true;
}

static void find_groups(struct stage *stage, struct runner *runner)
{
    const struct sandbox_limits *limits = &stage->build->options->run.limits;
    AUTO(bytes_release) struct bytes line = BYTES(2 * SANDBOX_GROUPS_MAX);
    struct error why = { 0 }, ignored;

    if (limits->memory == 0 && limits->pids == 0)
        return;
    bool found = sandbox_find_groups(limits, runner->groups, &why);
    if (found)
        bytes_printf(&line, &ignored, "its limits are kept by a control group in '%s'", runner->groups);
    else
        bytes_printf(&line, &ignored,
                     "no control group can be made here (%s): the memory limit holds for each process by itself, that "
                     "of processes not for root",
                     why.message);
    if (!found)
        runner->groups[0] = '\0';
    progress_say(&stage->step, bytes_text(&line));
}

bool stage_run_begin(struct stage *stage, struct error *err)
{
    bool first = !stage->build->runner;
    struct runner *runner = build_runner(stage->build, err);

    if (runner && first)
        progress_say(&stage->step, sandbox_mode_text(runner->mode));
    if (runner && first && runner->whole)
        progress_say(&stage->step, works_on_copies);
    if (runner && first)
        find_groups(stage, runner);
    return runner && (stage->root.lowers || start_root(stage, runner, err));
}

bool stage_run(struct stage *stage, const struct dockerfile_run *run, struct dockerfile_words words, struct error *err)
{
    AUTO(run_mounts_release) struct run_mounts mounts = { 0 };
    AUTO(command_owners_release) struct command_owners owners = { 0 };

    if (!check_allowed(run, err))
        return false;
    struct runner *runner = build_runner(stage->build, err);
    struct tree *tree = stage_tree(stage, err);
    if (!runner || !tree || (!runner->whole && !place_new(stage, runner, tree, err)) ||
        !prepare_mounts(stage, run, &mounts, err) || !find_owners(stage, tree, &owners, err))
        return false;
    const char *scratch = runner_directory(runner, "run", err);
    int64_t started_s = file_clock_ns() / INT64_C(1000000000);
    const char *whole;
    return scratch && execute_somehow(stage, run, words, &mounts, &owners.told, scratch, &whole, err) &&
           all_noted(&owners, err) && keep_changes(stage, tree, &mounts, &owners.told, scratch, whole, started_s, err);
}
