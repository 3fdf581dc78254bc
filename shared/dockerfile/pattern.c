/* The patterns inside ${...}: `*` and `?`, nothing else. BuildKit translates them to a regular expression, where neither
 * matches a newline and `*` takes the most or the least; here all ends that a start can reach are kept in one pass. */
#include "shared/dockerfile/text.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 50000000 }; /* of one substitution; more is not a Dockerfile but an attack */

enum { ANY_RUN = -2, ANY_ONE = -3 }; /* beside runes */

struct pattern {
    int32_t *items;
    size_t count;
    bool *now, *next; /* count + 1 states each */
    size_t steps;
};

static void pattern_release(struct pattern *pattern)
{
    free(pattern->items);
    free(pattern->now);
    free(pattern->next);
}
AUTO_RELEASE(struct pattern, pattern_release)

static bool refuse(struct error *err, struct span text, int32_t rune)
{
    AUTO(bytes_release) struct bytes bad = BYTES(8);
    struct error ignored = { 0 };
    rune_append(&bad, rune, &ignored);
    return error_set(err, ERROR_INVALID, "invalid pattern (%.*s) in substitution: invalid escape '\\%s'",
                     (int)(text.len < 300 ? text.len : 300), text.data, bytes_text(&bad));
}

static int32_t next_rune(struct span *rest)
{
    if (!rest->len)
        return RUNE_END;
    size_t width = 0;
    int32_t rune = rune_at(*rest, &width);
    *rest = text_skip(*rest, width);
    return rune;
}

static bool fill(struct pattern *pattern, struct span text, struct error *err)
{
    for (struct span rest = text; rest.len;) {
        int32_t rune = next_rune(&rest);
        if (rune == '*')
            rune = ANY_RUN;
        else if (rune == '?')
            rune = ANY_ONE;
        else if (rune == '\\') {
            /* the quotes that ${...} itself asks for are not the pattern's */
            if (rest.len && (rest.data[0] == '}' || rest.data[0] == '/'))
                continue;
            rune = next_rune(&rest);
            if (rune != '*' && rune != '?' && rune != '\\')
                return refuse(err, text, rune);
        }
        pattern->items[pattern->count++] = rune;
    }
    return true;
}

static bool pattern_init(struct pattern *pattern, struct span text, struct error *err)
{
    pattern->items = calloc(text.len + 1, sizeof *pattern->items);
    pattern->now = calloc(text.len + 2, sizeof *pattern->now);
    pattern->next = calloc(text.len + 2, sizeof *pattern->next);
    if (!pattern->items || !pattern->now || !pattern->next) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return false;
    }
    return fill(pattern, text, err);
}

/* A run may be empty: whoever stands before it stands behind it too. True when any state is left. */
static bool close_runs(const struct pattern *pattern, bool *states)
{
    bool any = false;
    for (size_t i = 0; i <= pattern->count; i++) {
        if (states[i] && i < pattern->count && pattern->items[i] == ANY_RUN)
            states[i + 1] = true;
        any = any || states[i];
    }
    return any;
}

static void step(struct pattern *pattern, int32_t rune)
{
    memset(pattern->next, 0, pattern->count + 1);
    for (size_t i = 0; i < pattern->count; i++) {
        if (!pattern->now[i])
            continue;
        if (pattern->items[i] == ANY_RUN && rune != '\n')
            pattern->next[i] = true;
        if (pattern->items[i] == rune || (pattern->items[i] == ANY_ONE && rune != '\n'))
            pattern->next[i + 1] = true;
    }
    bool *swap = pattern->now;
    pattern->now = pattern->next;
    pattern->next = swap;
}

/* Length of the longest or shortest match at the start of the text, -1 without one. */
static long match_here(struct pattern *pattern, struct span text, bool longest)
{
    long found = -1;
    size_t at = 0;
    memset(pattern->now, 0, pattern->count + 1);
    pattern->now[0] = true;
    while (close_runs(pattern, pattern->now)) {
        if (pattern->now[pattern->count]) {
            found = (long)at;
            if (!longest)
                break;
        }
        pattern->steps += pattern->count + 1;
        if (at == text.len || pattern->steps > STEPS_MAX)
            break;
        size_t width = 0;
        step(pattern, rune_at(text_skip(text, at), &width));
        at += width;
    }
    return found;
}

static bool in_time(const struct pattern *pattern, struct error *err)
{
    return pattern->steps <= STEPS_MAX || error_set(err, ERROR_TOO_LARGE, "a pattern takes too long to match");
}

/* Rune by rune; with keep_escapes a backslash stays before what it quotes. */
static bool reverse(struct span text, bool keep_escapes, struct bytes *out, struct error *err)
{
    if (!bytes_reserve(out, text.len + 1, err))
        return false;
    size_t width = 0;
    out->len = text.len;
    for (size_t at = 0; at < text.len; at += width) {
        size_t pair = keep_escapes && text.data[at] == '\\' && at + 1 < text.len;
        rune_at(text_skip(text, at + pair), &width);
        width += pair;
        memcpy(out->data + text.len - at - width, text.data + at, width);
    }
    out->data[text.len] = 0;
    return true;
}

static bool trim_prefix(struct span value, struct span text, bool longest, size_t *cut, struct error *err)
{
    AUTO(pattern_release) struct pattern pattern = { 0 };
    if (!pattern_init(&pattern, text, err))
        return false;
    long length = match_here(&pattern, value, longest);
    *cut = length > 0 ? (size_t)length : 0;
    return in_time(&pattern, err);
}

bool pattern_trim(struct span value, struct span pattern, bool suffix, bool longest, struct bytes *out,
                  struct error *err)
{
    size_t cut = 0;
    if (!suffix)
        return trim_prefix(value, pattern, longest, &cut, err) && bytes_append_span(out, text_skip(value, cut), err);
    AUTO(bytes_release) struct bytes backwards = BYTES(DOCKERFILE_WORD_MAX);
    AUTO(bytes_release) struct bytes reversed = BYTES(DOCKERFILE_WORD_MAX);
    if (!reverse(pattern, true, &reversed, err) || !reverse(value, false, &backwards, err))
        return false;
    if (!trim_prefix(bytes_span(&backwards), bytes_span(&reversed), longest, &cut, err))
        return false;
    return bytes_append(out, value.data, value.len - cut, err);
}

/* Go's Regexp.Expand without groups: $0 is the match, $$ a dollar, any other $name or ${name} nothing. */
static bool append_template(struct bytes *out, struct span text, struct span match, struct error *err)
{
    while (text.len) {
        long dollar = span_find(text, '$');
        if (dollar < 0)
            return bytes_append_span(out, text, err);
        if (!bytes_append(out, text.data, (size_t)dollar, err))
            return false;
        text = text_skip(text, (size_t)dollar + 1);
        bool brace = text.len && text.data[0] == '{';
        size_t length = brace, width = 0;
        while (length < text.len) {
            int32_t rune = rune_at(text_skip(text, length), &width);
            if (!rune_is_letter(rune) && rune != '_')
                break;
            length += width;
        }
        struct span name = { text.data + brace, length - brace };
        bool closed = !brace || (length < text.len && text.data[length] == '}');
        if (text.len && text.data[0] == '$') {
            text = text_skip(text, 1);
            name.len = 0;
        }
        if (!name.len || !closed) {
            if (!bytes_append_char(out, '$', err))
                return false;
            continue;
        }
        text = text_skip(text, length + brace);
        if (span_is(name, "0") && !bytes_append_span(out, match, err))
            return false;
    }
    return true;
}

static bool replace(struct pattern *pattern, struct span value, struct span replacement, bool all, struct bytes *out,
                    struct error *err)
{
    size_t at = 0, last_end = 0;
    for (bool first = true; at <= value.len;) {
        long length = match_here(pattern, text_skip(value, at), true);
        if (!in_time(pattern, err))
            return false;
        size_t width = 0;
        if (at < value.len)
            rune_at(text_skip(value, at), &width);
        if (length >= 0 && (first || at + (size_t)length > last_end || !at)) {
            struct span match = { value.data + at, (size_t)length };
            if (!(all ? append_template(out, replacement, match, err) : bytes_append_span(out, replacement, err)))
                return false;
            last_end = at + (size_t)length;
            first = false;
            if (!all)
                return bytes_append_span(out, text_skip(value, last_end), err);
        }
        if (length > 0) {
            at += (size_t)length;
            continue;
        }
        if (at == value.len)
            return true;
        if (!bytes_append(out, value.data + at, width, err))
            return false;
        at += width;
    }
    return true;
}

bool pattern_replace(struct span value, struct span text, struct span replacement, bool all, struct bytes *out,
                     struct error *err)
{
    AUTO(pattern_release) struct pattern pattern = { 0 };
    return pattern_init(&pattern, text, err) && replace(&pattern, value, replacement, all, out, err);
}
