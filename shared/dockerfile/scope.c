#include "shared/dockerfile/scope_private.h"

#include <string.h>

static const char *const default_shell[] = { "/bin/sh", "-c" };

void dockerfile_scope_free(struct dockerfile_scope *scope)
{
    if (!scope)
        return;
    if (scope->prefix)
        bytes_release(&scope->prefix->text);
    arena_free(scope->arena);
    free(scope);
}

static struct dockerfile_scope *scope_new(struct error *err)
{
    AUTO(dockerfile_scope_free) struct dockerfile_scope *scope = calloc(1, sizeof *scope);
    if (scope)
        scope->arena = arena_new(DOCKERFILE_MEMORY_MAX);
    if (!scope || !scope->arena) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    scope->prefix = arena_take(scope->arena, sizeof *scope->prefix);
    if (!scope->prefix) {
        no_memory(err);
        return NULL;
    }
    scope->prefix->text = BYTES(DOCKERFILE_HISTORY_MAX);
    scope->env_names.steps = scope->config_names.steps = scope->arg_names.steps = &scope->steps;
    scope->shell = (struct dockerfile_words){ default_shell, 2 };
    scope->workdir = "/";
    scope->escape = '\\';
    return TAKE(scope);
}

struct span env_key(const char *text)
{
    return (struct span){ text, strcspn(text, "=") };
}

static bool add_variable(struct dockerfile_scope *scope, struct word_list *list, const char *text, struct error *err)
{
    if (list->count == DOCKERFILE_VARIABLES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d variables in a stage", DOCKERFILE_VARIABLES_MAX);
    return word_add(scope->arena, list, text, err);
}

static const char *value_at(const struct word_list *list, size_t index)
{
    const char *equals = strchr(list->items[index], '=');
    return equals ? equals + 1 : "";
}

/* The value behind "NAME=". */
static const char *value_of(const struct dockerfile_scope *scope, struct span name)
{
    const struct name_slot *slot = names_find(&scope->env_names, name);
    return slot ? slot->text + slot->name.len + 1 : NULL;
}

static const char *get(const void *context, struct span name)
{
    const struct dockerfile_scope *scope = context;
    const char *value = value_of(scope, name);
    if (scope->names)
        lint_note(scope->names, name, value != NULL);
    return value;
}

struct word_env scope_word_env(const struct dockerfile_scope *scope)
{
    return (struct word_env){ get, scope };
}

const char *dockerfile_scope_get(const struct dockerfile_scope *scope, const char *name)
{
    return value_of(scope, span_of(name));
}

struct lint *scope_lint(const struct dockerfile_scope *scope)
{
    return scope->names ? scope->names->lint : NULL;
}

const char *scope_suggest(const struct dockerfile_scope *scope, struct span name, struct arena *arena)
{
    size_t count = 0;
    const char *wrong = arena_dup(arena, name), **names = arena_take(arena, (scope->env.count + 1) * sizeof *names);
    for (size_t i = 0; names && i < scope->env.count; i++) {
        names[count] = arena_dup(arena, env_key(scope->env.items[i]));
        count += names[count] != NULL;
    }
    return wrong && names ? suggest(wrong, names, count, true) : NULL;
}

const char *scope_build_arg(const struct dockerfile_scope *scope, const char *name)
{
    const struct dockerfile_pairs *args = &scope->build_args;
    for (size_t i = args->count; i > 0; i--)
        if (args->items[i - 1].value && !strcmp(args->items[i - 1].key, name))
            return args->items[i - 1].value;
    return NULL;
}

/* Where the text stands in the list. */
static size_t index_of(const struct word_list *list, const char *text)
{
    size_t i = 0;
    while (list->items[i] != text)
        i++;
    return i;
}

static void forget(struct dockerfile_scope *scope, const char *key)
{
    struct word_list *env = &scope->env;
    const struct name_slot *slot = names_find(&scope->env_names, span_of(key));
    if (!slot)
        return;
    size_t i = index_of(env, slot->text);
    memmove(env->items + i, env->items + i + 1, (env->count - i - 1) * sizeof *env->items);
    env->count--;
    names_drop(&scope->env_names, span_of(key));
}

bool scope_set_env(struct dockerfile_scope *scope, const char *key, const char *value, struct error *err)
{
    const char *text = arena_printf(scope->arena, "%s=%s", key, value);
    forget(scope, key);
    scope->prefix->valid = false;
    return add_variable(scope, &scope->env, text, err) &&
           names_put(scope->arena, &scope->env_names, (struct name_slot){ { text, strlen(key) }, text, 0 }, err);
}

static void set_build_arg(struct dockerfile_scope *scope, const char *name, const char *value)
{
    struct dockerfile_pair *args = scope->own_args;
    for (size_t i = 0; i < scope->build_args.count; i++)
        if (!strcmp(args[i].key, name))
            args[i].value = value;
}

void scope_unset(struct dockerfile_scope *scope, const char *name)
{
    forget(scope, name);
    set_build_arg(scope, name, NULL);
}

bool scope_reset(struct dockerfile_scope *scope, const char *name, const char *value, bool as_build_arg,
                 struct error *err)
{
    if (as_build_arg)
        set_build_arg(scope, name, value);
    return scope_set_env(scope, name, value, err);
}

bool scope_set_config(struct dockerfile_scope *scope, const char *key, const char *value, struct error *err)
{
    const char *text = arena_printf(scope->arena, "%s=%s", key, value);
    const struct name_slot *slot = names_find(&scope->config_names, span_of(key));
    size_t index = slot ? slot->value : scope->config.count;
    if (!text)
        return no_memory(err);
    if (slot)
        scope->config.items[index] = text;
    else if (!add_variable(scope, &scope->config, text, err))
        return false;
    return names_put(scope->arena, &scope->config_names, (struct name_slot){ { text, strlen(key) }, text, index }, err);
}

bool scope_is_declared(const struct dockerfile_scope *scope, const char *name)
{
    return names_find(&scope->arg_names, span_of(name));
}

bool scope_declare(struct dockerfile_scope *scope, const char *name, struct error *err)
{
    if (scope_is_declared(scope, name))
        return true;
    const char *text = arena_dup(scope->arena, span_of(name));
    scope->prefix->valid = false;
    return add_variable(scope, &scope->args, text, err) &&
           names_put(scope->arena, &scope->arg_names, (struct name_slot){ span_of(text), text, 0 }, err);
}

/* PLATFORM, OS, OSVERSION, ARCH and VARIANT of "os/arch[/variant]". */
static bool set_platform(struct dockerfile_scope *scope, const char *prefix, const char *platform, struct error *err)
{
    struct span rest = span_of(platform), os = span_cut(&rest, '/'), arch = span_cut(&rest, '/');
    const struct {
        const char *suffix;
        struct span value;
    } rows[] = { { "PLATFORM", span_of(platform) },
                 { "OS", os },
                 { "OSVERSION", SPAN("") },
                 { "ARCH", arch },
                 { "VARIANT", rest } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *name = arena_printf(scope->arena, "%s%s", prefix, rows[i].suffix);
        const char *value = arena_dup(scope->arena, rows[i].value.data ? rows[i].value : SPAN(""));
        if (!name || !value)
            return no_memory(err);
        const char *given = scope_build_arg(scope, name);
        if (!scope_set_env(scope, name, given ? given : value, err))
            return false;
    }
    return true;
}

static bool define_global(struct dockerfile_scope *scope, const struct dockerfile_pair *pair, bool defaults_only,
                          struct error *err)
{
    const char *given = defaults_only ? NULL : scope_build_arg(scope, pair->key);
    if (given || !pair->value)
        return !given || scope_set_env(scope, pair->key, given, err);
    AUTO(bytes_release) struct bytes value = BYTES(DOCKERFILE_WORD_MAX);
    return dockerfile_expand_word(scope, pair->value, scope->escape, &value, err) &&
           scope_set_env(scope, pair->key, bytes_text(&value), err);
}

static const char *last_stage_name(const struct dockerfile *dockerfile)
{
    const char *name = dockerfile->stages[dockerfile->stage_count - 1].from.name;
    return name ? name : "default";
}

static bool define_globals(struct dockerfile_scope *scope, const struct dockerfile *dockerfile,
                           const struct dockerfile_options *options, bool defaults_only, struct error *err)
{
    const char *target_platform = options->target_platform ? options->target_platform : "linux/amd64";
    const char *build_platform = options->build_platform ? options->build_platform : "linux/amd64";
    const char *stage = scope_build_arg(scope, "TARGETSTAGE");
    if (!stage)
        stage = options->target && *options->target ? options->target : last_stage_name(dockerfile);
    if (!set_platform(scope, "BUILD", build_platform, err) || !set_platform(scope, "TARGET", target_platform, err) ||
        !scope_set_env(scope, "TARGETSTAGE", stage, err))
        return false;
    for (size_t i = 0; i < dockerfile->global_count; i++) {
        const struct dockerfile_instruction *arg = &dockerfile->globals[i];
        for (size_t j = 0; j < arg->pairs.count; j++)
            if (!define_global(scope, &arg->pairs.items[j], defaults_only, err))
                return error_wrap(err, "dockerfile line %u", arg->line);
    }
    return true;
}

/* The caller's pairs may go before the scope does. */
static bool copy_build_args(struct dockerfile_scope *scope, const struct dockerfile_pairs *args, struct error *err)
{
    struct dockerfile_pair *copies = arena_take(scope->arena, (args->count + 1) * sizeof *copies);
    if (!copies)
        return no_memory(err);
    for (size_t i = 0; i < args->count; i++) {
        copies[i].key = arena_dup(scope->arena, span_of(args->items[i].key));
        if (args->items[i].value)
            copies[i].value = arena_dup(scope->arena, span_of(args->items[i].value));
        if (!copies[i].key || (args->items[i].value && !copies[i].value))
            return no_memory(err);
    }
    scope->own_args = copies;
    scope->build_args = (struct dockerfile_pairs){ copies, args->count };
    return true;
}

static struct dockerfile_scope *global_scope(const struct dockerfile *dockerfile,
                                             const struct dockerfile_options *options, bool defaults_only,
                                             struct error *err)
{
    AUTO(dockerfile_scope_free) struct dockerfile_scope *scope = scope_new(err);
    if (!scope)
        return NULL;
    struct check settings;
    scope->escape = dockerfile->escape;
    if (!check_settings(scope->arena, dockerfile, &options->args, &settings, err))
        return NULL;
    if (!copy_build_args(scope, &options->args, err) || !define_globals(scope, dockerfile, options, defaults_only, err))
        return NULL;
    if (!defaults_only && !scope_read_epoch(scope, dockerfile, &options->contexts, err))
        return NULL;
    return TAKE(scope);
}

struct dockerfile_scope *dockerfile_scope_global(const struct dockerfile *dockerfile,
                                                 const struct dockerfile_options *options, struct error *err)
{
    return global_scope(dockerfile, options, false, err);
}

struct dockerfile_scope *scope_global_defaults(const struct dockerfile *dockerfile,
                                               const struct dockerfile_options *options, struct error *err)
{
    return global_scope(dockerfile, options, true, err);
}

/* The environment of an image's config, completed by a PATH, into config and over env. */
static bool take_environment(struct dockerfile_scope *scope, struct dockerfile_words env, struct error *err)
{
    for (size_t i = 0; i < env.count; i++) {
        struct span key = env_key(env.items[i]);
        const char *name = arena_dup(scope->arena, key), *value = env.items[i] + key.len;
        if (!name)
            return no_memory(err);
        if (!scope_set_config(scope, name, value + (*value == '='), err))
            return false;
    }
    if (!names_find(&scope->config_names, SPAN("PATH")) &&
        !scope_set_config(scope, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", err))
        return false;
    for (size_t i = 0; i < scope->config.count; i++) {
        const char *name = arena_dup(scope->arena, env_key(scope->config.items[i]));
        if (!name)
            return no_memory(err);
        if (!scope_set_env(scope, name, value_at(&scope->config, i), err))
            return false;
    }
    return true;
}

static bool copy_words(struct arena *arena, struct dockerfile_words words, struct dockerfile_words *out,
                       struct error *err)
{
    struct word_list list = { 0 };
    for (size_t i = 0; i < words.count; i++)
        if (!word_add(arena, &list, arena_dup(arena, span_of(words.items[i])), err))
            return false;
    *out = words_of(&list);
    return true;
}

struct dockerfile_scope *dockerfile_scope_on_image(const struct dockerfile_scope *global,
                                                   const struct dockerfile_base *base, struct error *err)
{
    AUTO(dockerfile_scope_free) struct dockerfile_scope *scope = scope_new(err);
    if (!scope)
        return NULL;
    scope->global = global;
    scope->escape = global->escape;
    scope->build_args = global->build_args;
    scope->shell_set = base->shell.count > 0;
    if (base->shell.count && !copy_words(scope->arena, base->shell, &scope->shell, err))
        return NULL;
    if (base->workdir && *base->workdir)
        scope->workdir = *base->workdir == '/' ? arena_dup(scope->arena, span_of(base->workdir))
                                               : arena_printf(scope->arena, "/%s", base->workdir);
    if (!scope->workdir) {
        no_memory(err);
        return NULL;
    }
    return take_environment(scope, base->env, err) ? TAKE(scope) : NULL;
}

/* "KEY=value" of another scope; a key that holds "=" itself is cut there, as images' environments are. */
static bool copy_entry(struct dockerfile_scope *scope, const char *entry, struct error *err)
{
    const char *key = arena_dup(scope->arena, env_key(entry));
    return key ? scope_set_env(scope, key, entry + strlen(key) + (entry[strlen(key)] == '='), err) : no_memory(err);
}

struct dockerfile_scope *scope_copy(const struct dockerfile_scope *scope, struct error *err)
{
    AUTO(dockerfile_scope_free) struct dockerfile_scope *copy = scope_new(err);
    if (!copy)
        return NULL;
    copy->escape = scope->escape;
    copy->build_args = scope->build_args;
    for (size_t i = 0; i < scope->env.count; i++)
        if (!copy_entry(copy, scope->env.items[i], err))
            return NULL;
    return TAKE(copy);
}

struct dockerfile_scope *dockerfile_scope_on_stage(const struct dockerfile_scope *parent, struct error *err)
{
    const struct dockerfile_base base = { .env = words_of(&parent->config),
                                          .shell = parent->shell,
                                          .workdir = parent->workdir };
    AUTO(dockerfile_scope_free) struct dockerfile_scope *scope = scope_new(err);
    if (!scope)
        return NULL;
    scope->global = parent->global;
    scope->escape = parent->escape;
    scope->build_args = parent->build_args;
    scope->shell_set = parent->shell_set;
    scope->workdir_set = parent->workdir_set;
    scope->workdir = arena_dup(scope->arena, span_of(base.workdir));
    struct dockerfile_words env = { 0 }, args = { 0 };
    if (!scope->workdir) {
        no_memory(err);
        return NULL;
    }
    if (!copy_words(scope->arena, base.shell, &scope->shell, err) ||
        !copy_words(scope->arena, words_of(&parent->env), &env, err) ||
        !copy_words(scope->arena, words_of(&parent->args), &args, err))
        return NULL;
    for (size_t i = 0; i < env.count; i++)
        if (!copy_entry(scope, env.items[i], err))
            return NULL;
    for (size_t i = 0; i < args.count; i++)
        if (!scope_declare(scope, args.items[i], err))
            return NULL;
    return take_environment(scope, base.env, err) ? TAKE(scope) : NULL;
}

struct dockerfile_words dockerfile_scope_env(const struct dockerfile_scope *scope)
{
    return words_of(&scope->env);
}

struct dockerfile_words dockerfile_scope_config_env(const struct dockerfile_scope *scope)
{
    return words_of(&scope->config);
}

struct dockerfile_words dockerfile_scope_shell(const struct dockerfile_scope *scope)
{
    return scope->shell;
}

const char *dockerfile_scope_workdir(const struct dockerfile_scope *scope)
{
    return scope->workdir;
}

bool dockerfile_expand_word(const struct dockerfile_scope *scope, const char *word, char escape, struct bytes *out,
                            struct error *err)
{
    const struct word_rules rules = { .escape = escape };
    const struct word_env env = scope_word_env(scope);
    return word_expand(span_of(word), &rules, &env, out, NULL, NULL, err);
}

bool dockerfile_expand_words(const struct dockerfile_scope *scope, const char *word, char escape, struct arena *arena,
                             struct dockerfile_words *out, struct error *err)
{
    const struct word_rules rules = { .escape = escape };
    const struct word_env env = scope_word_env(scope);
    struct word_list words = { 0 };
    if (!word_expand(span_of(word), &rules, &env, NULL, arena, &words, err))
        return false;
    *out = words_of(&words);
    return true;
}

bool dockerfile_expand_body(const struct dockerfile_scope *scope, const char *body, struct bytes *out,
                            struct error *err)
{
    /* The escape of bodies is the backslash, whatever the escape directive says. */
    const struct word_rules rules = { .escape = '\\', .skip_quotes = true };
    const struct word_env env = scope_word_env(scope);
    return word_expand(span_of(body), &rules, &env, out, NULL, NULL, err);
}
