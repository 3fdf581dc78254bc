#include "shared/builder/engine.h"

#include "shared/base/machine.h"
#include "shared/builder/addgit.h"
#include "shared/builder/cache.h"
#include "shared/builder/cache_key.h"
#include "shared/builder/named.h"
#include "shared/builder/run.h"
#include "shared/builder/stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUILD_MEMORY_MAX = 256 * 1024 * 1024 };
static const int64_t spool_bytes_max = INT64_C(16) << 30;

struct engine {
    struct engine_options options;
    struct dockerfile *dockerfile;
    struct cache *cache;
};

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    dockerfile_free(engine->dockerfile);
    cache_free(engine->cache);
    free(engine);
}

struct engine *engine_new(const struct engine_options *options, struct error *err)
{
    AUTO(engine_free) struct engine *engine = calloc(1, sizeof(*engine));

    if (!engine) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    engine->options = *options;
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
    spool_free(build->spool);
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
    struct base *base = base_open(image, wanted, build->options->registries, err);
    progress_end(&step, base ? NULL : err);
    if (!base)
        return NULL;
    base->indexes = build->options->indexes.image ? &build->options->indexes : NULL;
    base->registries = build->options->registries;
    build->bases[build->base_count++] = base;
    return base;
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

struct spool *build_spool(struct build *build, struct error *err)
{
    if (!build->spool)
        build->spool = spool_new(spool_bytes_max, err);
    return build->spool;
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

static bool start_on_image(struct stage *stage, struct error *err)
{
    struct dockerfile_base base = { .workdir = imageconfig_text(stage->config, "WorkingDir") };

    if (!imageconfig_words(stage->config, "Env", &base.env, err) ||
        !imageconfig_words(stage->config, "Shell", &base.shell, err))
        return false;
    for (size_t i = 0; stage->base && i < stage->base->image.layer_count; i++) {
        const struct image_layer *layer = &stage->base->image.layers[i];
        struct built_layer *copy = &stage->layers[stage->layer_count++];

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

/* Does the image stand on it? */
static bool is_of_image(const struct stage *stage)
{
    const struct build *build = stage->build;
    const struct stage *at = &build->stages[dockerfile_plan_target(build->plan)];

    while (at && at != stage)
        at = at->parent;
    return at != NULL;
}

static void tell_making(const struct stage *stage)
{
    const struct engine_watch *watch = &stage->build->options->watch;

    if (watch->making && is_of_image(stage))
        watch->making(watch->context, stage->layers, stage->layer_count);
}

static void tell_made(const struct stage *stage)
{
    const struct engine_watch *watch = &stage->build->options->watch;

    if (watch->making && stage->layer_made && is_of_image(stage))
        watch->made(watch->context, &stage->layers[stage->layer_count - 1]);
}

static bool take_effect(struct stage *stage, const struct dockerfile_instruction *instruction, struct error *err)
{
    bool done;

    if (!stage_can(instruction, err) || !stage_from_cache(stage, instruction, &done, err))
        return false;
    if (!done && stage_makes_layer(instruction))
        tell_making(stage);
    bool made = done || ((stage->runs_ahead == 0 || !stage_makes_layer(instruction) || stage_run_begin(stage, err)) &&
                         stage_apply(stage, instruction, err));
    stage->runs_ahead -= instruction->op == DOCKERFILE_RUN;
    return made;
}

static bool apply_instruction(struct stage *stage, const struct dockerfile_instruction *parsed, struct error *err)
{
    AUTO(bytes_release) struct bytes created_by = BYTES(DOCKERFILE_SIZE_MAX);
    const struct engine_options *options = stage->build->options;
    struct dockerfile_instruction instruction;

    if (options->cancelled && options->cancelled(options->cancelled_context))
        return error_set(err, ERROR_UNAVAILABLE, "cancelled");
    if (!dockerfile_expand(stage->scope, parsed, stage->build->arena, &instruction, err))
        return false;
    stage->layer_made = false;
    if (!take_effect(stage, &instruction, err))
        return false;
    tell_made(stage);
    if (parsed->op == DOCKERFILE_ONBUILD)
        return true;
    return dockerfile_created_by(stage->scope, &instruction, &created_by, err) &&
           imageconfig_add_history(stage->config, bytes_text(&created_by), !stage->layer_made, err);
}

static bool run_instruction(struct stage *stage, const struct dockerfile_instruction *parsed, struct error *err)
{
    stage_step_begin(stage, parsed);
    bool good = apply_instruction(stage, parsed, err);
    progress_end(&stage->step, good ? NULL : err);
    return good;
}

static size_t count_runs(const struct dockerfile_instruction *instructions, size_t count)
{
    size_t runs = 0;

    for (size_t i = 0; i < count; i++)
        runs += instructions[i].op == DOCKERFILE_RUN;
    return runs;
}

static bool run_stage(struct stage *stage, struct error *err)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(stage->build->plan, stage->index);
    const struct dockerfile_stage *parsed = &stage->build->dockerfile->stages[stage->index];

    if (!(stage->parent ? start_on_stage(stage, err) : start_on_image(stage, err)) ||
        !imageconfig_set(stage->config, "OnBuild", (struct span){ 0 }, err))
        return false;
    stage_step_base(stage);
    progress_end(&stage->step, NULL);
    if (plan->replaced)
        return true;
    stage->runs_ahead =
        count_runs(plan->triggers, plan->trigger_count) + count_runs(parsed->instructions, parsed->count);
    for (size_t i = 0; i < plan->trigger_count; i++) {
        if (!run_instruction(stage, &plan->triggers[i], err))
            return error_wrap(err, "ONBUILD of the base");
    }
    for (size_t i = 0; i < parsed->count; i++) {
        if (!run_instruction(stage, &parsed->instructions[i], err))
            return false;
    }
    return imageconfig_set_words(stage->config, "Env", dockerfile_scope_config_env(stage->scope), err);
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

/* What the build was asked for first, then every stage that the target stands on or copies from. */
static bool prepare(struct build *build, struct error *err)
{
    struct dockerfile_options options = { .args = build->options->args,
                                          .contexts = build->options->contexts,
                                          .target = build->options->target,
                                          .target_platform = build->platform,
                                          .build_platform = MACHINE_PLATFORM };

    build->global = dockerfile_scope_global(build->dockerfile, &options, err);
    if (!build->global)
        return false;
    build->plan = dockerfile_plan_new(build->dockerfile, build->global, &options, err);
    return build->plan && make_stages(build, err) && check_support(build, err) && find_bases(build, err);
}

static bool finish(struct build *build, struct built *out, struct error *err)
{
    struct stage *stage = &build->stages[dockerfile_plan_target(build->plan)];
    const char *diff_ids[STAGE_LAYERS_MAX];
    struct imageconfig_result result = { build->platform, diff_ids, stage->layer_count, build->time_s };
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

bool engine_build(struct engine *engine, const char *platform, struct built *out, struct error *err)
{
    AUTO(build_free) struct build *build = calloc(1, sizeof(*build));

    if (build)
        build->arena = arena_new(BUILD_MEMORY_MAX);
    if (!build || !build->arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    build->options = &engine->options;
    build->context = engine->options.context;
    build->dockerfile = engine->dockerfile;
    build->cache = engine->cache;
    build->platform = platform;
    build->file_number = UINT64_C(1) << 63; /* apart from those of base images */
    if (!set_times(build, err) || !prepare(build, err))
        return false;
    for (size_t i = 0; i <= dockerfile_plan_target(build->plan); i++) {
        if (dockerfile_plan_stage(build->plan, i)->needed && !run_stage(&build->stages[i], err))
            return false;
    }
    if (!finish(build, out, err))
        return false;
    out->owner = TAKE(build);
    return true;
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
