/* Files that a build copies from: the tree of a commit, or a directory of this machine. Made once, then only read. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_FILES_H
#define PUSHWRIGHT_SHARED_BUILDER_FILES_H

#include "shared/builder/tree.h"
#include "shared/dockerfile/ignore.h"

enum { FILES_ENTRIES_MAX = 1000000 };

struct folder;

struct submodule {
    struct tree_node *node;
    const char *path, *commit;
    struct submodule *next;
};

struct files {
    struct tree *tree;            /* everything belongs to 0:0 */
    int64_t time_s;               /* of the commit; of the newest file of a directory */
    bool timed;                   /* it is no file's */
    struct submodule *submodules; /* of the commit that was added last: directories that are left empty */
    size_t submodule_count;       /* of all commits */
    struct git_snapshot **added;  /* commits that are kept for their contents */
    size_t added_count;
    struct folder *folder;
    struct spool *spool; /* contents of an archive's files; NULL: they are elsewhere */
};

/* Directories and files have git's modes (0755, 0644, 0755 for executables) and the commit's time. The snapshot must outlive the files.
 * ERROR_INVALID names what is hostile, ERROR_TOO_LARGE over FILES_ENTRIES_MAX. */
struct files *files_of_commit(struct git_snapshot *snapshot, struct error *err);

/* Another commit's tree below the directory, which is empty. The files take the snapshot, on failure too. */
bool files_add_commit(struct files *files, struct git_snapshot *snapshot, struct tree_node *directory,
                      struct error *err);

/* What lies below the directory, as it lies there: modes, times, hard links, file capabilities; sockets are left out. No symbolic link is
 * followed, neither now nor when a content is read. What `ignore` (may be NULL) leaves out is not looked at. */
struct files *files_of_directory(const char *path, const struct ignore *ignore, struct error *err);

/* What a tar unpacks to. *is_archive false: it is none. The newest file's time counts. */
struct files *files_of_archive(const struct content *archive, bool *is_archive, struct error *err);

struct files *files_of_nothing(struct error *err);

void files_free(struct files *files);
AUTO_FREE(struct files, files_free)

/* What `ignore` leaves out below the directory is taken out of the tree; a directory that is left out stays when something below it
 * is let in again. */
bool files_prune(struct files *files, struct tree_node *directory, const struct ignore *ignore, struct error *err);

#endif
