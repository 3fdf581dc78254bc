/* Pieces of JSON text, shared by the scanner, the reader and the writer. Private to shared/base. */
#ifndef PUSHWRIGHT_BASE_JSON_TEXT_H
#define PUSHWRIGHT_BASE_JSON_TEXT_H

#include <stdint.h>
#include <string.h>

#include "shared/base/span.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* May it stand in a string as it is? (ASCII only: the rest is for the UTF-8 check.) */
static inline bool json_is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

#ifdef __SSE2__
/* Which of sixteen bytes need a look. Inverting that bit brings the quote, 0x22, right behind the control characters, which stay among
 * themselves; what is not ASCII is negative here. */
static inline unsigned json_special_of_16(const char *p)
{
    const __m128i all = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i low = _mm_cmpgt_epi8(_mm_set1_epi8(0x21), _mm_xor_si128(all, _mm_set1_epi8(0x02)));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(all, _mm_set1_epi8('\\'))));
}
#endif

enum { JSON_WINDOW = 64 };

/* Which of so many bytes are not plain, bit 0 the first. */
static inline uint64_t json_specials(const char *p)
{
    uint64_t special = 0;
#ifdef __SSE2__
    for (size_t i = JSON_WINDOW; i > 0; i -= 16)
        special = special << 16 | json_special_of_16(p + i - 16);
#else
    for (size_t i = 0; i < JSON_WINDOW; i++)
        special |= (uint64_t)!json_is_plain(p[i]) << i;
#endif
    return special;
}

/* How many characters at the beginning are plain. */
static inline size_t json_plain_run(const char *text, size_t len)
{
    const char *p = text, *const end = text + len;
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        unsigned special = json_special_of_16(p);
        if (special)
            return (size_t)(p - text) + (size_t)__builtin_ctz(special);
    }
#endif
    while (p < end && json_is_plain(*p))
        p++;
    return (size_t)(p - text);
}

struct json_escape {
    size_t length; /* of its text: 2, 6, or 12 for a pair of surrogates */
    uint32_t code_point;
    bool lone_surrogate;
};

/* The escape that `rest` starts with (at its backslash); false when it is none (RFC 8259 section 7). */
bool json_escape_read(struct span rest, struct json_escape *escape);

/* The key that a path starts with, up to its '.' or '[', backslashes included. */
struct span json_path_key(const char *path);

/* Is the key as it stands in the text (valid, in its quotes) the one that a path names? */
bool json_key_is(struct span raw, struct span path_key);

#endif
