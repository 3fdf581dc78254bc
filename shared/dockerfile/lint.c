#include "shared/dockerfile/gitref.h"
#include "shared/dockerfile/imagename.h"
#include "shared/dockerfile/lint_private.h"
#include "shared/dockerfile/path.h"
#include "shared/dockerfile/plan.h"
#include "shared/dockerfile/platform.h"
#include "shared/dockerfile/scope_private.h"

#include <string.h>
#include <strings.h>

/* All that going through a file needs. */
struct walk {
    const struct dockerfile *dockerfile;
    const struct dockerfile_lint_options *options;
    struct lint *lint;
    struct arena *arena;
    struct dockerfile_scope *global;
    struct dockerfile_plan *plan;
    struct dockerfile_image *images;  /* of each stage that stands on one */
    struct dockerfile_scope **scopes; /* of each stage that was gone through */
};

/* ---- what the text alone tells ---- */

static bool has_upper(const char *text)
{
    return strpbrk(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static bool has_lower(const char *text)
{
    return strpbrk(text, "abcdefghijklmnopqrstuvwxyz");
}

static void check_description(struct lint *lint, const char *what, const struct dockerfile_instruction *it,
                              const char *const *names, size_t count)
{
    struct dockerfile_words comments = it->comments;
    if (!comments.count || !count)
        return;
    struct span rest = span_of(comments.items[comments.count - 1]), first = span_cut(&rest, ' ');
    for (size_t i = 0; i < count; i++)
        if (span_is(first, names[i]))
            return;
    lint_report(lint, LINT_INVALID_DEFINITION_DESCRIPTION, what, count > 1 ? "<arg_key>" : names[0], NULL);
}

static void check_from(struct lint *lint, const struct dockerfile_instruction *it)
{
    const struct dockerfile_from *from = &it->from;
    if (from->as && has_upper(from->written_name))
        lint_report(lint, LINT_STAGE_NAME_CASING, from->written_name, NULL, NULL);
    bool lower = !has_upper(it->name), upper = !has_lower(it->name);
    if (from->as && ((lower && has_upper(from->as)) || (!lower && upper && has_lower(from->as))))
        lint_report(lint, LINT_FROM_AS_CASING, it->name, from->as, NULL);
    if (from->name)
        check_description(lint, "FROM", it, &from->name, 1);
}

static void check_arg_description(struct walk *walk, const struct dockerfile_instruction *it)
{
    const char **names = arena_take(walk->arena, it->pairs.count * sizeof *names);
    for (size_t i = 0; names && i < it->pairs.count; i++)
        names[i] = it->pairs.items[i].key;
    if (names)
        check_description(walk->lint, "ARG", it, names, it->pairs.count);
}

static void check_text(struct walk *walk, const struct dockerfile_instruction *it)
{
    lint_at(walk->lint, it);
    if (it->op == DOCKERFILE_MAINTAINER)
        lint_report(walk->lint, LINT_MAINTAINER_DEPRECATED, NULL, NULL, NULL);
    else if (it->op == DOCKERFILE_FROM)
        check_from(walk->lint, it);
    else if (it->op == DOCKERFILE_ARG)
        check_arg_description(walk, it);
}

/* The instructions of the file stand in one row, from the first global ARG to the last of the last stage. */
static size_t instruction_count(const struct dockerfile *dockerfile)
{
    const struct dockerfile_stage *last = &dockerfile->stages[dockerfile->stage_count - 1];
    return (size_t)(last->instructions - dockerfile->globals) + last->count;
}

static void check_continuations(struct walk *walk)
{
    for (size_t i = 0; i < instruction_count(walk->dockerfile); i++) {
        const struct dockerfile_instruction *it = &walk->dockerfile->globals[i];
        if (!it->empty_continuation)
            continue;
        lint_at_plainly(walk->lint, it);
        walk->lint->line = walk->lint->last_line = it->empty_continuation;
        lint_report(walk->lint, LINT_NO_EMPTY_CONTINUATION, NULL, NULL, NULL);
    }
}

static void check_stage_names(struct walk *walk)
{
    const struct dockerfile *dockerfile = walk->dockerfile;
    for (size_t i = 0; i < dockerfile->stage_count; i++) {
        const char *name = dockerfile->stages[i].from.name;
        size_t before = 0;
        if (!name)
            continue;
        lint_at_plainly(walk->lint, dockerfile->stages[i].head);
        if (!strcmp(name, "context") || !strcmp(name, "scratch"))
            lint_report(walk->lint, LINT_RESERVED_STAGE_NAME, name, NULL, NULL);
        while (before < i &&
               (!dockerfile->stages[before].from.name || strcmp(dockerfile->stages[before].from.name, name) != 0))
            before++;
        if (before < i)
            lint_report(walk->lint, LINT_DUPLICATE_STAGE_NAME, name, NULL, NULL);
    }
}

static void check_casing(struct walk *walk)
{
    const struct dockerfile_instruction *all = walk->dockerfile->globals;
    size_t first = walk->dockerfile->global_count, count = instruction_count(walk->dockerfile), lower = 0, upper = 0;
    for (size_t i = first; i < count; i++) {
        lower += !has_upper(all[i].name);
        upper += has_upper(all[i].name) && !has_lower(all[i].name);
    }
    for (size_t i = first; i < count; i++) {
        lint_at_plainly(walk->lint, &all[i]);
        if (lower > upper && has_upper(all[i].name))
            lint_report(walk->lint, LINT_CONSISTENT_INSTRUCTION_CASING, all[i].name, "lowercase", NULL);
        if (lower <= upper && has_lower(all[i].name))
            lint_report(walk->lint, LINT_CONSISTENT_INSTRUCTION_CASING, all[i].name, "uppercase", NULL);
    }
}

/* ---- bases ---- */

static bool expand_global(struct dockerfile_scope *global, const char *word, struct bytes *out)
{
    struct error ignored = { 0 };
    return dockerfile_expand_word(global, word, global->escape, out, &ignored);
}

/* Would each base still be an image's name if nobody gave a build argument? */
static void check_default_bases(struct walk *walk)
{
    struct error ignored = { 0 };
    AUTO(dockerfile_scope_free)
    struct dockerfile_scope *defaults = scope_global_defaults(walk->dockerfile, &walk->options->build, &ignored);
    bool ok = defaults;
    for (size_t i = 0; ok && i < walk->dockerfile->stage_count; i++) {
        const struct dockerfile_stage *stage = &walk->dockerfile->stages[i];
        AUTO(bytes_release) struct bytes name = BYTES(DOCKERFILE_WORD_MAX);
        lint_at_plainly(walk->lint, stage->head);
        ok = expand_global(defaults, stage->from.image, &name);
        bool in_directory = ok && strncmp(bytes_text(&name), "oci:", strlen("oci:")) == 0;
        if (ok && !in_directory && !image_name_check(bytes_text(&name), &ignored))
            lint_report(walk->lint, LINT_INVALID_DEFAULT_ARG_IN_FROM, stage->from.image, NULL, NULL);
    }
}

static bool is_global_arg(const struct dockerfile *dockerfile, const char *name)
{
    for (size_t i = 0; i < dockerfile->global_count; i++)
        for (size_t j = 0; j < dockerfile->globals[i].pairs.count; j++)
            if (!strcmp(dockerfile->globals[i].pairs.items[j].key, name))
                return true;
    return false;
}

static const char *suggest_global(struct walk *walk, const char *name, struct arena *scratch)
{
    struct word_list names = { 0 };
    struct error ignored = { 0 };
    for (size_t i = 0; i < walk->dockerfile->global_count; i++)
        for (size_t j = 0; j < walk->dockerfile->globals[i].pairs.count; j++)
            word_add(scratch, &names, walk->dockerfile->globals[i].pairs.items[j].key, &ignored);
    for (size_t i = 0; i < walk->global->env.count; i++)
        word_add(scratch, &names, arena_dup(scratch, env_key(walk->global->env.items[i])), &ignored);
    return suggest(name, names.items, names.count, true);
}

static void tell_undeclared(struct walk *walk, const struct lint_names *names)
{
    for (size_t i = 0; i < names->unset.count; i++) {
        const char *name = names->unset.items[i];
        if (is_global_arg(walk->dockerfile, name))
            continue;
        AUTO(arena_free) struct arena *scratch = arena_new(DOCKERFILE_MEMORY_MAX);
        const char *meant = scratch ? suggest_global(walk, name, scratch) : NULL;
        const char *hint = meant ? arena_printf(scratch, " (did you mean %s?)", meant) : "";
        lint_report(walk->lint, LINT_UNDEFINED_ARG_IN_FROM, name, hint ? hint : "", NULL);
    }
}

static void check_constant_platform(struct walk *walk, const struct dockerfile_from *from, const char *value)
{
    struct error ignored = { 0 };
    const char *parsed = platform_parse(walk->arena, from->platform, value, &ignored), *name = from->name;
    struct span rest = span_of(parsed ? parsed : ""), os = span_cut(&rest, '/'), arch = span_cut(&rest, '/');
    if (!parsed ||
        (name && (memmem(name, strlen(name), os.data, os.len) || memmem(name, strlen(name), arch.data, arch.len))))
        return;
    lint_report(walk->lint, LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED, value, NULL, NULL);
}

/* False: the build ends here. */
static bool check_platform(struct walk *walk, const struct dockerfile_from *from, struct lint_names *names)
{
    AUTO(bytes_release) struct bytes value = BYTES(DOCKERFILE_WORD_MAX);
    struct error ignored = { 0 };
    if (!from->platform || !*from->platform)
        return true;
    names->set.count = names->unset.count = 0;
    bool ok = expand_global(walk->global, from->platform, &value);
    tell_undeclared(walk, names);
    bool one = names->set.count == 1 && !names->unset.count && !strcmp(names->set.items[0], "TARGETPLATFORM");
    const char *target = dockerfile_scope_get(walk->global, "TARGETPLATFORM");
    if (one && target && !strcmp(target, bytes_text(&value)))
        lint_report(walk->lint, LINT_REDUNDANT_TARGET_PLATFORM, from->platform, NULL, NULL);
    if (ok && !names->set.count && !names->unset.count)
        check_constant_platform(walk, from, bytes_text(&value));
    return ok && value.len && platform_parse(walk->arena, from->platform, bytes_text(&value), &ignored);
}

static bool check_base(struct walk *walk, const struct dockerfile_stage *stage, struct lint_names *names)
{
    AUTO(bytes_release) struct bytes name = BYTES(DOCKERFILE_WORD_MAX);
    lint_at(walk->lint, stage->head);
    names->set.count = names->unset.count = 0;
    bool ok = expand_global(walk->global, stage->from.image, &name);
    tell_undeclared(walk, names);
    return ok && name.len && check_platform(walk, &stage->from, names);
}

static void check_bases(struct walk *walk)
{
    struct lint_names names = { .lint = walk->lint };
    walk->global->names = &names;
    for (size_t i = 0; i < walk->dockerfile->stage_count; i++)
        if (!check_base(walk, &walk->dockerfile->stages[i], &names))
            break;
    walk->global->names = NULL;
}

static const char *target_platform(const struct walk *walk)
{
    const char *said = walk->options->build.target_platform;
    return said ? said : "linux/amd64";
}

static bool same_machine(const char *a, const char *b)
{
    struct span first = span_of(a), second = span_of(b);
    for (int part = 0; part < 2; part++)
        if (!span_equal(span_cut(&first, '/'), span_cut(&second, '/')))
            return false;
    return true;
}

/* Ask for an image, and say so when it is made for another machine; lint->line tells where it is named. */
static bool find_image(struct walk *walk, const char *name, const char *platform, struct dockerfile_image *image,
                       struct error *err)
{
    const char *expected = platform ? platform : target_platform(walk);
    if (!walk->options->find || !strcmp(name, "scratch"))
        return true;
    if (!walk->options->find(walk->options->context, name, platform, image, err))
        return false;
    if (image->platform && !same_machine(expected, image->platform))
        lint_report(walk->lint, LINT_INVALID_BASE_IMAGE_PLATFORM, name, platform_normal(walk->arena, expected),
                    platform_normal(walk->arena, image->platform));
    return true;
}

/* Images that an instruction takes from are looked at as bases are; of those of mounts no line is told. */
static bool find_sources(struct walk *walk, size_t stage, const struct dockerfile_instruction *it, struct error *err)
{
    struct dockerfile_source source = { 0 };
    struct dockerfile_image image = { 0 };
    lint_at_plainly(walk->lint, it);
    if (it->op == DOCKERFILE_COPY)
        return dockerfile_plan_source(walk->plan, stage, it->copy.from, &source, err) &&
               (source.kind != DOCKERFILE_IMAGE || find_image(walk, source.image, NULL, &image, err));
    walk->lint->line = walk->lint->last_line = 0;
    for (size_t i = 0; it->op == DOCKERFILE_RUN && i < it->run.mounts.count; i++) {
        dockerfile_plan_mount_source(walk->plan, it->run.mounts.items[i].from, &source);
        if (source.kind == DOCKERFILE_IMAGE && !find_image(walk, source.image, NULL, &image, err))
            return false;
    }
    return true;
}

static bool find_all_sources(struct walk *walk, size_t index, struct error *err)
{
    const struct dockerfile_plan_stage *planned = dockerfile_plan_stage(walk->plan, index);
    const struct dockerfile_stage *stage = &walk->dockerfile->stages[index];
    for (size_t i = 0; i < planned->trigger_count; i++)
        if (!find_sources(walk, index, &planned->triggers[i], err))
            return false;
    for (size_t i = 0; i < stage->count; i++)
        if (!find_sources(walk, index, &stage->instructions[i], err))
            return false;
    return true;
}

/* What the stage below leaves to be run in this one. */
static bool collected_triggers(struct walk *walk, size_t base, struct word_list *out, struct error *err)
{
    const struct dockerfile_stage *stage = &walk->dockerfile->stages[base];
    for (size_t i = 0; i < stage->count; i++)
        if (stage->instructions[i].op == DOCKERFILE_ONBUILD &&
            !word_add(walk->arena, out, stage->instructions[i].value, err))
            return false;
    return true;
}

static bool find_bases(struct walk *walk, struct error *err)
{
    for (size_t i = walk->dockerfile->stage_count; i > 0; i--) {
        const struct dockerfile_plan_stage *stage = dockerfile_plan_stage(walk->plan, i - 1);
        struct word_list collected = { 0 };
        if (!stage->needed)
            continue;
        lint_at_plainly(walk->lint, walk->dockerfile->stages[i - 1].head);
        if (stage->base.kind == DOCKERFILE_IMAGE &&
            !find_image(walk, stage->base.image, stage->platform, &walk->images[i - 1], err))
            return false;
        if (stage->base.kind == DOCKERFILE_STAGE && !collected_triggers(walk, stage->base.stage, &collected, err))
            return false;
        struct dockerfile_words onbuild =
            stage->base.kind == DOCKERFILE_STAGE ? words_of(&collected) : walk->images[i - 1].onbuild;
        if (!dockerfile_plan_triggers(walk->plan, i - 1, onbuild, err) || !find_all_sources(walk, i - 1, err))
            return false;
    }
    return true;
}

/* ---- instructions with their variables replaced ---- */

/* Those of which a stage has use for one only, as they were met last. */
struct met {
    const struct dockerfile_instruction *cmd, *entrypoint, *health;
};

static void check_once(struct lint *lint, const struct dockerfile_instruction **before,
                       const struct dockerfile_instruction *it)
{
    if (*before) { /* the earlier one is what is useless */
        lint->line = (*before)->line;
        lint->last_line = (*before)->last_line;
        lint_report(lint, LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED, it->name, NULL, NULL);
        lint->line = it->line;
        lint->last_line = it->last_line;
    }
    *before = it;
}

static void check_command(struct lint *lint, const struct dockerfile_scope *scope,
                          const struct dockerfile_instruction *it)
{
    if (it->command.shell && !scope->shell_set)
        lint_report(lint, LINT_JSON_ARGS_RECOMMENDED, it->name, NULL, NULL);
}

/* Is one of the words in `name`, between its ends or underscores? */
static bool has_part(const char *name, const char *const *words)
{
    for (struct span rest = span_of(name); rest.data;) {
        struct span part = span_cut(&rest, '_');
        for (size_t i = 0; words[i]; i++)
            if (part.len == strlen(words[i]) && !strncasecmp(part.data, words[i], part.len))
                return true;
    }
    return false;
}

static void check_secret(struct lint *lint, const char *what, const char *name)
{
    static const char *const secrets[] = { "apikey", "auth",   "credential", "credentials", "key", "password",
                                           "pword",  "passwd", "secret",     "token",       NULL };
    static const char *const harmless[] = { "public", "file", "version", NULL };
    if (has_part(name, secrets) && !has_part(name, harmless))
        lint_report(lint, LINT_SECRETS_USED_IN_ARG_OR_ENV, what, name, NULL);
}

static void check_pairs(struct lint *lint, const struct dockerfile_instruction *it)
{
    if (it->legacy_pair)
        lint_report(lint, LINT_LEGACY_KEY_VALUE_FORMAT, it->name, NULL, NULL);
    for (size_t i = 0; it->op != DOCKERFILE_LABEL && i < it->pairs.count; i++)
        check_secret(lint, dockerfile_op_name(it->op), it->pairs.items[i].key);
}

static bool is_remote(struct arena *arena, const char *source)
{
    struct git_ref ref;
    struct error ignored = { 0 };
    bool is_git = false;
    return !strncmp(source, "http://", 7) || !strncmp(source, "https://", 8) ||
           (git_ref_parse(arena, source, &ref, &is_git, &ignored) && !ref.looks_like_a_path);
}

/* A source that the context's ignore file leaves out. With exceptions in the file nothing can be said. */
static void check_sources(struct walk *walk, const struct dockerfile_instruction *it)
{
    const struct ignore *ignore = walk->options->ignore;
    bool known = ignore && !it->copy.from && !ignore_has_exceptions(ignore);
    for (size_t i = 0; known && i < it->copy.sources.count; i++) {
        const char *source = path_clean(walk->arena, it->copy.sources.items[i]);
        if (!source || is_remote(walk->arena, it->copy.sources.items[i]))
            continue;
        bool root = !strcmp(source, ".") || !strcmp(source, "/");
        if (root ? ignore_leaves_out_root(ignore) : ignore_excludes(ignore, span_of(source)))
            lint_report(walk->lint, LINT_COPY_IGNORED_FILE, it->op == DOCKERFILE_ADD ? "Add" : "Copy", source, NULL);
    }
}

static void check_expanded(struct walk *walk, const struct dockerfile_scope *scope, struct met *met,
                           const struct dockerfile_instruction *in, const struct dockerfile_instruction *it)
{
    switch (it->op) {
    case DOCKERFILE_ARG:
    case DOCKERFILE_ENV:
    case DOCKERFILE_LABEL:
        check_pairs(walk->lint, it);
        break;
    case DOCKERFILE_CMD:
        check_once(walk->lint, &met->cmd, in);
        check_command(walk->lint, scope, it);
        break;
    case DOCKERFILE_ENTRYPOINT:
        check_once(walk->lint, &met->entrypoint, in);
        check_command(walk->lint, scope, it);
        break;
    case DOCKERFILE_HEALTHCHECK:
        check_once(walk->lint, &met->health, in);
        break;
    case DOCKERFILE_ADD:
    case DOCKERFILE_COPY:
        check_sources(walk, it);
        break;
    default:
        break;
    }
}

static bool walk_instructions(struct walk *walk, struct dockerfile_scope *scope, struct met *met,
                              const struct dockerfile_instruction *items, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        AUTO(arena_free) struct arena *scratch = arena_new(DOCKERFILE_MEMORY_MAX);
        struct dockerfile_instruction expanded;
        if (!scratch)
            return no_memory(err);
        lint_at(walk->lint, &items[i]);
        if (!dockerfile_expand(scope, &items[i], scratch, &expanded, err))
            return false;
        check_expanded(walk, scope, met, &items[i], &expanded);
    }
    return true;
}

static bool walk_stage(struct walk *walk, size_t index, struct error *err)
{
    static const struct dockerfile_base scratch = { 0 };
    const struct dockerfile_stage *stage = &walk->dockerfile->stages[index];
    const struct dockerfile_plan_stage *planned = dockerfile_plan_stage(walk->plan, index);
    struct lint_names names = { .lint = walk->lint };
    struct met met = { 0 };
    size_t root = index;
    while (dockerfile_plan_stage(walk->plan, root)->base.kind == DOCKERFILE_STAGE)
        root = dockerfile_plan_stage(walk->plan, root)->base.stage;
    enum dockerfile_source_kind kind = dockerfile_plan_stage(walk->plan, root)->base.kind;
    walk->lint->images_unknown = kind == DOCKERFILE_NAMED || (kind == DOCKERFILE_IMAGE && !walk->options->find);
    struct dockerfile_scope *scope =
        planned->base.kind == DOCKERFILE_STAGE
            ? dockerfile_scope_on_stage(walk->scopes[planned->base.stage], err)
            : dockerfile_scope_on_image(
                  walk->global, planned->base.kind == DOCKERFILE_IMAGE ? &walk->images[index].base : &scratch, err);
    walk->scopes[index] = scope;
    if (!scope)
        return false;
    scope->names = &names;
    bool ok = walk_instructions(walk, scope, &met, planned->triggers, planned->trigger_count, err) &&
              walk_instructions(walk, scope, &met, stage->instructions, planned->replaced ? 0 : stage->count, err);
    scope->names = NULL;
    return ok;
}

/* ---- the whole ---- */

static bool plan_build(struct walk *walk, struct error *err)
{
    const struct dockerfile_options *build = &walk->options->build;
    walk->global = dockerfile_scope_global(walk->dockerfile, build, err);
    if (!walk->global)
        return false;
    check_bases(walk);
    walk->plan = dockerfile_plan_new(walk->dockerfile, walk->global, build, err);
    return walk->plan && find_bases(walk, err);
}

static bool walk_all(struct walk *walk, struct error *err)
{
    size_t count = walk->dockerfile->stage_count;
    walk->images = arena_take(walk->arena, count * sizeof *walk->images);
    walk->scopes = arena_take(walk->arena, count * sizeof *walk->scopes);
    if (!walk->images || !walk->scopes)
        return no_memory(err);
    check_continuations(walk);
    for (size_t i = 0; i < instruction_count(walk->dockerfile); i++)
        check_text(walk, &walk->dockerfile->globals[i]);
    check_stage_names(walk);
    check_casing(walk);
    check_default_bases(walk);
    bool ok = plan_build(walk, err);
    for (size_t i = 0; ok && i < count; i++)
        ok = !dockerfile_plan_stage(walk->plan, i)->needed || walk_stage(walk, i, err);
    for (size_t i = 0; i < count; i++)
        dockerfile_scope_free(walk->scopes[i]);
    dockerfile_plan_free(walk->plan);
    dockerfile_scope_free(walk->global);
    return ok;
}

/* Each rule once, in the order of their hits. */
static bool refuse_hits(const struct lint *lint, struct error *err)
{
    AUTO(bytes_release) struct bytes rules = BYTES(DOCKERFILE_WORD_MAX);
    for (size_t i = 0; i < lint->count; i++) {
        size_t before = 0;
        while (lint->warnings[before].rule != lint->warnings[i].rule)
            before++;
        if (before == i && !bytes_printf(&rules, err, "%s%s", i ? ", " : "", lint->warnings[i].rule))
            return false;
    }
    return error_set(err, ERROR_INVALID, "lint violation found for rules: %s", bytes_text(&rules));
}

bool dockerfile_lint(const struct dockerfile *dockerfile, const struct dockerfile_lint_options *options,
                     struct arena *arena, struct dockerfile_warnings *out, struct error *err)
{
    struct lint lint = { .arena = arena,
                         .warnings = arena_take(arena, DOCKERFILE_WARNINGS_MAX * sizeof *lint.warnings) };
    struct walk walk = { .dockerfile = dockerfile, .options = options, .lint = &lint, .arena = arena };
    if (!lint.warnings)
        return no_memory(err);
    bool ok = check_settings(arena, dockerfile, &options->build.args, &lint.file, err) && walk_all(&walk, err);
    *out = (struct dockerfile_warnings){ lint.warnings, lint.count, ok && lint.file.error && lint.count };
    if (ok && lint.out_of_memory)
        return no_memory(err);
    return ok && (!out->refused || refuse_hits(&lint, err));
}
