/* By which name the cache knows what an instruction makes: a hash of everything that its layer follows from, as BuildKit decides what that
 * is, and of nothing else.
 *
 *   every step      the layers below by their content (diff ids, so that equal ones are equal wherever they are from), the platform, the
 *                   rule whose cache it is, how layers are compressed, SOURCE_DATE_EPOCH when it was said
 *   COPY, ADD       flags, destination, and of each source the name, type, mode, link, device numbers, capability and content, owners
 *                   where they are kept; never its time
 *   COPY --from     first by the layers that it takes from, which asks for no content; then by content
 *   COPY --link     without the layers below
 *   RUN             arguments, environment with the ARGs in effect, directory, user, host name, network, security, mounts; what a bind
 *                   mount shows by content, or by the layers it is from; neither proxies nor what secrets and caches hold
 *   WORKDIR         the path and the user
 *
 * Instructions that only describe take part by what they leave behind in these. All parts carry their lengths. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_KEY_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_KEY_H

#include "shared/base/digest.h"
#include "shared/builder/stage.h"

enum cache_view { CACHE_BY_ORIGIN, CACHE_BY_CONTENT, CACHE_VIEWS };

/* False: there is none of this kind. Errors of the instruction itself are left for its turn. */
bool cache_key(struct stage *stage, const struct dockerfile_instruction *instruction, enum cache_view view,
               char out[static SHA256_HEX_SIZE]);

#endif
