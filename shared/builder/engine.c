#include "shared/builder/engine.h"

#include "shared/base/machine.h"
#include "shared/builder/addgit.h"
#include "shared/builder/baseindex.h"
#include "shared/builder/cache.h"
#include "shared/builder/cache_key.h"
#include "shared/builder/checks.h"
#include "shared/builder/named.h"
#include "shared/builder/run.h"
#include "shared/builder/stage.h"
#include "shared/builder/turns.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUILD_MEMORY_MAX = 256 * 1024 * 1024 };
static const int64_t spool_bytes_max = INT64_C(16) << 30;

struct engine {
    struct registry_options registries;
    struct engine_options options; /* with these registries, and stop_asked() as `cancelled`, which asks: */
    bool (*cancelled)(void *context);
    void *cancelled_context;
    pthread_mutex_t asking;
    struct dockerfile *dockerfile;
    struct cache *cache;
    struct turns *turns;
    struct arena *arena; /* of: */
    struct dockerfile_warnings warnings;
};

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    dockerfile_free(engine->dockerfile);
    cache_free(engine->cache);
    turns_free(engine->turns);
    arena_free(engine->arena);
    pthread_mutex_destroy(&engine->asking);
    free(engine);
}

/* Another stage has failed, or somebody wants the whole to end. */
static bool stop_asked(void *context)
{
    struct engine *engine = context;

    if (turns_stopped(engine->turns))
        return true;
    if (!engine->cancelled)
        return false;
    pthread_mutex_lock(&engine->asking);
    bool asked = engine->cancelled(engine->cancelled_context);
    pthread_mutex_unlock(&engine->asking);
    return asked;
}

struct engine *engine_new(const struct engine_options *options, struct error *err)
{
    AUTO(engine_free) struct engine *engine = calloc(1, sizeof(*engine));

    if (!engine || pthread_mutex_init(&engine->asking, NULL) != 0) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    engine->options = *options;
    if (options->registries)
        engine->registries = *options->registries;
    engine->registries.destination = options->watch.destination;
    engine->options.registries = &engine->registries;
    engine->cancelled = options->cancelled;
    engine->cancelled_context = options->cancelled_context;
    engine->options.cancelled = stop_asked;
    engine->options.cancelled_context = engine;
    engine->turns = turns_new(err);
    if (!engine->turns)
        return NULL;
    engine->dockerfile = dockerfile_parse(bytes_span(&options->context->dockerfile), err);
    if (!engine->dockerfile)
        return NULL;
    engine->cache = cache_new(&engine->options, err);
    return engine->cache ? TAKE(engine) : NULL;
}

/* ---- memory of a build ---- */

static void stage_release(struct stage *stage)
{
    for (size_t i = 0; i < stage->layer_count; i++) {
        if (!stage->parent || i >= stage->parent->layer_count)
            layer_free(stage->layers[i].layer);
    }
    for (size_t i = 0; i < stage->linked_count; i++)
        tree_free(stage->linked[i].tree);
    free(stage->linked);
    free(stage->layers);
    tree_free(stage->tree);
    spool_free(stage->spool);
    dockerfile_scope_free(stage->scope);
}

static void build_free(struct build *build)
{
    if (!build)
        return;
    for (size_t i = build->stage_count; i > 0; i--)
        stage_release(&build->stages[i - 1]);
    for (size_t i = 0; i < build->base_count; i++)
        base_free(build->bases[i]);
    free(build->bases);
    free(build->stages);
    dockerfile_plan_free(build->plan);
    dockerfile_scope_free(build->global);
    tree_free(build->nothing);
    fetched_free(build->fetched);
    trial_free(build->trial);
    if (build->sweeping)
        pthread_join(build->sweeper, NULL);
    else
        runner_free(build->runner);
    downloaded_release(build->downloaded);
    arena_free(build->arena);
    free(build);
}
AUTO_FREE(struct build, build_free)

struct base *const *built_bases(const struct built *built, size_t *count)
{
    *count = built->owner->base_count;
    return built->owner->bases;
}

static void *sweep(void *opaque)
{
    runner_free(opaque);
    return NULL;
}

void built_forget_files(struct built *built)
{
    struct build *build = built->owner;

    if (build->runner && !build->sweeping)
        build->sweeping = pthread_create(&build->sweeper, NULL, sweep, build->runner) == 0;
}

void built_release(struct built *built)
{
    bytes_release(&built->config);
    build_free(built->owner);
    *built = (struct built){ 0 };
}

/* ---- what stages share ---- */

static bool room_for_base(struct build *build, struct error *err)
{
    struct base **bases = realloc(build->bases, (build->base_count + 1) * sizeof(struct base *));

    if (!bases)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    build->bases = bases;
    return true;
}

struct base *build_base(struct build *build, const char *image, const char *platform, struct error *err)
{
    const char *wanted = platform ? platform : build->platform;

    for (size_t i = 0; i < build->base_count; i++) {
        if (strcmp(build->bases[i]->name, image) == 0 && strcmp(build->bases[i]->platform, wanted) == 0)
            return build->bases[i];
    }
    if (!room_for_base(build, err))
        return NULL;
    struct progress_step step;
    progress_begin(build->options->progress, &step,
                   arena_printf(build->arena, "[internal] load metadata for %s", image));
    const struct guess_name name = { image, wanted, build->options->cache_directory };
    struct base *base = base_open(&name, build->may_guess, build->options->registries, err);
    progress_end(&step, base ? NULL : err);
    if (!base)
        return NULL;
    base->indexes = build->options->indexes.image ? &build->options->indexes : NULL;
    base->registries = build->options->registries;
    build->bases[build->base_count++] = base;
    return base;
}

static bool is_sure(struct build *build)
{
    bool sure = true;

    for (size_t i = 0; sure && i < build->base_count; i++) { /* others may add to them meanwhile */
        struct base *base = build->bases[i];

        turns_give(build->turns);
        sure = base_is_sure(base);
        turns_take(build->turns);
    }
    return sure;
}

bool build_settle(struct build *build, struct error *err)
{
    return is_sure(build) || error_set(err, ERROR_UNAVAILABLE, "a base image is not what it was any more");
}

struct base *build_cached(struct build *build, const struct cache_hit *hit, struct error *err)
{
    enum { FIRST = 1 }; /* 0 is the images' */
    struct base *base = NULL;

    if (room_for_base(build, err))
        base = base_of_layer(hit->place, &hit->record.layer, (uint32_t)build->base_count + FIRST, hit->hold,
                             build->options->registries, err);
    else if (hit->hold >= 0)
        close(hit->hold);
    if (base)
        build->bases[build->base_count++] = base;
    return base;
}

struct spool *stage_spool(struct stage *stage, struct error *err)
{
    if (!stage->spool)
        stage->spool = spool_new(spool_bytes_max, err);
    return stage->spool;
}

/* ---- bases and triggers, from the target down ---- */

/* ONBUILD of the stage that this one stands on: they run here too. */
static bool collected_triggers(const struct build *build, size_t index, struct dockerfile_words *out, struct error *err)
{
    const struct dockerfile_stage *stage = &build->dockerfile->stages[index];
    const char **words = arena_take(build->arena, (stage->count + 1) * sizeof(char *));
    size_t count = 0;

    if (!words)
        return error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    for (size_t i = 0; i < stage->count; i++) {
        if (stage->instructions[i].op == DOCKERFILE_ONBUILD)
            words[count++] = stage->instructions[i].value;
    }
    *out = (struct dockerfile_words){ words, count };
    return true;
}

static bool find_base(struct build *build, size_t index, struct error *err)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(build->plan, index);
    struct stage *stage = &build->stages[index];
    struct dockerfile_words triggers = { 0 };

    if (plan->base.kind == DOCKERFILE_STAGE) {
        stage->parent = &build->stages[plan->base.stage];
        return collected_triggers(build, plan->base.stage, &triggers, err) &&
               dockerfile_plan_triggers(build->plan, index, triggers, err);
    }
    struct dockerfile_source source = plan->base;
    if (!named_settle(build, &source, err))
        return false;
    if (source.kind == DOCKERFILE_NAMED)
        return error_set(err, ERROR_UNSUPPORTED,
                         "context '%s' holds files: COPY --from takes them, a stage stands on an image",
                         source.context->name);
    if (source.kind == DOCKERFILE_IMAGE) {
        stage->base = build_base(build, source.image, plan->platform, err);
        if (!stage->base)
            return false;
    }
    stage->config = imageconfig_new(build->arena, stage->base ? stage->base->config : NULL,
                                    stage->base ? stage->base->image.layer_count : 0, err);
    if (stage->config && plan->replaced)
        return true;
    return stage->config && imageconfig_words(stage->config, "OnBuild", &triggers, err) &&
           dockerfile_plan_triggers(build->plan, index, triggers, err);
}

/* Before anything is asked of the network. */
static bool check_support(struct build *build, struct error *err)
{
    for (size_t i = 0; i < build->stage_count; i++) {
        const struct dockerfile_stage *stage = &build->dockerfile->stages[i];

        const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(build->plan, i);

        for (size_t k = 0; plan->needed && !plan->replaced && k < stage->count; k++) {
            if (!stage_can(&stage->instructions[k], err))
                return false;
            if (stage->instructions[k].op == DOCKERFILE_RUN)
                build_try_sandbox(build);
        }
    }
    return true;
}

static bool find_bases(struct build *build, struct error *err)
{
    for (size_t i = build->stage_count; i > 0; i--) {
        if (dockerfile_plan_stage(build->plan, i - 1)->needed && !find_base(build, i - 1, err))
            return error_wrap(err, "line %u: FROM", build->dockerfile->stages[i - 1].line);
    }
    return true;
}

/* ---- one stage ---- */

/* Does the image stand on it? */
static bool is_of_image(const struct stage *stage)
{
    const struct build *build = stage->build;
    const struct stage *at = &build->stages[dockerfile_plan_target(build->plan)];

    while (at && at != stage)
        at = at->parent;
    return at != NULL;
}

/* What nothing is known of will be read; with indexes at a registry mostly it will not. */
static bool expect_layer(const struct stage *stage, const struct image_layer *layer, struct error *err)
{
    const struct engine_options *options = stage->build->options;

    return !is_of_image(stage) || !store_is_remote(stage->base->store) || options->indexes.image ||
           baseindex_is_kept(layer, options->cache_directory) ||
           destination_expect(options->watch.destination, &stage->base->reference, layer->blob.digest, err);
}

static bool start_on_image(struct stage *stage, struct error *err)
{
    struct dockerfile_base base = { .workdir = imageconfig_text(stage->config, "WorkingDir") };

    if (!imageconfig_words(stage->config, "Env", &base.env, err) ||
        !imageconfig_words(stage->config, "Shell", &base.shell, err))
        return false;
    for (size_t i = 0; stage->base && i < stage->base->image.layer_count; i++) {
        const struct image_layer *layer = &stage->base->image.layers[i];
        struct built_layer *copy = &stage->layers[stage->layer_count++];

        if (!expect_layer(stage, layer, err))
            return false;
        copy->blob = layer->blob;
        copy->base = stage->base;
        memcpy(copy->diff_id, layer->diff_id, sizeof(copy->diff_id));
        memcpy(copy->origin, layer->diff_id, sizeof(copy->origin));
    }
    stage->scope = dockerfile_scope_on_image(stage->build->global, &base, err);
    return stage->scope != NULL;
}

static bool start_on_stage(struct stage *stage, struct error *err)
{
    const struct stage *parent = stage->parent;

    stage->config = imageconfig_clone(stage->build->arena, parent->config, err);
    if (!stage->config)
        return false;
    memcpy(stage->layers, parent->layers, parent->layer_count * sizeof(parent->layers[0]));
    stage->layer_count = parent->layer_count;
    stage->scope = dockerfile_scope_on_stage(parent->scope, err);
    return stage->scope != NULL;
}

static void tell_making(const struct stage *stage)
{
    const struct engine_watch *watch = &stage->build->options->watch;

    if (watch->making && is_of_image(stage))
        watch->making(watch->context, stage->layers, stage->layer_count);
}

void stage_tell_made(const struct stage *stage)
{
    const struct engine_watch *watch = &stage->build->options->watch;

    if (watch->making && is_of_image(stage))
        watch->made(watch->context, &stage->layers[stage->layer_count - 1]);
}

static bool is_cancelled(const struct build *build)
{
    return build->options->cancelled(build->options->cancelled_context);
}

static bool take_effect(struct stage *stage, const struct dockerfile_instruction *instruction, struct error *err)
{
    bool done;

    if (!stage_can(instruction, err) || !stage_from_cache(stage, instruction, &done, err))
        return false;
    if (done)
        stage_tell_made(stage);
    else if (stage_makes_layer(instruction))
        tell_making(stage);
    bool made = done || ((stage->runs_ahead == 0 || !stage_makes_layer(instruction) || stage_run_begin(stage, err)) &&
                         stage_apply(stage, instruction, err));
    stage->runs_ahead -= instruction->op == DOCKERFILE_RUN;
    return made;
}

static bool apply_instruction(struct stage *stage, const struct dockerfile_instruction *parsed, struct error *err)
{
    AUTO(bytes_release) struct bytes created_by = BYTES(DOCKERFILE_SIZE_MAX);
    struct dockerfile_instruction instruction;

    if (is_cancelled(stage->build))
        return error_set(err, ERROR_UNAVAILABLE, "cancelled");
    if (!dockerfile_expand(stage->scope, parsed, stage->build->arena, &instruction, err))
        return false;
    stage->layer_made = false;
    if (!take_effect(stage, &instruction, err))
        return false;
    if (parsed->op == DOCKERFILE_ONBUILD)
        return true;
    return dockerfile_created_by(stage->scope, &instruction, &created_by, err) &&
           imageconfig_add_history(stage->config, bytes_text(&created_by), !stage->layer_made, err);
}

static bool run_instruction(struct stage *stage, const struct dockerfile_instruction *parsed, struct error *err)
{
    stage_step_begin(stage, parsed);
    bool good = apply_instruction(stage, parsed, err);
    if (!good && err->kind == ERROR_UNAVAILABLE && is_cancelled(stage->build))
        progress_cancel(&stage->step);
    progress_end(&stage->step, good ? NULL : err);
    if (stage->making)
        turns_tell(stage->build->turns);
    stage->making = false;
    return good;
}

static size_t count_runs(const struct dockerfile_instruction *instructions, size_t count)
{
    size_t runs = 0;

    for (size_t i = 0; i < count; i++)
        runs += instructions[i].op == DOCKERFILE_RUN;
    return runs;
}

static bool begin_stage(struct stage *stage, struct error *err)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(stage->build->plan, stage->index);
    const struct dockerfile_stage *parsed = &stage->build->dockerfile->stages[stage->index];

    if (!(stage->parent ? start_on_stage(stage, err) : start_on_image(stage, err)) ||
        !imageconfig_set(stage->config, "OnBuild", (struct span){ 0 }, err))
        return false;
    stage_step_base(stage);
    progress_end(&stage->step, NULL);
    stage->runs_ahead =
        count_runs(plan->triggers, plan->trigger_count) + count_runs(parsed->instructions, parsed->count);
    stage->begun = true;
    return true;
}

/* Those of the base's ONBUILD first; NULL: there are no more. */
static const struct dockerfile_instruction *next_instruction(const struct stage *stage)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(stage->build->plan, stage->index);
    const struct dockerfile_stage *parsed = &stage->build->dockerfile->stages[stage->index];

    if (plan->replaced || stage->next >= plan->trigger_count + parsed->count)
        return NULL;
    return stage->next < plan->trigger_count ? &plan->triggers[stage->next]
                                             : &parsed->instructions[stage->next - plan->trigger_count];
}

/* Are the stages done that it takes from? What is wrong with a name is told in its turn. */
static bool has_sources(const struct stage *stage, const struct dockerfile_instruction *parsed)
{
    const struct build *build = stage->build;
    struct dockerfile_source source = { .kind = DOCKERFILE_SCRATCH };
    struct error ignored;
    bool has = true;

    if ((parsed->op == DOCKERFILE_COPY || parsed->op == DOCKERFILE_ADD) &&
        dockerfile_plan_source(build->plan, stage->index, parsed->copy.from, &source, &ignored))
        has = source.kind != DOCKERFILE_STAGE || build->stages[source.stage].done;
    for (size_t i = 0; parsed->op == DOCKERFILE_RUN && i < parsed->run.mounts.count; i++) {
        if (!parsed->run.mounts.items[i].from)
            continue;
        dockerfile_plan_mount_source(build->plan, parsed->run.mounts.items[i].from, &source);
        has = has && (source.kind != DOCKERFILE_STAGE || build->stages[source.stage].done);
    }
    return has;
}

static bool may_go_on(const struct stage *stage)
{
    const struct dockerfile_instruction *parsed = next_instruction(stage);

    if (!stage->begun)
        return !stage->parent || stage->parent->done;
    return !parsed || has_sources(stage, parsed);
}

static bool go_on(struct stage *stage, struct error *err)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(stage->build->plan, stage->index);
    const struct dockerfile_instruction *parsed;

    if (!stage->begun && !begin_stage(stage, err))
        return false;
    for (; (parsed = next_instruction(stage)) && has_sources(stage, parsed); stage->next++) {
        if (!run_instruction(stage, parsed, err))
            return stage->next < plan->trigger_count ? error_wrap(err, "ONBUILD of the base") : false;
    }
    if (parsed)
        return true;
    stage->done = true;
    return plan->replaced ||
           imageconfig_set_words(stage->config, "Env", dockerfile_scope_config_env(stage->scope), err);
}

static bool is_done(const struct stage *stage)
{
    return stage->done;
}

static bool makes(const struct stage *stage, const char *key)
{
    bool same = false;

    for (size_t i = 0; stage->making && i < CACHE_KEYS_MAX; i++)
        same = same || strcmp(stage->keys[i], key) == 0;
    return same;
}

/* ---- the whole ---- */

static bool make_stages(struct build *build, struct error *err)
{
    build->stages = calloc(build->dockerfile->stage_count, sizeof(build->stages[0]));
    if (!build->stages)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    build->stage_count = build->dockerfile->stage_count;
    for (size_t i = 0; i < build->stage_count; i++) {
        struct stage *stage = &build->stages[i];

        stage->build = build;
        stage->index = i;
        stage->layers = calloc(STAGE_LAYERS_MAX, sizeof(stage->layers[0]));
        if (!stage->layers)
            return error_set(err, ERROR_INTERNAL, "out of memory");
    }
    return true;
}

static struct dockerfile_options options_of(const struct build *build)
{
    return (struct dockerfile_options){ .args = build->options->args,
                                        .contexts = build->options->contexts,
                                        .target = build->options->target,
                                        .target_platform = build->platform,
                                        .build_platform = MACHINE_PLATFORM };
}

/* What the build was asked for first, then every stage that the target stands on or copies from. */
static bool prepare(struct build *build, struct error *err)
{
    const struct dockerfile_options options = options_of(build);

    build->global = dockerfile_scope_global(build->dockerfile, &options, err);
    if (!build->global)
        return false;
    build->plan = dockerfile_plan_new(build->dockerfile, build->global, &options, err);
    return build->plan && make_stages(build, err) && check_support(build, err) && find_bases(build, err);
}

static int by_name(const void *a, const void *b)
{
    const struct base *left = *(struct base *const *)a, *right = *(struct base *const *)b;
    int order = strcmp(left->name, right->name);

    return order ? order : strcmp(left->platform, right->platform);
}

static bool finish(struct build *build, struct built *out, struct error *err)
{
    struct stage *stage = &build->stages[dockerfile_plan_target(build->plan)];
    const char *diff_ids[STAGE_LAYERS_MAX];
    struct imageconfig_result result = { .platform = build->platform,
                                         .implicit = build->options->implicit_platform,
                                         .diff_ids = diff_ids,
                                         .diff_id_count = stage->layer_count,
                                         .time_s = build->time_s };
    AUTO(bytes_release) struct bytes config = BYTES(IMAGECONFIG_MAX);
    const struct dockerfile_pairs labels = build->options->labels;

    if (!stage_settle(stage, err))
        return false;
    for (size_t i = 0; i < stage->layer_count; i++)
        diff_ids[i] = stage->layers[i].diff_id;
    for (size_t i = 0; i < labels.count; i++) {
        if (!imageconfig_put_text(stage->config, "Labels", labels.items[i].key, labels.items[i].value, err))
            return false;
    }
    if (!imageconfig_write(stage->config, &result, &config, err))
        return false;
    out->config = config;
    config = BYTES(0);
    out->layers = stage->layers;
    out->layer_count = stage->layer_count;
    out->time_s = build->time_s;
    while (stage->parent)
        stage = stage->parent;
    out->base = stage->base;
    if (build->base_count > 0) /* they were met in any order */
        qsort(build->bases, build->base_count, sizeof(build->bases[0]), by_name);
    return true;
}

/* SOURCE_DATE_EPOCH: seconds, or "context". Said so, it is also the latest time that a file may have. */
static bool set_times(struct build *build, struct error *err)
{
    const char *epoch = build_argument(build, "SOURCE_DATE_EPOCH");
    char *end;

    build->time_s = build->context->files->time_s;
    build->newest_s = INT64_MAX;
    build->timed = build->context->files->timed;
    if (!epoch || !*epoch || strcmp(epoch, "context") == 0)
        return true;
    errno = 0;
    build->timed = true;
    build->time_s = build->newest_s = strtoll(epoch, &end, 10);
    return (!*end && errno == 0 && build->time_s >= 0) ||
           error_set(err, ERROR_INVALID, "invalid SOURCE_DATE_EPOCH: %s", epoch);
}

static struct build *build_new(struct engine *engine, const char *platform, bool may_guess, struct error *err)
{
    AUTO(build_free) struct build *build = calloc(1, sizeof(*build));

    if (build)
        build->arena = arena_new(BUILD_MEMORY_MAX);
    if (!build || !build->arena) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    build->options = &engine->options;
    build->context = engine->options.context;
    build->dockerfile = engine->dockerfile;
    build->cache = engine->cache;
    build->turns = engine->turns;
    build->platform = platform;
    build->may_guess = may_guess;
    build->file_number = UINT64_C(1) << 63; /* apart from those of base images */
    return set_times(build, err) ? TAKE(build) : NULL;
}

/* The stages that are needed, of one platform after the other. */
static bool run_stages(struct engine *engine, const struct built *all, size_t count, struct error *err)
{
    size_t room = count * engine->dockerfile->stage_count;
    AUTO(free) struct stage **stages = calloc(room, sizeof(struct stage *));
    struct turns_work work = {
        .stages = stages, .may_go_on = may_go_on, .go_on = go_on, .is_done = is_done, .makes = makes
    };

    if (!stages)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct build *build = all[i].owner;
        for (size_t k = 0; k <= dockerfile_plan_target(build->plan); k++) {
            if (dockerfile_plan_stage(build->plan, k)->needed)
                stages[work.count++] = &build->stages[k];
        }
    }
    return turns_run(engine->turns, &work, err);
}

/* For the first platform: the others would say the same again. */
static bool look_for_warnings(struct engine *engine, struct build *build, struct error *err)
{
    const struct dockerfile_options options = options_of(build);

    arena_free(engine->arena);
    engine->arena = arena_new(BUILD_MEMORY_MAX);
    engine->warnings = (struct dockerfile_warnings){ 0 };
    if (!engine->arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return checks_run(build, &options, engine->arena, &engine->warnings, err);
}

const struct dockerfile_warnings *engine_warnings(const struct engine *engine)
{
    return &engine->warnings;
}

static bool build_all(struct engine *engine, const char *const *platforms, size_t count, bool may_guess,
                      struct built *out, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        out[i].owner = build_new(engine, platforms[i], may_guess, err);
        if (!out[i].owner || !prepare(out[i].owner, err))
            return false;
    }
    if (!look_for_warnings(engine, out[0].owner, err) || !run_stages(engine, out, count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!finish(out[i].owner, &out[i], err))
            return false;
    }
    return true;
}

/* A failure counts only of a build on the right bases, too. */
static bool are_sure(struct built *built, size_t count)
{
    bool sure = true;

    for (size_t i = 0; sure && i < count && built[i].owner; i++)
        sure = is_sure(built[i].owner);
    return sure;
}

static void release_all(struct built *built, size_t count)
{
    for (size_t i = 0; i < count; i++)
        built_release(&built[i]);
    memset(built, 0, count * sizeof(built[0]));
}

/* At whatever registry, which may be a mirror, and of whatever version. */
static bool is_own_frontend(const char *name)
{
    static const char *const own[] = { "docker/dockerfile", "docker/dockerfile-upstream" };
    struct span rest = span_of(name), place = span_cut(&rest, '@');
    long slash = span_find_last(place, '/'), colon = span_find_last(place, ':');

    if (colon > slash)
        place.len = (size_t)colon;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        size_t before = place.len - strlen(own[i]);
        if (span_ends(place, own[i]) && (before == 0 || place.data[before - 1] == '/'))
            return true;
    }
    return false;
}

/* A Dockerfile in a language of its own may mean something else than what is made of it. */
static void tell_of_frontend(const struct engine *engine)
{
    const struct dockerfile_pairs args = engine->options.args;
    const char *frontend = engine->dockerfile->syntax;
    struct progress_step step = { 0 };
    char line[300];

    for (size_t i = 0; i < args.count; i++) {
        if (strcmp(args.items[i].key, "BUILDKIT_SYNTAX") == 0)
            frontend = args.items[i].value;
    }
    if (!frontend || !*frontend || is_own_frontend(frontend))
        return;
    progress_begin(engine->options.progress, &step, "[internal] syntax of the Dockerfile");
    snprintf(line, sizeof(line),
             "WARNING: it is read as one of docker/dockerfile:1, frontends such as '%.200s' are not loaded", frontend);
    progress_say(&step, line);
    progress_end(&step, NULL);
}

bool engine_build(struct engine *engine, const char *const *platforms, size_t count, struct built *out,
                  struct error *err)
{
    memset(out, 0, count * sizeof(out[0]));
    tell_of_frontend(engine);
    turns_take(engine->turns);
    bool good = build_all(engine, platforms, count, true, out, err);
    if (!are_sure(out, count)) {
        *err = (struct error){ 0 };
        release_all(out, count);
        good = build_all(engine, platforms, count, false, out, err);
    }
    turns_give(engine->turns);
    if (!good)
        release_all(out, count);
    return good;
}

/* ---- keeping it for the next one ---- */

struct kept_layers {
    const struct built_layer **items;
    size_t count;
};

static bool add_kept(struct kept_layers *list, const struct stage *stage, struct error *err)
{
    if (stage->layer_count == 0)
        return true;
    const struct built_layer **items = realloc(list->items, (list->count + stage->layer_count) * sizeof(items[0]));
    if (!items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    list->items = items;
    for (size_t i = 0; i < stage->layer_count; i++) {
        if (stage->layers[i].keys[CACHE_BY_ORIGIN][0] || stage->layers[i].keys[CACHE_BY_CONTENT][0])
            items[list->count++] = &stage->layers[i];
    }
    return true;
}

bool engine_export_cache(struct engine *engine, const struct built *built, size_t count, const char *image,
                         struct error *err)
{
    struct kept_layers list = { 0 };
    bool good = true;

    for (size_t i = 0; i < count; i++) {
        const struct build *build = built[i].owner;
        size_t target = dockerfile_plan_target(build->plan);

        for (size_t k = engine->options.cache.all_stages ? 0 : target; good && k <= target; k++)
            good = add_kept(&list, &build->stages[k], err);
    }
    good = good && cache_export(engine->cache, list.items, list.count, image, err);
    free(list.items);
    return good && cache_mounts_save(built, count, err);
}
