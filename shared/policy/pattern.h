/* Names against patterns: globs as git hosts write them, and regular expressions (PCRE2, with match limits). */
#ifndef PUSHWRIGHT_POLICY_PATTERN_H
#define PUSHWRIGHT_POLICY_PATTERN_H

#include "shared/base/auto.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

/* '*' any run without '/', '**' any run, "**" + '/' also nothing, '?' one character but '/', [a-z] [!a-z] classes, '\' quotes. The
 * whole name must match. Linear in the product of the lengths: no pattern can hang a function. */
bool glob_match(struct span pattern, struct span name);
bool glob_check(struct span pattern, struct error *err); /* unclosed class, trailing backslash */

struct regex;
/* PCRE2 over bytes (a character beyond ASCII is several), searched anywhere unless anchored. ERROR_INVALID with the offset of the mistake. */
struct regex *regex_new(struct span pattern, struct error *err);
void regex_free(struct regex *regex);
AUTO_FREE(struct regex, regex_free)
/* False with ERROR_INVALID when the match limit is hit ("takes too long on '...'"). Safe for several threads. */
bool regex_match(const struct regex *regex, struct span subject, bool *matched, struct error *err);

/* What the groups of the expression matched; empty where a group took no part. */
enum { CAPTURES_MAX = 16 };
struct captures {
    struct span groups[CAPTURES_MAX];
    size_t count;
};
bool regex_capture(const struct regex *regex, struct span subject, bool *matched, struct captures *out,
                   struct error *err);
size_t regex_groups(const struct regex *regex);                  /* that it has */
size_t regex_group(const struct regex *regex, const char *name); /* its number, from 1; 0: there is none of that name */

struct patterns; /* an ordered list: globs, "!glob" takes back, {"regex": "..."} */
struct patterns *patterns_new(void);
void patterns_free(struct patterns *patterns);
AUTO_FREE(struct patterns, patterns_free)
bool patterns_add_glob(struct patterns *patterns, struct span glob, struct error *err);
bool patterns_add_regex(struct patterns *patterns, struct span pattern, struct error *err);
size_t patterns_count(const struct patterns *patterns);
/* The last pattern that matches decides; none: no match. A list of only "!..." starts from "everything". */
bool patterns_match(const struct patterns *patterns, struct span name, bool *matched, struct error *err);

#endif
