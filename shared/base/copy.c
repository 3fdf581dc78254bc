/* memcpy and memmove in place of musl's on x86-64, which copy the last bytes of seven one by one and the rest with "rep movsq": some
 * 60 cycles for ten bytes, and most copies here are of a few bytes. And strlen, which looks at eight bytes at once there, here at 16.
 * Every object of a program is linked to these, its libraries' too. musl's for other processors are fine, and so is glibc's. */
#include <features.h>

#if defined(__x86_64__) && !defined(__GLIBC__)

#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef long long vector __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t word64 __attribute__((aligned(1), may_alias));
typedef uint32_t word32 __attribute__((aligned(1), may_alias));
typedef uint16_t word16 __attribute__((aligned(1), may_alias));

enum { VECTOR = 16, MANY = 512 }; /* from there on the processor's own instruction is faster */

/* The first and the last few bytes, which may overlap: whatever the length, no loop. Everything is read before anything is written. */
#define COPY_ENDS(type, to, from, len)                                                                                 \
    do {                                                                                                               \
        const type first = *(const type *)(from);                                                                      \
        const type last = *(const type *)((from) + (len) - sizeof last);                                               \
        *(type *)(to) = first;                                                                                         \
        *(type *)((to) + (len) - sizeof last) = last;                                                                  \
    } while (0)

/* At most two vectors. */
static inline void copy_few(unsigned char *to, const unsigned char *from, size_t len)
{
    if (len >= VECTOR)
        COPY_ENDS(vector, to, from, len);
    else if (len >= 8)
        COPY_ENDS(word64, to, from, len);
    else if (len >= 4)
        COPY_ENDS(word32, to, from, len);
    else if (len >= 2)
        COPY_ENDS(word16, to, from, len);
    else if (len == 1)
        *to = *from;
}

static inline void copy_forward(unsigned char *to, const unsigned char *from, size_t len)
{
    const vector last = *(const vector *)(from + len - VECTOR);
    unsigned char *end = to + len - VECTOR;
    if (len >= MANY) {
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
        return;
    }
    for (; to < end; to += VECTOR, from += VECTOR)
        *(vector *)to = *(const vector *)from;
    *(vector *)end = last;
}

static inline void copy_backward(unsigned char *to, const unsigned char *from, size_t len)
{
    const vector first = *(const vector *)from;
    for (size_t at = len; at > VECTOR; at -= VECTOR)
        *(vector *)(to + at - VECTOR) = *(const vector *)(from + at - VECTOR);
    *(vector *)to = first;
}

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    if (len <= 2 * VECTOR)
        copy_few(to, from, len);
    else
        copy_forward(to, from, len);
    return to;
}

/* A copy forward is right for what lies before its source, whatever the distance: "rep movsb" goes byte by byte where it must, and the
 * loop reads each vector before it writes over it. */
void *memmove(void *to, const void *from, size_t len)
{
    if (len <= 2 * VECTOR)
        copy_few(to, from, len);
    else if ((uintptr_t)to - (uintptr_t)from >= len)
        copy_forward(to, from, len);
    else
        copy_backward(to, from, len);
    return to;
}

static inline unsigned nuls_of(const char *block)
{
    const __m128i all = _mm_load_si128((const __m128i *)(const void *)block);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_setzero_si128()));
}

/* By blocks that stand where pages begin and end, too: none that holds a byte of the text reaches into another page. */
size_t strlen(const char *text)
{
    size_t before = (uintptr_t)text % VECTOR;
    const char *block = text - before;
    unsigned nuls = nuls_of(block) >> before << before;
    while (!nuls)
        nuls = nuls_of(block += VECTOR);
    return (size_t)(block - text) + (size_t)__builtin_ctz(nuls);
}

#endif
