/* A trigger's condition on a tag: all, a list, a regular expression, a glob, a range of versions; what is denied all the same; and
 * which of two tags is the newer one. */
#ifndef PUSHWRIGHT_POLICY_CONDITION_H
#define PUSHWRIGHT_POLICY_CONDITION_H

#include "shared/base/bytes.h"
#include "shared/base/json.h"

struct condition;

/* Where in `when` a mistake is: at a member's name, at its value or an element of it, or at no place of its own. */
struct condition_place {
    const char *member; /* NULL: the condition itself */
    bool in_list;       /* then at `element` */
    bool named;         /* the member's name is what is wrong */
    size_t element;
};
#define CONDITION_ITSELF (struct condition_place){ 0 }
#define CONDITION_MEMBER(name)                                                                                         \
    (struct condition_place)                                                                                           \
    {                                                                                                                  \
        .member = (name), .named = true                                                                                \
    }
#define CONDITION_VALUE(name)                                                                                          \
    (struct condition_place)                                                                                           \
    {                                                                                                                  \
        .member = (name)                                                                                               \
    }
#define CONDITION_ELEMENT(name)                                                                                        \
    (struct condition_place)                                                                                           \
    {                                                                                                                  \
        .member = (name), .in_list = true                                                                              \
    }

/* Is told of every mistake, in the order of the file. */
typedef void condition_mistake_fn(void *context, struct condition_place at, const struct error *mistake);

/* `when` of the configuration: exactly one of {"tags":"all"}, {"tags":["1.0","1.1"]}, {"regex":"..."}, {"glob":"..."} and
 * {"semver":">=1.2 <2"}, and beside it, if you like, "deny": a list of globs, and with a regular expression that has groups
 * "order": "numeric" or "calendar" (policy/order.h). NULL with the first mistake in *err; `tell` (or NULL) is told all of them. */
struct condition *condition_new(const struct json *when, condition_mistake_fn *tell, void *context, struct error *err);
void condition_free(struct condition *condition);
AUTO_FREE(struct condition, condition_free)

/* Does it accept the tag? The sentence why ("tag 'v2' does not match the glob 'v1.*'") is appended to *reason either way. False only
 * on an error (match limit). Safe for several threads. */
bool condition_accepts(const struct condition *condition, struct span tag, bool *accepted, struct bytes *reason,
                       struct error *err);

/* How a tag stands to the one that is in service, as far as the tags tell. */
enum precedence { PRECEDENCE_UNKNOWN, PRECEDENCE_OLDER, PRECEDENCE_SAME, PRECEDENCE_NEWER };

/* Versions, and what "order" says; of globs the numbers in the tags. Unknown for lists and for all tags, and where `current` is not
 * one that the condition would accept. */
bool condition_compare(const struct condition *condition, struct span current, struct span tag, enum precedence *out,
                       struct error *err);

/* Does its order count for images of pushes too, which have an order of their own? Versions and "order" do. */
bool condition_orders_pushes(const struct condition *condition);

/* What it orders by: "version", "number", "date"; for sentences. */
const char *condition_order_name(const struct condition *condition);

#endif
