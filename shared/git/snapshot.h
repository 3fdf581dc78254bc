/* How a snapshot comes to be. Private to shared/git. */
#ifndef PUSHWRIGHT_GIT_SNAPSHOT_H
#define PUSHWRIGHT_GIT_SNAPSHOT_H

#include "shared/git/git.h"
#include "shared/git/library.h"

/* Takes the repository, and the directory (heap; NULL: none) that is removed with the snapshot; on failure too. */
struct git_snapshot *snapshot_new(git_repository *repository, char *directory, const git_oid *commit,
                                  struct error *err);

/* Remembers the ref that it was fetched by, and what that points to itself. Takes the snapshot (NULL: nothing to do). */
struct git_snapshot *snapshot_named(struct git_snapshot *snapshot, const char *ref, const git_oid *pointed,
                                    struct error *err);

#endif
