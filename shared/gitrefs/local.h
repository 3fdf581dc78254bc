/* Private to shared/gitrefs: the refs of a repository on this machine, from its files. */
#ifndef PUSHWRIGHT_GITREFS_LOCAL_H
#define PUSHWRIGHT_GITREFS_LOCAL_H

#include "shared/gitrefs/listing.h"

/* path: a bare repository, or a working tree with its ".git" directory. Symbolic links below it are not followed. */
bool local_list(struct listing *listing, const char *path, struct error *err);

#endif
