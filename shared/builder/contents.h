/* What packages of the operating system are in an image that was built: its base's, and what RUN has installed. Only the databases of the
 * package managers are read, wherever they lie; a base's layer is not unpacked for it, and mostly not even fetched (baseindex.h, contents_kept.h). */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CONTENTS_H
#define PUSHWRIGHT_SHARED_BUILDER_CONTENTS_H

#include "shared/attest/inventory.h"
#include "shared/builder/engine.h"

/* Sorted. ERROR_TOO_LARGE for databases that nobody has. */
bool contents_list(struct built *built, struct inventory *out, struct error *err);

#endif
