/* Is what stands behind a tag an image that a trigger's targets may run? */
#ifndef PUSHWRIGHT_EXAMINE_EXAMINE_H
#define PUSHWRIGHT_EXAMINE_EXAMINE_H

#include "shared/config/config.h"

/* Tags under which others than images are kept: cosign's ("sha256-HEX.sig", ".att", ".sbom", "sha256-HEX"), and our own
 * ("pushwright-ref..."). */
bool examine_is_attached(const char *tag);

/* It is an image (no chart, no artifact), made for the platform of each target, and signed where the trigger says so. *fit false: why is
 * appended to *reason. False only when the registry could not be asked, or the key could not be read. */
bool examine_image(struct store *store, const struct config_trigger *trigger, const struct descriptor *image, bool *fit,
                   struct bytes *reason, struct error *err);

#endif
