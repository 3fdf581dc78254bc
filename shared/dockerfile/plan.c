#include "shared/dockerfile/plan.h"

#include "shared/dockerfile/scope_private.h"

#include <string.h>
#include <strings.h>

struct dockerfile_plan {
    const struct dockerfile *dockerfile;
    const struct dockerfile_scope *global;
    struct arena *arena;
    struct dockerfile_plan_stage *stages;
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

/* The last of the first `count` stages that has this name, or `count`. */
static size_t stage_named(const struct dockerfile *dockerfile, size_t count, const char *name, bool fold)
{
    for (size_t i = count; i > 0; i--) {
        const char *own = dockerfile->stages[i - 1].from.name;
        if (own && !(fold ? strcasecmp(own, name) : strcmp(own, name)))
            return i - 1;
    }
    return count;
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

static bool is_component(struct span part)
{
    for (size_t i = 0; i < part.len; i++) {
        char c = part.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
            return false;
    }
    return part.len;
}

static bool bad_platform(const char *written, const char *value, struct span part, struct error *err)
{
    AUTO(free) char *quoted = quote(span_of(value)), *component = quote(part);
    return error_set(err, ERROR_INVALID,
                     "failed to parse platform %s: %s is an invalid component of %s: platform specifier component must "
                     "match \"^[A-Za-z0-9_.-]+$\": invalid argument",
                     written, component ? component : "", quoted ? quoted : "");
}

static const char *known_os(const char *name)
{
    static const char *const systems[] = { "linux",   "windows", "darwin",  "freebsd",   "netbsd",  "openbsd",
                                           "solaris", "aix",     "android", "dragonfly", "illumos", "ios",
                                           "js",      "plan9",   "nacl",    "wasip1",    "hurd",    "zos" };
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
        if (!strcasecmp(systems[i], name))
            return systems[i];
    return !strcasecmp(name, "macos") ? "darwin" : NULL;
}

/* The names that containerd's platforms.Normalize brings together. */
static void normalize_arch(const char **arch, const char **variant)
{
    static const struct {
        const char *arch, *variant, *to_arch, *to_variant; /* NULL: any, or as it is */
    } rows[] = {
        { "i386", NULL, "386", "" },     { "x86_64", "v1", "amd64", "" },    { "x86-64", "v1", "amd64", "" },
        { "amd64", "v1", "amd64", "" },  { "x86_64", NULL, "amd64", NULL },  { "x86-64", NULL, "amd64", NULL },
        { "aarch64", "8", "arm64", "" }, { "aarch64", "v8", "arm64", "" },   { "arm64", "8", "arm64", "" },
        { "arm64", "v8", "arm64", "" },  { "aarch64", NULL, "arm64", NULL }, { "armhf", NULL, "arm", "v7" },
        { "armel", NULL, "arm", "v6" },  { "arm", "", "arm", "v7" },         { "arm", "7", "arm", "v7" },
        { "arm", "5", "arm", "v5" },     { "arm", "6", "arm", "v6" },        { "arm", "8", "arm", "v8" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcasecmp(rows[i].arch, *arch) != 0 || (rows[i].variant && strcasecmp(rows[i].variant, *variant) != 0))
            continue;
        *arch = rows[i].to_arch;
        *variant = rows[i].to_variant ? rows[i].to_variant : *variant;
        return;
    }
}

/* "os", "arch", "os/arch" or "os/arch/variant" */
static const char *parse_platform(struct dockerfile_plan *plan, const char *written, const char *value,
                                  struct error *err)
{
    const char *parts[3] = { "", "", "" };
    size_t count = 0;
    for (struct span rest = span_of(value); rest.data; count++) {
        struct span part = span_cut(&rest, '/');
        if (count == 3) {
            AUTO(free) char *quoted = quote(span_of(value));
            error_set(err, ERROR_INVALID,
                      "failed to parse platform %s: %s: cannot parse platform specifier: invalid argument", written,
                      quoted ? quoted : "");
            return NULL;
        }
        if (!is_component(part)) {
            bad_platform(written, value, part, err);
            return NULL;
        }
        parts[count] = text_lower(plan->arena, part);
        if (!parts[count]) {
            no_memory(err);
            return NULL;
        }
    }
    const char *os = known_os(parts[0]), *arch = count > 1 ? parts[1] : os ? "amd64" : parts[0], *variant = parts[2];
    if (!os)
        os = count > 1 ? parts[0] : "linux";
    normalize_arch(&arch, &variant);
    const char *out = arena_printf(plan->arena, "%s/%s%s%s", os, arch, *variant ? "/" : "", variant);
    if (!out)
        no_memory(err);
    return out;
}

/* The names of variables in an expression that are not set, to guess what was meant. */
static const char *suggest_variable(const struct dockerfile_scope *global, const char *expression, struct arena *arena)
{
    const char *dollar = strchr(expression, '$');
    if (!dollar)
        return NULL;
    dollar += dollar[1] == '{' ? 2 : 1;
    struct span name = { dollar, strspn(dollar, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") };
    const char *wrong = arena_dup(arena, name), *names[64];
    size_t count = 0;
    for (size_t i = 0; i < global->env.count && count < 64; i++) {
        names[count] = arena_dup(arena, env_key(global->env.items[i]));
        count += names[count] != NULL;
    }
    return wrong && *wrong ? suggest(wrong, names, count, true) : NULL;
}

static bool resolve_platform(struct dockerfile_plan *plan, const char *written, struct dockerfile_plan_stage *stage,
                             struct error *err)
{
    if (!written || !*written)
        return true;
    const char *value = expand_global(plan, written, err);
    if (!value)
        return error_wrap(err, "failed to process arguments for platform %s", written);
    if (!*value) {
        const char *meant = suggest_variable(plan->global, written, plan->arena);
        return error_set(err, ERROR_INVALID,
                         meant ? "empty platform value from expression %s (did you mean %s?)"
                               : "empty platform value from expression %s",
                         written, meant);
    }
    stage->platform = parse_platform(plan, written, value, err);
    return stage->platform;
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
    size_t base = stage_named(plan->dockerfile, index, image, false);
    if (base < index)
        stage->base = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = base };
    else if (!strcmp(image, "scratch"))
        stage->base = (struct dockerfile_source){ .kind = DOCKERFILE_SCRATCH };
    else
        stage->base = (struct dockerfile_source){ .kind = DOCKERFILE_IMAGE, .image = image };
    return resolve_platform(plan, from->platform, stage, err);
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
    if (parse_index(from, &index)) {
        if (index < 0 || (size_t)index >= count)
            return error_set(err, ERROR_INVALID, "invalid stage index %ld", index);
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = (size_t)index };
        return true;
    }
    size_t named = stage_named(plan->dockerfile, count, from, true);
    if (named < count) {
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = named };
        return true;
    }
    if (strchr(from, '$'))
        return error_set(err, ERROR_INVALID,
                         "variable expansion is not supported for --from, define a new stage with FROM using ARG from "
                         "global scope as a workaround");
    *out = (struct dockerfile_source){ .kind = DOCKERFILE_IMAGE, .image = from };
    return true;
}

void dockerfile_plan_mount_source(const struct dockerfile_plan *plan, const char *from, struct dockerfile_source *out)
{
    size_t count = plan->dockerfile->stage_count,
           named = from ? stage_named(plan->dockerfile, count, from, true) : count;
    if (!from)
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_CONTEXT };
    else if (named < count)
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_STAGE, .stage = named };
    else
        *out = (struct dockerfile_source){ .kind = DOCKERFILE_IMAGE, .image = from };
}

/* Calls visit for every stage that the instruction takes from. */
typedef bool visit_fn(struct dockerfile_plan *plan, size_t stage, size_t source, const char *from, struct error *err);

static bool visit_sources(struct dockerfile_plan *plan, size_t stage, const struct dockerfile_instruction *it,
                          visit_fn *visit, struct error *err)
{
    struct dockerfile_source source = { 0 };
    if (it->op == DOCKERFILE_COPY) {
        if (!dockerfile_plan_source(plan, stage, it->copy.from, &source, err))
            return error_wrap(err, "dockerfile line %u", it->line);
        return source.kind != DOCKERFILE_STAGE || visit(plan, stage, source.stage, it->copy.from, err);
    }
    for (size_t i = 0; it->op == DOCKERFILE_RUN && i < it->run.mounts.count; i++) {
        dockerfile_plan_mount_source(plan, it->run.mounts.items[i].from, &source);
        if (source.kind == DOCKERFILE_STAGE && !visit(plan, stage, source.stage, NULL, err))
            return false;
    }
    return true;
}

static bool visit_stage(struct dockerfile_plan *plan, size_t index, visit_fn *visit, struct error *err)
{
    const struct dockerfile_stage *stage = &plan->dockerfile->stages[index];
    const struct dockerfile_plan_stage *planned = &plan->stages[index];
    if (planned->base.kind == DOCKERFILE_STAGE && !visit(plan, index, planned->base.stage, NULL, err))
        return false;
    for (size_t i = 0; i < planned->trigger_count; i++)
        if (!visit_sources(plan, index, &planned->triggers[i], visit, err))
            return false;
    for (size_t i = 0; i < stage->count; i++)
        if (!visit_sources(plan, index, &stage->instructions[i], visit, err))
            return false;
    return true;
}

static const char *stage_title(const struct dockerfile_plan *plan, size_t index)
{
    const char *name = plan->dockerfile->stages[index].from.name;
    return name ? name : arena_printf(plan->arena, "stage-%zu", index);
}

static bool check_order(struct dockerfile_plan *plan, size_t stage, size_t source, const char *from, struct error *err)
{
    if (source < stage)
        return true;
    const char *title = stage_title(plan, stage);
    if (source == stage)
        return error_set(err, ERROR_INVALID, "circular dependency detected on stage: %s", title ? title : "");
    return error_set(err, ERROR_INVALID,
                     "cannot copy from stage \"%s\", it needs to be defined before current stage \"%s\"",
                     from ? from : "", title ? title : "");
}

/* Which stage needs which, once for all. */
struct edge {
    size_t stage, source;
};

struct edges {
    struct edge *items;
    size_t count, capacity;
};

static bool add_edge(struct dockerfile_plan *plan, size_t stage, size_t source, const char *from, struct error *err)
{
    (void)from;
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

static bool mark_needed(struct dockerfile_plan *plan, size_t stage, size_t source, const char *from, struct error *err)
{
    (void)stage;
    (void)from;
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
    size_t found = stage_named(dockerfile, dockerfile->stage_count, target, true);
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

static bool plan_fill(struct dockerfile_plan *plan, const char *target, struct error *err)
{
    size_t count = plan->dockerfile->stage_count;
    plan->stages = arena_take(plan->arena, count * sizeof *plan->stages);
    if (!plan->stages)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        if (!resolve_base(plan, i, err))
            return error_wrap(err, "dockerfile line %u", plan->dockerfile->stages[i].line);
    if (!find_target(plan, target, err))
        return false;
    if (!check_circles(plan, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!visit_stage(plan, i, check_order, err))
            return false;
    plan->stages[plan->target].needed = true;
    return mark_from(plan, plan->target, err);
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
    return plan_fill(plan, options->target, err) ? TAKE(plan) : NULL;
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
