/* A named context that is a download. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_NAMED_DOWNLOAD_H
#define PUSHWRIGHT_SHARED_BUILDER_NAMED_DOWNLOAD_H

#include "shared/builder/engine.h"

/* What an archive holds, all of it root's; of any other file that one, as "context", which is what BuildKit makes of archives too. Sizes end
 * at download_max and at what files_of_archive() unpacks. */
struct files *named_download(const struct engine_options *options, const char *url, struct error *err);

#endif
