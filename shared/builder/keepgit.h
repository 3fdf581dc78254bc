/* The .git directory beside the files of a commit (ADD --keep-git-dir): what `git fetch --depth=1` of it and a checkout leave, with one
 * commit, no reflog and no hooks. Formats: git's gitrepository-layout(5), gitformat-pack(5), gitformat-index(5).
 *
 * The same commit, ref and URL give the same bytes on every machine: the server's pack, which is another one after each `git repack`,
 * is not passed on, but written anew without differences between objects; the index holds nothing of the files it was made of, so that
 * git compares contents once. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_KEEPGIT_H
#define PUSHWRIGHT_SHARED_BUILDER_KEEPGIT_H

#include "shared/builder/files.h"
#include "shared/dockerfile/scope.h"

/* Bytes of what is kept of a build's repositories at most. */
static const int64_t keepgit_max = INT64_C(4) << 30;

/* ".git" in the directory, which holds the snapshot's files. `remote`, which becomes "origin", has no password in it; one that is not of
 * http or https is left out: it would be a path of this machine. ERROR_TOO_LARGE over keepgit_max. */
bool keepgit(struct files *files, struct git_snapshot *snapshot, struct tree_node *directory, const char *remote,
             struct error *err);

/* Does BUILDKIT_CONTEXT_KEEP_GIT_DIR of the build arguments ask for it in the context? */
bool keepgit_asked(const struct dockerfile_pairs *arguments);

#endif
