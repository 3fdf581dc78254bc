/* What a build.queued event asks for. It names a rule, a ref and a commit; what may be done about them stands in the configuration. */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_ORDER_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_ORDER_H

#include "runtime/function.h"
#include "shared/config/config.h"
#include "shared/config/template.h"
#include "shared/dockerfile/dockerfile.h"

enum { ORDER_TAGS_MAX = 32 };

struct order {           /* strings belong to the call */
    const char *subject; /* the event's subject.id, by which all events of the build are told to be of one */
    const char *build;
    const char *repository, *repository_source;
    const char *ref; /* full name; or the id of a commit, "HEAD" or any other ref, for which only persons ask */
    const char
        *named; /* what a person wrote instead of a full name: order_set_ref() once it is known what is meant; NULL */
    const char *commit;   /* NULL: the ref's tip */
    const char *sequence; /* decimal; orders the pushes of a ref */
    int64_t time_ms;      /* of the push */
    bool is_branch, is_tag;
    bool is_commit;    /* the ref is the commit's own id */
    bool is_inline;    /* of no repository: the ref is CONFIG_INLINE_REF */
    bool by_person;    /* asked for by a person: the ref may have moved on */
    bool by_reconcile; /* found by comparing, not told by a push */
    const char *base,
        *base_digest; /* the image whose move asks for it, "NAME:TAG", and what it is now; NULL: another reason */
};

/* ERROR_INVALID names the member of the event that is missing or wrong. */
bool order_read(struct call *call, struct order *out, struct error *err);

void order_set_ref(struct order *order, const char *ref); /* with what it is */

/* A tag that was found late is as old as its commit, at most as new as when it was found: it must not follow tags that were pushed after
 * it. commit_s since 1970. */
bool order_date_tag(struct call *call, struct order *order, int64_t commit_s, struct error *err);

/* Negative, 0 or positive as a is older than, the same as, or newer than b. */
int order_compare_sequences(const char *a, const char *b);

/* What templates of the rule are filled with. commit NULL: not known. */
struct template_values order_values(const struct order *order, const char *commit);

/* The image's tags, the rule's `tag` first, each once; and the build arguments. Made in the call's arena. */
struct tags {
    const char *items[ORDER_TAGS_MAX];
    size_t count;
};
bool order_tags(struct call *call, const struct order *order, const struct config_build *rule, const char *commit,
                struct tags *out, struct error *err);
bool order_arguments(struct call *call, const struct order *order, const struct config_build *rule, const char *commit,
                     struct dockerfile_pairs *out, struct error *err);

#endif
