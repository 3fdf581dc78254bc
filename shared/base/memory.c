/* memcpy() and memmove() in place of the C library's, where that is musl on x86-64: its are one `rep movs`, whose start takes longer than most
 * copies here are long. It was a quarter of what a push costs. Overlapping ends instead of loops for what is short; the ends
 * are read before anything is written, so that source and destination may overlap. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__GLIBC__)

typedef uint64_t eight __attribute__((aligned(1), may_alias));
typedef uint32_t four __attribute__((aligned(1), may_alias));
typedef uint16_t two __attribute__((aligned(1), may_alias));
typedef uint64_t sixteen __attribute__((vector_size(16), aligned(1), may_alias));
enum { STEP = 64, REP_MIN = 4096 };

struct block {
    sixteen parts[STEP / 16];
};

static inline struct block load(const char *from)
{
    const sixteen *p = (const void *)from;
    return (struct block){ { p[0], p[1], p[2], p[3] } };
}

static inline void store(char *to, struct block block)
{
    sixteen *p = (void *)to;
    p[0] = block.parts[0];
    p[1] = block.parts[1];
    p[2] = block.parts[2];
    p[3] = block.parts[3];
}

/* The first and the last n bytes, which may be the same ones in part. */
#define COPY_ENDS(type, to, from, len)                                                                                 \
    do {                                                                                                               \
        type first_ = *(const type *)(const void *)(from);                                                             \
        type last_ = *(const type *)(const void *)((from) + (len) - sizeof(type));                                     \
        *(type *)(void *)(to) = first_;                                                                                \
        *(type *)(void *)((to) + (len) - sizeof(type)) = last_;                                                        \
    } while (0)

static void copy_short(char *to, const char *from, size_t len)
{
    if (len >= 16)
        COPY_ENDS(sixteen, to, from, len);
    else if (len >= 8)
        COPY_ENDS(eight, to, from, len);
    else if (len >= 4)
        COPY_ENDS(four, to, from, len);
    else if (len >= 2)
        COPY_ENDS(two, to, from, len);
    else if (len == 1)
        *to = *from;
}

static void copy_middling(char *to, const char *from, size_t len)
{
    const sixteen *head = (const void *)from, *tail = (const void *)(from + len - 32);
    const sixteen a = head[0], b = head[1], c = tail[0], d = tail[1];
    sixteen *to_head = (void *)to, *to_tail = (void *)(to + len - 32);
    to_head[0] = a;
    to_head[1] = b;
    to_tail[0] = c;
    to_tail[1] = d;
}

static void copy_forward(char *to, const char *from, size_t len)
{
    const struct block last = load(from + len - STEP);
    char *const last_to = to + len - STEP;
    for (; to < last_to; to += STEP, from += STEP)
        store(to, load(from));
    store(last_to, last);
}

static void copy_backward(char *to, const char *from, size_t len)
{
    const struct block first = load(from);
    for (size_t at = len; at > STEP; at -= STEP)
        store(to + at - STEP, load(from + at - STEP));
    store(to, first);
}

static void copy_long(char *to, const char *from, size_t len)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

void *memmove(void *destination, const void *source, size_t len)
{
    char *to = destination;
    const char *from = source;
    if (len <= 32)
        copy_short(to, from, len);
    else if (len <= STEP)
        copy_middling(to, from, len);
    else if ((uintptr_t)to - (uintptr_t)from < len)
        copy_backward(to, from, len);
    else if (len >= REP_MIN && (uintptr_t)from - (uintptr_t)to >= len)
        copy_long(to, from, len);
    else
        copy_forward(to, from, len);
    return destination;
}

void *memcpy(void *restrict destination, const void *restrict source, size_t len)
{
    return memmove(destination, source, len);
}

#endif
