/* An instruction with its variables replaced, and what it changes for those behind it. */
#include "shared/dockerfile/gitref.h"
#include "shared/dockerfile/lex.h"
#include "shared/dockerfile/mount.h"
#include "shared/dockerfile/path.h"
#include "shared/dockerfile/port.h"
#include "shared/dockerfile/scope_private.h"

#include <string.h>

/* What an expansion needs all along. */
struct job {
    struct dockerfile_scope *scope;
    struct arena *arena;
    struct error *err;
};

/* Instructions to the builder that never reach the environment. */
static bool is_control_arg(const char *name)
{
    return !strcmp(name, "BUILDKIT_SBOM_SCAN_CONTEXT") || !strcmp(name, "BUILDKIT_SBOM_SCAN_STAGE");
}

/* What the last word looked for in vain. */
static void tell_undefined(struct dockerfile_scope *scope)
{
    struct lint_names *names = scope->names;
    for (size_t i = 0; names && !names->lint->images_unknown && i < names->unset.count; i++) {
        const char *name = names->unset.items[i];
        if (scope_is_declared(scope, name) || is_control_arg(name))
            continue;
        AUTO(arena_free) struct arena *scratch = arena_new(DOCKERFILE_MEMORY_MAX);
        const char *meant = scratch ? scope_suggest(scope, span_of(name), scratch) : NULL;
        const char *hint = meant ? arena_printf(scratch, " (did you mean $%s?)", meant) : "";
        lint_report(names->lint, LINT_UNDEFINED_VAR, name, hint ? hint : "", NULL);
    }
    if (names)
        names->set.count = names->unset.count = 0;
}

/* A single word into the arena; NULL stays NULL. */
static bool expand_text(struct job *job, const char *text, const char **out)
{
    if (!text)
        return true;
    AUTO(bytes_release) struct bytes value = BYTES(DOCKERFILE_WORD_MAX);
    bool ok = dockerfile_expand_word(job->scope, text, job->scope->escape, &value, job->err);
    tell_undefined(job->scope);
    if (!ok)
        return false;
    *out = arena_dup(job->arena, bytes_span(&value));
    return *out || no_memory(job->err);
}

static bool expand_list(struct job *job, struct dockerfile_words in, struct dockerfile_words *out)
{
    struct word_list list = { 0 };
    for (size_t i = 0; i < in.count; i++) {
        const char *word = NULL;
        if (!expand_text(job, in.items[i], &word) || !word_add(job->arena, &list, word, job->err))
            return false;
    }
    *out = words_of(&list);
    return true;
}

static bool expand_pairs(struct job *job, struct dockerfile_pairs in, struct dockerfile_pairs *out)
{
    struct dockerfile_pair *pairs = arena_take(job->arena, (in.count + 1) * sizeof *pairs);
    if (!pairs)
        return no_memory(job->err);
    for (size_t i = 0; i < in.count; i++)
        if (!expand_text(job, in.items[i].key, &pairs[i].key) || !expand_text(job, in.items[i].value, &pairs[i].value))
            return false;
    *out = (struct dockerfile_pairs){ pairs, in.count };
    return true;
}

typedef bool expand_fn(struct job *job, struct dockerfile_instruction *it);

static bool expand_env(struct job *job, struct dockerfile_instruction *it)
{
    if (!expand_pairs(job, it->pairs, &it->pairs))
        return false;
    for (size_t i = 0; i < it->pairs.count; i++) {
        const struct dockerfile_pair *pair = &it->pairs.items[i];
        if (!scope_set_env(job->scope, pair->key, pair->value, job->err) ||
            !scope_set_config(job->scope, pair->key, pair->value, job->err))
            return false;
    }
    return true;
}

static bool expand_label(struct job *job, struct dockerfile_instruction *it)
{
    return expand_pairs(job, it->pairs, &it->pairs);
}

/* The build argument, else the default, else what is global. */
static bool arg_value(struct job *job, const struct dockerfile_pair *in, struct dockerfile_pair *out)
{
    out->key = in->key; /* the names of ARG hold no variables, unlike those of ENV and LABEL */
    const char *given = scope_build_arg(job->scope, out->key);
    if (!given && in->value)
        return expand_text(job, in->value, &out->value);
    if (!given && job->scope->global)
        given = dockerfile_scope_get(job->scope->global, out->key);
    out->value = given ? arena_dup(job->arena, span_of(given)) : NULL;
    return out->value || !given || no_memory(job->err);
}

static bool expand_arg(struct job *job, struct dockerfile_instruction *it)
{
    struct dockerfile_pair *pairs = arena_take(job->arena, it->pairs.count * sizeof *pairs);
    if (!pairs)
        return no_memory(job->err);
    for (size_t i = 0; i < it->pairs.count; i++) {
        if (!arg_value(job, &it->pairs.items[i], &pairs[i]))
            return false;
        if (is_control_arg(pairs[i].key))
            continue;
        if (pairs[i].value && !scope_set_env(job->scope, pairs[i].key, pairs[i].value, job->err))
            return false;
        if (!scope_declare(job->scope, pairs[i].key, job->err))
            return false;
    }
    it->pairs.items = pairs;
    return true;
}

static bool expand_body(struct job *job, struct dockerfile_heredoc *heredoc)
{
    AUTO(bytes_release) struct bytes body = BYTES(DOCKERFILE_SIZE_MAX);
    if (!heredoc->expand)
        return true;
    bool ok = dockerfile_expand_body(job->scope, heredoc->body, &body, job->err);
    tell_undefined(job->scope);
    if (!ok)
        return false;
    heredoc->body = arena_dup(job->arena, bytes_span(&body));
    return heredoc->body || no_memory(job->err);
}

static bool expand_heredocs(struct job *job, struct dockerfile_heredocs *heredocs)
{
    struct dockerfile_heredoc *copies = arena_take(job->arena, (heredocs->count + 1) * sizeof *copies);
    if (!copies)
        return no_memory(job->err);
    for (size_t i = 0; i < heredocs->count; i++) {
        copies[i] = heredocs->items[i];
        if (!expand_body(job, &copies[i]))
            return false;
    }
    heredocs->items = copies;
    return true;
}

/* What a source is that is no path. */
struct remote {
    bool is_git, is_http;
    struct git_ref git;
};

static bool remote_of(struct job *job, const char *source, struct remote *out)
{
    struct error why = { 0 };
    bool is_git = false, read = git_ref_parse(job->arena, source, &out->git, &is_git, &why);
    if (!read && (is_git || why.kind != ERROR_INVALID)) {
        *job->err = why;
        return false;
    }
    out->is_git = read;
    out->is_http = !read && (!strncmp(source, "http://", 7) || !strncmp(source, "https://", 8));
    return true;
}

static bool check_git(const struct dockerfile_copy *copy, const struct git_ref *ref, struct error *err)
{
    bool said = copy->keep_git_dir_set && ref->keep_git_dir != GIT_REF_UNSAID;
    AUTO(free) char *flag = quote(span_of(copy->checksum)), *query = quote(span_of(ref->checksum));
    if (said && copy->keep_git_dir != (ref->keep_git_dir == GIT_REF_YES))
        return error_set(err, ERROR_INVALID, "inconsistent keep-git-dir configuration");
    if (copy->checksum && *ref->checksum && strcmp(copy->checksum, ref->checksum) != 0)
        return error_set(err, ERROR_INVALID, "checksum mismatch %s != %s", flag ? flag : "", query ? query : "");
    return true;
}

static bool check_source(struct job *job, const struct dockerfile_instruction *it, const char *source)
{
    struct remote remote = { 0 };
    if (!remote_of(job, source, &remote))
        return false;
    bool is_git = remote.is_git && !remote.git.looks_like_a_path;
    if (it->op == DOCKERFILE_COPY && (is_git || remote.is_http))
        return error_set(job->err, ERROR_INVALID, "source can't be a %s for COPY", is_git ? "git ref" : "URL");
    if (is_git)
        return check_git(&it->copy, &remote.git, job->err);
    return !remote.is_http || !it->copy.checksum || digest_check(it->copy.checksum, job->err);
}

static bool check_sources(struct job *job, const struct dockerfile_instruction *it)
{
    const struct dockerfile_copy *copy = &it->copy;
    struct remote only = { 0 };
    if (copy->checksum && copy->sources.count != 1)
        return error_set(job->err, ERROR_INVALID, "checksum can't be specified for multiple sources");
    if (copy->checksum && !remote_of(job, copy->sources.items[0], &only))
        return false;
    if (copy->checksum && !only.is_git && !only.is_http)
        return error_set(job->err, ERROR_INVALID, "checksum requires HTTP(S) or Git sources");
    for (size_t i = 0; i < copy->sources.count; i++)
        if (!check_source(job, it, copy->sources.items[i]))
            return false;
    return true;
}

static bool expand_copy(struct job *job, struct dockerfile_instruction *it)
{
    struct dockerfile_copy *copy = &it->copy;
    if (!expand_text(job, copy->chown, &copy->chown) || !expand_text(job, copy->chmod, &copy->chmod) ||
        !expand_text(job, copy->checksum, &copy->checksum) || !expand_list(job, copy->sources, &copy->sources) ||
        !expand_text(job, copy->dest, &copy->dest) || !expand_heredocs(job, &copy->heredocs))
        return false;
    /* an empty flag is none, which matters where a variable was empty */
    const char **flags[] = { &copy->chown, &copy->chmod, &copy->checksum, &copy->from };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (*flags[i] && !**flags[i])
            *flags[i] = NULL;
    if (copy->chmod && !dockerfile_chmod_check(copy->chmod, job->err))
        return false;
    return check_sources(job, it);
}

static bool expand_expose(struct job *job, struct dockerfile_instruction *it)
{
    struct word_list ports = { 0 };
    for (size_t i = 0; i < it->list.count; i++) {
        struct dockerfile_words words = { 0 };
        if (!dockerfile_expand_words(job->scope, it->list.items[i], job->scope->escape, job->arena, &words, job->err))
            return false;
        for (size_t j = 0; j < words.count; j++)
            if (!ports_add(job->arena, words.items[j], scope_lint(job->scope), &ports, job->err))
                return false;
    }
    if (job->scope->names)
        job->scope->names->set.count = job->scope->names->unset.count = 0; /* nothing is told of EXPOSE's variables */
    it->list = words_of(&ports);
    return true;
}

static bool expand_volume(struct job *job, struct dockerfile_instruction *it)
{
    if (!expand_list(job, it->list, &it->list))
        return false;
    for (size_t i = 0; i < it->list.count; i++)
        if (!*it->list.items[i])
            return error_set(job->err, ERROR_INVALID, "VOLUME specified can not be an empty string");
    return true;
}

static bool expand_value(struct job *job, struct dockerfile_instruction *it)
{
    return expand_text(job, it->value, &it->value);
}

static bool expand_signal(struct job *job, struct dockerfile_instruction *it)
{
    return expand_value(job, it) && signal_check(it->value, job->err);
}

static bool expand_workdir(struct job *job, struct dockerfile_instruction *it)
{
    if (!expand_value(job, it))
        return false;
    if (*it->value != '/' && !job->scope->workdir_set)
        lint_report(scope_lint(job->scope), LINT_WORKDIR_RELATIVE_PATH, it->value, NULL, NULL);
    job->scope->workdir_set = true;
    if (*it->value != '/')
        it->value = path_join(job->arena, job->scope->workdir, it->value);
    if (!it->value)
        return no_memory(job->err);
    const char *kept = arena_dup(job->scope->arena, span_of(it->value));
    if (!kept)
        return no_memory(job->err);
    job->scope->workdir = kept;
    return true;
}

static bool expand_shell(struct job *job, struct dockerfile_instruction *it)
{
    struct word_list words = { 0 };
    struct arena *arena = job->scope->arena;
    for (size_t i = 0; i < it->command.args.count; i++)
        if (!word_add(arena, &words, arena_dup(arena, span_of(it->command.args.items[i])), job->err))
            return false;
    job->scope->shell = words_of(&words);
    job->scope->shell_set = true;
    return true;
}

/* The heredocs of RUN become the text that the shell reads: alone the body, else all as it was written. */
static bool run_text(struct job *job, struct dockerfile_run *run, const char **out)
{
    const char *line = run->command.args.items[0];
    struct dockerfile_heredoc alone;
    bool is_alone = false;
    struct error ignored = { 0 };
    is_alone = heredoc_parse(job->arena, span_of(line), &alone, &is_alone, &ignored) && is_alone;
    const struct dockerfile_heredoc *first = &run->heredocs.items[0];
    if (is_alone) {
        const char *body = first->chomp ? heredoc_chomp(job->arena, first->body) : first->body;
        bool script = body && !strncmp(body, "#!", 2);
        run->script = script ? body : NULL;
        *out = script ? arena_printf(job->arena, "/dev/pipes/%s", first->name) : body;
        return *out || no_memory(job->err);
    }
    AUTO(bytes_release) struct bytes text = BYTES(DOCKERFILE_SIZE_MAX);
    if (!bytes_append_text(&text, line, job->err))
        return false;
    for (size_t i = 0; i < run->heredocs.count; i++)
        if (!bytes_append_char(&text, '\n', job->err) || !bytes_append_text(&text, first[i].body, job->err) ||
            !bytes_append_text(&text, first[i].name, job->err))
            return false;
    *out = arena_dup(job->arena, bytes_span(&text));
    return *out || no_memory(job->err);
}

static bool expand_value_of_mount(void *context, const char *value, const char **out, struct error *err)
{
    (void)err; /* the job has it */
    return expand_text(context, value, out);
}

static bool expand_mounts(struct job *job, struct dockerfile_mounts *mounts)
{
    const struct mount_expander expander = { expand_value_of_mount, job };
    struct dockerfile_mount *made = arena_take(job->arena, (mounts->count + 1) * sizeof *made);
    unsigned agents = 0;
    if (!made)
        return no_memory(job->err);
    for (size_t i = 0; i < mounts->count; i++) {
        struct mount_fields fields;
        made[i] = mounts->items[i];
        if (!mount_parse(job->arena, made[i].text, &expander, &fields, job->err) ||
            !mount_finish(job->arena, &fields, job->scope->workdir, &agents, &made[i], job->err))
            return false;
    }
    mounts->items = made;
    return true;
}

static bool expand_run(struct job *job, struct dockerfile_instruction *it)
{
    struct dockerfile_run *run = &it->run;
    if (!run->command.shell && !run->command.args.count)
        return error_set(job->err, ERROR_INVALID, "arguments are required");
    if (!expand_mounts(job, &run->mounts))
        return false;
    if (run->devices.count)
        return error_set(job->err, ERROR_INVALID,
                         "device feature is only supported in Dockerfile frontend 1.14.0-labs or later");
    if (!run->heredocs.count)
        return true;
    if (!run->command.shell || run->command.args.count != 1)
        return error_set(job->err, ERROR_INVALID, "a heredoc without a command");
    struct word_list text = { 0 };
    const char *words = NULL;
    if (!run_text(job, run, &words) || !word_add(job->arena, &text, words, job->err))
        return false;
    run->command.args = words_of(&text);
    return true;
}

static bool nothing_to_expand(struct job *job, struct dockerfile_instruction *it)
{
    (void)job;
    (void)it;
    return true;
}

/* A command that is not there is the empty text for the shell. */
static bool expand_command(struct job *job, struct dockerfile_instruction *it)
{
    static const char *const empty[] = { "" };
    (void)job;
    if (it->command.shell && !it->command.args.count)
        it->command.args = (struct dockerfile_words){ empty, 1 };
    return true;
}

static expand_fn *const expanders[] = {
    [DOCKERFILE_ADD] = expand_copy,
    [DOCKERFILE_ARG] = expand_arg,
    [DOCKERFILE_CMD] = expand_command,
    [DOCKERFILE_COPY] = expand_copy,
    [DOCKERFILE_ENTRYPOINT] = expand_command,
    [DOCKERFILE_ENV] = expand_env,
    [DOCKERFILE_EXPOSE] = expand_expose,
    [DOCKERFILE_FROM] = nothing_to_expand, /* plan.c expands these, in the global scope */
    [DOCKERFILE_HEALTHCHECK] = nothing_to_expand,
    [DOCKERFILE_LABEL] = expand_label,
    [DOCKERFILE_MAINTAINER] = nothing_to_expand,
    [DOCKERFILE_ONBUILD] = nothing_to_expand,
    [DOCKERFILE_RUN] = expand_run,
    [DOCKERFILE_SHELL] = expand_shell,
    [DOCKERFILE_STOPSIGNAL] = expand_signal,
    [DOCKERFILE_USER] = expand_value,
    [DOCKERFILE_VOLUME] = expand_volume,
    [DOCKERFILE_WORKDIR] = expand_workdir,
};
_Static_assert(sizeof expanders / sizeof *expanders == DOCKERFILE_OPS, "a row for each instruction");

bool dockerfile_expand(struct dockerfile_scope *scope, const struct dockerfile_instruction *in, struct arena *arena,
                       struct dockerfile_instruction *out, struct error *err)
{
    struct job job = { scope, arena, err };
    struct dockerfile_instruction made = *in;
    if (!expanders[in->op](&job, &made))
        return error_wrap(err, "dockerfile line %u", in->line);
    *out = made;
    return true;
}
