/* What a large database in a layer of a base says, kept beside the indexes of layers (baseindex.h): for a list of packages no layer is
 * fetched a second time. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CONTENTS_KEPT_H
#define PUSHWRIGHT_SHARED_BUILDER_CONTENTS_KEPT_H

#include "shared/attest/packages.h"
#include "shared/builder/content.h"
#include "shared/oci/image.h"

/* By what the list is kept: a layer that there is none of. False: the file is not, or no longer, in a layer. */
bool contents_kept_name(const struct content *content, struct image_layer *out);

/* Adds the packages; *found says whether there was a list. */
bool contents_kept_look(const struct image_layer *name, const char *cache_directory, struct packages *packages,
                        bool *found, struct error *err);

/* Those from number `from` on. One that cannot be kept is no error. */
void contents_kept_keep(const struct image_layer *name, const char *cache_directory, const struct packages *packages,
                        size_t from);

#endif
