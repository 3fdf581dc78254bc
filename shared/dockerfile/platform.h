/* Platforms as containerd's platforms package reads them. */
#ifndef PUSHWRIGHT_DOCKERFILE_PLATFORM_H
#define PUSHWRIGHT_DOCKERFILE_PLATFORM_H

#include "shared/dockerfile/text.h"

/* "os", "arch", "os/arch" or "os/arch/variant", normalised: "linux/arm64"; NULL with ERROR_INVALID "failed to parse
 * platform WRITTEN: ...". */
const char *platform_parse(struct arena *arena, const char *written, const char *value, struct error *err);

/* The normalised platform of something that was parsed before, or the text itself. */
const char *platform_normal(struct arena *arena, const char *platform);

#endif
