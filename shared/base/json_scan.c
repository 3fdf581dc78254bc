#include "shared/base/json_scan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/json_strict.h"
#include "shared/base/json_text.h"

/* Paths are looked at only this deep; what lies deeper in a document is checked and passed by. */
enum { PATH_DEPTH_MAX = 16, PATH_STEPS_MAX = 256 };

struct step {
    struct span key; /* as written in the path; absent: "[]"       */
    bool quoted;     /* it has backslashes, which are not of the key */
};

/* Bit i of a set stands for paths[i], so that one word says which paths still lead somewhere. */
struct level {
    uint64_t open; /* paths that lead to the container of this level        */
    uint64_t seen; /* of those, whose key has stood in this object already  */
    size_t start;  /* offset of the container                               */
    size_t index;  /* of the present element                                */
};

struct scan {
    struct span text;
    size_t at;
    bool strict;
    bool escaped; /* the string that was scanned last holds backslashes */
    size_t depth, depth_max;
    uint8_t is_array[JSON_SCAN_DEPTH_MAX / 8]; /* a bit a level, whose container is number depth - 1 */
    struct level levels[PATH_DEPTH_MAX + 1];

    const struct json_path *paths;
    size_t path_count;
    struct step steps[PATH_STEPS_MAX];
    const struct step *path_steps[JSON_SCAN_PATHS_MAX];
    uint64_t ends[PATH_DEPTH_MAX + 1];     /* paths of exactly so many steps                     */
    uint64_t elements[PATH_DEPTH_MAX + 1]; /* paths whose step number so-and-so is "[]"          */
    uint64_t keys[PATH_DEPTH_MAX + 1];     /* and those where it is a key                        */
    uint64_t next;                         /* paths that lead to the value that is about to come */

    json_scan_fn *on_value;
    void *context;
    struct error *err;
};

bool json_error_at(struct error *err, struct span text, size_t offset, const char *format, ...)
{
    char sentence[600];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    size_t line, column;
    json_position(text, offset, &line, &column);
    return error_set(err, ERROR_INVALID, "line %zu column %zu: %s", line, column, sentence);
}

static bool malformed(struct scan *s, size_t offset, const char *what)
{
    return json_error_at(s->err, s->text, offset, "%s", what);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline void skip_blanks(struct scan *s)
{
    while (s->at < s->text.len && is_blank(s->text.data[s->at]))
        s->at++;
}

/* NUL at the end, which no token starts with. */
static char peek(const struct scan *s)
{
    return s->at < s->text.len ? s->text.data[s->at] : '\0';
}

/* Paths are ours, not the sender's: a wrong one is a mistake in the program. */
static void compile_path(struct scan *s, size_t number, size_t *used)
{
    const char *p = s->paths[number].path;
    uint64_t bit = (uint64_t)1 << number;
    size_t depth = 0;
    s->path_steps[number] = s->steps + *used;
    while (*p) {
        assert(depth < PATH_DEPTH_MAX && *used < PATH_STEPS_MAX);
        struct step *step = &s->steps[(*used)++];
        *step = (struct step){ { NULL, 0 }, false };
        if (strncmp(p, "[]", 2) == 0) {
            s->elements[depth++] |= bit;
            p += 2;
        } else {
            step->key = json_path_key(p);
            step->quoted = span_find(step->key, '\\') >= 0;
            assert(step->key.len > 0);
            s->keys[depth++] |= bit;
            p += step->key.len;
        }
        p += *p == '.';
    }
    s->ends[depth] |= bit;
}

static bool is_picked(const struct scan *s)
{
    return s->depth <= PATH_DEPTH_MAX && (s->next & s->ends[s->depth]) != 0;
}

/* Position in the innermost array that holds the present value and is part of its path. */
static size_t innermost_index(const struct scan *s)
{
    for (size_t depth = s->depth; depth-- > 0;)
        if (s->is_array[depth / 8] >> (depth % 8) & 1)
            return s->levels[depth].index;
    return 0;
}

static bool announce(struct scan *s, enum json_type type, size_t start)
{
    struct span raw = { s->text.data + start, s->at - start };
    size_t index = innermost_index(s);
    for (uint64_t left = s->next & s->ends[s->depth]; left; left &= left - 1) {
        int field = s->paths[__builtin_ctzll(left)].field;
        if (!s->on_value(s->context, field, type, raw, index, s->err))
            return false;
    }
    return true;
}

static bool scan_escape(struct scan *s)
{
    struct json_escape escape;
    size_t start = s->at;
    struct span rest = { s->text.data + start, s->text.len - start };
    if (!json_escape_read(rest, &escape))
        return malformed(s, start, "unknown escape in a string");
    if (s->strict && escape.lone_surrogate)
        return malformed(s, start, "half of a surrogate pair in a string");
    if (s->strict && escape.code_point == 0)
        return malformed(s, start, "an escaped NUL in a string");
    s->at += escape.length;
    s->escaped = true;
    return true;
}

static bool scan_utf8(struct scan *s)
{
    size_t n = span_utf8_sequence((struct span){ s->text.data + s->at, s->text.len - s->at });
    if (n == 0)
        return malformed(s, s->at, "not UTF-8");
    s->at += n;
    return true;
}

/* From the quote to behind the closing one. */
static bool scan_string(struct scan *s)
{
    size_t start = s->at++;
    s->escaped = false;
    for (;;) {
        s->at += json_plain_run(s->text.data + s->at, s->text.len - s->at);
        if (s->at == s->text.len)
            return malformed(s, start, "a string without its closing quote");
        unsigned char c = (unsigned char)s->text.data[s->at];
        if (c == '"')
            break;
        if (c < 0x20)
            return malformed(s, s->at, "a control character in a string must be escaped");
        if (c == '\\' ? !scan_escape(s) : !scan_utf8(s))
            return false;
    }
    s->at++;
    return true;
}

static size_t scan_digits(struct scan *s)
{
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at - start;
}

static bool scan_number(struct scan *s)
{
    size_t start = s->at;
    s->at += peek(s) == '-';
    bool zero = peek(s) == '0';
    size_t digits = scan_digits(s);
    if (digits == 0 || (zero && digits > 1))
        return malformed(s, start, digits == 0 ? "a minus without a number" : "a number with a leading zero");
    if (peek(s) == '.') {
        s->at++;
        if (scan_digits(s) == 0)
            return malformed(s, start, "a number without digits behind its point");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        s->at += peek(s) == '+' || peek(s) == '-';
        if (scan_digits(s) == 0)
            return malformed(s, start, "a number without digits in its exponent");
    }
    if (s->strict && s->at - start > JSON_NUMBER_MAX)
        return malformed(s, start, "a number of more characters than are read");
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    struct span rest = { s->text.data + s->at, s->text.len - s->at };
    if (!span_starts(rest, word))
        return malformed(s, s->at, "a value is missing here");
    s->at += strlen(word);
    return true;
}

static bool scan_scalar(struct scan *s, enum json_type *type)
{
    switch (peek(s)) {
    case '"':
        *type = JSON_STRING;
        return scan_string(s);
    case 't':
        *type = JSON_BOOLEAN;
        return scan_word(s, "true");
    case 'f':
        *type = JSON_BOOLEAN;
        return scan_word(s, "false");
    case 'n':
        *type = JSON_NULL;
        return scan_word(s, "null");
    case '-':
    case '0' ... '9':
        *type = JSON_NUMBER;
        return scan_number(s);
    }
    return malformed(s, s->at,
                     s->at == s->text.len ? "the text ends where a value is expected" : "a value is missing here");
}

static bool open_container(struct scan *s, bool array)
{
    if (s->depth == s->depth_max)
        return json_error_at(s->err, s->text, s->at, "nested deeper than %zu", s->depth_max);
    size_t depth = s->depth++;
    uint8_t bit = (uint8_t)(1u << (depth % 8));
    s->is_array[depth / 8] = (uint8_t)(array ? s->is_array[depth / 8] | bit : s->is_array[depth / 8] & ~bit);
    if (depth <= PATH_DEPTH_MAX)
        s->levels[depth] = (struct level){ .open = s->next, .start = s->at };
    s->next = array && depth <= PATH_DEPTH_MAX ? s->next & s->elements[depth] : 0;
    s->at++;
    return true;
}

static bool close_container(struct scan *s, bool array)
{
    size_t depth = --s->depth;
    s->at++;
    if (depth > PATH_DEPTH_MAX)
        return true;
    s->next = s->levels[depth].open;
    return !is_picked(s) || announce(s, array ? JSON_ARRAY : JSON_OBJECT, s->levels[depth].start);
}

static bool in_array(const struct scan *s)
{
    return s->is_array[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1;
}

/* Which paths go on with this key (in its quotes). */
static uint64_t paths_with_key(const struct scan *s, uint64_t candidates, struct span raw_key)
{
    const struct span key = { raw_key.data + 1, raw_key.len - 2 };
    uint64_t matching = 0;
    for (uint64_t left = candidates; left; left &= left - 1) {
        int number = __builtin_ctzll(left);
        const struct step *step = &s->path_steps[number][s->depth - 1];
        if (!s->escaped && !step->quoted && (step->key.len != key.len || *step->key.data != *key.data))
            continue;
        if (s->escaped || step->quoted ? json_key_is(raw_key, step->key) : span_equal(key, step->key))
            matching |= (uint64_t)1 << number;
    }
    return matching;
}

/* A member's key and colon. */
static bool scan_key(struct scan *s)
{
    size_t start = s->at;
    if (peek(s) != '"')
        return malformed(s, start, "a key in quotes is missing here");
    if (!scan_string(s))
        return false;
    struct span raw = { s->text.data + start, s->at - start };
    s->next = 0;
    size_t depth = s->depth - 1;
    if (depth <= PATH_DEPTH_MAX && (s->levels[depth].open & s->keys[depth])) {
        struct level *level = &s->levels[depth];
        s->next = paths_with_key(s, level->open & s->keys[depth], raw);
        if (s->next & level->seen)
            return json_error_at(s->err, s->text, start, "the key %.*s stands twice in its object",
                                 (int)(raw.len < 100 ? raw.len : 100), raw.data);
        level->seen |= s->next;
    }
    skip_blanks(s);
    if (peek(s) != ':')
        return malformed(s, s->at, "a colon is missing behind the key");
    s->at++;
    return true;
}

/* Behind a comma or an opening brace: get the next member or element going. */
static bool begin_item(struct scan *s)
{
    skip_blanks(s);
    return in_array(s) || scan_key(s);
}

/* Behind a value: close what ends here, up to the comma before the next value or the end of the document. */
static bool after_value(struct scan *s)
{
    while (s->depth > 0) {
        skip_blanks(s);
        bool array = in_array(s);
        char c = peek(s);
        if (c == ',') {
            s->at++;
            if (array && s->depth <= PATH_DEPTH_MAX + 1) {
                struct level *level = &s->levels[s->depth - 1];
                level->index++;
                s->next = level->open & s->elements[s->depth - 1];
            }
            return begin_item(s);
        }
        if (c != (array ? ']' : '}'))
            return malformed(s, s->at, array ? "a comma or ']' is missing here" : "a comma or '}' is missing here");
        if (!close_container(s, array))
            return false;
    }
    return true;
}

/* One value, of which a container that is not empty is only begun. */
static bool scan_value(struct scan *s, bool *begun)
{
    skip_blanks(s);
    *begun = false;
    char c = peek(s);
    if (c == '{' || c == '[') {
        bool array = c == '[';
        if (!open_container(s, array))
            return false;
        skip_blanks(s);
        if (peek(s) == (array ? ']' : '}'))
            return close_container(s, array);
        *begun = true;
        return begin_item(s);
    }
    size_t start = s->at;
    enum json_type type = JSON_NULL;
    return scan_scalar(s, &type) && (!is_picked(s) || announce(s, type, start));
}

static bool scan_document(struct scan *s)
{
    if (span_starts(s->text, "\xef\xbb\xbf"))
        return malformed(s, 0, "a byte order mark stands before the value");
    do {
        bool begun;
        if (!scan_value(s, &begun) || (!begun && !after_value(s)))
            return false;
    } while (s->depth > 0);
    skip_blanks(s);
    return s->at == s->text.len || malformed(s, s->at, "something stands behind the end of the value");
}

static void scan_init(struct scan *s, struct span text, size_t depth_max, struct error *err)
{
    /* The big tables are filled as far as they are used; only these need a beginning. */
    s->text = text;
    s->at = s->depth = s->path_count = 0;
    s->depth_max = depth_max;
    s->strict = false;
    s->next = 0;
    s->err = err;
    memset(s->ends, 0, sizeof s->ends);
    memset(s->elements, 0, sizeof s->elements);
    memset(s->keys, 0, sizeof s->keys);
    memset(s->is_array, 0, sizeof s->is_array);
}

bool json_scan(struct span text, const struct json_path *paths, size_t count, json_scan_fn *on_value, void *context,
               struct error *err)
{
    assert(count <= JSON_SCAN_PATHS_MAX);
    struct scan s;
    scan_init(&s, text, JSON_SCAN_DEPTH_MAX, err);
    s.paths = paths;
    s.path_count = count;
    s.on_value = on_value;
    s.context = context;
    size_t used = 0; /* of the steps */
    for (size_t i = 0; i < count; i++) {
        compile_path(&s, i, &used);
        s.next |= (uint64_t)1 << i;
    }
    return scan_document(&s);
}

bool json_check_strictly(struct span text, size_t depth_max, struct error *err)
{
    assert(depth_max <= JSON_SCAN_DEPTH_MAX);
    struct scan s;
    scan_init(&s, text, depth_max, err);
    s.strict = true;
    return scan_document(&s);
}
