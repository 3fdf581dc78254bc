/* "did you mean": the nearest of some known words. */
#ifndef PUSHWRIGHT_CONFIG_SUGGEST_H
#define PUSHWRIGHT_CONFIG_SUGGEST_H

#include "shared/base/span.h"

/* Which of the words differs from `word` by the fewest typing mistakes; NULL when none is near enough to be meant. */
const char *suggest_word(struct span word, const char *const *words, size_t count);

#endif
