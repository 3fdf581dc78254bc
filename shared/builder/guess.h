/* What a base's name stood for when a registry was last asked. A build begins with that, and the registry is asked meanwhile: until its
 * answer is there nothing may be done that others see. A name that stands for something else by now costs a build anew. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_GUESS_H
#define PUSHWRIGHT_SHARED_BUILDER_GUESS_H

#include "shared/oci/image.h"

struct guess_name {
    const char *image, *platform; /* as asked for */
    const char *cache_directory;
};

struct guess; /* a question on its way */

/* What is remembered of the name, into *out, and the question whether it is still so. NULL: nothing is, and *out is as it was.
 * `store` is where its configuration is read from; options are copied, but not what they point to. */
struct guess *guess_new(const struct guess_name *name, struct store *store, const struct registry_options *registries,
                        struct image *out);
void guess_free(struct guess *guess); /* waits for the answer */
AUTO_FREE(struct guess, guess_free)

/* Waits for the answer; any number of threads. False also when there was none: who asks again is told why. */
bool guess_holds(struct guess *guess);

/* Remember it, if that can be done. */
void guess_keep(const struct guess_name *name, const struct image *image);

#endif
