/* git repositories, as far as a build needs them: the tip of a ref, and the tree of exactly one commit (libgit2 behind it).
 *
 * Untrusted: everything that comes from the other side. Names are checked by the walk of the tree, sizes have ceilings. Credentials go to
 * the host of the URL and to no other: redirects away from it are refused. */
#ifndef PUSHWRIGHT_GIT_GIT_H
#define PUSHWRIGHT_GIT_GIT_H

#include "shared/base/auto.h"
#include "shared/base/bytes.h"
#include "shared/secrets/secret.h"

#include <stdint.h>

struct sockaddr;

enum { GIT_OID_TEXT_SIZE = 65 };

typedef bool git_address_fn(const struct sockaddr *address);

struct git_remote_options {
    const char *url;                    /* http, https or file */
    const char *username;               /* with token: basic authentication; NULL: "x-access-token" */
    const struct secret *token;         /* NULL: anonymous */
    const struct secret *authorization; /* instead of both: the value of that header; NULL: none */
    git_address_fn *connectable;      /* asked before each connection, a proxy's excepted; NULL: any address will do */
    const char *ca_file;              /* NULL: the system's bundle */
    int64_t bytes_max;                /* ceiling of what is received; 0: 4 GB */
    long timeout_ms;                  /* 0: 10 minutes */
    bool (*cancelled)(void *context); /* asked now and then; NULL: never */
    void *cancelled_context;
};

/* url, checked: http, https or file (or an absolute path, the same as file), no user information in it. ERROR_INVALID. */
bool git_url_check(const char *url, struct error *err);

/* The commit that a full ref name ("refs/heads/main", "refs/tags/v1", "HEAD"; annotated tags peeled) points to now; "" when the repository
 * has no such ref. ERROR_NOT_FOUND: no such repository; ERROR_DENIED: authentication; ERROR_UNAVAILABLE. */
bool git_tip(const struct git_remote_options *remote, const char *ref, char commit[static GIT_OID_TEXT_SIZE],
             struct error *err);

/* The same by the name that people use: a full one as it is; else a branch of that name, else a tag, else "refs/NAME" ("pull/1/head"). *ref
 * is the full name, empty when the repository has none of them. */
bool git_resolve(const struct git_remote_options *remote, const char *name, struct bytes *ref,
                 char commit[static GIT_OID_TEXT_SIZE], struct error *err);

/* One commit and its tree; fetched ones lie in a private temporary directory that goes with it, local ones are read where they are.
 * One thread at a time. */
struct git_snapshot;

/* Fetch exactly this commit. With a ref the commit must be reachable from it: depth 1 when it is the ref's tip, else the ref's
 * history, deepened until the commit shows up (ERROR_NOT_FOUND "is not reachable from" when it does not). commit NULL takes the
 * ref's tip, and so does the id of the annotated tag that the ref is; ref NULL asks for the commit by its id, which a server may refuse (ERROR_UNSUPPORTED). ERROR_TOO_LARGE: over
 * bytes_max. */
struct git_snapshot *git_fetch(const struct git_remote_options *remote, const char *ref, const char *commit,
                               struct error *err);
void git_snapshot_free(struct git_snapshot *snapshot);
AUTO_FREE(struct git_snapshot, git_snapshot_free)

const char *git_snapshot_commit(const struct git_snapshot *snapshot); /* 40 hex digits */
int64_t git_snapshot_time_s(const struct git_snapshot *snapshot);     /* committer time, seconds since 1970 */
const char *git_snapshot_message(const struct git_snapshot *snapshot);

/* The full name of the ref that it was fetched by, of the branch that HEAD stands for when it was HEAD; NULL: by its id. And what that
 * ref points to itself, 40 hex digits: an annotated tag, or the commit. */
const char *git_snapshot_ref(const struct git_snapshot *snapshot);
const char *git_snapshot_pointed(const struct git_snapshot *snapshot);

enum git_mode {
    GIT_MODE_FILE = 0100644,
    GIT_MODE_EXECUTABLE = 0100755,
    GIT_MODE_SYMLINK = 0120000,
    GIT_MODE_DIRECTORY = 0040000,
    GIT_MODE_SUBMODULE = 0160000
};

enum { GIT_PATH_MAX = 4096 };

struct git_entry {
    const char *path; /* from the root, no leading slash; no part of it is "", "." or "..", or ".git" in any case */
    enum git_mode mode;
    const char *oid;
};

/* Every entry below the root in git's order, directories before what they hold. Stops when the callback returns false. ERROR_INVALID
 * names what is hostile in the tree: a name as above, a name that stands twice, a path over GIT_PATH_MAX, a mode that git does not
 * know. More than entries_max entries are ERROR_TOO_LARGE. */
typedef bool git_entry_fn(void *context, const struct git_entry *entry, struct error *err);
bool git_snapshot_walk(struct git_snapshot *snapshot, size_t entries_max, git_entry_fn *on_entry, void *context,
                       struct error *err);

/* Any object as it is hashed, without git's head (gitformat-pack: the numbers of the kinds); appended to *out. */
enum git_kind { GIT_KIND_COMMIT = 1, GIT_KIND_TREE, GIT_KIND_BLOB, GIT_KIND_TAG };
bool git_snapshot_object_header(struct git_snapshot *snapshot, const char *oid, enum git_kind *kind, int64_t *size,
                                struct error *err);
bool git_snapshot_object_read(struct git_snapshot *snapshot, const char *oid, struct bytes *out, struct error *err);

/* A blob's size, and its content appended to *out (over its ceiling: ERROR_TOO_LARGE before it is read). */
bool git_snapshot_blob_size(struct git_snapshot *snapshot, const char *oid, int64_t *size, struct error *err);
bool git_snapshot_blob_read(struct git_snapshot *snapshot, const char *oid, struct bytes *out, struct error *err);

/* A large blob that lies in a pack as it is cannot be had in pieces otherwise: its zlib stream, until on_packed says *done. *found
 * false: it is small, or lies elsewhere, and nothing was handed out. */
typedef bool git_packed_fn(void *context, const void *data, size_t len, bool *done, struct error *err);
bool git_snapshot_blob_packed(struct git_snapshot *snapshot, const char *oid, git_packed_fn *on_packed, void *context,
                              bool *found, struct error *err);

/* The same in pieces, without a copy. ERROR_TOO_LARGE for what would stand in memory as a whole and is too large for that. */
typedef bool git_data_fn(void *context, const void *data, size_t len, struct error *err);
bool git_snapshot_blob_each(struct git_snapshot *snapshot, const char *oid, git_data_fn *on_data, void *context,
                            struct error *err);

#endif
