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

/* Functions that read take the place where they begin and return the one behind what they have read; NULL with *err filled. The place is
 * not a member, so that it stays in a register. */
struct scan {
    const char *begin, *end;
    bool strict;
    bool escaped;       /* the string that was scanned last holds backslashes */
    bool array;         /* the innermost container is one                     */
    const char *window; /* JSON_WINDOW bytes, which move on in such steps; behind the end there are zeros */
    uint64_t special;   /* which of them are not plain text, bit 0 the first */
    size_t depth, depth_max;
    uint8_t is_array[JSON_SCAN_DEPTH_MAX / 8]; /* a bit a level, whose container is number depth - 1 */
    struct level levels[PATH_DEPTH_MAX + 1];

    const struct json_path *paths;
    size_t path_count;
    struct step steps[PATH_STEPS_MAX];
    const struct step *path_steps[JSON_SCAN_PATHS_MAX];
    uint64_t ends[PATH_DEPTH_MAX + 1];      /* paths of exactly so many steps                     */
    uint64_t elements[PATH_DEPTH_MAX + 1];  /* paths whose step number so-and-so is "[]"          */
    uint64_t keys[PATH_DEPTH_MAX + 1];      /* and those where it is a key                        */
    uint64_t key_marks[PATH_DEPTH_MAX + 1]; /* key_mark() of those keys: most others are none of them */
    uint64_t next;                          /* paths that lead to the value that is about to come */
    uint64_t by_key;                        /* paths that a key of the present object may lead on */

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

static struct span text_of(const struct scan *s)
{
    return (struct span){ s->begin, (size_t)(s->end - s->begin) };
}

static const char *malformed(const struct scan *s, const char *at, const char *what)
{
    json_error_at(s->err, text_of(s), (size_t)(at - s->begin), "%s", what);
    return NULL;
}

static inline bool is_blank(char c)
{
    return (unsigned char)c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

static inline const char *skip_blanks(const struct scan *s, const char *at)
{
    while (at < s->end && is_blank(*at))
        at++;
    return at;
}

/* NUL at the end, which no token starts with. */
static inline char peek(const struct scan *s, const char *at)
{
    return at < s->end ? *at : '\0';
}

/* A bit for a key: two keys of the same length and first character have the same one. */
static inline uint64_t key_mark(struct span key)
{
    return (uint64_t)1 << (((unsigned char)*key.data + 7 * key.len) % 64);
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
            s->key_marks[depth] |= step->quoted ? UINT64_MAX : key_mark(step->key);
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

static bool announce(const struct scan *s, enum json_type type, const char *start, const char *behind)
{
    struct span raw = { start, (size_t)(behind - start) };
    size_t index = innermost_index(s);
    for (uint64_t left = s->next & s->ends[s->depth]; left; left &= left - 1) {
        int field = s->paths[__builtin_ctzll(left)].field;
        if (!s->on_value(s->context, field, type, raw, index, s->err))
            return false;
    }
    return true;
}

/* An escape of two characters: all but those by code point. */
static inline bool is_short_escape(char letter)
{
    switch (letter) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return true;
    }
    return false;
}

static const char *scan_escape(struct scan *s, const char *at)
{
    struct json_escape escape;
    s->escaped = true;
    if (s->end - at >= 2 && is_short_escape(at[1]))
        return at + 2;
    if (!json_escape_read((struct span){ at, (size_t)(s->end - at) }, &escape))
        return malformed(s, at, "unknown escape in a string");
    if (s->strict && escape.lone_surrogate)
        return malformed(s, at, "half of a surrogate pair in a string");
    if (s->strict && escape.code_point == 0)
        return malformed(s, at, "an escaped NUL in a string");
    return at + escape.length;
}

static const char *scan_utf8(const struct scan *s, const char *at)
{
    size_t n = span_utf8_sequence((struct span){ at, (size_t)(s->end - at) });
    return n > 0 ? at + n : malformed(s, at, "not UTF-8");
}

static __attribute__((noinline)) void set_window(struct scan *s, const char *window)
{
    char last[JSON_WINDOW] = { 0 };
    size_t left = (size_t)(s->end - window);
    s->window = window;
    s->special = json_specials(left < JSON_WINDOW ? memcpy(last, window, left) : window);
}

/* The first character from here on that is not plain text; the end when there is none. A search from the beginning of each string would
 * have to wait until that is known: windows are where they are, so that the processor looks ahead. */
static inline const char *skip_plain(struct scan *s, const char *at)
{
    for (;;) {
        size_t into = (size_t)(at - s->window);
        uint64_t left = into < JSON_WINDOW ? s->special >> into : 0;
        if (left)
            return at + __builtin_ctzll(left);
        if (into < JSON_WINDOW)
            at = s->window + JSON_WINDOW;
        set_window(s, s->window + JSON_WINDOW);
    }
}

/* From the first character that is not plain. */
static __attribute__((noinline)) const char *scan_string_on(struct scan *s, const char *start, const char *at)
{
    while (at && at < s->end && *at != '"') {
        if ((unsigned char)*at < 0x20)
            return malformed(s, at, "a control character in a string must be escaped");
        at = *at == '\\' ? scan_escape(s, at) : scan_utf8(s, at);
        at = at ? skip_plain(s, at) : NULL;
    }
    return at != s->end ? at ? at + 1 : NULL : malformed(s, start, "a string without its closing quote");
}

/* From the quote to behind the closing one. */
static inline const char *scan_string(struct scan *s, const char *start)
{
    const char *at = skip_plain(s, start + 1);
    s->escaped = false;
    return at < s->end && *at == '"' ? at + 1 : scan_string_on(s, start, at);
}

static const char *skip_digits(const struct scan *s, const char *at)
{
    while (at < s->end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static const char *scan_number(const struct scan *s, const char *start)
{
    const char *digits = start + (*start == '-'), *at = skip_digits(s, digits);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return malformed(s, start, at == digits ? "a minus without a number" : "a number with a leading zero");
    if (peek(s, at) == '.') {
        digits = at + 1;
        if ((at = skip_digits(s, digits)) == digits)
            return malformed(s, start, "a number without digits behind its point");
    }
    if (peek(s, at) == 'e' || peek(s, at) == 'E') {
        at++;
        digits = at + (peek(s, at) == '+' || peek(s, at) == '-');
        if ((at = skip_digits(s, digits)) == digits)
            return malformed(s, start, "a number without digits in its exponent");
    }
    if (s->strict && at - start > JSON_NUMBER_MAX)
        return malformed(s, start, "a number of more characters than are read");
    return at;
}

static const char *scan_word(const struct scan *s, const char *at, struct span word)
{
    bool fits = (size_t)(s->end - at) >= word.len && memcmp(at, word.data, word.len) == 0;
    return fits ? at + word.len : malformed(s, at, "a value is missing here");
}

static const char *scan_scalar(struct scan *s, const char *at, enum json_type *type)
{
    switch (peek(s, at)) {
    case '"':
        *type = JSON_STRING;
        return scan_string(s, at);
    case 't':
        *type = JSON_BOOLEAN;
        return scan_word(s, at, SPAN("true"));
    case 'f':
        *type = JSON_BOOLEAN;
        return scan_word(s, at, SPAN("false"));
    case 'n':
        *type = JSON_NULL;
        return scan_word(s, at, SPAN("null"));
    case '-':
    case '0' ... '9':
        *type = JSON_NUMBER;
        return scan_number(s, at);
    }
    return malformed(s, at, at == s->end ? "the text ends where a value is expected" : "a value is missing here");
}

static const char *open_container(struct scan *s, const char *at, bool array)
{
    if (s->depth == s->depth_max) {
        json_error_at(s->err, text_of(s), (size_t)(at - s->begin), "nested deeper than %zu", s->depth_max);
        return NULL;
    }
    size_t depth = s->depth++;
    uint8_t bit = (uint8_t)(1u << (depth % 8));
    s->array = array;
    s->is_array[depth / 8] = (uint8_t)(array ? s->is_array[depth / 8] | bit : s->is_array[depth / 8] & ~bit);
    if (depth <= PATH_DEPTH_MAX)
        s->levels[depth] = (struct level){ .open = s->next, .start = (size_t)(at - s->begin) };
    s->by_key = !array && depth <= PATH_DEPTH_MAX ? s->next & s->keys[depth] : 0;
    s->next = array && depth <= PATH_DEPTH_MAX ? s->next & s->elements[depth] : 0;
    return at + 1;
}

static const char *close_container(struct scan *s, const char *at)
{
    bool array = s->array;
    size_t depth = --s->depth;
    at++;
    s->array = depth > 0 && (s->is_array[(depth - 1) / 8] >> ((depth - 1) % 8) & 1);
    s->by_key = !s->array && depth - 1 <= PATH_DEPTH_MAX ? s->levels[depth - 1].open & s->keys[depth - 1] : 0;
    if (depth > PATH_DEPTH_MAX)
        return at;
    s->next = s->levels[depth].open;
    bool fine = !is_picked(s) || announce(s, array ? JSON_ARRAY : JSON_OBJECT, s->begin + s->levels[depth].start, at);
    return fine ? at : NULL;
}

/* Which paths go on with this key (in its quotes). */
static uint64_t paths_with_key(const struct scan *s, struct span raw_key)
{
    const struct span key = { raw_key.data + 1, raw_key.len - 2 };
    uint64_t matching = 0;
    for (uint64_t left = s->by_key; left; left &= left - 1) {
        int number = __builtin_ctzll(left);
        const struct step *step = &s->path_steps[number][s->depth - 1];
        if (!s->escaped && !step->quoted && (step->key.len != key.len || *step->key.data != *key.data))
            continue;
        if (s->escaped || step->quoted ? json_key_is(raw_key, step->key) : span_equal(key, step->key))
            matching |= (uint64_t)1 << number;
    }
    return matching;
}

static bool repeated(const struct scan *s, struct span raw_key)
{
    return json_error_at(s->err, text_of(s), (size_t)(raw_key.data - s->begin),
                         "the key %.*s stands twice in its object", (int)(raw_key.len < 100 ? raw_key.len : 100),
                         raw_key.data);
}

/* Which paths lead to the value of this member? False when one of them did before. */
static inline bool follow_key(struct scan *s, struct span raw_key)
{
    const struct span key = { raw_key.data + 1, raw_key.len - 2 };
    s->next = 0;
    if (!s->by_key || (!s->escaped && !(s->key_marks[s->depth - 1] & key_mark(key))))
        return true;
    s->next = paths_with_key(s, raw_key);
    struct level *level = &s->levels[s->depth - 1];
    if (s->next & level->seen)
        return repeated(s, raw_key);
    level->seen |= s->next;
    return true;
}

/* A member's key and colon. */
static inline const char *scan_key(struct scan *s, const char *start)
{
    if (peek(s, start) != '"')
        return malformed(s, start, "a key in quotes is missing here");
    const char *at = scan_string(s, start);
    if (!at || !follow_key(s, (struct span){ start, (size_t)(at - start) }))
        return NULL;
    at = skip_blanks(s, at);
    return peek(s, at) == ':' ? at + 1 : malformed(s, at, "a colon is missing behind the key");
}

/* Behind a comma or an opening brace: get the next member or element going. */
static inline const char *begin_item(struct scan *s, const char *at)
{
    at = skip_blanks(s, at);
    return s->array ? at : scan_key(s, at);
}

static void next_element(struct scan *s)
{
    if (s->depth > PATH_DEPTH_MAX + 1)
        return;
    struct level *level = &s->levels[s->depth - 1];
    level->index++;
    s->next = level->open & s->elements[s->depth - 1];
}

/* Behind a value: close what ends here, up to the comma before the next value or the end of the document. */
static inline const char *after_value(struct scan *s, const char *at)
{
    while (at && s->depth > 0) {
        at = skip_blanks(s, at);
        char c = peek(s, at);
        if (c == ',') {
            if (s->array)
                next_element(s);
            return begin_item(s, at + 1);
        }
        if (c != (s->array ? ']' : '}'))
            return malformed(s, at, s->array ? "a comma or ']' is missing here" : "a comma or '}' is missing here");
        at = close_container(s, at);
    }
    return at;
}

/* One value, of which a container that is not empty is only begun. */
static inline const char *scan_value(struct scan *s, const char *at, bool *begun)
{
    at = skip_blanks(s, at);
    *begun = false;
    char c = peek(s, at);
    if (c == '{' || c == '[') {
        at = open_container(s, at, c == '[');
        if (!at)
            return NULL;
        at = skip_blanks(s, at);
        if (peek(s, at) == (s->array ? ']' : '}'))
            return close_container(s, at);
        *begun = true;
        return begin_item(s, at);
    }
    enum json_type type = JSON_NULL;
    const char *behind = scan_scalar(s, at, &type);
    return !behind || !is_picked(s) || announce(s, type, at, behind) ? behind : NULL;
}

static bool scan_document(struct scan *s)
{
    const char *at = s->begin;
    bool begun;
    if (span_starts(text_of(s), "\xef\xbb\xbf"))
        return malformed(s, at, "a byte order mark stands before the value");
    do {
        at = scan_value(s, at, &begun);
        if (!begun)
            at = after_value(s, at);
    } while (at && s->depth > 0);
    if (!at)
        return false;
    at = skip_blanks(s, at);
    return at == s->end || malformed(s, at, "something stands behind the end of the value");
}

static void scan_init(struct scan *s, struct span text, size_t depth_max, struct error *err)
{
    /* The big tables are filled as far as they are used; only these need a beginning. */
    s->begin = text.data ? text.data : "";
    s->end = s->begin + text.len;
    set_window(s, s->begin);
    s->depth = s->path_count = 0;
    s->depth_max = depth_max;
    s->strict = s->array = false;
    s->next = s->by_key = 0;
    s->err = err;
    memset(s->ends, 0, sizeof s->ends);
    memset(s->elements, 0, sizeof s->elements);
    memset(s->keys, 0, sizeof s->keys);
    memset(s->key_marks, 0, sizeof s->key_marks);
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
