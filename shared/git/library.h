/* libgit2 itself: started once, kept for the life of the process, its errors turned into ours. Private to shared/git. */
#ifndef PUSHWRIGHT_GIT_LIBRARY_H
#define PUSHWRIGHT_GIT_LIBRARY_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

#include <git2.h>

AUTO_FREE(git_repository, git_repository_free)
AUTO_FREE(git_remote, git_remote_free)
AUTO_FREE(git_reference, git_reference_free)
AUTO_FREE(git_object, git_object_free)
AUTO_FREE(git_commit, git_commit_free)
AUTO_FREE(git_odb, git_odb_free)
AUTO_FREE(git_odb_object, git_odb_object_free)
AUTO_FREE(git_tree, git_tree_free)

/* Ready for use; cheap when it is already. The user's and the system's git configuration are not read: what a build does must not
 * depend on the machine it runs on. */
bool library_start(struct error *err);

/* libgit2 keeps one set of trusted certificates for the process. Between begin and end it is the one of this file (NULL: the
 * system's bundle); a caller with another file waits until the others have ended. */
bool library_certificates_begin(const char *ca_file, struct error *err);
void library_certificates_end(void);

/* "what: libgit2's sentence", kind by what went wrong (code is what the call returned). Returns false. */
__attribute__((format(printf, 3, 4))) bool library_failed(struct error *err, int code, const char *format, ...);

#endif
