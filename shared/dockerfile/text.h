/* What the files of this module share: runes, blanks, lists of words, shell-like words, suggestions. */
#ifndef PUSHWRIGHT_DOCKERFILE_TEXT_H
#define PUSHWRIGHT_DOCKERFILE_TEXT_H

#include "shared/dockerfile/dockerfile.h"

enum {
    DOCKERFILE_WORD_MAX = 1 << 20, /* bytes that one word may grow to by variables */
    DOCKERFILE_NESTING_MAX = 100,  /* ${a:-${b:-...}} */
};

enum { RUNE_ERROR = 0xFFFD, RUNE_END = -1 };

/* The rune at the start of a text that is not empty; a byte that is no UTF-8 is RUNE_ERROR, one wide, as in Go. */
int32_t rune_at(struct span text, size_t *width);
bool rune_append(struct bytes *out, int32_t rune, struct error *err);
bool rune_is_space(int32_t rune);  /* as Go's unicode.IsSpace */
bool rune_is_letter(int32_t rune); /* as Go's unicode.IsLetter or IsDigit, to the precision that names need */

struct span text_trim_left(struct span s); /* of Unicode's blanks */
struct span text_trim(struct span s);
struct span text_skip(struct span s, size_t count);

char *text_lower(struct arena *arena, struct span s); /* of ASCII; NULL when memory is out */

/* Offset behind the run of separators [\t\v\f\r ]+ at `at`, and of the next one at or behind `at`. */
size_t separator_end(struct span s, size_t at);
size_t separator_find(struct span s, size_t at);

bool no_memory(struct error *err); /* fills *err, returns false */

/* A growing list of words in an arena. */
struct word_list {
    const char **items;
    size_t count, capacity;
};
bool word_add(struct arena *arena, struct word_list *list, const char *word, struct error *err);
struct dockerfile_words words_of(const struct word_list *list);

/* Append Go's %q of the text. */
bool quote_append(struct bytes *out, struct span text, struct error *err);
/* The same on the heap for messages, cut when it is long; "" when memory is out. The caller frees. */
char *quote(struct span text);

/* The name nearest to `wrong` (Levenshtein distance below 3), or NULL. Returned as it stands in the list. */
const char *suggest(const char *wrong, const char *const *names, size_t count, bool case_sensitive);

/* How a word is gone through; the names follow BuildKit's shell.Lex. */
struct word_rules {
    char escape;
    bool raw_quotes;  /* quotes stay in the result */
    bool raw_escapes; /* escape characters stay in the result */
    bool skip_quotes; /* quotes mean nothing */
    bool skip_unset;  /* what is not set stays as written */
};

/* Where variables come from. NULL: unset. */
struct word_env {
    const char *(*get)(const void *context, struct span name);
    const void *context;
};

/* Expand `word` by the rules. result and words may be NULL. */
bool word_expand(struct span word, const struct word_rules *rules, const struct word_env *env, struct bytes *result,
                 struct arena *arena, struct word_list *words, struct error *err);

/* ${v#p} ${v##p} ${v%p} ${v%%p}; ${v/p/r} ${v//p/r}: the new value appended to *out. */
bool pattern_trim(struct span value, struct span pattern, bool suffix, bool longest, struct bytes *out,
                  struct error *err);
bool pattern_replace(struct span value, struct span pattern, struct span replacement, bool all, struct bytes *out,
                     struct error *err);

/* A JSON array of strings as Go reads it. JSON_NOT_ARRAY: no array, or broken: the shell form is meant.
 * *has_nul: a string holds a NUL, in whose place NUL_IN_TEXT stands. */
#define NUL_IN_TEXT "\xC0\x80"
enum json_words { JSON_WORDS, JSON_NOT_ARRAY, JSON_NOT_STRINGS, JSON_FAILED };
enum json_words json_words_parse(struct arena *arena, struct span text, struct word_list *out, bool *has_nul,
                                 struct error *err);

/* Go's strconv.ParseBool; go-units' RAMInBytes ("128m", "1.5 GiB"). False for what is none. */
bool bool_parse(struct span text, bool *out);
bool size_parse(const char *text, int64_t *out);

/* Go's time.ParseDuration and Duration.String. */
bool duration_parse(const char *text, int64_t *out_ns, struct error *err);
bool duration_append(struct bytes *out, int64_t ns, struct error *err);

/* Is it "algorithm:hexadecimal" with an algorithm that downloads can be checked with? Sentences of go-digest. */
bool digest_check(const char *digest, struct error *err);

#endif
