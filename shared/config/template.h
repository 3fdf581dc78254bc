/* Templates: text with placeholders, for tags of images and values of build arguments.
 *
 *   {branch}  name of the branch that was pushed, empty for anything else
 *   {tag}     name of the tag that was pushed, empty for anything else
 *   {ref}     name of either, of another ref without "refs/" ("pull/1/head"), or the id of the commit that was asked for
 *   {sha}     the commit; {sha:7} its first seven digits
 *   {time}    of the push, UTC: 20260901120000
 *   {build}   name of the build rule
 *   {{ }}     braces themselves */
#ifndef PUSHWRIGHT_CONFIG_TEMPLATE_H
#define PUSHWRIGHT_CONFIG_TEMPLATE_H

#include <stdint.h>

#include "shared/base/bytes.h"

struct template_values {
    struct span branch, tag, other; /* short names; at most one is there */
    struct span sha;
    struct span build;
    int64_t time_ms; /* of the push, since 1970 UTC */
};

/* ERROR_INVALID: an unknown placeholder (with the one that was probably meant), a brace without its other half. */
bool template_check(struct span tmpl, struct error *err);

/* The text, appended to *out. ERROR_INVALID as template_check; ERROR_TOO_LARGE over out's ceiling. */
bool template_expand(struct bytes *out, struct span tmpl, const struct template_values *values, struct error *err);

/* The same made legal as an image's tag, whatever the ref is called: characters that a tag may not hold become '-', one that
 * it may not start with '_', and what is too long is cut. Where that changed anything, "-" and eight characters of a hash
 * over the original follow, so that different refs do not meet in one tag. ERROR_INVALID when nothing is left to be a tag. */
bool template_tag(struct bytes *out, struct span tmpl, const struct template_values *values, struct error *err);

#endif
