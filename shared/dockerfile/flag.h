/* The flags of an instruction (--name, --name=value) against those that it knows. */
#ifndef PUSHWRIGHT_DOCKERFILE_FLAG_H
#define PUSHWRIGHT_DOCKERFILE_FLAG_H

#include "shared/dockerfile/lex.h"

enum flag_type { FLAG_TEXT, FLAG_BOOLEAN, FLAG_LIST };

struct flag {
    const char *name;
    enum flag_type type;
    const char **text;      /* FLAG_TEXT */
    bool *boolean;          /* FLAG_BOOLEAN */
    struct word_list *list; /* FLAG_LIST */
    bool *used;             /* or NULL */
};

bool flags_parse(struct arena *arena, const struct node *node, const struct flag *flags, size_t count,
                 struct error *err);

#endif
