/* ADD of a git repository. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_ADDGIT_H
#define PUSHWRIGHT_SHARED_BUILDER_ADDGIT_H

#include "shared/builder/copy.h"
#include "shared/builder/files.h"
#include "shared/builder/sourceauth.h"
#include "shared/dockerfile/context.h"

/* Files that were fetched, kept until the build that reads them ends. */
struct fetched {
    struct git_snapshot *snapshot;
    struct files *files;
    struct tree_node *root;              /* the subdirectory that was asked for */
    const struct named_context *context; /* that it is; NULL: of an ADD */
    struct fetched *next;
};
void fetched_free(struct fetched *list);

struct turns;
struct addgit_options {
    const char *checksum; /* the commit that the ref must stand at, or its beginning; NULL: any */
    bool keep_git_dir;    /* also where the source itself does not say so; of the whole repository only, as BuildKit */
    bool allow_private;   /* else no address of the own network is connected to */
    struct sourceauth auth;
    bool (*cancelled)(void *context);
    void *cancelled_context;
    struct turns *turns; /* given while addgit() fetches */
};

/* What the source names, not in a list yet. */
struct fetched *addgit_fetch(const struct git_ref *source, const struct addgit_options *options, struct error *err);

/* The repository's files, or those of its subdirectory, into the destination, with its submodules. What was fetched is put in front of
 * *list. ERROR_UNSUPPORTED for ssh. */
bool addgit(const struct copy *copy, const char *source, const struct addgit_options *options, struct fetched **list,
            struct error *err);

#endif
