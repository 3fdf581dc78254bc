#include "shared/policy/pattern.h"

#include <stdint.h>

/* A pattern is a nondeterministic automaton whose states are its offsets: state p means that what stands before p has
 * matched so far. One pass over the name moves all states at once, so that no pattern can make it take longer than the
 * product of the lengths. */
enum { GLOB_MAX = 1024 };

struct states {
    uint64_t words[GLOB_MAX / 64 + 1];
};

static bool has(const struct states *states, size_t p)
{
    return states->words[p / 64] >> (p % 64) & 1;
}

static void add(struct states *states, size_t p)
{
    states->words[p / 64] |= (uint64_t)1 << (p % 64);
}

/* The character that the text starts with; a byte that is not UTF-8 is one of its own, beyond Unicode. */
static uint32_t character_at(struct span text, size_t *length)
{
    const unsigned char *p = (const unsigned char *)text.data;
    size_t n = span_utf8_sequence(text);
    *length = n == 0 ? 1 : n;
    if (n == 0)
        return 0x110000u + p[0];
    static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t character = p[0] & masks[n];
    for (size_t i = 1; i < n; i++)
        character = character << 6 | (p[i] & 0x3fu);
    return character;
}

static struct span behind(struct span text, size_t n)
{
    return (struct span){ text.data + n, text.len - n };
}

/* A character of a class or of the pattern, where a backslash quotes the next one. False at a trailing backslash. */
static bool quoted_character(struct span *rest, uint32_t *character)
{
    if (rest->len > 0 && rest->data[0] == '\\')
        *rest = behind(*rest, 1);
    if (rest->len == 0)
        return false;
    size_t n;
    *character = character_at(*rest, &n);
    *rest = behind(*rest, n);
    return true;
}

/* Run over the class that `text` starts with: its length, and whether `wanted` is in it. NULL or what is wrong with it. */
static const char *read_class(struct span text, uint32_t wanted, size_t *length, bool *inside)
{
    struct span rest = behind(text, 1);
    bool negated = rest.len > 0 && (rest.data[0] == '!' || rest.data[0] == '^');
    if (negated)
        rest = behind(rest, 1);
    *inside = negated;
    for (bool first = true; rest.len > 0 && (first || rest.data[0] != ']'); first = false) {
        uint32_t low, high;
        if (!quoted_character(&rest, &low))
            return "a class without its closing ']'";
        high = low;
        if (rest.len > 1 && rest.data[0] == '-' && rest.data[1] != ']') {
            rest = behind(rest, 1);
            if (!quoted_character(&rest, &high))
                return "a class without its closing ']'";
            if (high < low)
                return "a range whose end stands before its start";
        }
        if (wanted >= low && wanted <= high)
            *inside = !negated;
    }
    if (rest.len == 0)
        return "a class without its closing ']'";
    *length = text.len - rest.len + 1;
    return NULL;
}

static size_t stars_at(struct span pattern, size_t p)
{
    return p == pattern.len || pattern.data[p] != '*' ? 0 : p + 1 < pattern.len && pattern.data[p + 1] == '*' ? 2 : 1;
}

/* Stars may stand for nothing. They only lead forward, so one pass in order finds every state. A double star between
 * slashes takes its slash along where a part of the name begins: "a/" + "**" + "/b" is also "a/b", but never "a/xb". */
static void follow_stars(struct span pattern, struct states *states, bool part_begins)
{
    for (size_t p = 0; p < pattern.len; p++) {
        size_t stars = has(states, p) ? stars_at(pattern, p) : 0;
        if (stars == 0)
            continue;
        add(states, p + stars);
        bool whole_part = stars == 2 && (p == 0 || pattern.data[p - 1] == '/');
        if (part_begins && whole_part && p + 2 < pattern.len && pattern.data[p + 2] == '/')
            add(states, p + 3);
    }
}

/* Where one character leads from state p. */
static void follow_character(struct span pattern, size_t p, uint32_t character, struct states *next)
{
    size_t stars = stars_at(pattern, p), length = 1;
    struct span rest = behind(pattern, p);
    if (stars > 0) {
        if (stars == 2 || character != '/')
            add(next, p);
        return;
    }
    bool matches = character != '/';
    if (rest.data[0] == '[') {
        bool inside;
        matches = matches && !read_class(rest, character, &length, &inside) && inside;
    } else if (rest.data[0] != '?') {
        uint32_t literal;
        struct span left = rest;
        matches = quoted_character(&left, &literal) && literal == character;
        length = rest.len - left.len;
    }
    if (matches)
        add(next, p + length);
}

static bool is_literal(char c)
{
    return (unsigned char)c < 0x80 && c != '*' && c != '?' && c != '[' && c != '\\';
}

/* How many characters at the beginning of both are the same, and stand for themselves. */
static size_t common_front(struct span pattern, struct span name)
{
    size_t n = 0;
    while (n < pattern.len && n < name.len && is_literal(pattern.data[n]) && pattern.data[n] == name.data[n])
        n++;
    return n;
}

/* The automaton begins where the pattern's own characters end, which decide most cases. */
bool glob_match(struct span pattern, struct span name)
{
    if (pattern.len > GLOB_MAX)
        return false;
    size_t front = common_front(pattern, name);
    if (front < pattern.len && is_literal(pattern.data[front]))
        return false;
    struct states now = { { 0 } };
    add(&now, front);
    follow_stars(pattern, &now, front == 0 || pattern.data[front - 1] == '/');
    name = behind(name, front);
    if (span_is(behind(pattern, front), "**"))
        return true;
    while (name.len > 0) {
        struct states next = { { 0 } };
        size_t n;
        uint32_t character = character_at(name, &n);
        for (size_t p = 0; p < pattern.len; p++)
            if (has(&now, p))
                follow_character(pattern, p, character, &next);
        follow_stars(pattern, &next, character == '/');
        now = next;
        name = behind(name, n);
    }
    return has(&now, pattern.len);
}

bool glob_check(struct span pattern, struct error *err)
{
    if (pattern.len == 0)
        return error_set(err, ERROR_INVALID, "an empty glob matches nothing");
    if (pattern.len > GLOB_MAX)
        return error_set(err, ERROR_INVALID, "a glob of more than %d bytes", GLOB_MAX);
    for (struct span rest = pattern; rest.len > 0;) {
        size_t length = 1;
        bool inside;
        uint32_t literal;
        const char *wrong = NULL;
        struct span left = rest;
        if (rest.data[0] == '[')
            wrong = read_class(rest, 0, &length, &inside);
        else if (!quoted_character(&left, &literal))
            wrong = "a backslash at the end, with nothing to quote";
        else
            length = rest.len - left.len;
        if (wrong)
            return error_set(err, ERROR_INVALID, "glob '%.*s' at offset %zu: %s", SPAN_ARGS(pattern),
                             pattern.len - rest.len, wrong);
        rest = behind(rest, length);
    }
    return true;
}
