#include "shared/dockerfile/text.h"

#include <string.h>
#include <strings.h>

bool no_memory(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "the dockerfile needs more than %d bytes of memory", DOCKERFILE_MEMORY_MAX);
}

static size_t sequence_length(unsigned char lead)
{
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if (lead >= 0xE0 && lead <= 0xEF)
        return 3;
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 1;
}

int32_t rune_at(struct span text, size_t *width)
{
    unsigned char lead = (unsigned char)text.data[0];
    *width = 1;
    if (lead < 0x80)
        return lead;
    size_t length = sequence_length(lead);
    if (length == 1 || length > text.len || !span_is_utf8((struct span){ text.data, length }))
        return RUNE_ERROR;
    int32_t rune = lead & (0xFF >> (length + 1));
    for (size_t i = 1; i < length; i++)
        rune = (rune << 6) | ((unsigned char)text.data[i] & 0x3F);
    *width = length;
    return rune;
}

bool rune_append(struct bytes *out, int32_t rune, struct error *err)
{
    uint32_t r = rune < 0 ? RUNE_ERROR : (uint32_t)rune;
    char utf8[4];
    size_t length = r < 0x80 ? 1 : r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = { 0, 0x00, 0xC0, 0xE0, 0xF0 };
    for (size_t i = length - 1; i > 0; i--, r >>= 6)
        utf8[i] = (char)(0x80 | (r & 0x3F));
    utf8[0] = (char)(leads[length] | r);
    return bytes_append(out, utf8, length, err);
}

bool rune_is_space(int32_t r)
{
    return r == ' ' || (r >= '\t' && r <= '\r') || r == 0x85 || r == 0xA0 || r == 0x1680 ||
           (r >= 0x2000 && r <= 0x200A) || r == 0x2028 || r == 0x2029 || r == 0x202F || r == 0x205F || r == 0x3000;
}

bool rune_is_letter(int32_t r)
{
    /* Blocks of Unicode without letters and digits; everything else beyond ASCII counts as one. */
    static const struct {
        int32_t first, last;
    } others[] = {
        { 0x80, 0xA9 },     { 0xAB, 0xB4 },       { 0xB6, 0xB9 },        { 0xBB, 0xBF },     { 0xD7, 0xD7 },
        { 0xF7, 0xF7 },     { 0x300, 0x36F },     { 0x2000, 0x2070 },    { 0x2072, 0x207E }, { 0x2080, 0x208F },
        { 0x20A0, 0x20FF }, { 0x2190, 0x2BFF },   { 0x3000, 0x3004 },    { 0x3008, 0x3030 }, { 0xE000, 0xF8FF },
        { 0xFE00, 0xFE6F }, { 0xFF00, 0xFF0F },   { 0xFF1A, 0xFF20 },    { 0xFF3B, 0xFF40 }, { 0xFF5B, 0xFF65 },
        { 0xFFE0, 0xFFFF }, { 0x1F000, 0x1FFFF }, { 0xE0000, 0x10FFFF },
    };
    if (r < 0x80)
        return (r >= '0' && r <= '9') || (r >= 'A' && r <= 'Z') || (r >= 'a' && r <= 'z');
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (r >= others[i].first && r <= others[i].last)
            return false;
    return true;
}

struct span text_skip(struct span s, size_t count)
{
    return (struct span){ s.data + count, s.len - count };
}

struct span text_trim_left(struct span s)
{
    size_t width = 0;
    while (s.len && rune_is_space(rune_at(s, &width)))
        s = text_skip(s, width);
    return s;
}

struct span text_trim(struct span s)
{
    s = text_trim_left(s);
    while (s.len) {
        size_t start = s.len - 1, width = 0;
        while (start && s.len - start < 4 && ((unsigned char)s.data[start] & 0xC0) == 0x80)
            start--;
        if (!rune_is_space(rune_at(text_skip(s, start), &width)) || start + width != s.len)
            break;
        s.len = start;
    }
    return s;
}

char *text_lower(struct arena *arena, struct span s)
{
    char *out = arena_dup(arena, s);
    for (char *p = out; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    return out;
}

static bool is_separator(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

size_t separator_end(struct span s, size_t at)
{
    while (at < s.len && is_separator(s.data[at]))
        at++;
    return at;
}

size_t separator_find(struct span s, size_t at)
{
    while (at < s.len && !is_separator(s.data[at]))
        at++;
    return at;
}

bool word_add(struct arena *arena, struct word_list *list, const char *word, struct error *err)
{
    if (!word)
        return no_memory(err);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        const char **items = arena_take(arena, capacity * sizeof *items);
        if (!items)
            return no_memory(err);
        if (list->count)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = word;
    return true;
}

struct dockerfile_words words_of(const struct word_list *list)
{
    return (struct dockerfile_words){ list->items, list->count };
}

static const char *short_escape(int32_t r)
{
    static const struct {
        int32_t rune;
        const char *text;
    } rows[] = { { '"', "\\\"" }, { '\\', "\\\\" }, { '\a', "\\a" }, { '\b', "\\b" }, { '\f', "\\f" },
                 { '\n', "\\n" }, { '\r', "\\r" },  { '\t', "\\t" }, { '\v', "\\v" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].rune == r)
            return rows[i].text;
    return NULL;
}

static bool is_printable(int32_t r)
{
    return (r >= 0x20 && r < 0x7F) || (r > 0xA0 && r != 0xAD && !rune_is_space(r) && !(r >= 0xE000 && r <= 0xF8FF) &&
                                       !(r >= 0x200B && r <= 0x200F) && !(r >= 0x202A && r <= 0x202E) && r != 0xFEFF);
}

static bool quote_rune(struct bytes *out, struct span at, size_t width, int32_t rune, struct error *err)
{
    const char *escape = short_escape(rune);
    if (escape)
        return bytes_append_text(out, escape, err);
    if (rune == RUNE_ERROR && width == 1)
        return bytes_printf(out, err, "\\x%02x", (unsigned char)at.data[0]);
    if (is_printable(rune))
        return bytes_append(out, at.data, width, err);
    if (rune < 0x80)
        return bytes_printf(out, err, "\\x%02x", (unsigned)rune);
    return bytes_printf(out, err, rune < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)rune);
}

bool quote_append(struct bytes *out, struct span text, struct error *err)
{
    if (!bytes_append_char(out, '"', err))
        return false;
    size_t width = 0;
    for (; text.len; text = text_skip(text, width)) {
        int32_t rune = rune_at(text, &width);
        if (!quote_rune(out, text, width, rune, err))
            return false;
    }
    return bytes_append_char(out, '"', err);
}

char *quote(struct span text)
{
    AUTO(bytes_release) struct bytes out = BYTES(8 * 600);
    struct error err = { 0 };
    if (text.len > 600)
        text.len = 600;
    return quote_append(&out, text, &err) ? bytes_take(&out) : calloc(1, 1);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum { SUGGEST_LENGTH_MAX = 128, SUGGEST_DISTANCE_MAX = 3 };

struct runes {
    int32_t items[SUGGEST_LENGTH_MAX];
    size_t count;
};

/* False: too long to be compared. */
static bool runes_of(const char *text, bool case_sensitive, struct runes *out)
{
    size_t width = 0;
    out->count = 0;
    for (struct span rest = span_of(text); rest.len; rest = text_skip(rest, width)) {
        int32_t rune = rune_at(rest, &width);
        if (out->count == SUGGEST_LENGTH_MAX)
            return false;
        out->items[out->count++] = !case_sensitive && rune >= 'A' && rune <= 'Z' ? rune + 32 : rune;
    }
    return true;
}

static size_t distance(const struct runes *a, const struct runes *b)
{
    size_t line[SUGGEST_LENGTH_MAX + 1];
    if (a->count >= b->count + SUGGEST_DISTANCE_MAX || b->count >= a->count + SUGGEST_DISTANCE_MAX)
        return SUGGEST_DISTANCE_MAX;
    for (size_t j = 0; j <= b->count; j++)
        line[j] = j;
    for (size_t i = 1; i <= a->count; i++) {
        size_t diagonal = line[0];
        line[0] = i;
        for (size_t j = 1; j <= b->count; j++) {
            size_t here = least(least(line[j], line[j - 1]) + 1, diagonal + (a->items[i - 1] != b->items[j - 1]));
            diagonal = line[j];
            line[j] = here;
        }
    }
    return line[b->count];
}

const char *suggest(const char *wrong, const char *const *names, size_t count, bool case_sensitive)
{
    const char *best = NULL;
    size_t nearest = SUGGEST_DISTANCE_MAX;
    struct runes asked, name;
    if (!runes_of(wrong, case_sensitive, &asked))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!runes_of(names[i], case_sensitive, &name))
            continue;
        size_t d = distance(&asked, &name);
        if (!d)
            return NULL; /* the name itself is not what is wrong */
        if (d < nearest) {
            nearest = d;
            best = names[i];
        }
    }
    return best;
}
