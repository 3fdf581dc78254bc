#include "shared/dockerfile/plan.h"

#include "shared/dockerfile/imagename.h"
#include "shared/dockerfile/platform.h"
#include "shared/dockerfile/scope_private.h"

#include <string.h>
#include <strings.h>

struct dockerfile_plan {
    const struct dockerfile *dockerfile;
    const struct dockerfile_scope *global;
    const struct named_context *contexts;
    size_t context_count;
    const char *platform; /* the target's, normalised */
    struct arena *arena;
    struct dockerfile_plan_stage *stages;
    struct names names; /* of the stages, while FROM is read of those before */
    size_t target;
    struct edges *edges; /* while they are collected */
};

void dockerfile_plan_free(struct dockerfile_plan *plan)
{
    if (!plan)
        return;
    arena_free(plan->arena);
    free(plan);
}

size_t dockerfile_plan_target(const struct dockerfile_plan *plan)
{
    return plan->target;
}

const struct dockerfile_plan_stage *dockerfile_plan_stage(const struct dockerfile_plan *plan, size_t index)
{
    return &plan->stages[index];
}

/* The last of the stages known so far that has this name, or the count of all. Names are in lower case. */
static size_t stage_named(const struct dockerfile_plan *plan, const char *name, bool fold)
{
    AUTO(free) char *lower = fold ? strdup(name) : NULL;
    for (char *p = lower; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    const struct name_slot *slot = names_find(&plan->names, span_of(lower ? lower : name));
    return slot ? slot->value : plan->dockerfile->stage_count;
}

static const char *expand_global(struct dockerfile_plan *plan, const char *word, struct error *err)
{
    AUTO(bytes_release) struct bytes value = BYTES(DOCKERFILE_WORD_MAX);
    if (!dockerfile_expand_word(plan->global, word, plan->dockerfile->escape, &value, err))
        return NULL;
    const char *text = arena_dup(plan->arena, bytes_span(&value));
    if (!text)
        no_memory(err);
    return text;
}

/* The variable that an expression may have meant. */
static const char *suggest_variable(const struct dockerfile_scope *global, const char *expression, struct arena *arena)
{
    const char *dollar = strchr(expression, '$');
    if (!dollar)
        return NULL;
    dollar += dollar[1] == '{' ? 2 : 1;
    struct span name = { dollar, strspn(dollar, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") };
    return name.len ? scope_suggest(global, name, arena) : NULL;
}

static bool platform_from(struct dockerfile_plan *plan, const char *written, const char *value, const char **out,
                          struct error *err)
{
    if (!*value)
        return error_set(err, ERROR_INVALID, "empty platform value from expression %s", written);
    *out = platform_parse(plan->arena, written, value, err);
    return *out;
}

static bool resolve_platform(struct dockerfile_plan *plan, const char *written, struct dockerfile_plan_stage *stage,
                             struct error *err)
{
    if (!written || !*written)
        return true;
    const char *value = expand_global(plan, written, err);
    if (!value)
        return error_wrap(err, "failed to process arguments for platform %s", written);
    if (platform_from(plan, written, value, &stage->platform, err))
        return true;
    const char *meant = suggest_variable(plan->global, written, plan->arena);
    size_t length = strlen(err->message);
    if (meant)
        snprintf(err->message + length, sizeof err->message - length, " (did you mean %s?)", meant);
    return false;
}

static bool read_contexts(struct dockerfile_plan *plan, const struct dockerfile_options *options, struct error *err)
{
    const struct dockerfile_pairs *pairs = &options->contexts;
    struct named_context *contexts = arena_take(plan->arena, (pairs->count + 1) * sizeof *contexts);
    if (pairs->count > NAMED_CONTEXTS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d named contexts", NAMED_CONTEXTS_MAX);
    plan->platform = platform_normal(plan->arena, options->target_platform ? options->target_platform : "linux/amd64");
    if (!contexts || !plan->platform)
        return no_memory(err);
    for (size_t i = 0; i < pairs->count; i++)
        if (!named_context_parse(plan->arena, pairs->items[i], &contexts[i], err))
            return false;
    plan->contexts = contexts;
    plan->context_count = pairs->count;
    return true;
}

/* The context that stands for the name, for this platform before that for all; of two the last. NULL without one. */
static const struct named_context *context_named(const struct dockerfile_plan *plan, const char *name,
                                                 const char *platform)
{
    const struct named_context *found = NULL;
    bool reserved = !name || !strcasecmp(name, "scratch") || !strcasecmp(name, "context");
    const char *wanted = plan->context_count && !reserved ? image_name_short(plan->arena, name) : NULL;
    for (size_t i = 0; wanted && i < plan->context_count; i++) {
        const struct named_context *context = &plan->contexts[i];
        bool other = context->platform && strcmp(context->platform, platform ? platform : plan->platform) != 0;
        if (!other && !strcmp(context->name, wanted) && (context->platform || !found || !found->platform))
            found = context;
    }
    return found;
}

static bool resolve_base(struct dockerfile_plan *plan, size_t index, struct error *err)
{
    const struct dockerfile_from *from = &plan->dockerfile->stages[index].from;
    struct dockerfile_plan_stage *stage = &plan->stages[index];
    const char *image = expand_global(plan, from->image, err);
    if (!image)
        return false;
    if (!*image)
        return error_set(err, ERROR_INVALID, "base name (%s) should not be blank", from->image);
    if (!resolve_platform(plan, from->platform, stage, err))
        return false;
    size_t base = stage_named(plan, image, false);
    const struct named_context *context = context_named(plan, from->name, stage->platform);
    stage->replaced = context;
    if (!context && base >= index)
        context = context_named(plan, image, stage->platform);
    if (context)
        stage->base = (struct dockerfile_source){ .kind = DOCKERFILE_NAMED, .context = context };
    else if (base < index)
        stage->base = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = base };
    else if (!strcmp(image, "scratch"))
        stage->base = (struct dockerfile_source){ .kind = DOCKERFILE_SCRATCH };
    else
        stage->base = (struct dockerfile_source){ .kind = DOCKERFILE_IMAGE, .image = image };
    return true;
}

/* What a name means that is no stage. */
static struct dockerfile_source elsewhere(const struct dockerfile_plan *plan, const char *name)
{
    const struct named_context *context = context_named(plan, name, NULL);
    return context ? (struct dockerfile_source){ .kind = DOCKERFILE_NAMED, .context = context }
                   : (struct dockerfile_source){ .kind = DOCKERFILE_IMAGE, .image = name };
}

/* strconv.Atoi, as far as indexes go. */
static bool parse_index(const char *text, long *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t length = strlen(digits);
    if (!length || length > 9 || digits[strspn(digits, "0123456789")])
        return false;
    *out = strtol(text, NULL, 10);
    return true;
}

static const char *unset(const void *context, struct span name)
{
    (void)context;
    (void)name;
    return NULL;
}

/* Quotes, escapes and variables must leave it as it is. */
static bool check_plain(const struct dockerfile_plan *plan, const char *from, struct error *err)
{
    const struct word_rules rules = { .escape = plan->dockerfile->escape };
    static const struct word_env nothing = { unset, NULL };
    AUTO(bytes_release) struct bytes result = BYTES(DOCKERFILE_WORD_MAX);
    if (!word_expand(span_of(from), &rules, &nothing, &result, NULL, NULL, err))
        return false;
    return !strcmp(bytes_text(&result), from) ||
           error_set(err, ERROR_INVALID,
                     "variable expansion is not supported for --from, define a new stage with FROM using ARG from "
                     "global scope as a workaround");
}

bool dockerfile_plan_source(const struct dockerfile_plan *plan, size_t stage, const char *from,
                            struct dockerfile_source *out, struct error *err)
{
    size_t count = plan->dockerfile->stage_count;
    long index = 0;
    (void)stage;
    if (!from || !*from) {
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_CONTEXT };
        return true;
    }
    if (!check_plain(plan, from, err))
        return false;
    if (parse_index(from, &index)) {
        if (index < 0 || (size_t)index >= count)
            return error_set(err, ERROR_INVALID, "invalid stage index %ld", index);
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = (size_t)index };
        return true;
    }
    size_t named = stage_named(plan, from, true);
    if (named < count) {
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = named };
        return true;
    }
    *out = elsewhere(plan, from);
    return true;
}

void dockerfile_plan_mount_source(const struct dockerfile_plan *plan, const char *from, struct dockerfile_source *out)
{
    size_t count = plan->dockerfile->stage_count, named = from ? stage_named(plan, from, true) : count;
    if (!from)
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_CONTEXT };
    else if (named < count)
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = named };
    else
        *out = elsewhere(plan, from);
}

/* How a stage takes from another; of FROM neither is there. */
struct taking {
    const char *from;                     /* COPY --from */
    const struct dockerfile_mount *mount; /* RUN --mount */
};

/* Calls visit for every stage that the instruction takes from. */
typedef bool visit_fn(struct dockerfile_plan *plan, size_t stage, size_t source, const struct taking *taking,
                      struct error *err);

static bool visit_sources(struct dockerfile_plan *plan, size_t stage, const struct dockerfile_instruction *it,
                          visit_fn *visit, struct error *err)
{
    struct dockerfile_source source = { 0 };
    if (it->op == DOCKERFILE_COPY) {
        if (!dockerfile_plan_source(plan, stage, it->copy.from, &source, err))
            return error_wrap(err, "dockerfile line %u", it->line);
        return source.kind != DOCKERFILE_STAGE ||
               visit(plan, stage, source.stage, &(struct taking){ it->copy.from, NULL }, err);
    }
    for (size_t i = 0; it->op == DOCKERFILE_RUN && i < it->run.mounts.count; i++) {
        dockerfile_plan_mount_source(plan, it->run.mounts.items[i].from, &source);
        if (source.kind == DOCKERFILE_STAGE &&
            !visit(plan, stage, source.stage, &(struct taking){ NULL, &it->run.mounts.items[i] }, err))
            return false;
    }
    return true;
}

static bool visit_stage(struct dockerfile_plan *plan, size_t index, visit_fn *visit, struct error *err)
{
    const struct dockerfile_stage *stage = &plan->dockerfile->stages[index];
    const struct dockerfile_plan_stage *planned = &plan->stages[index];
    if (planned->base.kind == DOCKERFILE_STAGE && !visit(plan, index, planned->base.stage, &(struct taking){ 0 }, err))
        return false;
    for (size_t i = 0; i < planned->trigger_count; i++)
        if (!visit_sources(plan, index, &planned->triggers[i], visit, err))
            return false;
    for (size_t i = 0; !planned->replaced && i < stage->count; i++)
        if (!visit_sources(plan, index, &stage->instructions[i], visit, err))
            return false;
    return true;
}

static const char *stage_title(const struct dockerfile_plan *plan, size_t index)
{
    const char *name = plan->dockerfile->stages[index].from.name;
    return name ? name : arena_printf(plan->arena, "stage-%zu", index);
}

static bool check_order(struct dockerfile_plan *plan, size_t stage, size_t source, const struct taking *taking,
                        struct error *err)
{
    if (source < stage)
        return true;
    const char *title = stage_title(plan, stage);
    if (source == stage)
        return error_set(err, ERROR_INVALID, "circular dependency detected on stage: %s", title ? title : "");
    if (taking->mount)
        return error_set(err, ERROR_INVALID,
                         "cannot mount from stage \"%s\" to \"%s\", stage needs to be defined before current command",
                         taking->mount->from, taking->mount->target ? taking->mount->target : "");
    return error_set(err, ERROR_INVALID,
                     "cannot copy from stage \"%s\", it needs to be defined before current stage \"%s\"",
                     taking->from ? taking->from : "", title ? title : "");
}

/* Which stage needs which, once for all. */
struct edge {
    size_t stage, source;
};

struct edges {
    struct edge *items;
    size_t count, capacity;
};

static bool add_edge(struct dockerfile_plan *plan, size_t stage, size_t source, const struct taking *taking,
                     struct error *err)
{
    (void)taking;
    struct edges *edges = plan->edges;
    if (edges->count == edges->capacity) {
        size_t capacity = edges->capacity ? edges->capacity * 2 : 64;
        struct edge *items = arena_take(plan->arena, capacity * sizeof *items);
        if (!items)
            return no_memory(err);
        if (edges->count)
            memcpy(items, edges->items, edges->count * sizeof *items);
        edges->items = items;
        edges->capacity = capacity;
    }
    edges->items[edges->count++] = (struct edge){ stage, source };
    return true;
}

/* Mark the stages that lead to no circle, again and again, until nothing changes. */
static void mark_open_ended(const struct edges *edges, bool *open, size_t count)
{
    bool *blocked = open + count;
    for (bool changed = true; changed;) {
        changed = false;
        memset(blocked, 0, count);
        for (size_t i = 0; i < edges->count; i++)
            if (!open[edges->items[i].source])
                blocked[edges->items[i].stage] = true;
        for (size_t i = 0; i < count; i++) {
            changed = changed || (!open[i] && !blocked[i]);
            open[i] = open[i] || !blocked[i];
        }
    }
}

static bool check_circles(struct dockerfile_plan *plan, struct error *err)
{
    size_t count = plan->dockerfile->stage_count;
    struct edges edges = { 0 };
    bool forward = false, *open = arena_take(plan->arena, 2 * count);
    plan->edges = &edges;
    if (!open)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        if (!visit_stage(plan, i, add_edge, err))
            return false;
    plan->edges = NULL;
    for (size_t i = 0; i < edges.count; i++)
        forward = forward || edges.items[i].source >= edges.items[i].stage;
    if (!forward)
        return true;
    mark_open_ended(&edges, open, count);
    for (size_t i = 0; i < count; i++) {
        const char *title = open[i] ? "" : stage_title(plan, i);
        if (!open[i])
            return error_set(err, ERROR_INVALID, "circular dependency detected on stage: %s", title ? title : "");
    }
    return true;
}

/* A layout directory ("oci:/images/web:1") is no reference to BuildKit; here it is one of ours. */
static bool check_image(const char *image, unsigned line, struct error *err)
{
    if (!strcmp(image, "scratch") || !strncmp(image, "oci:", 4) || image_name_check(image, err))
        return true;
    AUTO(free) char *quoted = quote(span_of(image));
    error_wrap(err, "failed to parse stage name %s", quoted ? quoted : "");
    return error_wrap(err, "dockerfile line %u", line);
}

static bool check_images_of(const struct dockerfile_plan *plan, size_t stage, const struct dockerfile_instruction *it,
                            struct error *err)
{
    struct dockerfile_source source = { 0 };
    if (it->op == DOCKERFILE_COPY)
        return dockerfile_plan_source(plan, stage, it->copy.from, &source, err) &&
               (source.kind != DOCKERFILE_IMAGE || check_image(source.image, it->line, err));
    for (size_t i = 0; it->op == DOCKERFILE_RUN && i < it->run.mounts.count; i++) {
        dockerfile_plan_mount_source(plan, it->run.mounts.items[i].from, &source);
        if (source.kind == DOCKERFILE_IMAGE && !check_image(source.image, it->line, err))
            return false;
    }
    return true;
}

/* Every image that is named, in stages that are not needed too. */
static bool check_images(const struct dockerfile_plan *plan, struct error *err)
{
    const struct dockerfile *dockerfile = plan->dockerfile;
    for (size_t i = 0; i < dockerfile->stage_count; i++)
        if (plan->stages[i].base.kind == DOCKERFILE_IMAGE &&
            !check_image(plan->stages[i].base.image, dockerfile->stages[i].line, err))
            return false;
    for (size_t i = 0; i < dockerfile->stage_count; i++)
        for (size_t j = 0; !plan->stages[i].replaced && j < dockerfile->stages[i].count; j++)
            if (!check_images_of(plan, i, &dockerfile->stages[i].instructions[j], err))
                return false;
    return true;
}

static bool mark_needed(struct dockerfile_plan *plan, size_t stage, size_t source, const struct taking *taking,
                        struct error *err)
{
    (void)stage;
    (void)taking;
    (void)err;
    plan->stages[source].needed = true;
    return true;
}

/* What a stage needs stands before it, so one walk backwards reaches everything. */
static bool mark_from(struct dockerfile_plan *plan, size_t last, struct error *err)
{
    for (size_t i = last + 1; i > 0; i--) {
        if (!plan->stages[i - 1].needed)
            continue;
        if (!visit_stage(plan, i - 1, check_order, err) || !visit_stage(plan, i - 1, mark_needed, err))
            return false;
    }
    return true;
}

static bool find_target(struct dockerfile_plan *plan, const char *target, struct error *err)
{
    const struct dockerfile *dockerfile = plan->dockerfile;
    plan->target = dockerfile->stage_count - 1;
    if (!target || !*target)
        return true;
    size_t found = stage_named(plan, target, true);
    if (found < dockerfile->stage_count) {
        plan->target = found;
        return true;
    }
    const char **names = arena_take(plan->arena, dockerfile->stage_count * sizeof *names);
    size_t count = 0;
    for (size_t i = 0; names && i < dockerfile->stage_count; i++)
        if (dockerfile->stages[i].from.name)
            names[count++] = dockerfile->stages[i].from.name;
    const char *meant = names ? suggest(target, names, count, true) : NULL;
    AUTO(free) char *quoted = quote(span_of(target));
    return error_set(err, ERROR_INVALID,
                     meant ? "target stage %s could not be found (did you mean %s?)"
                           : "target stage %s could not be found",
                     quoted ? quoted : "", meant);
}

static bool plan_fill(struct dockerfile_plan *plan, const struct dockerfile_options *options, struct error *err)
{
    size_t count = plan->dockerfile->stage_count;
    plan->stages = arena_take(plan->arena, count * sizeof *plan->stages);
    if (!plan->stages)
        return no_memory(err);
    if (!read_contexts(plan, options, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *name = plan->dockerfile->stages[i].from.name;
        if (!resolve_base(plan, i, err))
            return error_wrap(err, "dockerfile line %u", plan->dockerfile->stages[i].line);
        if (name && !names_put(plan->arena, &plan->names, (struct name_slot){ span_of(name), name, i }, err))
            return false;
    }
    if (!find_target(plan, options->target, err))
        return false;
    if (!check_circles(plan, err) || !check_images(plan, err))
        return false;
    for (size_t i = 0; i < count; i++)
        plan->stages[i].needed = options->all_stages || i == plan->target;
    return mark_from(plan, count - 1, err);
}

struct dockerfile_plan *dockerfile_plan_new(const struct dockerfile *dockerfile, const struct dockerfile_scope *global,
                                            const struct dockerfile_options *options, struct error *err)
{
    AUTO(dockerfile_plan_free) struct dockerfile_plan *plan = calloc(1, sizeof *plan);
    if (plan)
        plan->arena = arena_new(DOCKERFILE_MEMORY_MAX);
    if (!plan || !plan->arena) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    plan->dockerfile = dockerfile;
    plan->global = global;
    return plan_fill(plan, options, err) ? TAKE(plan) : NULL;
}

bool dockerfile_plan_triggers(struct dockerfile_plan *plan, size_t index, struct dockerfile_words onbuild,
                              struct error *err)
{
    struct dockerfile_instruction *triggers = arena_take(plan->arena, (onbuild.count + 1) * sizeof *triggers);
    if (!triggers)
        return no_memory(err);
    for (size_t i = 0; i < onbuild.count; i++) {
        if (!dockerfile_parse_trigger(plan->arena, onbuild.items[i], &triggers[i], err))
            return false;
        triggers[i].line = plan->dockerfile->stages[index].line;
        if (triggers[i].op == DOCKERFILE_COPY && !visit_sources(plan, index, &triggers[i], check_order, err))
            return false;
    }
    plan->stages[index].triggers = triggers;
    plan->stages[index].trigger_count = onbuild.count;
    return mark_from(plan, index, err);
}
