/* The passwords of registries that docker and podman have kept for this user. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_LOGINS_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_LOGINS_H

#include "shared/builder/progress.h"
#include "shared/oci/session.h"
#include "shared/oci/store.h"

struct build_logins;

/* Everything that a file holds is hidden in the progress. A file that is not there is no error; one that cannot be read or understood is. */
struct build_logins *build_logins_load(struct progress *progress, struct error *err);
void build_logins_free(struct build_logins *logins);
AUTO_FREE(struct build_logins, build_logins_free)

/* Borrowed from the logins. */
struct registry_options build_logins_options(const struct build_logins *logins);

#endif
