/* The words of one instruction's line, by the rules of that instruction. */
#include "shared/dockerfile/lex.h"

#include <string.h>
#include <strings.h>

enum { ONBUILD_DEPTH_MAX = 20 };

typedef bool args_fn(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err);

static bool add_span(struct arena *arena, struct word_list *list, struct span s, struct error *err)
{
    return word_add(arena, list, arena_dup(arena, s), err);
}

static bool as_one(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    (void)escape;
    return !rest.len || add_span(arena, &node->args, rest, err);
}

static bool as_blank_separated(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    (void)escape;
    for (size_t at = 0; rest.len && at <= rest.len;) {
        size_t end = separator_find(rest, at);
        if (!add_span(arena, &node->args, (struct span){ rest.data + at, end - at }, err))
            return false;
        if (end == rest.len)
            break;
        at = separator_end(rest, end);
    }
    return true;
}

/* The JSON form, or else what `otherwise` makes of it. */
static bool as_json(struct arena *arena, char escape, struct span rest, struct node *node, args_fn *otherwise,
                    struct error *err)
{
    struct word_list words = { 0 };
    bool has_nul = false;
    switch (json_words_parse(arena, rest, &words, &has_nul, err)) {
    case JSON_WORDS:
        node->has_nul = has_nul;
        node->args = words;
        node->json = true;
        return true;
    case JSON_NOT_STRINGS:
        return error_set(err, ERROR_INVALID, "when using JSON array syntax, arrays must be comprised of strings only");
    case JSON_NOT_ARRAY:
        return otherwise(arena, escape, rest, node, err);
    default:
        return false;
    }
}

static bool as_json_or_text(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    return as_json(arena, escape, rest, node, as_one, err);
}

static bool as_json_or_words(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    return as_json(arena, escape, rest, node, as_blank_separated, err);
}

/* One word at *at with quotes and escapes left in; false without one. */
static bool quoted_word(char escape, struct span rest, size_t *at, struct bytes *word, bool *found, struct error *err)
{
    size_t width = 0, p = *at;
    char quote_char = 0;
    *found = false;
    while (p < rest.len && rune_is_space(rune_at(text_skip(rest, p), &width)))
        p += width;
    for (; p < rest.len; p += width) {
        int32_t rune = rune_at(text_skip(rest, p), &width);
        if (!quote_char && rune_is_space(rune))
            break;
        if (rune == escape && quote_char != '\'') {
            if (p + width == rest.len) { /* an escape that escapes nothing is dropped */
                quote_char = 0;
                continue;
            }
            if (!bytes_append(word, rest.data + p, width, err))
                return false;
            p += width;
            rune_at(text_skip(rest, p), &width);
        } else if (quote_char ? rune == quote_char : rune == '\'' || rune == '"') {
            quote_char = quote_char ? 0 : (char)rune;
            *found = true;
        }
        if (!bytes_append(word, rest.data + p, width, err))
            return false;
    }
    *found = *found || word->len;
    *at = p;
    return true;
}

/* Words in which quotes hold blanks together; the quotes are processed when the words are expanded. */
static bool as_quoted_words(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    AUTO(bytes_release) struct bytes word = BYTES(DOCKERFILE_SIZE_MAX);
    for (size_t at = 0; at < rest.len;) {
        bool found = false;
        bytes_clear(&word);
        if (!quoted_word(escape, rest, &at, &word, &found, err))
            return false;
        if (found && !add_span(arena, &node->args, bytes_span(&word), err))
            return false;
    }
    return true;
}

/* `KEY the rest of the line`, the form of before there was "=". */
static bool legacy_pair(struct arena *arena, struct span rest, struct node *node, struct error *err)
{
    size_t key = separator_find(rest, 0);
    node->args.count = 0;
    node->legacy = true;
    if (key == rest.len)
        return error_set(err, ERROR_INVALID, "%s must have two arguments", dockerfile_op_name(node->op));
    return add_span(arena, &node->args, (struct span){ rest.data, key }, err) &&
           add_span(arena, &node->args, text_skip(rest, separator_end(rest, key)), err);
}

static bool as_pairs(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    struct node words = { 0 };
    if (!as_quoted_words(arena, escape, rest, &words, err))
        return false;
    if (words.args.count && !strchr(words.args.items[0], '='))
        return legacy_pair(arena, rest, node, err);
    for (size_t i = 0; i < words.args.count; i++) {
        struct span value = span_of(words.args.items[i]), key = span_cut(&value, '=');
        if (!value.data) {
            AUTO(free) char *quoted = quote(key);
            return error_set(err, ERROR_INVALID, "Syntax error - can't find = in %s. Must be of the form: name=value",
                             quoted ? quoted : "");
        }
        if (!add_span(arena, &node->args, key, err) || !add_span(arena, &node->args, value, err))
            return false;
    }
    return true;
}

static bool as_trigger(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err);

/* The kind of check, then its command. */
static bool as_health(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    size_t kind = 0;
    while (kind < rest.len && !rune_is_space((unsigned char)rest.data[kind]))
        kind++;
    size_t next = kind;
    while (next < rest.len && rune_is_space((unsigned char)rest.data[next]))
        next++;
    if (!kind)
        return true;
    struct node command = { 0 };
    if (!as_json_or_text(arena, escape, text_skip(rest, next), &command, err) ||
        !add_span(arena, &node->args, (struct span){ rest.data, kind }, err))
        return false;
    node->json = command.json;
    node->has_nul = command.has_nul;
    for (size_t i = 0; i < command.args.count; i++)
        if (!word_add(arena, &node->args, command.args.items[i], err))
            return false;
    return true;
}

static const struct {
    const char *name;
    args_fn *args;
} instructions[] = {
    [DOCKERFILE_ADD] = { "ADD", as_json_or_words },
    [DOCKERFILE_ARG] = { "ARG", as_quoted_words },
    [DOCKERFILE_CMD] = { "CMD", as_json_or_text },
    [DOCKERFILE_COPY] = { "COPY", as_json_or_words },
    [DOCKERFILE_ENTRYPOINT] = { "ENTRYPOINT", as_json_or_text },
    [DOCKERFILE_ENV] = { "ENV", as_pairs },
    [DOCKERFILE_EXPOSE] = { "EXPOSE", as_blank_separated },
    [DOCKERFILE_FROM] = { "FROM", as_blank_separated },
    [DOCKERFILE_HEALTHCHECK] = { "HEALTHCHECK", as_health },
    [DOCKERFILE_LABEL] = { "LABEL", as_pairs },
    [DOCKERFILE_MAINTAINER] = { "MAINTAINER", as_one },
    [DOCKERFILE_ONBUILD] = { "ONBUILD", as_trigger },
    [DOCKERFILE_RUN] = { "RUN", as_json_or_text },
    [DOCKERFILE_SHELL] = { "SHELL", as_json_or_text },
    [DOCKERFILE_STOPSIGNAL] = { "STOPSIGNAL", as_one },
    [DOCKERFILE_USER] = { "USER", as_one },
    [DOCKERFILE_VOLUME] = { "VOLUME", as_json_or_words },
    [DOCKERFILE_WORKDIR] = { "WORKDIR", as_one },
};
_Static_assert(sizeof instructions / sizeof *instructions == DOCKERFILE_OPS, "a row for each instruction");

const char *dockerfile_op_name(enum dockerfile_op op)
{
    return instructions[op].name;
}

enum dockerfile_op op_of(const char *name)
{
    unsigned op = 0;
    while (op < DOCKERFILE_OPS && strcasecmp(instructions[op].name, name) != 0)
        op++;
    return (enum dockerfile_op)op;
}

/* One flag of `rest` at *at, quotes and escapes processed. False in *found: the next word is none. */
static bool take_flag(char escape, struct span rest, size_t *at, struct bytes *flag, struct error *err)
{
    char quote_char = 0;
    size_t p = *at;
    for (; p < rest.len; p++) {
        char c = rest.data[p];
        if (!quote_char && rune_is_space((unsigned char)c) && (unsigned char)c < 0x80)
            break;
        if (quote_char ? c == quote_char : c == '\'' || c == '"') {
            quote_char = quote_char ? 0 : c;
            continue;
        }
        if (c == escape) {
            if (p + 1 == rest.len)
                continue;
            c = rest.data[++p];
        }
        if (!bytes_append_char(flag, c, err))
            return false;
    }
    *at = p;
    return true;
}

/* The flags at the front of *rest, which is cut to what stands behind them. */
static bool take_flags(struct arena *arena, char escape, struct span *rest, struct word_list *flags, struct error *err)
{
    AUTO(bytes_release) struct bytes flag = BYTES(DOCKERFILE_SIZE_MAX);
    for (;;) {
        while (rest->len && (unsigned char)rest->data[0] < 0x80 && rune_is_space((unsigned char)rest->data[0]))
            *rest = text_skip(*rest, 1);
        if (!span_starts(*rest, "--"))
            return true;
        size_t at = 0;
        bytes_clear(&flag);
        if (!take_flag(escape, *rest, &at, &flag, err))
            return false;
        *rest = text_skip(*rest, at);
        if (!strcmp(bytes_text(&flag), "--"))
            return true;
        if (!add_span(arena, flags, bytes_span(&flag), err))
            return false;
    }
}

bool node_parse(struct arena *arena, char escape, struct span line, struct node *node, struct error *err)
{
    struct span text = text_trim(line);
    size_t end = separator_find(text, 0);
    node->name = arena_dup(arena, (struct span){ text.data, end });
    node->line = arena_dup(arena, line);
    if (!node->name || !node->line)
        return no_memory(err);
    node->op = op_of(node->name);
    struct span rest = text_skip(text, separator_end(text, end));
    if (!take_flags(arena, escape, &rest, &node->flags, err))
        return false;
    rest = text_trim(rest);
    return node->op == DOCKERFILE_OPS || instructions[node->op].args(arena, escape, rest, node, err);
}

static bool as_trigger(struct arena *arena, char escape, struct span rest, struct node *node, struct error *err)
{
    if (!rest.len)
        return true;
    node->trigger = arena_take(arena, sizeof *node->trigger);
    if (!node->trigger)
        return no_memory(err);
    struct span name = { rest.data, separator_find(rest, 0) };
    node->trigger->depth = node->depth + 1;
    bool chain = name.len == strlen("ONBUILD") && !strncasecmp(name.data, "ONBUILD", name.len);
    if (chain && node->depth == ONBUILD_DEPTH_MAX) {
        node->trigger->name = arena_dup(arena, name); /* a chain is refused later, however long it is */
        node->trigger->op = DOCKERFILE_ONBUILD;
        return node->trigger->name || no_memory(err);
    }
    return node_parse(arena, escape, rest, node->trigger, err);
}
