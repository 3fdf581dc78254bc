/* git repositories, as far as a build needs them: the tip of a ref, and the tree of exactly one commit (libgit2 behind it).
 *
 * Untrusted: everything that comes from the other side. Paths are checked by the reader of the tree, sizes have ceilings. */
#ifndef PUSHWRIGHT_GIT_GIT_H
#define PUSHWRIGHT_GIT_GIT_H

#include "shared/base/auto.h"
#include "shared/base/bytes.h"
#include "shared/secrets/secret.h"

#include <stdint.h>

enum { GIT_OID_TEXT_SIZE = 65 };

struct git_remote_options {
    const char *url;             /* http, https or file */
    const char *username;        /* with token: basic authentication; NULL: "x-access-token" */
    const struct secret *token;  /* NULL: anonymous */
    const char *ca_file;         /* NULL: the system's bundle */
    int64_t bytes_max;           /* ceiling of what is received; 0: 1 GB */
    long timeout_ms;             /* 0: 10 minutes */
    bool (*cancelled)(void *context); /* asked now and then; NULL: never */
    void *cancelled_context;
};

/* The commit that a full ref name ("refs/heads/main", "refs/tags/v1", annotated tags peeled) points to now. ERROR_NOT_FOUND: no such ref or repository;
 * ERROR_DENIED: authentication; ERROR_UNAVAILABLE. */
bool git_tip(const struct git_remote_options *remote, const char *ref, char commit[static GIT_OID_TEXT_SIZE], struct error *err);

struct git_tree; /* a commit's tree, in a private temporary directory that goes with it */

/* Fetch exactly this commit (depth 1 by its id where the server allows it, else from the ref, deepened until it is found:
 * ERROR_NOT_FOUND "is not reachable from" otherwise). ref may be NULL with a commit id, commit NULL takes the ref's tip. */
struct git_tree *git_fetch(const struct git_remote_options *remote, const char *ref, const char *commit, struct error *err);
void git_tree_free(struct git_tree *tree);
AUTO_FREE(struct git_tree, git_tree_free)

const char *git_tree_commit(const struct git_tree *tree);  /* 40 or 64 hex digits */
int64_t git_tree_time_s(const struct git_tree *tree);       /* committer time, seconds since 1970 */
const char *git_tree_message(const struct git_tree *tree);

enum git_mode { GIT_MODE_FILE = 0100644, GIT_MODE_EXECUTABLE = 0100755, GIT_MODE_SYMLINK = 0120000, GIT_MODE_DIRECTORY = 0040000, GIT_MODE_SUBMODULE = 0160000 };

struct git_entry {
    const char *path; /* from the tree's root, no leading slash; never "..", ".", "" or absolute: such trees are refused */
    enum git_mode mode;
    const char *oid;
};

/* Every entry below the root in git's order, directories before what they hold. Stops when the callback returns false. A tree with
 * more than entries_max entries is ERROR_TOO_LARGE. */
typedef bool git_entry_fn(void *context, const struct git_entry *entry, struct error *err);
bool git_tree_walk(struct git_tree *tree, size_t entries_max, git_entry_fn *on_entry, void *context, struct error *err);

/* A blob's size, and its content appended to *out (over its ceiling: ERROR_TOO_LARGE before it is read). */
bool git_blob_size(struct git_tree *tree, const char *oid, int64_t *size, struct error *err);
bool git_blob_read(struct git_tree *tree, const char *oid, struct bytes *out, struct error *err);

#endif
