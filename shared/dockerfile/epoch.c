/* SOURCE_DATE_EPOCH as a build argument or a global ARG: seconds, or the name of what has a time. */
#include "shared/dockerfile/gitref.h"
#include "shared/dockerfile/scope_private.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define STAGE "SOURCE_DATE_EPOCH stage "

/* strconv.ParseInt(text, 10, 64) */
static bool parse_seconds(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t length = strlen(digits);
    if (!length || digits[strspn(digits, "0123456789")])
        return false;
    digits += strspn(digits, "0");
    if (strlen(digits) > 18) /* nobody's clock goes that far */
        return false;
    *out = strtoll(digits, NULL, 10);
    *out = *text == '-' ? -*out : *out;
    return true;
}

static bool take_args(struct dockerfile_scope *scope, const struct dockerfile_instruction *it, struct error *err)
{
    for (size_t i = 0; i < it->pairs.count; i++) {
        AUTO(bytes_release) struct bytes value = BYTES(DOCKERFILE_WORD_MAX);
        const struct dockerfile_pair *pair = &it->pairs.items[i];
        const char *given = scope_build_arg(scope, pair->key);
        if (!given && !pair->value)
            continue;
        if (!given && !dockerfile_expand_word(scope, pair->value, scope->escape, &value, err))
            return false;
        if (!scope_set_env(scope, pair->key, given ? given : bytes_text(&value), err))
            return false;
    }
    return true;
}

static bool take_source(struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                        struct dockerfile_epoch *out, struct error *err)
{
    AUTO(bytes_release) struct bytes source = BYTES(DOCKERFILE_WORD_MAX);
    struct git_ref ref;
    bool is_git = false;
    struct error why = { 0 };
    if (it->copy.heredocs.count || it->copy.sources.count != 1)
        return error_set(err, ERROR_INVALID, STAGE "must contain exactly one remote ADD source");
    if (!dockerfile_expand_word(scope, it->copy.sources.items[0], scope->escape, &source, err))
        return false;
    out->source = arena_dup(scope->arena, bytes_span(&source));
    if (!out->source)
        return no_memory(err);
    bool read = git_ref_parse(scope->arena, out->source, &ref, &is_git, &why);
    bool http = !strncmp(out->source, "http://", 7) || !strncmp(out->source, "https://", 8);
    if (!read && is_git) {
        *err = why;
        return false;
    }
    return (read && !ref.looks_like_a_path) || http ||
           error_set(err, ERROR_INVALID, STAGE "source must be a single HTTP(S) or Git ADD");
}

/* A stage that does nothing but fetch: FROM scratch, ARGs, one ADD of something remote. */
static bool read_stage(struct dockerfile_scope *scope, const struct dockerfile_stage *stage,
                       struct dockerfile_epoch *out, struct error *err)
{
    AUTO(bytes_release) struct bytes base = BYTES(DOCKERFILE_WORD_MAX);
    if (!dockerfile_expand_word(scope, stage->from.image, scope->escape, &base, err))
        return false;
    if (strcmp(bytes_text(&base), "scratch") != 0)
        return error_set(err, ERROR_INVALID, STAGE "must use FROM scratch");
    for (size_t i = 0; i < stage->count; i++) {
        const struct dockerfile_instruction *it = &stage->instructions[i];
        if (it->op != DOCKERFILE_ARG && it->op != DOCKERFILE_ADD)
            return error_set(err, ERROR_INVALID,
                             STAGE "does not meet source-only requirements: unsupported %s instruction", it->name);
        if (it->op == DOCKERFILE_ADD && out->source)
            return error_set(err, ERROR_INVALID, STAGE "must contain exactly one remote ADD");
        if (!(it->op == DOCKERFILE_ARG ? take_args(scope, it, err) : take_source(scope, it, out, err)))
            return false;
    }
    return out->source || error_set(err, ERROR_INVALID, STAGE "must contain exactly one remote ADD");
}

static bool find_stage(struct dockerfile_scope *scope, const struct dockerfile *dockerfile, const char *name,
                       struct dockerfile_epoch *out, struct error *err)
{
    AUTO(dockerfile_scope_free) struct dockerfile_scope *inner = NULL;
    size_t i = 0;
    while (i < dockerfile->stage_count &&
           (!dockerfile->stages[i].from.name || strcasecmp(dockerfile->stages[i].from.name, name) != 0))
        i++;
    if (i == dockerfile->stage_count)
        return error_set(err, ERROR_INVALID, "invalid SOURCE_DATE_EPOCH: %.300s", name);
    inner = scope_copy(scope, err);
    if (!inner || !read_stage(inner, &dockerfile->stages[i], out, err))
        return inner && error_wrap(err, "dockerfile line %u", dockerfile->stages[i].line);
    out->kind = DOCKERFILE_EPOCH_SOURCE;
    out->source = arena_dup(scope->arena, span_of(out->source));
    return out->source || no_memory(err);
}

bool scope_read_epoch(struct dockerfile_scope *scope, const struct dockerfile *dockerfile,
                      const struct dockerfile_pairs *contexts, struct error *err)
{
    static const char name[] = "SOURCE_DATE_EPOCH";
    const char *given = scope_build_arg(scope, name), *value = given ? given : dockerfile_scope_get(scope, name);
    struct dockerfile_epoch *epoch = &scope->epoch;
    if (!value || (!given && !*value))
        return true;
    value = arena_dup(scope->arena, span_of(value));
    if (!value)
        return no_memory(err);
    scope_unset(scope, name);
    if (!*value)
        return true;
    if (parse_seconds(value, &epoch->seconds)) {
        epoch->kind = DOCKERFILE_EPOCH_SECONDS;
        const char *text = arena_printf(scope->arena, "%" PRId64, epoch->seconds);
        return text ? scope_reset(scope, name, text, given != NULL, err) : no_memory(err);
    }
    epoch->name = value;
    epoch->kind = DOCKERFILE_EPOCH_CONTEXT;
    for (size_t i = 0; i < contexts->count; i++)
        if (!strcmp(contexts->items[i].key, value))
            return true;
    return !strcmp(value, "context") || find_stage(scope, dockerfile, value, epoch, err);
}

struct dockerfile_epoch dockerfile_scope_epoch(const struct dockerfile_scope *global)
{
    return global->epoch;
}
