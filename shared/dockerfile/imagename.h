/* Names of images as FROM and --from write them, before anybody asks a registry. */
#ifndef PUSHWRIGHT_DOCKERFILE_IMAGENAME_H
#define PUSHWRIGHT_DOCKERFILE_IMAGENAME_H

#include "shared/dockerfile/text.h"

/* Would distribution's reference.ParseNormalizedNamed take it? ERROR_INVALID with its sentence. */
bool image_name_check(const char *name, struct error *err);

/* A valid name without what goes without saying: "docker.io/library/" and ":latest". NULL when memory is out. */
const char *image_name_short(struct arena *arena, const char *name);

#endif
