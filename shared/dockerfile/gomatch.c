#include "shared/dockerfile/gomatch.h"

#include "shared/dockerfile/text.h"

bool gomatch_has_wildcard(struct span pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.data[i] == '\\')
            i++;
        else if (pattern.data[i] == '*' || pattern.data[i] == '?' || pattern.data[i] == '[')
            return true;
    }
    return false;
}

/* Take the stars off the front and the chunk up to the next star, which is not one inside a class or quoted. */
static struct span next_chunk(struct span *pattern, bool *star)
{
    *star = false;
    while (pattern->len && pattern->data[0] == '*') {
        *pattern = text_skip(*pattern, 1);
        *star = true;
    }
    bool in_class = false;
    size_t i = 0;
    for (; i < pattern->len; i++) {
        char c = pattern->data[i];
        if (c == '\\' && i + 1 < pattern->len)
            i++;
        else if (c == '[')
            in_class = true;
        else if (c == ']')
            in_class = false;
        else if (c == '*' && !in_class)
            break;
    }
    struct span chunk = { pattern->data, i };
    *pattern = text_skip(*pattern, i);
    return chunk;
}

static bool class_rune(struct span *chunk, int32_t *out)
{
    if (!chunk->len || chunk->data[0] == '-' || chunk->data[0] == ']')
        return false;
    if (chunk->data[0] == '\\') {
        *chunk = text_skip(*chunk, 1);
        if (!chunk->len)
            return false;
    }
    size_t width = 0;
    *out = rune_at(*chunk, &width);
    if (*out == RUNE_ERROR && width == 1)
        return false;
    *chunk = text_skip(*chunk, width);
    return chunk->len; /* a class must be closed */
}

/* Behind '['. False: malformed. */
static bool match_class(struct span *chunk, int32_t rune, bool *matched)
{
    bool negated = chunk->len && chunk->data[0] == '^', found = false;
    if (negated)
        *chunk = text_skip(*chunk, 1);
    for (size_t ranges = 0;; ranges++) {
        if (chunk->len && chunk->data[0] == ']' && ranges) {
            *chunk = text_skip(*chunk, 1);
            *matched = found != negated;
            return true;
        }
        int32_t low = 0, high = 0;
        if (!class_rune(chunk, &low))
            return false;
        high = low;
        if (chunk->data[0] == '-') {
            *chunk = text_skip(*chunk, 1);
            if (!class_rune(chunk, &high))
                return false;
        }
        found = found || (low <= rune && rune <= high);
    }
}

/* The chunk against the front of *name, which loses what matched. A mismatch does not end the search for mistakes. */
static enum gomatch match_chunk(struct span chunk, struct span *name)
{
    struct span rest = *name;
    bool failed = false;
    while (chunk.len) {
        failed = failed || !rest.len;
        size_t width = 1;
        char c = chunk.data[0];
        if (c == '[') {
            int32_t rune = failed ? 0 : rune_at(rest, &width);
            bool matched = false;
            chunk = text_skip(chunk, 1);
            if (!match_class(&chunk, rune, &matched))
                return GOMATCH_BAD_PATTERN;
            failed = failed || !matched;
        } else if (c == '?') {
            if (!failed)
                failed = rest.data[0] == '/';
            if (!failed)
                rune_at(rest, &width);
            chunk = text_skip(chunk, 1);
        } else {
            if (c == '\\') {
                chunk = text_skip(chunk, 1);
                if (!chunk.len)
                    return GOMATCH_BAD_PATTERN;
            }
            failed = failed || chunk.data[0] != rest.data[0];
            chunk = text_skip(chunk, 1);
        }
        if (!failed)
            rest = text_skip(rest, width);
    }
    if (failed)
        return GOMATCH_NO;
    *name = rest;
    return GOMATCH_YES;
}

/* A star, then the chunk: at any place before the next slash. */
static enum gomatch match_behind_star(struct span chunk, struct span pattern, struct span *name)
{
    for (size_t i = 0; i < name->len && name->data[i] != '/'; i++) {
        struct span rest = text_skip(*name, i + 1);
        enum gomatch result = match_chunk(chunk, &rest);
        if (result == GOMATCH_BAD_PATTERN)
            return result;
        if (result == GOMATCH_YES && (pattern.len || !rest.len)) {
            *name = rest;
            return result;
        }
    }
    return GOMATCH_NO;
}

enum gomatch gomatch(struct span pattern, struct span name)
{
    while (pattern.len) {
        bool star = false;
        struct span chunk = next_chunk(&pattern, &star), rest = name;
        if (star && !chunk.len)
            return span_find(name, '/') < 0 ? GOMATCH_YES : GOMATCH_NO;
        enum gomatch result = match_chunk(chunk, &rest);
        if (result == GOMATCH_YES && (pattern.len || !rest.len)) {
            name = rest;
            continue;
        }
        if (result == GOMATCH_BAD_PATTERN)
            return result;
        if (star) {
            result = match_behind_star(chunk, pattern, &name);
            if (result == GOMATCH_BAD_PATTERN)
                return result;
            if (result == GOMATCH_YES)
                continue;
        }
        while (pattern.len) { /* the rest must be well formed */
            struct span nothing = { "", 0 };
            chunk = next_chunk(&pattern, &star);
            if (match_chunk(chunk, &nothing) == GOMATCH_BAD_PATTERN)
                return GOMATCH_BAD_PATTERN;
        }
        return GOMATCH_NO;
    }
    return name.len ? GOMATCH_NO : GOMATCH_YES;
}
