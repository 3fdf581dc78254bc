/* What registries are spoken to with is no matter for a build's output. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_HIDE_H
#define PUSHWRIGHT_SHARED_BUILDER_HIDE_H

#include "shared/builder/progress.h"
#include "shared/oci/store.h"

/* Passwords, and all that docker's files hold: as it stands there, and as it is sent. */
bool hide_logins(struct progress *progress, const struct registry_options *registries, struct error *err);

#endif
