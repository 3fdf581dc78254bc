/* The inside of a scope, for expand.c and history.c. */
#ifndef PUSHWRIGHT_DOCKERFILE_SCOPE_PRIVATE_H
#define PUSHWRIGHT_DOCKERFILE_SCOPE_PRIVATE_H

#include "shared/dockerfile/lint_private.h"
#include "shared/dockerfile/names.h"
#include "shared/dockerfile/scope.h"
#include "shared/dockerfile/text.h"

/* "|2 A=1 B=2", which stands before every RUN in the history, kept until an ARG or ENV changes something. */
struct run_prefix {
    struct bytes text;
    bool valid;
};

struct dockerfile_scope {
    struct arena *arena;
    const struct dockerfile_scope *global; /* NULL: this is the global one */
    struct dockerfile_pairs build_args;
    struct dockerfile_pair *own_args; /* the same, of the global scope */
    char escape;
    struct dockerfile_epoch epoch;                   /* of the global scope */
    struct word_list env;                            /* "KEY=value", ARG and ENV, the newest at the end */
    struct word_list config;                         /* "KEY=value", ENV only, in the order of first definition */
    struct word_list args;                           /* names of ARGs in the order of declaration, each once */
    struct names env_names, config_names, arg_names; /* the same by name; the text is the list's */
    size_t steps;                                    /* looks at names and bytes of history: the work done */
    size_t history;                                  /* bytes of created_by so far */
    struct run_prefix *prefix;
    struct dockerfile_words shell;
    bool shell_set; /* it is not what stands in for one */
    const char *workdir;
    bool workdir_set;         /* by an instruction of this stage or of one that it stands on */
    struct lint_names *names; /* NULL: nobody asks what is looked for */
};

const char *scope_build_arg(const struct dockerfile_scope *scope, const char *name);
bool scope_set_env(struct dockerfile_scope *scope, const char *key, const char *value, struct error *err);
bool scope_set_config(struct dockerfile_scope *scope, const char *key, const char *value, struct error *err);
void scope_unset(struct dockerfile_scope *scope, const char *name); /* as a build argument too */
bool scope_reset(struct dockerfile_scope *scope, const char *name, const char *value, bool as_build_arg,
                 struct error *err);
struct dockerfile_scope *scope_copy(const struct dockerfile_scope *scope, struct error *err);
bool scope_read_epoch(struct dockerfile_scope *scope, const struct dockerfile *dockerfile,
                      const struct dockerfile_pairs *contexts, struct error *err);
bool scope_is_declared(const struct dockerfile_scope *scope, const char *name);
bool scope_declare(struct dockerfile_scope *scope, const char *name, struct error *err);
struct word_env scope_word_env(const struct dockerfile_scope *scope);

/* The linter, or NULL. */
struct lint *scope_lint(const struct dockerfile_scope *scope);

/* The variable whose name is nearest to `name`, in the arena; NULL without one. */
const char *scope_suggest(const struct dockerfile_scope *scope, struct span name, struct arena *arena);

/* As dockerfile_scope_global() without build arguments, but for those that stand over the platform's. */
struct dockerfile_scope *scope_global_defaults(const struct dockerfile *dockerfile,
                                               const struct dockerfile_options *options, struct error *err);

/* "KEY" of "KEY=value". */
struct span env_key(const char *text);

#endif
