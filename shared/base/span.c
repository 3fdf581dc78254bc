#include "shared/base/span.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct span span_of(const char *text)
{
    return (struct span){ text, text ? strlen(text) : 0 };
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool span_is(struct span s, const char *text)
{
    return s.data && span_equal(s, span_of(text));
}

bool span_starts(struct span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && (n == 0 || memcmp(s.data, prefix, n) == 0);
}

bool span_ends(struct span s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.len >= n && (n == 0 || memcmp(s.data + s.len - n, suffix, n) == 0);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

struct span span_cut(struct span *rest, char separator)
{
    struct span part = *rest;
    long at = span_find(*rest, separator);
    if (at < 0) {
        *rest = (struct span){ NULL, 0 };
        return part;
    }
    part.len = (size_t)at;
    rest->data += at + 1;
    rest->len -= (size_t)at + 1;
    return part;
}

long span_find(struct span s, char c)
{
    const char *hit = s.len > 0 ? memchr(s.data, c, s.len) : NULL;
    return hit ? hit - s.data : -1;
}

long span_find_last(struct span s, char c)
{
    const char *hit = s.len > 0 ? memrchr(s.data, c, s.len) : NULL;
    return hit ? hit - s.data : -1;
}

char *span_dup(struct span s)
{
    if (span_find(s, '\0') >= 0)
        return NULL;
    char *copy = malloc(s.len + 1);
    if (!copy)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

/* Unicode 15, table 3-7: what may stand behind a first byte, where that is not 80 to BF. */
static bool second_fits(unsigned char first, unsigned char second)
{
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] < 0xc2 || p[0] > 0xf4 || length > left || !second_fits(p[0], p[1]))
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

size_t span_utf8_sequence(struct span s)
{
    return s.len > 0 ? utf8_sequence((const unsigned char *)s.data, s.len) : 0;
}

bool span_is_utf8(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    size_t left = s.len;
    while (left > 0) {
        uint64_t eight = 0;
        if (left >= sizeof eight && (memcpy(&eight, p, sizeof eight), (eight & 0x8080808080808080u) == 0)) {
            p += sizeof eight;
            left -= sizeof eight;
            continue;
        }
        size_t n = utf8_sequence(p, left);
        if (n == 0)
            return false;
        p += n;
        left -= n;
    }
    return true;
}
