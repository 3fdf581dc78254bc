/* Paths of the image, as Go's package path treats them. */
#ifndef PUSHWRIGHT_DOCKERFILE_PATH_H
#define PUSHWRIGHT_DOCKERFILE_PATH_H

#include "shared/base/arena.h"

/* path.Join of a base that is absolute and of what follows: absolute, without ".", ".." and doubled slashes. */
char *path_join(struct arena *arena, const char *base, const char *relative);

/* path.Clean: the shortest path of the same meaning; "" is ".". */
char *path_clean(struct arena *arena, const char *path);

#endif
