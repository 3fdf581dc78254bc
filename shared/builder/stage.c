#include "shared/builder/stage.h"

#include "shared/builder/accounts.h"
#include "shared/builder/cache_key.h"
#include "shared/builder/turns.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the tree ---- */

const char *stage_platform(const struct stage *stage)
{
    while (stage->parent)
        stage = stage->parent;
    return stage->base ? stage->base->platform : stage->build->platform;
}

bool stage_is_empty(const struct stage *stage)
{
    return stage->layer_count == 0;
}

static bool lay_over(struct tree *to, struct tree_node *into, const struct tree_node *from, struct error *err)
{
    for (const struct tree_node *child = from->first; child; child = child->next) {
        struct tree_node *node = tree_add(to, into, span_of(child->name), err);

        if (!node)
            return false;
        if (!tree_is_directory(child))
            tree_clear(to, node);
        node->is = child->is;
        node->layer = child->layer;
        if (!lay_over(to, node, child, err))
            return false;
    }
    return true;
}

static struct tree *start_tree(struct stage *stage, struct error *err)
{
    if (stage->parent) {
        const struct tree *tree = stage_tree(stage->parent, err);
        stage->tree_layers = stage->parent->layer_count;
        return tree ? tree_clone(tree, err) : NULL;
    }
    if (stage->base) {
        stage->tree_layers = stage->base->image.layer_count;
        return base_tree_copy(stage->base, stage->build->options->cache_directory, err);
    }
    return tree_new(err);
}

static bool lay_linked(struct stage *stage, size_t layer, struct error *err)
{
    for (size_t i = 0; i < stage->linked_count; i++) {
        if (stage->linked[i].layer == layer)
            return lay_over(stage->tree, tree_root(stage->tree), tree_root(stage->linked[i].tree), err);
    }
    return true;
}

/* Layers that came without anybody looking into them. */
struct tree *stage_tree(struct stage *stage, struct error *err)
{
    const char *cache = stage->build->options->cache_directory;

    if (!stage->tree)
        stage->tree = start_tree(stage, err);
    if (!stage->tree)
        return NULL;
    for (; stage->tree_layers < stage->layer_count; stage->tree_layers++) {
        const struct built_layer *layer = &stage->layers[stage->tree_layers];

        if (layer->base ? !base_lay_over(layer->base, stage->tree, cache, err)
                        : !lay_linked(stage, stage->tree_layers, err))
            return NULL;
    }
    return stage->tree;
}

static struct built_layer *next_layer(struct stage *stage, struct error *err)
{
    if (stage->layer_count == STAGE_LAYERS_MAX) {
        error_set(err, ERROR_INVALID, "the image would have more than %d layers", STAGE_LAYERS_MAX);
        return NULL;
    }
    stage->layer_made = true;
    return &stage->layers[stage->layer_count++];
}

/* By which layers from the cache are told apart. */
static int64_t time_of(const struct build *build)
{
    return build->timed ? build->time_s : 0;
}

/* Of what only this stage changes. */
static struct layer *write_layer(const struct stage *stage, const struct tree *tree, uint32_t number, struct error *err)
{
    const struct engine_options *options = stage->build->options;

    if (!layer_gather(tree, number, err))
        return NULL;
    turns_give(stage->build->turns);
    struct layer *layer =
        layer_write(tree, number, &options->compression, options->cancelled, options->cancelled_context, err);
    turns_take(stage->build->turns);
    return layer;
}

static bool add_layer(struct stage *stage, const struct tree *tree, uint32_t number, struct error *err)
{
    struct built_layer *built = next_layer(stage, err);

    if (!built)
        return false;
    struct layer *layer = write_layer(stage, tree, number, err);
    if (!layer) {
        stage->layer_count--;
        return false;
    }
    *built = (struct built_layer){
        .blob = layer->blob, .layer = layer, .time_s = time_of(stage->build), .until_s = stage->until_s
    };
    memcpy(built->diff_id, layer->diff_id, sizeof(built->diff_id));
    memcpy(built->keys, stage->keys, sizeof(built->keys));
    memcpy(built->origin, stage->origin[0] ? stage->origin : layer->diff_id, sizeof(built->origin));
    stage_tell_made(stage);
    cache_keep(stage->build->cache, built, &stage->step);
    stage->build->layers_size += layer->blob.size;
    return stage->build->layers_size <= build_layers_max ||
           error_set(err, ERROR_TOO_LARGE, "the build makes more than %lld bytes of layers",
                     (long long)build_layers_max);
}

bool stage_add_layer(struct stage *stage, const struct tree *tree, uint32_t number, struct error *err)
{
    bool added = add_layer(stage, tree, number, err);

    stage->tree_layers = stage->layer_count;
    return added;
}

bool stage_link_layer(struct stage *stage, struct tree *tree, uint32_t number, struct error *err)
{
    struct linked *linked = realloc(stage->linked, (stage->linked_count + 1) * sizeof(linked[0]));

    if (!linked) {
        tree_free(tree);
        return error_set(err, ERROR_INTERNAL, "out of memory");
    }
    stage->linked = linked;
    linked[stage->linked_count++] = (struct linked){ tree, stage->layer_count };
    return add_layer(stage, tree, number, err);
}

/* ---- from the cache ---- */

bool stage_makes_layer(const struct dockerfile_instruction *instruction)
{
    switch (instruction->op) {
    case DOCKERFILE_ADD:
    case DOCKERFILE_COPY:
    case DOCKERFILE_RUN:
    case DOCKERFILE_WORKDIR:
        return true;
    default:
        return false;
    }
}

static bool take_layer(struct stage *stage, const struct cache_hit *hit, struct error *err)
{
    struct built_layer *built = next_layer(stage, err);
    struct base *base = built ? build_cached(stage->build, hit, err) : NULL;
    const struct cache_record *record = &hit->record;

    if (!base)
        return false;
    base->times = (struct retiming){ record->time_s, time_of(stage->build) };
    *built = (struct built_layer){
        .blob = record->layer.blob, .base = base, .time_s = record->time_s, .until_s = record->until_s
    };
    memcpy(built->diff_id, record->layer.diff_id, sizeof(built->diff_id));
    memcpy(built->keys, stage->keys, sizeof(built->keys));
    memcpy(built->origin, record->origin, sizeof(built->origin));
    return true;
}

static bool is_fresh(const struct stage *stage)
{
    const struct dockerfile_words *fresh = &stage->build->options->fresh;
    const char *name = stage->build->dockerfile->stages[stage->index].from.name;
    bool is = false;

    for (size_t i = 0; name && i < fresh->count; i++)
        is = is || strcasecmp(name, fresh->items[i]) == 0;
    return is;
}

/* The same step of another stage, or of another platform's build for the machine that builds, is made once. */
static bool find_made(const struct stage *stage, const struct cache_wish *wish, struct cache_hit *hit)
{
    const struct build *build = stage->build;
    bool kept = build->options->cache_directory && !build->options->no_cache;

    if (is_fresh(stage))
        return false;
    while (kept && turns_is_made(build->turns, wish->key) && !turns_stopped(build->turns))
        turns_wait(build->turns);
    return cache_find(build->cache, wish, hit);
}

/* What the keys say without a time; a RUN may make something else of the same. */
static void name_origin(struct stage *stage, enum dockerfile_op op)
{
    const char *key = stage->keys[op == DOCKERFILE_WORKDIR ? CACHE_BY_ORIGIN : CACHE_BY_CONTENT];

    stage->until_s = 0;
    stage->origin[0] = '\0';
    if (op != DOCKERFILE_RUN && key[0])
        snprintf(stage->origin, sizeof(stage->origin), "sha256:%s", key);
}

bool stage_from_cache(struct stage *stage, const struct dockerfile_instruction *instruction, bool *done,
                      struct error *err)
{
    struct build *build = stage->build;
    struct cache_hit hit;

    *done = false;
    memset(stage->keys, 0, sizeof(stage->keys));
    for (int view = 0; build->cache && !*done && view < CACHE_VIEWS; view++) {
        const struct cache_wish wish = { stage->keys[view], time_of(build), instruction->op == DOCKERFILE_RUN };
        *done =
            cache_key(stage, instruction, (enum cache_view)view, stage->keys[view]) && find_made(stage, &wish, &hit);
    }
    name_origin(stage, instruction->op);
    stage->making = !*done;
    if (!*done)
        return true;
    if (instruction->op == DOCKERFILE_WORKDIR &&
        !imageconfig_set_text(stage->config, "WorkingDir", instruction->value, err))
        return false;
    if (!take_layer(stage, &hit, err))
        return false;
    progress_cached(&stage->step);
    return true;
}

static bool retime(struct stage *stage, struct built_layer *layer, struct error *err)
{
    const struct engine_options *options = stage->build->options;
    struct base *base = layer->base;
    struct layer *made = layer_retime(base->store, &base->image.layers[0], base->times, &options->compression,
                                      options->cancelled, options->cancelled_context, err);

    if (!made)
        return false;
    layer->layer = made;
    layer->blob = made->blob;
    layer->time_s = base->times.is_s;
    if (made->shortened_s && (layer->until_s == 0 || made->shortened_s < layer->until_s))
        layer->until_s = made->shortened_s;
    memcpy(layer->diff_id, made->diff_id, sizeof(layer->diff_id));
    cache_keep(stage->build->cache, layer, &stage->step);
    return true;
}

static bool is_of_another_time(const struct built_layer *layer)
{
    return layer->base && !layer->layer && !retiming_is_none(layer->base->times);
}

bool stage_settle(struct stage *stage, struct error *err)
{
    size_t below = stage->parent ? stage->parent->layer_count : 0;
    bool told = false, good = true;

    if (stage->parent && !stage_settle(stage->parent, err))
        return false;
    for (size_t i = 0; i < below; i++)
        stage->layers[i] = stage->parent->layers[i];
    for (size_t i = below; good && i < stage->layer_count; i++) {
        if (!is_of_another_time(&stage->layers[i]))
            continue;
        if (!told)
            progress_begin(stage->build->options->progress, &stage->step, "[internal] setting times of cached layers");
        told = true;
        good = retime(stage, &stage->layers[i], err);
    }
    if (told)
        progress_end(&stage->step, good ? NULL : err);
    return good;
}

/* ---- instructions that only describe ---- */

static bool apply_arg(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    (void)stage; /* the scope knows */
    (void)in;
    (void)err;
    return true;
}

static bool apply_label(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    for (size_t i = 0; i < in->pairs.count; i++) {
        const struct dockerfile_pair *pair = &in->pairs.items[i];

        if (!imageconfig_put_text(stage->config, "Labels", pair->key, pair->value ? pair->value : "", err))
            return false;
    }
    return true;
}

static bool apply_maintainer(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    (void)err;
    imageconfig_set_author(stage->config, in->value);
    return true;
}

static bool put_names(struct stage *stage, const char *key, struct dockerfile_words names, struct error *err)
{
    for (size_t i = 0; i < names.count; i++) {
        if (!imageconfig_put(stage->config, key, names.items[i], SPAN("{}"), err))
            return false;
    }
    return true;
}

static bool apply_expose(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    return put_names(stage, "ExposedPorts", in->list, err);
}

static bool apply_volume(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    return put_names(stage, "Volumes", in->list, err);
}

static bool apply_user(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    return imageconfig_set_text(stage->config, "User", in->value, err);
}

static bool apply_stopsignal(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    return imageconfig_set_text(stage->config, "StopSignal", in->value, err);
}

static bool apply_onbuild(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    return imageconfig_append_word(stage->config, "OnBuild", in->value, err);
}

static bool apply_shell(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    return imageconfig_set_words(stage->config, "Shell", in->command.args, err);
}

/* The words that are run: in shell form the shell's, then the text; `first` (may be NULL) goes before all. */
static bool command_words(struct stage *stage, const struct dockerfile_command *command, const char *first,
                          struct dockerfile_words *out, struct error *err)
{
    struct dockerfile_words shell = dockerfile_scope_shell(stage->scope);
    size_t room = shell.count + command->args.count + 1, count = 0;
    const char **words = arena_take(stage->build->arena, room * sizeof(char *));

    if (!words)
        return error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    if (first)
        words[count++] = first;
    for (size_t i = 0; command->shell && i < shell.count; i++)
        words[count++] = shell.items[i];
    for (size_t i = 0; i < command->args.count; i++)
        words[count++] = command->args.items[i];
    *out = (struct dockerfile_words){ words, count };
    return true;
}

static bool set_command(struct stage *stage, const char *key, const struct dockerfile_command *command,
                        struct error *err)
{
    struct dockerfile_words words;

    if (!command_words(stage, command, NULL, &words, err))
        return false;
    return words.count > 0 ? imageconfig_set_words(stage->config, key, words, err)
                           : imageconfig_set(stage->config, key, (struct span){ 0 }, err);
}

static bool apply_cmd(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    stage->cmd_set = true;
    return set_command(stage, "Cmd", &in->command, err) &&
           imageconfig_set(stage->config, "ArgsEscaped", SPAN("true"), err);
}

/* A new entry point takes the base's arguments with it: they were meant for the old one. */
static bool apply_entrypoint(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    return set_command(stage, "Entrypoint", &in->command, err) &&
           (stage->cmd_set || imageconfig_set(stage->config, "Cmd", (struct span){ 0 }, err));
}

bool stage_run_words(struct stage *stage, const struct dockerfile_instruction *instruction,
                     struct dockerfile_words *out, struct error *err)
{
    static const char *const nothing[] = { "" };
    struct dockerfile_command command = instruction->run.command;

    if (command.shell && command.args.count == 0)
        command.args = (struct dockerfile_words){ nothing, 1 };
    return command_words(stage, &command, NULL, out, err);
}

static bool apply_run(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    struct dockerfile_words words;

    return stage_run_words(stage, in, &words, err) && stage_run(stage, &in->run, words, err);
}

static void add_nanoseconds(struct json_writer *w, const char *key, int64_t value)
{
    if (value != 0)
        json_add_integer(w, key, value);
}

static bool apply_healthcheck(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    AUTO(bytes_release) struct bytes value = BYTES(IMAGECONFIG_MAX);
    const struct dockerfile_health *health = &in->health;
    struct json_writer w = json_writer_on(&value);

    json_open_object(&w, NULL);
    json_open_array(&w, "Test");
    json_add_string(&w, NULL, health->none ? "NONE" : health->command.shell ? "CMD-SHELL" : "CMD");
    for (size_t i = 0; !health->none && i < health->command.args.count; i++)
        json_add_string(&w, NULL, health->command.args.items[i]);
    json_close_array(&w);
    add_nanoseconds(&w, "Interval", health->interval_ns);
    add_nanoseconds(&w, "Timeout", health->timeout_ns);
    add_nanoseconds(&w, "StartPeriod", health->start_period_ns);
    add_nanoseconds(&w, "StartInterval", health->start_interval_ns);
    add_nanoseconds(&w, "Retries", health->retries);
    json_close_object(&w);
    return json_writer_end(&w, err) && imageconfig_set(stage->config, "Healthcheck", bytes_span(&value), err);
}

/* ---- WORKDIR ---- */

static bool owner_of_workdir(struct stage *stage, const struct tree *tree, struct attributes *made, bool *owned,
                             struct error *err)
{
    const char *user = imageconfig_text(stage->config, "User");

    *owned = user != NULL;
    return !user || accounts_owner(tree, user, &made->uid, &made->gid, err);
}

static bool apply_workdir(struct stage *stage, const struct dockerfile_instruction *in, struct error *err)
{
    struct attributes made = { .type = TAR_DIRECTORY, .mode = 0755, .mtime_s = stage->build->time_s };
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);
    struct tree_place place;
    bool owned;

    if (!imageconfig_set_text(stage->config, "WorkingDir", in->value, err) || !copy_clean(in->value, &path, err))
        return false;
    if (path.len == 0)
        return true;
    struct tree *tree = stage_tree(stage, err);
    if (!tree || !tree_resolve(tree, tree_root(tree), path.data, true, &place, err) ||
        !owner_of_workdir(stage, tree, &made, &owned, err))
        return false;
    uint32_t number = ++stage->build->layer_number;
    return tree_make_directories(tree, &place, &made, owned, number, err) && stage_add_layer(stage, tree, number, err);
}

/* ---- the table: what stands in none of its rows is refused by name and line ---- */

static bool (*const apply[DOCKERFILE_OPS])(struct stage *, const struct dockerfile_instruction *, struct error *) = {
    [DOCKERFILE_ADD] = stage_copy,
    [DOCKERFILE_ARG] = apply_arg,
    [DOCKERFILE_CMD] = apply_cmd,
    [DOCKERFILE_COPY] = stage_copy,
    [DOCKERFILE_ENTRYPOINT] = apply_entrypoint,
    [DOCKERFILE_ENV] = apply_arg,
    [DOCKERFILE_EXPOSE] = apply_expose,
    [DOCKERFILE_HEALTHCHECK] = apply_healthcheck,
    [DOCKERFILE_LABEL] = apply_label,
    [DOCKERFILE_MAINTAINER] = apply_maintainer,
    [DOCKERFILE_ONBUILD] = apply_onbuild,
    [DOCKERFILE_RUN] = apply_run,
    [DOCKERFILE_SHELL] = apply_shell,
    [DOCKERFILE_STOPSIGNAL] = apply_stopsignal,
    [DOCKERFILE_USER] = apply_user,
    [DOCKERFILE_VOLUME] = apply_volume,
    [DOCKERFILE_WORKDIR] = apply_workdir,
};

bool stage_can(const struct dockerfile_instruction *instruction, struct error *err)
{
    return apply[instruction->op] || error_set(err, ERROR_UNSUPPORTED, "line %u: %s is not supported by this builder",
                                               instruction->line, dockerfile_op_name(instruction->op));
}

bool stage_apply(struct stage *stage, const struct dockerfile_instruction *instruction, struct error *err)
{
    return stage_can(instruction, err) &&
           (apply[instruction->op](stage, instruction, err) ||
            error_wrap(err, "line %u: %s", instruction->line, dockerfile_op_name(instruction->op)));
}
