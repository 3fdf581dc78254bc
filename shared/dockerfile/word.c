/* Quotes, escapes and variables inside words, in the manner of BuildKit's shell.Lex, which resembles a shell without
 * being one: https://docs.docker.com/reference/dockerfile/#environment-replacement */
#include "shared/dockerfile/text.h"

#include <string.h>

struct split;

struct walk {
    struct span text;
    size_t at;
    const struct word_rules *rules;
    const struct word_env *env;
    bool raw_escapes;
    unsigned depth;
    struct split *split; /* of the whole */
};

/* The words that a text falls into, beside its result as a whole. */
struct split {
    struct arena *arena;
    struct word_list *words; /* NULL: nobody asks */
    struct bytes word;
    bool in_word;
};

static int32_t peek(const struct walk *walk)
{
    size_t width = 0;
    return walk->at < walk->text.len ? rune_at(text_skip(walk->text, walk->at), &width) : RUNE_END;
}

static int32_t take(struct walk *walk)
{
    if (walk->at >= walk->text.len)
        return RUNE_END;
    size_t width = 0;
    int32_t rune = rune_at(text_skip(walk->text, walk->at), &width);
    walk->at += width;
    return rune;
}

static bool split_end(struct split *split, struct error *err)
{
    if (split->words && split->word.len) {
        if (!word_add(split->arena, split->words, arena_dup(split->arena, bytes_span(&split->word)), err))
            return false;
        split->in_word = false;
    }
    bytes_clear(&split->word);
    return true;
}

static bool split_raw(struct split *split, struct span text, struct error *err)
{
    split->in_word = true;
    return !split->words || bytes_append_span(&split->word, text, err);
}

static bool split_rune(struct split *split, int32_t rune, bool raw, struct error *err)
{
    if (!split->words)
        return true;
    if (!raw && rune_is_space(rune))
        return !split->in_word || split_end(split, err);
    split->in_word = true;
    return rune_append(&split->word, rune, err);
}

static bool split_text(struct split *split, struct span text, struct error *err)
{
    size_t width = 0;
    for (; text.len; text = text_skip(text, width))
        if (!split_rune(split, rune_at(text, &width), false, err))
            return false;
    return true;
}

static bool walk_until(struct walk *walk, int32_t stop, bool raw_escapes, struct bytes *out, struct split *split,
                       struct error *err);

static bool single_quoted(struct walk *walk, struct bytes *out, struct error *err)
{
    int32_t rune = take(walk);
    if (walk->rules->raw_quotes && !rune_append(out, rune, err))
        return false;
    for (;;) {
        rune = take(walk);
        if (rune == RUNE_END)
            return error_set(err, ERROR_INVALID, "unexpected end of statement while looking for matching single-quote");
        bool last = rune == '\'';
        if ((!last || walk->rules->raw_quotes) && !rune_append(out, rune, err))
            return false;
        if (last)
            return true;
    }
}

/* An escape inside double quotes means something before `"`, `$` and itself only. */
static bool quoted_escape(struct walk *walk, struct bytes *out, struct error *err)
{
    int32_t rune = walk->rules->escape;
    if (walk->raw_escapes && !rune_append(out, rune, err))
        return false;
    int32_t next = peek(walk);
    if (next == RUNE_END)
        return true;
    if (next == '"' || next == '$' || next == walk->rules->escape)
        rune = take(walk);
    return rune_append(out, rune, err);
}

static bool dollar(struct walk *walk, struct bytes *out, struct error *err);

static bool double_quoted(struct walk *walk, struct bytes *out, struct error *err)
{
    int32_t rune = take(walk);
    if (walk->rules->raw_quotes && !rune_append(out, rune, err))
        return false;
    for (;;) {
        rune = peek(walk);
        if (rune == RUNE_END)
            return error_set(err, ERROR_INVALID, "unexpected end of statement while looking for matching double-quote");
        if (rune == '$') {
            if (!dollar(walk, out, err))
                return false;
            continue;
        }
        take(walk);
        if (rune == '"')
            return !walk->rules->raw_quotes || rune_append(out, rune, err);
        if (!(rune == walk->rules->escape ? quoted_escape(walk, out, err) : rune_append(out, rune, err)))
            return false;
    }
}

/* A name, a run of digits, or one of the shell's special parameters. */
static struct span take_name(struct walk *walk)
{
    size_t start = walk->at;
    int32_t first = peek(walk);
    if (first >= '0' && first <= '9') {
        while (peek(walk) >= '0' && peek(walk) <= '9')
            take(walk);
    } else if (first > 0 && first < 0x80 && strchr("@*#?-$!", first)) {
        take(walk);
    } else {
        while (rune_is_letter(peek(walk)) || peek(walk) == '_')
            take(walk);
    }
    return (struct span){ walk->text.data + start, walk->at - start };
}

static const char *value_of(const struct walk *walk, struct span name)
{
    return walk->env->get(walk->env->context, name);
}

static bool plain_variable(struct walk *walk, struct bytes *out, struct error *err)
{
    struct span name = take_name(walk);
    if (!name.len)
        return bytes_append_char(out, '$', err);
    const char *value = value_of(walk, name);
    if (!value && walk->rules->skip_unset)
        return bytes_append_char(out, '$', err) && bytes_append_span(out, name, err);
    return bytes_append_text(out, value ? value : "", err);
}

static bool missing_brace(struct error *err)
{
    return error_set(err, ERROR_INVALID, "syntax error: missing '}'");
}

static bool unsupported(struct span modifier, struct error *err)
{
    return error_set(err, ERROR_INVALID, "unsupported modifier (%.*s) in substitution", SPAN_ARGS(modifier));
}

/* A part inside ${...} up to `stop`. */
static bool take_part(struct walk *walk, int32_t stop, bool raw_escapes, struct bytes *out, const char *missing,
                      struct error *err)
{
    struct error inner = { 0 };
    struct split nobody = { 0 };
    /* BuildKit keeps the word that is being split and the part in one buffer: what the word held so far is lost to the
     * words, though not to the result. EXPOSE shows it. */
    bytes_clear(&walk->split->word);
    if (walk_until(walk, stop, raw_escapes, out, &nobody, &inner))
        return true;
    if (inner.kind == ERROR_INVALID && peek(walk) == RUNE_END)
        return error_set(err, ERROR_INVALID, "%s", missing);
    *err = inner;
    return false;
}

/* What a ${name...} is made of. */
struct substitution {
    struct span name;
    const char *value; /* NULL: unset */
    struct span modifier;
    struct span word;
    struct bytes *out;
};

static bool or_default(const struct substitution *s, bool unset, struct error *err)
{
    return unset ? bytes_append_span(s->out, s->word, err) : bytes_append_text(s->out, s->value, err);
}

static bool or_nothing(const struct substitution *s, bool unset, struct error *err)
{
    return unset || bytes_append_span(s->out, s->word, err);
}

static bool or_fail(const struct substitution *s, bool unset, struct error *err)
{
    if (!unset)
        return bytes_append_text(s->out, s->value, err);
    const char *why = s->value ? "is not allowed to be empty" : "is not allowed to be unset";
    struct span text = s->word.len ? s->word : span_of(why);
    return error_set(err, ERROR_INVALID, "%.*s: %.*s", SPAN_ARGS(s->name), SPAN_ARGS(text));
}

static bool trimmed(const struct substitution *s, bool unset, struct error *err)
{
    (void)unset;
    char operator= s->modifier.data[s->modifier.len - 1];
    struct span pattern = s->word;
    bool longest = pattern.len && pattern.data[0] == operator;
    if (longest)
        pattern = text_skip(pattern, 1);
    return pattern_trim(span_of(s->value ? s->value : ""), pattern, operator== '%', longest, s->out, err);
}

static const struct {
    char operator;
    bool raw_escapes;
    bool (*apply)(const struct substitution *s, bool unset, struct error *err);
} modifiers[] = {
    { '-', false, or_default }, { '+', false, or_nothing }, { '?', false, or_fail },
    { '#', true, trimmed },     { '%', true, trimmed },
};

/* ${name:-word} and its relatives, the cursor behind the operator. */
static bool modified(struct walk *walk, struct substitution *s, struct error *err)
{
    bool colon = s->modifier.data[0] == ':';
    char operator= s->modifier.len> colon ? s->modifier.data[colon] : 0;
    size_t row = 0, rows = sizeof modifiers / sizeof *modifiers;
    while (row < rows && modifiers[row].operator!= operator)
        row++;
    if (colon && row < rows && modifiers[row].raw_escapes)
        return unsupported(s->modifier, err);
    AUTO(bytes_release) struct bytes word = BYTES(DOCKERFILE_WORD_MAX);
    if (!take_part(walk, '}', row < rows && modifiers[row].raw_escapes, &word, "syntax error: missing '}'", err))
        return false;
    s->word = bytes_span(&word);
    s->value = value_of(walk, s->name);
    if (!s->value && walk->rules->skip_unset)
        return bytes_printf(s->out, err, "${%.*s%.*s%.*s}", SPAN_ARGS(s->name), SPAN_ARGS(s->modifier),
                            SPAN_ARGS(s->word));
    if (row == rows)
        return unsupported(s->modifier, err);
    return modifiers[row].apply(s, !s->value || (colon && !*s->value), err);
}

static bool replaced(struct walk *walk, struct substitution *s, struct error *err)
{
    AUTO(bytes_release) struct bytes pattern = BYTES(DOCKERFILE_WORD_MAX);
    AUTO(bytes_release) struct bytes replacement = BYTES(DOCKERFILE_WORD_MAX);
    bool all = peek(walk) == '/';
    if (all)
        take(walk);
    if (!take_part(walk, '/', true, &pattern, "syntax error: missing '/' in ${}", err))
        return false;
    if (!take_part(walk, '}', true, &replacement, "syntax error: missing '}'", err))
        return false;
    struct span what = bytes_span(&pattern), by = bytes_span(&replacement);
    s->value = value_of(walk, s->name);
    if (!s->value && walk->rules->skip_unset)
        return bytes_printf(s->out, err, "${%.*s/%.*s/%.*s}", SPAN_ARGS(s->name), SPAN_ARGS(what), SPAN_ARGS(by));
    return pattern_replace(span_of(s->value ? s->value : ""), what, by, all, s->out, err);
}

static bool braced(struct walk *walk, struct bytes *out, struct error *err)
{
    int32_t first = peek(walk);
    if (first == RUNE_END)
        return missing_brace(err);
    if (first == '{' || first == '}' || first == ':')
        return error_set(err, ERROR_INVALID, "syntax error: bad substitution");
    struct substitution s = { .name = take_name(walk), .out = out };
    size_t start = walk->at;
    int32_t operator= take(walk);
    if (operator== '}') {
        s.value = value_of(walk, s.name);
        if (!s.value && walk->rules->skip_unset)
            return bytes_printf(out, err, "${%.*s}", SPAN_ARGS(s.name));
        return bytes_append_text(out, s.value ? s.value : "", err);
    }
    if (operator== '/')
        return replaced(walk, &s, err);
    if (operator== ':')
        take(walk);
    s.modifier = (struct span){ walk->text.data + start, walk->at - start };
    if (operator== RUNE_END)
        return unsupported(SPAN("\xEF\xBF\xBD"), err);
    if (operator!= ':' &&(operator>= 0x80 || !strchr("+-?#%", operator)))
        return unsupported(s.modifier, err);
    return modified(walk, &s, err);
}

static bool dollar(struct walk *walk, struct bytes *out, struct error *err)
{
    take(walk);
    if (peek(walk) != '{')
        return plain_variable(walk, out, err);
    take(walk);
    return braced(walk, out, err);
}

/* A character with a meaning of its own; its result goes to the words as it is, or split if it was a variable. */
static bool special(struct walk *walk, int32_t rune, struct bytes *out, struct split *split, struct error *err)
{
    size_t before = out->len;
    bool ok = rune == '$'    ? dollar(walk, out, err)
              : rune == '\'' ? single_quoted(walk, out, err)
                             : double_quoted(walk, out, err);
    if (!ok)
        return false;
    struct span added = { out->len ? out->data + before : "", out->len - before };
    return rune == '$' ? split_text(split, added, err) : split_raw(split, added, err);
}

static bool ordinary(struct walk *walk, int32_t rune, struct bytes *out, struct split *split, struct error *err)
{
    if (rune != walk->rules->escape)
        return split_rune(split, rune, false, err) && rune_append(out, rune, err);
    if (walk->raw_escapes && (!split_rune(split, rune, true, err) || !rune_append(out, rune, err)))
        return false;
    rune = take(walk);
    return rune == RUNE_END || (split_rune(split, rune, true, err) && rune_append(out, rune, err));
}

static bool walk_on(struct walk *walk, int32_t stop, struct bytes *out, struct split *split, struct error *err)
{
    for (;;) {
        int32_t rune = peek(walk);
        if (rune == RUNE_END)
            break;
        if (rune == stop) {
            take(walk);
            return split_end(split, err);
        }
        if (rune == '$' || (!walk->rules->skip_quotes && (rune == '\'' || rune == '"'))) {
            if (!special(walk, rune, out, split, err))
                return false;
            continue;
        }
        take(walk);
        if (!ordinary(walk, rune, out, split, err))
            return false;
    }
    if (stop != RUNE_END)
        return error_set(err, ERROR_INVALID, "unexpected end of statement while looking for matching %c", (char)stop);
    return split_end(split, err);
}

static bool walk_until(struct walk *walk, int32_t stop, bool raw_escapes, struct bytes *out, struct split *split,
                       struct error *err)
{
    if (walk->depth == DOCKERFILE_NESTING_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d substitutions inside each other", DOCKERFILE_NESTING_MAX);
    bool before = walk->raw_escapes;
    walk->raw_escapes = raw_escapes;
    walk->depth++;
    bool ok = walk_on(walk, stop, out, split, err);
    walk->depth--;
    walk->raw_escapes = before;
    return ok;
}

bool word_expand(struct span word, const struct word_rules *rules, const struct word_env *env, struct bytes *result,
                 struct arena *arena, struct word_list *words, struct error *err)
{
    AUTO(bytes_release) struct bytes own = BYTES(DOCKERFILE_SIZE_MAX);
    struct bytes *out = result ? result : &own;
    size_t before = out->len;
    struct walk walk = { .text = word, .rules = rules, .env = env };
    struct split split = { .arena = arena, .words = words, .word = BYTES(DOCKERFILE_SIZE_MAX) };
    walk.split = &split;
    if (span_starts(word, "\xEF\xBB\xBF"))
        walk.at = 3; /* Go's scanner passes over a byte order mark */
    bool ok = walk_until(&walk, RUNE_END, rules->raw_escapes, out, &split, err);
    bytes_release(&split.word);
    if (ok)
        return true;
    out->len = before;
    if (err->kind == ERROR_INVALID) {
        AUTO(free) char *quoted = quote(word);
        error_wrap(err, "failed to process %s", quoted ? quoted : "");
    }
    return false;
}
