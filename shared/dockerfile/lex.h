/* Lines of a Dockerfile, joined and cut into what belongs to one instruction. */
#ifndef PUSHWRIGHT_DOCKERFILE_LEX_H
#define PUSHWRIGHT_DOCKERFILE_LEX_H

#include "shared/dockerfile/text.h"

/* One instruction before anybody knows what it means. */
struct node {
    const char *name;          /* as written */
    const char *line;          /* the whole, joined */
    struct word_list comments; /* that stand above it */
    bool legacy;               /* ENV and LABEL: `KEY value` */
    struct word_list flags;
    struct word_list args; /* by the rules of this instruction; pairs of ENV and LABEL as key, value, key, ... */
    bool json;             /* args are the elements of a JSON array */
    bool has_nul;          /* one of them asked for "\\u0000", which no text of ours can hold */
    struct node *trigger;  /* ONBUILD */
    unsigned depth;        /* how many ONBUILDs it stands in */
    struct dockerfile_heredoc *heredocs;
    size_t heredoc_count;
    unsigned first, last;
    unsigned empty_continuation; /* the last of the joined lines when an empty one is among them, otherwise 0 */
    enum dockerfile_op op;       /* DOCKERFILE_OPS: unknown */
};

struct lexer {
    struct arena *arena;
    struct span rest;
    unsigned number; /* lines read */
    char escape;
    const char *syntax;
    struct word_list comments; /* since the last instruction */
    bool directives_over;
    unsigned directives_seen; /* bit per row */
};

struct lexer lexer_on(struct arena *arena, struct span text);

/* The next instruction; *out is NULL at the end. */
bool lexer_next(struct lexer *lexer, struct node **out, struct error *err);

/* One joined line into *node, which is zeroed; first, last and heredocs are left to the caller. */
bool node_parse(struct arena *arena, char escape, struct span line, struct node *node, struct error *err);

enum dockerfile_op op_of(const char *name);

/* "name = value" of a line without its "#", for one of the directives; its row (syntax, escape, check), or -1. */
enum { DIRECTIVE_SYNTAX, DIRECTIVE_ESCAPE, DIRECTIVE_CHECK, DIRECTIVES };
int directive_parse(struct span line, struct span *value);

/* Is the word a heredoc's start? *found tells; the name is in the arena. */
bool heredoc_parse(struct arena *arena, struct span word, struct dockerfile_heredoc *out, bool *found,
                   struct error *err);

/* Without the tabs at the start of its lines. NULL when memory is out. */
const char *heredoc_chomp(struct arena *arena, const char *body);

/* What the words of a node mean. Errors come without the line. */
bool instruction_from(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                      struct error *err);

#endif
