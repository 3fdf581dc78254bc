/* URLs as Go's net/url reads and writes them, as far as sources of builds need it. */
#ifndef PUSHWRIGHT_DOCKERFILE_SOURCEURL_H
#define PUSHWRIGHT_DOCKERFILE_SOURCEURL_H

#include "shared/dockerfile/text.h"

struct source_url {
    const char *scheme;   /* lower case, "" without one */
    const char *address;  /* the whole without query and fragment, escaped anew */
    const char *path;     /* escapes undone */
    const char *fragment; /* escapes undone */
    const char *query;    /* as written, NULL without one */
};

/* False with Go's sentence (`parse "...": ...`), in which a password is not repeated. What is no UTF-8 or holds escaped
 * NUL bytes is refused too. */
bool source_url_parse(struct arena *arena, const char *text, struct source_url *out, struct error *err);

/* The pairs of a query in their order; broken ones are left out, and *broken says so. */
bool source_url_query(struct arena *arena, const char *query, struct dockerfile_pairs *out, bool *broken,
                      struct error *err);

#endif
