#include "shared/dockerfile/check.h"
#include "shared/dockerfile/lex.h"

#include <string.h>

void dockerfile_free(struct dockerfile *dockerfile)
{
    if (!dockerfile)
        return;
    arena_free(dockerfile->arena);
    free(dockerfile);
}

/* All of them before the meaning of the first: BuildKit too finds broken lines before misused instructions. */
static bool read_nodes(struct lexer *lexer, struct word_list *nodes, struct error *err)
{
    for (;;) {
        struct node *node = NULL;
        if (!lexer_next(lexer, &node, err))
            return false;
        if (!node)
            break;
        if (nodes->count == DOCKERFILE_INSTRUCTIONS_MAX)
            return error_set(err, ERROR_TOO_LARGE, "the dockerfile has more than %d instructions",
                             DOCKERFILE_INSTRUCTIONS_MAX);
        if (!word_add(lexer->arena, nodes, (const char *)node, err))
            return false;
    }
    return nodes->count ||
           error_set(err, ERROR_INVALID, "dockerfile parse error on line %u: file with no instructions", lexer->number);
}

static bool understand(struct arena *arena, const struct word_list *nodes, struct dockerfile_instruction *all,
                       size_t *stages, struct error *err)
{
    *stages = 0;
    for (size_t i = 0; i < nodes->count; i++) {
        const struct node *node = (const void *)nodes->items[i];
        if (!instruction_from(arena, node, &all[i], err))
            return error_wrap(err, "dockerfile parse error on line %u", node->first);
        *stages += all[i].op == DOCKERFILE_FROM;
        if (*stages > DOCKERFILE_STAGES_MAX)
            return error_set(err, ERROR_TOO_LARGE, "the dockerfile has more than %d stages", DOCKERFILE_STAGES_MAX);
        if (!*stages && all[i].op != DOCKERFILE_ARG)
            return error_set(err, ERROR_INVALID, "dockerfile parse error on line %u: no build stage in current context",
                             node->first);
    }
    return true;
}

/* The instructions stand in one array; a stage is a piece of it. */
static bool divide(struct dockerfile *made, const struct dockerfile_instruction *all, size_t count, size_t stages,
                   struct error *err)
{
    struct dockerfile_stage *stage = arena_take(made->arena, (stages + 1) * sizeof *stage);
    if (!stage)
        return no_memory(err);
    if (!stages)
        return error_set(err, ERROR_INVALID, "dockerfile contains no stages to build");
    made->stages = stage;
    made->globals = all;
    for (size_t i = 0; i < count; i++) {
        if (all[i].op == DOCKERFILE_FROM)
            stage[made->stage_count++] = (struct dockerfile_stage){
                .from = all[i].from, .head = &all[i], .line = all[i].line, .instructions = &all[i] + 1
            };
        else if (made->stage_count)
            stage[made->stage_count - 1].count++;
        else
            made->global_count++;
    }
    return true;
}

static bool parse_into(struct dockerfile *made, struct span text, struct error *err)
{
    struct lexer lexer = lexer_on(made->arena, text);
    struct word_list nodes = { 0 };
    size_t stages = 0;
    if (!read_nodes(&lexer, &nodes, err))
        return false;
    struct dockerfile_instruction *all = arena_take(made->arena, nodes.count * sizeof *all);
    if (!all)
        return no_memory(err);
    made->escape = lexer.escape;
    made->syntax = lexer.syntax;
    if (!check_find(made->arena, text, &made->check, err))
        return false;
    return understand(made->arena, &nodes, all, &stages, err) && divide(made, all, nodes.count, stages, err);
}

static unsigned line_of(struct span text, long offset)
{
    unsigned line = 1;
    for (long i = 0; i < offset; i++)
        line += text.data[i] == '\n';
    return line;
}

struct dockerfile *dockerfile_parse(struct span text, struct error *err)
{
    if (text.len > DOCKERFILE_SIZE_MAX) {
        error_set(err, ERROR_TOO_LARGE, "the dockerfile is larger than %d bytes", DOCKERFILE_SIZE_MAX);
        return NULL;
    }
    long nul = span_find(text, '\0');
    if (nul >= 0) {
        error_set(err, ERROR_INVALID, "dockerfile parse error on line %u: a NUL byte", line_of(text, nul));
        return NULL;
    }
    AUTO(dockerfile_free) struct dockerfile *made = calloc(1, sizeof *made);
    if (made)
        made->arena = arena_new(DOCKERFILE_MEMORY_MAX);
    if (!made || !made->arena) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return parse_into(made, text, err) ? TAKE(made) : NULL;
}

bool dockerfile_parse_trigger(struct arena *arena, const char *text, struct dockerfile_instruction *out,
                              struct error *err)
{
    struct lexer lexer = lexer_on(arena, span_of(text));
    struct node *node = NULL, *more = NULL;
    lexer.directives_over = true;
    if (!lexer_next(&lexer, &node, err) || (node && !lexer_next(&lexer, &more, err)))
        return error_wrap(err, "ONBUILD trigger");
    if (!node || more)
        return error_set(err, ERROR_INVALID, "ONBUILD trigger is not one instruction: '%.300s'", text);
    if (node->op == DOCKERFILE_ONBUILD || node->op == DOCKERFILE_FROM || node->op == DOCKERFILE_MAINTAINER)
        return error_set(err, ERROR_INVALID, "%s isn't allowed as an ONBUILD trigger", dockerfile_op_name(node->op));
    return instruction_from(arena, node, out, err) || error_wrap(err, "ONBUILD trigger '%.300s'", text);
}
