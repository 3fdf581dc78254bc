/* Git sources as people write them for contexts and ADD: "https://host/repo.git#ref:subdir", "git@host:repo",
 * "https://host/repo.git?branch=main&subdir=x". Right is what BuildKit's dfgitutil.ParseGitRef answers. */
#ifndef PUSHWRIGHT_DOCKERFILE_GITREF_H
#define PUSHWRIGHT_DOCKERFILE_GITREF_H

#include "shared/base/arena.h"
#include "shared/base/error.h"

enum { GIT_REF_MAX = 8192 }; /* bytes of a source */

enum git_ref_choice { GIT_REF_UNSAID, GIT_REF_NO, GIT_REF_YES };

struct git_ref {
    const char *remote;    /* the repository's URL without fragment and query; may hold a password: never log it */
    const char *name;      /* the repository's last part without ".git" */
    const char *ref;       /* branch, tag, commit or a full "refs/..."; "": the remote's HEAD. Not checked: it may begin
                             with "-" or hold "..", so it is data for a library, never an argument of a command */
    const char *checksum;  /* commit id, or its beginning, that the ref must stand at; "": any */
    const char *subdir;    /* as said in a query, clean from a fragment; "": the whole */
    const char *directory; /* the same to be opened: relative, clean, never outside; "": the whole */
    enum git_ref_choice keep_git_dir, submodules, fetch_by_commit;
    const char *mtime;      /* "checkout", "commit" or "" */
    bool looks_like_a_path; /* "github.com/a/b": a git source as a context only, not for ADD */
    bool unencrypted;       /* git:// and http:// */
};

/* Understand a source; texts of *out are in the arena. False with *is_git telling whether it is a broken git source
 * (then the error is for the person) or none at all (then it is a path or a download). */
bool git_ref_parse(struct arena *arena, const char *source, struct git_ref *out, bool *is_git, struct error *err);

#endif
