/* What images stand on, as it was noted when they were built (shared/record), against what the registries hold now. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_BASES_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_BASES_H

#include "runtime/function.h"
#include "shared/config/config.h"
#include "shared/record/record.h"

struct bases; /* of one comparison: each image is asked for once */

/* Asked for as `build` asks: by way of mirrors. Borrows the options. */
struct bases *bases_new(const struct registry_options *registries, struct error *err);
void bases_free(struct bases *bases);
AUTO_FREE(struct bases, bases_free)

struct moved_base {
    const char *image,
        *digest; /* "NAME:TAG", and what stands behind it now; of the call's arena; NULL: none has moved */
};

/* The first base that is another one by now. An image that cannot be asked for is logged, and has not moved. False: out of memory. */
bool bases_compare(struct bases *bases, struct call *call, const struct config_build *build,
                   const struct record *record, struct moved_base *out, struct error *err);

/* Would the build move what it stands on itself, by way of rules that were compared? That would never end: it is logged. */
bool bases_circle(const struct bases *bases, struct call *call, const struct config_build *build,
                  const struct moved_base *moved);

#endif
