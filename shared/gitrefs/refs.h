/* Which refs a repository has and what they point to, asked without a git library: by smart HTTP (protocol 2, or what an older server
 * answers instead), or read from the files of a repository on this machine. Branches and tags only.
 *
 * Untrusted: everything that comes from the other side; it is bounded in size, number and time. The token goes to the host of the
 * URL and to no other: a redirect away from it is an error. Sources: gitprotocol-http, gitprotocol-v2 "ls-refs",
 * gitprotocol-pack "Reference Discovery", gitrepository-layout. */
#ifndef PUSHWRIGHT_GITREFS_REFS_H
#define PUSHWRIGHT_GITREFS_REFS_H

#include "shared/base/auto.h"
#include "shared/base/bytes.h"
#include "shared/secrets/secret.h"

enum { REFS_MAX = 100 * 1000, REF_NAME_MAX = 1024 };

struct refs_options {
    const char *url;            /* http, https, file or an absolute path, without user information */
    const char *username;       /* with token; NULL: "x-access-token" */
    const struct secret *token; /* NULL: anonymous */
    const char *ca_file;        /* NULL: the system's bundle */
    long timeout_ms;            /* of the whole; 0: 10 s */
};

struct ref {
    const char *name;   /* "refs/heads/..." or "refs/tags/...", without control characters and blanks */
    const char *direct; /* 40 or 64 hexadecimal digits; of an annotated tag the tag itself */
    const char *commit; /* behind an annotated tag where that was told, else the same */
};

struct refs {
    struct ref *items; /* by name */
    size_t count;
    const char *head; /* the branch that HEAD stands for, as "refs/heads/..."; NULL: not told */
};

/* ERROR_DENIED: authentication; ERROR_NOT_FOUND: no such repository; ERROR_TOO_LARGE: more than REFS_MAX, or 16 MB of them; ERROR_INVALID:
 * what came is not git's protocol; ERROR_UNSUPPORTED: a repository of this machine that keeps its refs in another form
 * than files; ERROR_UNAVAILABLE. */
struct refs *refs_list(const struct refs_options *options, struct error *err);
void refs_free(struct refs *refs);
AUTO_FREE(struct refs, refs_free)

/* As text of a line each, the form of git's packed-refs, and back. An empty list has a line that is a comment. */
bool refs_write(struct bytes *out, const struct refs *refs, struct error *err);
struct refs *refs_parse(struct span text, struct error *err);

const struct ref *refs_find(const struct refs *refs, const char *name); /* NULL: there is none */

#endif
