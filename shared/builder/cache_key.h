/* By which name the cache knows what an instruction makes: a hash of everything that its layer follows from, as BuildKit decides what that
 * is, and of nothing else.
 *
 *   every step      the layers below by their origin, the platform, the rule whose cache it is, how layers are compressed, whether times are
 *                   a commit's, said (SOURCE_DATE_EPOCH), or those of files that were written at some moment
 *   COPY, ADD       flags, destination, and of each source the name, type, mode, link, device numbers, capability and content, owners
 *                   where they are kept; never its time
 *   ADD of a URL    its Last-Modified too
 *   COPY --from     first by the layers that it takes from, which asks for no content; then by content
 *   COPY --link     without the layers below
 *   RUN             arguments, environment with the ARGs in effect, directory, user, host name, network, security, mounts; what a bind
 *                   mount shows by content, or by the layers it is from; neither proxies nor what secrets and caches hold
 *   WORKDIR         the path and the user
 *
 * Instructions that only describe take part by what they leave behind in these. All parts carry their lengths.
 *
 * No key holds a commit's time, so that commits share what RUN has made; and no digest depends on what was built before. So the cache
 * knows which time a layer was made for, and what is needed for another one is made anew from its sources, except what RUN made: there that
 * time, wherever it stands, becomes the other one once the layer is part of an image (times.h). A command is run again for its times only
 * where it left some between the two that it did not get from the clock: what an archive says that it has unpacked, say.
 *
 * A layer's origin, therefore, is a name without times: of COPY, ADD and WORKDIR the key by content, of RUN the diff id when it was run,
 * of a base's layer its diff id. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_KEY_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_KEY_H

#include "shared/base/digest.h"
#include "shared/builder/stage.h"

enum cache_view { CACHE_BY_ORIGIN, CACHE_BY_CONTENT, CACHE_VIEWS };

/* False: there is none of this kind. Errors of the instruction itself are left for its turn. */
bool cache_key(struct stage *stage, const struct dockerfile_instruction *instruction, enum cache_view view,
               char out[static SHA256_HEX_SIZE]);

#endif
