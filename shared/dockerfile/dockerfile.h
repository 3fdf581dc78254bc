/* Dockerfiles: text in, stages of typed instructions out. Pure: no file, no network, no log.
 *
 * Right is what BuildKit's frontend 1.26 answers. The order of use:
 *   dockerfile_parse()                                   this header
 *   dockerfile_plan_new()       which stages are built   plan.h
 *   dockerfile_scope_*()        expanding, stage by stage   scope.h
 * Every text handed out is NUL-terminated (a Dockerfile with a NUL byte is refused); NULL is "absent", which is not "".
 *
 * Where BuildKit is odd, or its documents and its code disagree, this was decided:
 *
 *   an ARG behind an ENV of the same name wins          as BuildKit's code; the image's config keeps the ENV's value
 *   a stage built on a stage sees ENV above ARG again   as BuildKit: the config's environment is laid over the inherited
 *   FROM BUILD behind AS BUILD is an image, not a stage as BuildKit (names are lowered, FROM compares the written text)
 *   EXPOSE 80${X:-1} exposes 1                          as BuildKit (words that are split lose what stood before a
 *                                                       substitution with a modifier)
 *   a NUL byte, in the text or as \u0000 in JSON        refused; BuildKit goes on and fails when it runs it
 *   several sources and a destination without "/"      accepted as BuildKit, the last one wins
 *   a class holding a wildcard, such as qu[?].txt       matches as Go's filepath.Match says
 *   a wildcard that matches nothing                     no error, as BuildKit; the builder makes an empty layer
 *   --link together with --chmod                        reported as written; the builder decides
 *   --chown with an unknown name, --exclude of what     reported as written; the builder does as BuildKit
 *   is named itself, VOLUME, names that begin ".wh."
 *   ENTRYPOINT forgets an inherited CMD                 as BuildKit, unless CMD stands in the same stage
 *   `**foo` in an ignore file matches a/xfoo            as moby/patternmatcher (ignore.h)
 *   "|", "{" and "}" in an ignore file                  stand for themselves; moby/patternmatcher 0.6.1 hands them to a
 *                                                       regular expression where the pattern has wildcards too
 *   a line with a NUL in an ignore file                 matches nothing, as there
 *   the ignore file for a git context                   the caller's; this library only reads it
 *   mtime=commit of ADD's git sources                   told (gitref.h); BuildKit honours it for contexts only
 *   check= above one instruction                        counts for it; in an ONBUILD trigger BuildKit panics, here it is
 *                                                       a comment
 *   syntax= directives                                  told (syntax), never loaded: the caller judges foreign ones
 *   COPY --from=N beyond the stages                     refused; BuildKit also counts images that were named before
 *   letters beyond ASCII in flags                       kept; BuildKit takes their bytes for letters of Latin-1
 *   an image for another machine than wanted            a warning (lint.h), as BuildKit
 *   backslashes and drive letters of Windows            mean nothing: images are for Linux
 *   errors carry a line                                 BuildKit tells the line of some beside the sentence */
#ifndef PUSHWRIGHT_DOCKERFILE_DOCKERFILE_H
#define PUSHWRIGHT_DOCKERFILE_DOCKERFILE_H

#include "shared/base/arena.h"
#include "shared/base/auto.h"
#include "shared/base/bytes.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

#include <stdint.h>

enum {
    DOCKERFILE_SIZE_MAX = 4 << 20,       /* bytes of text                                                           */
    DOCKERFILE_MEMORY_MAX = 64 << 20,    /* what one parsed file, one plan or one stage's expansion may take        */
    DOCKERFILE_LINE_MAX = 65535,         /* bytes of one line                                                       */
    DOCKERFILE_STAGES_MAX = 1000,        /* FROM instructions                                                       */
    DOCKERFILE_INSTRUCTIONS_MAX = 10000, /* of all stages; images end at a few hundred layers */
    DOCKERFILE_HISTORY_MAX = 8 << 20,    /* bytes of one stage's history */
    DOCKERFILE_VARIABLES_MAX = 1000,     /* names that ARG, ENV and the base image define in one stage */
};

enum dockerfile_op {
    DOCKERFILE_ADD,
    DOCKERFILE_ARG,
    DOCKERFILE_CMD,
    DOCKERFILE_COPY,
    DOCKERFILE_ENTRYPOINT,
    DOCKERFILE_ENV,
    DOCKERFILE_EXPOSE,
    DOCKERFILE_FROM,
    DOCKERFILE_HEALTHCHECK,
    DOCKERFILE_LABEL,
    DOCKERFILE_MAINTAINER,
    DOCKERFILE_ONBUILD,
    DOCKERFILE_RUN,
    DOCKERFILE_SHELL,
    DOCKERFILE_STOPSIGNAL,
    DOCKERFILE_USER,
    DOCKERFILE_VOLUME,
    DOCKERFILE_WORKDIR,
    DOCKERFILE_OPS
};

struct dockerfile_words {
    const char *const *items;
    size_t count;
};

struct dockerfile_pair {
    const char *key;
    const char *value; /* NULL: `ARG name` without a default */
};

struct dockerfile_pairs {
    const struct dockerfile_pair *items;
    size_t count;
};

struct dockerfile_heredoc {
    const char *name; /* the delimiter without quotes; the file's name for COPY and ADD */
    const char
        *body;      /* without the terminator line; as written for RUN, without leading tabs when chomp for COPY, ADD */
    int descriptor; /* the number before "<<", 0 without one */
    bool expand;    /* false: the delimiter was quoted */
    bool chomp;     /* <<- */
};

struct dockerfile_heredocs {
    const struct dockerfile_heredoc *items;
    size_t count;
};

/* What CMD, ENTRYPOINT, SHELL, RUN and a health check run. */
struct dockerfile_command {
    bool shell;                   /* args holds one text for the shell (SHELL or /bin/sh -c) */
    struct dockerfile_words args; /* the JSON array, or that text; may be empty for CMD [] and ENTRYPOINT [] */
};

/* COPY and ADD. Absent flags are NULL. */
struct dockerfile_copy {
    struct dockerfile_words sources;     /* paths, wildcards; ADD: also git sources (gitref.h), else http(s) URLs */
    struct dockerfile_heredocs heredocs; /* files of their own, written after the sources */
    const char *dest;
    const char *from;  /* COPY: see dockerfile_plan_source() */
    const char *chown; /* "user[:group]" */
    const char *chmod; /* see dockerfile_chmod_check() */
    const char *checksum;
    struct dockerfile_words excludes; /* patterns of ignore.h */
    bool link;
    bool parents;
    bool keep_git_dir,
        keep_git_dir_set; /* ADD of a git source (gitref.h), whose own word counts where this is not set */
    bool unpack;          /* ADD --unpack=..., meaningful when unpack_set */
    bool unpack_set;      /* without it: local archives are unpacked, downloads are not */
};

enum dockerfile_mount_type {
    DOCKERFILE_MOUNT_BIND,
    DOCKERFILE_MOUNT_CACHE,
    DOCKERFILE_MOUNT_TMPFS,
    DOCKERFILE_MOUNT_SECRET,
    DOCKERFILE_MOUNT_SSH
};

enum dockerfile_sharing { DOCKERFILE_SHARED, DOCKERFILE_PRIVATE, DOCKERFILE_LOCKED };

/* One --mount of RUN. As parsed only text, from and target are there, as written; as expanded everything is, defaults put
 * in. */
struct dockerfile_mount {
    const char *text; /* the flag's value as written */
    const char *from; /* bind, cache: a stage, image or named context (dockerfile_plan_mount_source()); NULL: bind takes
                         from the build context, a new cache is empty */
    enum dockerfile_mount_type type;
    const char *target; /* absolute and clean, never "/"; NULL: a secret that only becomes a variable */
    const char *source; /* bind, cache: the path within `from`, absolute and clean, "/" the whole; otherwise NULL */
    const char *id;     /* cache, secret, ssh: by which name it is known outside */
    const char *env;    /* secret: the variable that it becomes, or NULL */
    enum dockerfile_sharing sharing; /* cache */
    int64_t size;                    /* tmpfs: bytes at most; 0: not limited */
    uint32_t uid, gid, mode;         /* cache: of the directory when it is new; secret, ssh: of the file */
    bool owner_set;                  /* one of the three was said */
    bool readonly;                   /* bind: what is written to one that is not read-only is thrown away */
    bool required;                   /* secret, ssh: an error when it is missing, otherwise the mount is left out */
};

struct dockerfile_mounts {
    const struct dockerfile_mount *items;
    size_t count;
};

struct dockerfile_run {
    struct dockerfile_command command; /* once expanded with the text that the shell gets, heredocs put in */
    struct dockerfile_heredocs heredocs;
    const char *script;              /* once expanded: the body of a lone heredoc that begins "#!", to stand at the path
                                       that command.args then names; NULL otherwise */
    struct dockerfile_mounts mounts; /* in the order of the flags */
    struct dockerfile_words devices; /* that expanding refuses */
    const char *network;             /* "default", "none", "host" */
    const char *security;            /* "sandbox", "insecure" */
};

struct dockerfile_health {
    bool none;                                                           /* HEALTHCHECK NONE */
    struct dockerfile_command command;                                   /* otherwise */
    int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns; /* 0: not said */
    int retries;                                                         /* 0: not said */
};

struct dockerfile_from {
    const char *image;    /* as written */
    const char *platform; /* as written */
    const char *name;     /* lower case */
    const char *as;       /* "AS" and the name as written */
    const char *written_name;
};

/* One instruction. As parsed, its texts hold variables; as dockerfile_expand() gives it, they are final. */
struct dockerfile_instruction {
    enum dockerfile_op op;
    unsigned line;                    /* its first line, from 1 */
    unsigned last_line;               /* its last, heredocs included */
    const char *name;                 /* its first word as written, such as "Run" */
    const char *text;                 /* in one line as written: continuations joined, heredoc bodies left out */
    struct dockerfile_words comments; /* the comment lines above it, without "#" and blanks around */
    bool legacy_pair;                 /* ENV, LABEL: one pair as `KEY the rest` */
    unsigned empty_continuation;      /* the last of the joined lines when an empty one is among them, otherwise 0 */
    union {
        struct dockerfile_copy copy;       /* ADD COPY                                                         */
        struct dockerfile_pairs pairs;     /* ARG ENV LABEL                                                    */
        struct dockerfile_command command; /* CMD ENTRYPOINT SHELL                                             */
        struct dockerfile_words list;      /* VOLUME: paths; EXPOSE: once expanded "80/tcp" */
        struct dockerfile_from from;       /* FROM                                                             */
        struct dockerfile_health health;   /* HEALTHCHECK                                                      */
        struct dockerfile_run run;         /* RUN                                                              */
        const char
            *value; /* MAINTAINER, STOPSIGNAL, USER; WORKDIR: once expanded absolute; ONBUILD: the trigger's text */
    };
};

struct dockerfile_stage {
    struct dockerfile_from from;
    const struct dockerfile_instruction *head; /* the FROM */
    unsigned line;
    const struct dockerfile_instruction *instructions; /* without the FROM */
    size_t count;
};

/* Freed as a whole by dockerfile_free(); the members are read-only for the caller. */
struct dockerfile {
    const struct dockerfile_instruction *globals; /* the ARGs before the first FROM */
    size_t global_count;
    const struct dockerfile_stage *stages;
    size_t stage_count;
    char escape;        /* '\\' or '`' */
    const char *syntax; /* the value of the syntax directive, or NULL */
    const char *check;  /* the value of the check directive, or NULL; lint.h reads it */
    struct arena *arena;
};

/* NULL and ERROR_INVALID "dockerfile parse error on line N: ..." for whatever BuildKit refuses before it looks at images
 * and arguments, with its sentence; ERROR_TOO_LARGE over DOCKERFILE_SIZE_MAX or DOCKERFILE_MEMORY_MAX. */
struct dockerfile *dockerfile_parse(struct span text, struct error *err);
void dockerfile_free(struct dockerfile *dockerfile);
AUTO_FREE(struct dockerfile, dockerfile_free)

/* One instruction by itself: the text of an ONBUILD trigger, which may not be ONBUILD, FROM or MAINTAINER. What *out
 * refers to is in the arena. */
bool dockerfile_parse_trigger(struct arena *arena, const char *text, struct dockerfile_instruction *out,
                              struct error *err);

/* "COPY" and the like. */
const char *dockerfile_op_name(enum dockerfile_op op);

/* Is it a valid --chmod: octal up to 07777, or symbolic as chmod(1) takes it? ERROR_INVALID with BuildKit's words. */
bool dockerfile_chmod_check(const char *chmod, struct error *err);

/* The permission bits (07777) of a file with `mode` under a valid --chmod. */
unsigned dockerfile_chmod_apply(const char *chmod, unsigned mode, bool is_directory);
bool dockerfile_chmod_is_octal(const char *chmod);

#endif
