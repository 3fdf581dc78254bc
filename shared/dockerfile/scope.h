/* Variables: what ARG and ENV define in the order of instructions, and expanding instructions with them.
 *
 * One scope for the lines before the first FROM, then one for each stage that is built. A scope also remembers what
 * later instructions of the stage lean on: SHELL and WORKDIR. */
#ifndef PUSHWRIGHT_DOCKERFILE_SCOPE_H
#define PUSHWRIGHT_DOCKERFILE_SCOPE_H

#include "shared/dockerfile/dockerfile.h"

/* What the person or the rule that builds says. */
struct dockerfile_options {
    struct dockerfile_pairs args;     /* build arguments; of one name the last wins */
    const char *target;               /* the stage to build; NULL or "": the last */
    struct dockerfile_pairs contexts; /* named contexts, name and what stands for it: see context.h */
    bool all_stages;                  /* every stage is needed, as a check of the whole file wants it */
    const char *target_platform;      /* "os/arch[/variant]"; NULL: linux/amd64 */
    const char *build_platform;       /* NULL: linux/amd64 */
};

struct dockerfile_scope;

/* Platform and build arguments and the global ARGs, for FROM lines. */
struct dockerfile_scope *dockerfile_scope_global(const struct dockerfile *dockerfile,
                                                 const struct dockerfile_options *options, struct error *err);

/* The time that SOURCE_DATE_EPOCH asks for. Of a context or a source the caller finds the time, and begins again with
 * the seconds as the build argument; until then the variable is not set. */
enum dockerfile_epoch_kind {
    DOCKERFILE_EPOCH_UNSAID,
    DOCKERFILE_EPOCH_SECONDS,
    DOCKERFILE_EPOCH_CONTEXT, /* of the build context ("context") or of a named one */
    DOCKERFILE_EPOCH_SOURCE   /* of what a stage fetches */
};

struct dockerfile_epoch {
    enum dockerfile_epoch_kind kind;
    int64_t seconds;
    const char *name;   /* as written */
    const char *source; /* URL or git source */
};

struct dockerfile_epoch dockerfile_scope_epoch(const struct dockerfile_scope *global);

/* What a stage takes over from its base image's config. */
struct dockerfile_base {
    struct dockerfile_words env;   /* "KEY=value" */
    struct dockerfile_words shell; /* count 0: ["/bin/sh", "-c"] */
    const char *workdir;           /* NULL: "/" */
};

/* A stage on an image (scratch: a zeroed base). The global scope is borrowed and must outlive it. */
struct dockerfile_scope *dockerfile_scope_on_image(const struct dockerfile_scope *global,
                                                   const struct dockerfile_base *base, struct error *err);

/* A stage on a stage that was gone through to its end: its ARGs are inherited, its config's environment laid over them. */
struct dockerfile_scope *dockerfile_scope_on_stage(const struct dockerfile_scope *parent, struct error *err);

void dockerfile_scope_free(struct dockerfile_scope *scope);
AUTO_FREE(struct dockerfile_scope, dockerfile_scope_free)

/* Expand one instruction of the stage as parsed into *out (texts in the arena), check what only the final text tells
 * (ports, signals, --chmod, sources), and let ARG, ENV, SHELL and WORKDIR take effect in the scope for those behind it.
 * ERROR_INVALID with BuildKit's sentence behind "dockerfile line N: "; ERROR_TOO_LARGE when the result does not fit. */
bool dockerfile_expand(struct dockerfile_scope *scope, const struct dockerfile_instruction *in, struct arena *arena,
                       struct dockerfile_instruction *out, struct error *err);

/* The history entry's created_by for an instruction that dockerfile_expand() gave for this scope just before (nothing for ONBUILD), such as
 * "COPY a /b # buildkit". Appended to *out. ERROR_TOO_LARGE when the entries of the stage take more than
 * DOCKERFILE_HISTORY_MAX: every RUN's repeats all ARGs. */
bool dockerfile_created_by(struct dockerfile_scope *scope, const struct dockerfile_instruction *expanded,
                           struct bytes *out, struct error *err);

/* "HTTP_PROXY=..." and its relatives that the build arguments hold, in both spellings: to stand behind the environment of
 * every RUN; in neither history nor cache key. Texts in the arena. */
bool dockerfile_scope_proxies(const struct dockerfile_scope *scope, struct arena *arena, struct dockerfile_words *out,
                              struct error *err);

/* As of now; valid until the next dockerfile_expand() on this scope. */
struct dockerfile_words dockerfile_scope_env(const struct dockerfile_scope *scope);        /* for RUN: ARG and ENV */
struct dockerfile_words dockerfile_scope_config_env(const struct dockerfile_scope *scope); /* for the image's config:
                                                                                              PATH is always there */
struct dockerfile_words dockerfile_scope_shell(const struct dockerfile_scope *scope);
const char *dockerfile_scope_workdir(const struct dockerfile_scope *scope); /* absolute */

/* NULL when unset. */
const char *dockerfile_scope_get(const struct dockerfile_scope *scope, const char *name);

/* One word: quotes and escapes processed, variables replaced, never split. ERROR_INVALID `failed to process "...": ...` */
bool dockerfile_expand_word(const struct dockerfile_scope *scope, const char *word, char escape, struct bytes *out,
                            struct error *err);

/* The same, split into words at unquoted blanks. */
bool dockerfile_expand_words(const struct dockerfile_scope *scope, const char *word, char escape, struct arena *arena,
                             struct dockerfile_words *out, struct error *err);

/* The body of a COPY or ADD heredoc: quotes stay. */
bool dockerfile_expand_body(const struct dockerfile_scope *scope, const char *body, struct bytes *out,
                            struct error *err);

#endif
