/* What a build is made of: a Dockerfile, and the files that it may copy, without what .dockerignore leaves out. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CONTEXT_H
#define PUSHWRIGHT_SHARED_BUILDER_CONTEXT_H

#include "shared/builder/submodules.h"

enum { IGNORE_FILE_MAX = 1024 * 1024 };

struct context {
    struct files *files;
    struct tree_node *root; /* the context directory among them: no path of an instruction leads above it */
    struct bytes dockerfile;
    struct ignore *ignore; /* by which files were left out; NULL: by none */
};

struct context_commit {
    struct git_snapshot *snapshot;
    const struct submodules_options *submodules; /* NULL: they are left empty */
    const char *dockerfile, *directory;          /* paths from the repository's root */
    const char *
        keep_git_dir; /* the remote of a .git (keepgit.h) when the directory is the whole repository; NULL: none is made */
};

/* The commit's tree. Symbolic links are followed inside the repository only. NAME.dockerignore beside the Dockerfile, else .dockerignore in
 * the directory is honoured (BuildKit does so for local directories only; what is left out there is mostly secret), not for the .git that
 * was asked for. ERROR_INVALID names what is missing or hostile. */
bool context_of_commit(const struct context_commit *commit, struct context *out, struct error *err);

/* A directory of this machine. `dockerfile` NULL is Dockerfile (or dockerfile) in it; else it may lie anywhere, "-" is standard input. */
bool context_of_directory(const char *directory, const char *dockerfile, struct context *out, struct error *err);

/* The same without a Dockerfile. */
bool context_of_folder(const char *directory, struct context *out, struct error *err);

/* A tar, compressed or not; what it holds is copied. *is_archive false: it is none, and *out is left alone. */
bool context_of_archive(const struct content *archive, const char *dockerfile, struct context *out, bool *is_archive,
                        struct error *err);

/* No files but the Dockerfile itself. */
bool context_of_text(struct span dockerfile, struct context *out, struct error *err);

void context_release(struct context *context);
AUTO_RELEASE(struct context, context_release)

#endif
