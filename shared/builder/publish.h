/* From what was built to what stands at the registry: layers of base images are mounted there or copied, never unpacked; nothing is sent
 * twice; the tags come last, so that no tag ever names half an image. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_PUBLISH_H
#define PUSHWRIGHT_SHARED_BUILDER_PUBLISH_H

#include "shared/builder/ahead.h"

struct publish_options {
    const char *image; /* reference without tag */
    const struct registry_options *registries;
    const struct built *built; /* one for each platform */
    const char *const *platforms;
    size_t count;
    const char *const *tags;
    size_t tag_count;
    const char *commit, *source;         /* annotations; NULL: not told */
    struct dockerfile_pairs annotations; /* go before those that are made here */
    int64_t time_s;
    struct ahead *ahead; /* what has been sent there already; NULL: nothing */
    bool docker_types;   /* Docker's media types, for what does not know OCI's; its manifests have no annotations */
};

struct publication; /* one thread */

/* The manifest (several platforms: an index of them) is made; nothing is sent yet. Borrows the options' members. */
struct publication *publication_new(const struct publish_options *options, struct error *err);
void publication_free(struct publication *publication);
AUTO_FREE(struct publication, publication_free)

const struct reference *publication_reference(const struct publication *publication);
const struct descriptor *publication_descriptor(const struct publication *publication);
/* The manifest of one of the platforms; what is to be said about it goes through the store. */
const struct descriptor *publication_platform(const struct publication *publication, size_t platform);
struct store *publication_store(const struct publication *publication);

/* Everything but the tags, several blobs at a time; nothing when the registry has this very image, which is asked for unless something
 * was made anew. */
bool publication_upload(struct publication *publication, struct error *err);
bool publication_tag(struct publication *publication, struct error *err);

/* One layer, from where it lies, into a repository that does not have it. */
bool publish_layer(struct store *to, const struct built_layer *layer, const struct registry_options *registries,
                   struct error *err);

#endif
