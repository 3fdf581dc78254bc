#include "shared/dockerfile/lex.h"

#include <string.h>
#include <strings.h>

static const char *const directive_names[] = {
    [DIRECTIVE_SYNTAX] = "syntax", [DIRECTIVE_ESCAPE] = "escape", [DIRECTIVE_CHECK] = "check"
};

enum { COMMENTS_MAX = 100 }; /* kept above one instruction */

struct lexer lexer_on(struct arena *arena, struct span text)
{
    if (span_starts(text, "\xEF\xBB\xBF"))
        text = text_skip(text, 3);
    return (struct lexer){ .arena = arena, .rest = text, .escape = '\\' };
}

/* The next line, its end included in *whole and cut off in the result. */
static bool next_line(struct lexer *lexer, struct span *line, struct span *whole, struct error *err)
{
    long end = span_find(lexer->rest, '\n');
    *whole = (struct span){ lexer->rest.data, end < 0 ? lexer->rest.len : (size_t)end + 1 };
    *line = *whole;
    if (end >= 0)
        line->len--;
    if (line->len > DOCKERFILE_LINE_MAX)
        return error_set(err, ERROR_INVALID,
                         "dockerfile parse error on line %u: dockerfile line greater than max allowed size of %d",
                         lexer->number + 1, DOCKERFILE_LINE_MAX);
    while (line->len && line->data[line->len - 1] == '\r')
        line->len--;
    lexer->rest = text_skip(lexer->rest, whole->len);
    lexer->number++;
    return true;
}

static bool set_escape(struct lexer *lexer, struct span value, struct error *err)
{
    if (!span_is(value, "\\") && !span_is(value, "`"))
        return error_set(err, ERROR_INVALID, "invalid escape token '%.*s' does not match ` or \\", SPAN_ARGS(value));
    lexer->escape = value.data[0];
    return true;
}

static bool take_directive(struct lexer *lexer, int row, struct span value, struct error *err)
{
    if (lexer->directives_seen & (1u << row))
        return error_set(err, ERROR_INVALID, "only one %s parser directive can be used", directive_names[row]);
    lexer->directives_seen |= 1u << row;
    if (row == DIRECTIVE_ESCAPE)
        return set_escape(lexer, value, err);
    if (row == DIRECTIVE_CHECK)
        return true; /* check.c reads it */
    struct span rest = value, syntax = span_cut(&rest, ' ');
    lexer->syntax = arena_dup(lexer->arena, syntax);
    return lexer->syntax || no_memory(err);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ^([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$ */
int directive_parse(struct span line, struct span *value)
{
    struct span rest = text_trim_left(line);
    size_t length = 0;
    while (length < rest.len &&
           (is_letter(rest.data[length]) || (length && rest.data[length] >= '0' && rest.data[length] <= '9')))
        length++;
    struct span behind = text_trim_left(text_skip(rest, length));
    if (!span_starts(behind, "="))
        return -1;
    *value = text_trim(text_skip(behind, 1));
    for (int row = 0; value->len && row < DIRECTIVES; row++)
        if (strlen(directive_names[row]) == length && !strncasecmp(rest.data, directive_names[row], length))
            return row;
    return -1;
}

/* A line that is no directive ends them. *found: it was one. */
static bool directive(struct lexer *lexer, struct span line, bool *found, struct error *err)
{
    struct span value;
    int row = lexer->directives_over || !span_starts(line, "#") ? -1 : directive_parse(text_skip(line, 1), &value);
    lexer->directives_over = row < 0;
    *found = row >= 0;
    return row < 0 || take_directive(lexer, row, value, err);
}

static bool is_comment(struct span line)
{
    return span_starts(text_trim_left(line), "#");
}

/* Cut a continuation off the line's end: the escape character, not itself behind one, and blanks. */
static bool cut_continuation(const struct lexer *lexer, struct span *line)
{
    size_t end = line->len;
    while (end && (line->data[end - 1] == ' ' || line->data[end - 1] == '\t'))
        end--;
    if (!end || line->data[end - 1] != lexer->escape || (end > 1 && line->data[end - 2] == lexer->escape))
        return false;
    line->len = end - 1;
    return true;
}

/* Comments are kept for the instruction below them; an empty one makes a new beginning. Of very many the last is kept. */
static bool keep_comment(struct lexer *lexer, struct span line, struct error *err)
{
    struct word_list *comments = &lexer->comments;
    struct span comment = text_trim(text_skip(line, 1));
    if (!comment.len)
        comments->count = 0;
    else if (comments->count < COMMENTS_MAX)
        return word_add(lexer->arena, comments, arena_dup(lexer->arena, comment), err);
    else
        comments->items[COMMENTS_MAX - 1] = arena_dup(lexer->arena, comment);
    return !comments->count || comments->items[comments->count - 1] || no_memory(err);
}

/* Lines that continue the first one; comments and empty lines between them are passed over. */
static bool join_lines(struct lexer *lexer, struct bytes *joined, bool *empty, struct error *err)
{
    for (bool more = true; more && lexer->rest.len;) {
        struct span line, whole;
        if (!next_line(lexer, &line, &whole, err))
            return false;
        bool blank = !text_trim_left(line).len;
        *empty = *empty || blank;
        if (is_comment(line) || blank)
            continue;
        more = cut_continuation(lexer, &line);
        if (!bytes_append_span(joined, line, err))
            return false;
    }
    return true;
}

static bool read_heredoc(struct lexer *lexer, unsigned first, struct dockerfile_heredoc *heredoc, struct error *err)
{
    const char *start = lexer->rest.data;
    while (lexer->rest.len) {
        struct span line, whole;
        if (!next_line(lexer, &line, &whole, err))
            return false;
        struct span terminator = line;
        while (heredoc->chomp && terminator.len && terminator.data[0] == '\t')
            terminator = text_skip(terminator, 1);
        if (!span_is(terminator, heredoc->name))
            continue;
        heredoc->body = arena_dup(lexer->arena, (struct span){ start, (size_t)(whole.data - start) });
        return heredoc->body || no_memory(err);
    }
    return error_set(err, ERROR_INVALID, "dockerfile parse error on line %u: unterminated heredoc", first);
}

static bool may_hold_heredoc(const struct node *node)
{
    if (node->op == DOCKERFILE_ONBUILD && node->trigger)
        node = node->trigger;
    return !node->json && (node->op == DOCKERFILE_RUN || node->op == DOCKERFILE_COPY || node->op == DOCKERFILE_ADD);
}

static const char *unset(const void *context, struct span name)
{
    (void)context;
    (void)name;
    return NULL;
}

/* ^\d*<<-?$ */
static bool is_lone_start(const char *word)
{
    word += strspn(word, "0123456789");
    return !strcmp(word, "<<") || !strcmp(word, "<<-");
}

static bool read_heredocs(struct lexer *lexer, struct node *node, struct error *err)
{
    static const struct word_env nothing = { unset, NULL };
    static const struct word_rules raw = {
        .escape = '\\', .raw_quotes = true, .raw_escapes = true, .skip_unset = true
    };
    if (!may_hold_heredoc(node) || !strstr(node->line, "<<"))
        return true;
    struct word_list words = { 0 };
    struct error ignored = { 0 };
    if (!word_expand(span_of(node->line), &raw, &nothing, NULL, lexer->arena, &words, &ignored))
        return true; /* a shell line with a quote of its own: BuildKit sees no heredoc there either */
    node->heredocs = arena_take(lexer->arena, (words.count + 1) * sizeof *node->heredocs);
    if (!node->heredocs)
        return no_memory(err);
    for (size_t i = 0; i < words.count; i++) {
        struct dockerfile_heredoc *heredoc = &node->heredocs[node->heredoc_count];
        bool found = false;
        const char *word = words.items[i];
        if (is_lone_start(word) && i + 1 < words.count) /* `<< EOF` */
            word = arena_printf(lexer->arena, "%s%s", word, words.items[++i]);
        if (!word)
            return no_memory(err);
        if (!heredoc_parse(lexer->arena, span_of(word), heredoc, &found, err))
            return error_wrap(err, "dockerfile parse error on line %u", node->first);
        if (found && !read_heredoc(lexer, node->first, heredoc, err))
            return false;
        node->heredoc_count += found;
    }
    return true;
}

static bool make_node(struct lexer *lexer, unsigned first, struct span line, struct node *node, struct error *err)
{
    node->first = first;
    node->comments = lexer->comments;
    lexer->comments = (struct word_list){ 0 };
    if (!node_parse(lexer->arena, lexer->escape, line, node, err))
        return error_wrap(err, "dockerfile parse error on line %u", first);
    if (!read_heredocs(lexer, node, err))
        return false;
    node->last = lexer->number;
    return true;
}

/* What stands before an instruction. *line is left empty when nothing of the instruction stands there. */
static bool take_comment(struct lexer *lexer, struct span *line, struct error *err)
{
    bool is_directive = false;
    struct span text = text_trim_left(*line);
    if (!directive(lexer, text, &is_directive, err))
        return error_wrap(err, "dockerfile parse error on line %u", lexer->number);
    bool comment = is_comment(text);
    if (comment && !is_directive && !keep_comment(lexer, *line, err))
        return false;
    *line = comment ? (struct span){ text.data, 0 } : text;
    return true;
}

bool lexer_next(struct lexer *lexer, struct node **out, struct error *err)
{
    AUTO(bytes_release) struct bytes joined = BYTES(DOCKERFILE_SIZE_MAX);
    *out = NULL;
    while (lexer->rest.len) {
        struct span line, whole;
        bool empty = false;
        if (!next_line(lexer, &line, &whole, err) || !take_comment(lexer, &line, err))
            return false;
        unsigned first = lexer->number;
        bool more = cut_continuation(lexer, &line);
        if (!line.len && !more)
            continue;
        if (!bytes_append_span(&joined, line, err) || (more && !join_lines(lexer, &joined, &empty, err)))
            return false;
        struct node *node = arena_take(lexer->arena, sizeof *node);
        if (!node)
            return no_memory(err);
        node->empty_continuation = empty ? lexer->number : 0;
        *out = node;
        return make_node(lexer, first, bytes_span(&joined), node, err);
    }
    return true;
}
