/* Submodules of a commit: other repositories whose files belong to it (gitsubmodules, gitmodules).
 *
 * What .gitmodules says is hostile: a URL is http or https, or file where the parent's is, relative ones are below the parent's host; the
 * token goes to the parent's scheme, host and port only; another host with an address of the own network is refused. Paths are not taken
 * from the file, but looked for in it: they are those of the commit's tree. Each is fetched at depth 1 where the server allows it. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_SUBMODULES_H
#define PUSHWRIGHT_SHARED_BUILDER_SUBMODULES_H

#include "shared/builder/files.h"
#include "shared/git/git.h"

enum { SUBMODULES_MAX = 100, SUBMODULES_NESTED_MAX = 5, GITMODULES_MAX = 256 * 1024 };

struct submodules_options {
    const struct git_remote_options *remote; /* of the commit itself */
    bool allow_private;
    bool keep_git_dirs; /* each has one of its own (keepgit.h) */
};

/* Fill in the directories that files_of_commit() left empty, and those of submodules in them. Errors name the submodule's path. */
bool submodules_fetch(struct files *files, const struct submodules_options *options, struct error *err);

/* The URL of the submodule at `path`, as .gitmodules says it, appended to *out. ERROR_INVALID: it names none. */
bool submodules_url(struct span gitmodules, const char *path, struct bytes *out, struct error *err);

/* `url` as seen from the parent's: "./x" and "../x" are relative to it. ERROR_INVALID, ERROR_UNSUPPORTED when it is not to be fetched. */
bool submodules_resolve(const char *parent, struct span url, struct bytes *out, struct error *err);

#endif
