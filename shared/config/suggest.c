#include "shared/config/suggest.h"

#include <string.h>

enum { WORD_MAX = 40 };

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance without regard to case, one row of his table at a time. */
static size_t distance(struct span a, struct span b)
{
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = diagonal + (lower(a.data[i - 1]) != lower(b.data[j - 1]));
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, replaced);
        }
    }
    return row[b.len];
}

const char *suggest_word(struct span word, const char *const *words, size_t count)
{
    if (word.len == 0 || word.len > WORD_MAX)
        return NULL;
    const char *nearest = NULL;
    size_t fewest = word.len / 3 + 1; /* more mistakes than that, and it is another word */
    for (size_t i = 0; i < count; i++) {
        struct span known = span_of(words[i]);
        size_t mistakes = known.len <= WORD_MAX ? distance(word, known) : WORD_MAX;
        if (mistakes <= fewest && (!nearest || mistakes < fewest)) {
            nearest = words[i];
            fewest = mistakes;
        }
    }
    return nearest;
}
