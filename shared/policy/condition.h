/* A trigger's condition on a tag: all, a list, a regular expression, a glob. */
#ifndef PUSHWRIGHT_POLICY_CONDITION_H
#define PUSHWRIGHT_POLICY_CONDITION_H

#include "shared/base/bytes.h"
#include "shared/base/json.h"

struct condition;

/* `when` of the configuration: {"tags":"all"}, {"tags":["1.0","1.1"]}, {"regex":"..."} or {"glob":"..."}; exactly one of them. */
struct condition *condition_new(const struct json *when, struct error *err);
void condition_free(struct condition *condition);
AUTO_FREE(struct condition, condition_free)

/* Does it accept the tag? The sentence why ("tag 'v2' does not match the glob 'v1.*'") is appended to *reason either way. False only
 * on an error (match limit). Safe for several threads. */
bool condition_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                       struct error *err);

#endif
