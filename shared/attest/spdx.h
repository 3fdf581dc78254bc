/* A list of packages as an SPDX 2.3 document in JSON (spdx.github.io/spdx-spec/v2.3), each with its package URL, by which scanners know
 * it. The same for the same image. */
#ifndef PUSHWRIGHT_ATTEST_SPDX_H
#define PUSHWRIGHT_ATTEST_SPDX_H

#include "shared/attest/packages.h"

#include <stdint.h>

struct spdx {
    const char *name;                /* of the image; "": a directory */
    const char *digest;              /* "sha256:..." */
    int64_t time_s;                  /* the image's, too */
    const struct packages *packages; /* sorted */
    struct distribution distribution;
    const char *comment; /* what is not listed, and why; NULL: nothing */
};

bool spdx_write(struct bytes *out, const struct spdx *spdx, struct error *err);

#endif
