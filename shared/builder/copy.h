/* COPY and ADD of files: sources of one tree become nodes of another, by BuildKit's rules (reference: Dockerfile, COPY and ADD).
 *
 *   a directory          its content goes into the destination, which becomes a directory
 *   a file               goes into the destination when that is a directory or was written with a trailing slash
 *   links as source      are followed inside the source tree; links inside a copied directory are copied as they are
 *   links on the way     to the destination are followed inside the image, the last one too */
#ifndef PUSHWRIGHT_SHARED_BUILDER_COPY_H
#define PUSHWRIGHT_SHARED_BUILDER_COPY_H

#include "shared/builder/numbering.h"
#include "shared/builder/tree.h"
#include "shared/dockerfile/dockerfile.h"
#include "shared/dockerfile/ignore.h"

struct copy {
    struct tree *to;
    uint32_t layer;      /* that is made of it */
    const char *workdir; /* a relative destination is below it */
    const char *dest;    /* as written */
    const struct tree *from;
    struct tree_node *from_root;
    const char *from_name; /* for messages: "the context", "stage 'build'" */
    bool keep_owner;       /* from a stage or image: owners stay unless has_owner */
    bool has_owner;
    uint32_t uid, gid;             /* --chown */
    const char *chmod;             /* NULL: none */
    const struct ignore *excludes; /* NULL: none */
    bool parents;                  /* --parents */
    int64_t time_s;                /* of everything that is made */
    int64_t newest_s;              /* nothing that is copied gets a later time */
    uint64_t *file_number;         /* counted up for hard links */
    struct numbering *links;       /* of the source at hand; the caller leaves it NULL */
    struct bytes *way;             /* --parents: to what of the source was copied last; the caller leaves it NULL */
    /* ADD: may take a file over that would be copied (*done); NULL: not. */
    bool (*unpack)(void *context, const struct copy *copy, const struct tree_node *source, bool *done,
                   struct error *err);
    void *unpack_context;
    /* Instead of copying, tell what would be: from where, as which name, and (for excludes) by which path of the source; not deep: without
     * what is in it. NULL: copy. */
    bool (*seen)(void *context, const struct tree_node *source, const char *name, const char *path, bool deep,
                 struct error *err);
    void *seen_context;
};

/* One source as written: a path or pattern. ERROR_INVALID: not found, or a conflict of types. */
bool copy_source(const struct copy *copy, const char *source, struct error *err);

/* "a/b" of "./a/../a//b/", clamped at the root; "" for the root itself. Appended to *out. */
bool copy_clean(const char *source, struct bytes *out, struct error *err);

/* A file of its own, such as a heredoc or download. `is` tells its mode, time and content. */
bool copy_file(const struct copy *copy, const char *name, const struct attributes *is, struct error *err);

/* The destination as a directory, made when it is missing: where archives are unpacked. */
struct tree_node *copy_directory(const struct copy *copy, struct error *err);

#endif
