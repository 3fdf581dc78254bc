/* The history of an image as BuildKit words it. */
#include "shared/dockerfile/scope_private.h"

#include <string.h>

typedef bool describe_fn(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                         struct bytes *out, struct error *err);

static bool append_words(struct bytes *out, struct dockerfile_words words, bool quoted, struct error *err)
{
    for (size_t i = 0; i < words.count; i++) {
        if (i && !bytes_append_char(out, ' ', err))
            return false;
        if (!(quoted ? quote_append(out, span_of(words.items[i]), err) : bytes_append_text(out, words.items[i], err)))
            return false;
    }
    return true;
}

static bool append_list(struct bytes *out, struct dockerfile_words words, bool quoted, struct error *err)
{
    return bytes_append_text(out, " [", err) && append_words(out, words, quoted, err) &&
           bytes_append_char(out, ']', err);
}

static bool append_flag(struct bytes *out, const char *name, const char *value, struct error *err)
{
    return !value || bytes_printf(out, err, " --%s=%s", name, value);
}

/* Who may read an image may not know what its files were fetched with. BuildKit keeps it. */
static bool append_source(struct bytes *out, const char *source, struct error *err)
{
    const char *host = strstr(source, "://");
    if (!host || strncmp(source, "http", 4) != 0)
        return bytes_printf(out, err, " %s", source);
    host += strlen("://");
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    return bytes_printf(out, err, " %.*s%s", (int)(host - source), source, at ? at + 1 : host);
}

static bool describe_copy(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                          struct bytes *out, struct error *err)
{
    (void)scope;
    const struct dockerfile_copy *copy = &it->copy;
    if (copy->parents && !bytes_append_text(out, " --parents", err))
        return false;
    if (!append_flag(out, "chown", copy->chown, err) || !append_flag(out, "chmod", copy->chmod, err))
        return false;
    for (size_t i = 0; i < copy->sources.count; i++)
        if (!append_source(out, copy->sources.items[i], err))
            return false;
    for (size_t i = 0; i < copy->heredocs.count; i++)
        if (!bytes_printf(out, err, " <<%s", copy->heredocs.items[i].name))
            return false;
    return bytes_printf(out, err, " %s # buildkit", copy->dest);
}

static bool describe_pairs(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                           struct bytes *out, struct error *err)
{
    (void)scope;
    for (size_t i = 0; i < it->pairs.count; i++) {
        const struct dockerfile_pair *pair = &it->pairs.items[i];
        if (!bytes_append_char(out, ' ', err) || !bytes_append_text(out, pair->key, err))
            return false;
        if (pair->value && (!bytes_append_char(out, '=', err) || !bytes_append_text(out, pair->value, err)))
            return false;
    }
    return true;
}

static bool describe_command(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                             struct bytes *out, struct error *err)
{
    struct dockerfile_words args = it->command.args;
    if (it->op == DOCKERFILE_SHELL || !it->command.shell)
        return append_list(out, args, it->op != DOCKERFILE_SHELL, err);
    return bytes_append_text(out, " [", err) && append_words(out, scope->shell, true, err) &&
           bytes_append_char(out, ' ', err) && append_words(out, args, true, err) && bytes_append_char(out, ']', err);
}

static bool describe_list(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                          struct bytes *out, struct error *err)
{
    (void)scope;
    return append_list(out, it->list, false, err);
}

static bool describe_value(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                           struct bytes *out, struct error *err)
{
    (void)scope;
    return bytes_append_char(out, ' ', err) && bytes_append_text(out, it->value, err);
}

static bool describe_health(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                            struct bytes *out, struct error *err)
{
    (void)scope;
    const struct dockerfile_health *health = &it->health;
    const struct {
        const char *name;
        int64_t ns;
    } times[] = { { "Interval", health->interval_ns },
                  { "Timeout", health->timeout_ns },
                  { "StartPeriod", health->start_period_ns },
                  { "StartInterval", health->start_interval_ns } };
    const char *kind = health->none ? "NONE" : health->command.shell ? "CMD-SHELL" : "CMD";
    if (!bytes_printf(out, err, " {Test:[%s%s", kind, health->command.args.count ? " " : "") ||
        !append_words(out, health->command.args, false, err) || !bytes_append_char(out, ']', err))
        return false;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (!bytes_printf(out, err, " %s:", times[i].name) || !duration_append(out, times[i].ns, err))
            return false;
    return bytes_printf(out, err, " Retries:%d}", health->retries);
}

/* " |2 A=1 B=2" of the ARGs in scope. */
static bool append_args(const struct dockerfile_scope *scope, struct bytes *out, struct error *err)
{
    if (scope->args.count && !bytes_printf(out, err, " |%zu", scope->args.count))
        return false;
    for (size_t i = 0; i < scope->args.count; i++) {
        const char *value = dockerfile_scope_get(scope, scope->args.items[i]);
        if (!bytes_append_char(out, ' ', err) || !bytes_append_text(out, scope->args.items[i], err) ||
            !bytes_append_char(out, '=', err) || !bytes_append_text(out, value ? value : "", err))
            return false;
    }
    return true;
}

static bool describe_run(const struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                         struct bytes *out, struct error *err)
{
    struct run_prefix *prefix = scope->prefix;
    if (!prefix->valid) {
        bytes_clear(&prefix->text);
        prefix->valid = append_args(scope, &prefix->text, err);
    }
    if (!prefix->valid || !bytes_append_span(out, bytes_span(&prefix->text), err) || !bytes_append_char(out, ' ', err))
        return false;
    if (it->run.command.shell && (!append_words(out, scope->shell, false, err) || !bytes_append_char(out, ' ', err)))
        return false;
    return append_words(out, it->run.command.args, false, err) && bytes_append_text(out, " # buildkit", err);
}

static describe_fn *const describers[] = {
    [DOCKERFILE_ADD] = describe_copy,
    [DOCKERFILE_ARG] = describe_pairs,
    [DOCKERFILE_CMD] = describe_command,
    [DOCKERFILE_COPY] = describe_copy,
    [DOCKERFILE_ENTRYPOINT] = describe_command,
    [DOCKERFILE_ENV] = describe_pairs,
    [DOCKERFILE_EXPOSE] = describe_list,
    [DOCKERFILE_FROM] = NULL,
    [DOCKERFILE_HEALTHCHECK] = describe_health,
    [DOCKERFILE_LABEL] = describe_pairs,
    [DOCKERFILE_MAINTAINER] = describe_value,
    [DOCKERFILE_ONBUILD] = NULL,
    [DOCKERFILE_RUN] = describe_run,
    [DOCKERFILE_SHELL] = describe_command,
    [DOCKERFILE_STOPSIGNAL] = describe_value,
    [DOCKERFILE_USER] = describe_value,
    [DOCKERFILE_VOLUME] = describe_list,
    [DOCKERFILE_WORKDIR] = describe_value,
};
_Static_assert(sizeof describers / sizeof *describers == DOCKERFILE_OPS, "a row for each instruction");

bool dockerfile_created_by(struct dockerfile_scope *scope, const struct dockerfile_instruction *expanded,
                           struct bytes *out, struct error *err)
{
    describe_fn *describe = describers[expanded->op];
    size_t before = out->len;
    if (!describe)
        return true; /* FROM and ONBUILD leave no entry */
    bool ok = bytes_append_text(out, dockerfile_op_name(expanded->op), err) && describe(scope, expanded, out, err);
    scope->history += out->len - before;
    scope->steps += out->len - before;
    if (ok && scope->history > DOCKERFILE_HISTORY_MAX)
        ok = error_set(err, ERROR_TOO_LARGE,
                       "dockerfile line %u: the history of the stage takes more than %d bytes; fewer or shorter ARGs "
                       "make it shorter",
                       expanded->line, DOCKERFILE_HISTORY_MAX);
    if (!ok)
        bytes_truncate(out, before);
    return ok;
}
