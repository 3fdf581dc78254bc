/* Names of images as they stand in objects, and as they are wanted there. */
#ifndef PUSHWRIGHT_TARGET_IMAGE_H
#define PUSHWRIGHT_TARGET_IMAGE_H

#include "shared/base/arena.h"
#include "shared/config/config.h"

/* May `stands` be what was written for `image`, in whatever form? By digest where both have one (an admission may have named a mirror), else
 * by name and tag. */
bool image_same(const char *stands, const char *image);

/* The digest behind the '@'; NULL: it has none. */
const char *image_digest(const char *image);

/* As the target wants it written. Where only a tag is wanted, and that tag stands there already, the whole name is: else nothing would be
 * changed. NULL: no memory. */
const char *image_write(struct arena *arena, enum image_form form, const char *image, const char *stands);

#endif
