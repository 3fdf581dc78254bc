/* JSON arrays of strings as Go's encoding/json reads them, which decides between the exec and the shell form. */
#include "shared/dockerfile/text.h"

#include <string.h>

enum { DEPTH_MAX = 500 };

struct cursor {
    const char *at, *end;
    unsigned depth;
    bool has_nul;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

static bool next_is(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits behind \u; -1 when they are none. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Behind "\u"; a lone surrogate becomes U+FFFD. */
static bool unicode_escape(struct cursor *c, int32_t *rune)
{
    int32_t high = hex4(c->at, c->end);
    if (high < 0)
        return false;
    c->at += 4;
    *rune = high >= 0xD800 && high <= 0xDFFF ? RUNE_ERROR : high;
    if (high < 0xD800 || high > 0xDBFF || c->end - c->at < 6 || c->at[0] != '\\' || c->at[1] != 'u')
        return true;
    int32_t low = hex4(c->at + 2, c->end);
    if (low >= 0xDC00 && low <= 0xDFFF) {
        *rune = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        c->at += 6;
    }
    return true;
}

static bool escape(struct cursor *c, int32_t *rune)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->at == c->end)
        return false;
    char letter = *c->at++;
    if (letter == 'u')
        return unicode_escape(c, rune);
    const char *row = letter ? strchr(from, letter) : NULL;
    if (!row)
        return false;
    *rune = to[row - from];
    return true;
}

/* Behind the opening quote. False: broken. Failures of memory show in *err. */
static bool string(struct cursor *c, struct bytes *out, struct error *err)
{
    while (c->at < c->end) {
        size_t width = 0;
        int32_t rune = rune_at((struct span){ c->at, (size_t)(c->end - c->at) }, &width);
        c->at += width;
        if (rune == '"')
            return true;
        if (rune < 0x20 || (rune == '\\' && !escape(c, &rune)))
            return false;
        c->has_nul = c->has_nul || !rune;
        if (!(rune ? rune_append(out, rune, err) : bytes_append_text(out, NUL_IN_TEXT, err)))
            return false;
    }
    return false;
}

static size_t digits(struct cursor *c)
{
    const char *start = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return (size_t)(c->at - start);
}

static bool number(struct cursor *c)
{
    if (*c->at == '-')
        c->at++;
    bool zero = c->at < c->end && *c->at == '0';
    size_t whole = digits(c);
    if (!whole || (zero && whole > 1))
        return false;
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!digits(c))
            return false;
    }
    if (c->at == c->end || (*c->at != 'e' && *c->at != 'E'))
        return true;
    c->at++;
    if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
        c->at++;
    return digits(c) > 0;
}

static bool literal(struct cursor *c)
{
    static const char *const words[] = { "true", "false", "null" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(c->end - c->at) >= length && !memcmp(c->at, words[i], length)) {
            c->at += length;
            return true;
        }
    }
    return false;
}

static bool value(struct cursor *c, struct error *err);

/* Behind '[' or '{': is it well formed? */
static bool container(struct cursor *c, bool object, struct error *err)
{
    char close = object ? '}' : ']';
    if (next_is(c, close))
        return true;
    do {
        AUTO(bytes_release) struct bytes key = BYTES(DOCKERFILE_SIZE_MAX);
        if (object && (!next_is(c, '"') || !string(c, &key, err) || !next_is(c, ':')))
            return false;
        if (!value(c, err))
            return false;
    } while (next_is(c, ','));
    return next_is(c, close);
}

/* Any value, only checked. */
static bool value(struct cursor *c, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(DOCKERFILE_SIZE_MAX);
    skip_blanks(c);
    if (c->at == c->end || c->depth == DEPTH_MAX)
        return false;
    if (*c->at == '"') {
        c->at++;
        return string(c, &text, err);
    }
    if (*c->at == '-' || (*c->at >= '0' && *c->at <= '9'))
        return number(c);
    if (*c->at != '[' && *c->at != '{')
        return literal(c);
    bool object = *c->at++ == '{';
    c->depth++;
    bool ok = container(c, object, err);
    c->depth--;
    return ok;
}

static bool element(struct cursor *c, struct arena *arena, struct word_list *out, bool *strings, struct error *err)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != '"') {
        *strings = false;
        return value(c, err);
    }
    AUTO(bytes_release) struct bytes text = BYTES(DOCKERFILE_SIZE_MAX);
    c->at++;
    return string(c, &text, err) && word_add(arena, out, arena_dup(arena, span_of(bytes_text(&text))), err);
}

enum json_words json_words_parse(struct arena *arena, struct span text, struct word_list *out, bool *has_nul,
                                 struct error *err)
{
    struct error failed = { 0 };
    text = text_trim_left(text);
    struct cursor c = { text.data, text.data + text.len, 0, false };
    bool strings = true;
    if (!next_is(&c, '['))
        return JSON_NOT_ARRAY;
    bool ok = next_is(&c, ']');
    if (!ok) {
        do
            ok = element(&c, arena, out, &strings, &failed);
        while (ok && next_is(&c, ','));
        ok = ok && next_is(&c, ']');
    }
    if (failed.kind) {
        *err = failed;
        return JSON_FAILED;
    }
    skip_blanks(&c);
    *has_nul = c.has_nul;
    if (!ok || c.at != c.end)
        return JSON_NOT_ARRAY;
    return strings ? JSON_WORDS : JSON_NOT_STRINGS;
}
