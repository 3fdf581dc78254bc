/* The builder: files and a Dockerfile in, the configuration and layers of an image out. Nothing of a base image is unpacked,
 * its layers are told by digest, unless there is a RUN: it needs a sandbox (sandbox.h). There is no daemon.
 *
 * The same commit, arguments and digests of base images give the same bytes, whatever was built before: every time is the commit's, and
 * what the cache has of other commits is given that time. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_ENGINE_H
#define PUSHWRIGHT_SHARED_BUILDER_ENGINE_H

#include "shared/builder/base.h"
#include "shared/builder/cache_registry.h"
#include "shared/builder/context.h"
#include "shared/builder/layer.h"
#include "shared/builder/progress.h"
#include "shared/builder/sourceauth.h"
#include "shared/dockerfile/lint.h"
#include "shared/dockerfile/scope.h"
#include "shared/oci/destination.h"
#include "shared/sandbox/sandbox.h"

struct engine_agent {        /* what RUN --mount=type=ssh may be given */
    const char *id, *socket; /* path */
};

struct engine_run {
    const char *cache_scope; /* cache mounts are shared within it only: the name of the rule, say; NULL: one for all */
    const struct engine_secret *secrets;
    size_t secret_count;
    const struct engine_agent *agents;
    size_t agent_count;
    struct sandbox_limits limits; /* of every RUN */
    bool no_network;              /* for every RUN */
    const char *hosts;            /* lines for /etc/hosts; NULL: none */
    int64_t shm_bytes;            /* of /dev/shm at most; 0: as ever */
    bool chroot;                  /* will do where there are no namespaces: the commands are trusted */
    int64_t layers_max;           /* bytes of unpacked layers that are kept; 0: 20 GB */
};

struct built_layer {
    struct descriptor blob;
    char diff_id[DIGEST_TEXT_SIZE];
    struct layer *layer;                        /* new bytes; NULL: they lie in */
    struct base *base;                          /* what it was taken from; NULL: it was made here */
    char keys[CACHE_KEYS_MAX][SHA256_HEX_SIZE]; /* by which the cache knows it; "": not at all */
    char origin[DIGEST_TEXT_SIZE];              /* these three as in cache_record.h */
    int64_t time_s, until_s;
};

/* Who is told of the image's layers while they are made; by one thread at a time. */
struct engine_watch {
    /* The next layer is in no cache; those below it. NULL: nobody is told. */
    void (*making)(void *context, const struct built_layer *below, size_t count);
    void (*made)(void *context, const struct built_layer *layer);
    void *context;
    struct destination *destination; /* the image's layers that must be read come from there, if they can */
};

struct engine_options {
    const struct context *context; /* borrowed */
    const char *target;            /* stage; NULL: the last */
    struct dockerfile_pairs args;
    struct dockerfile_pairs
        contexts; /* named contexts; a directory is opened as it is said: never from who is not trusted */
    /* How one is read that is a download: named_download() (named_download.h), or NULL: it is refused, and nobody links what it takes. */
    struct files *(*download)(const struct engine_options *options, const char *url, struct error *err);
    struct dockerfile_pairs labels; /* of the image, beside those of the Dockerfile */
    struct progress *progress;      /* NULL: nobody listens */
    bool name_platform;             /* in the names of steps: there are several */
    bool implicit_platform;         /* nobody asked for the one that is built for */
    const struct registry_options *registries;
    const char *cache_directory;         /* NULL: no cache */
    bool no_cache;                       /* every step is made anew; it is kept all the same */
    struct dockerfile_words fresh;       /* the same for these stages, by name */
    int64_t cache_bytes;                 /* of layers kept for steps that come again, and of cache mounts; 0: 5 GB */
    struct cache_registry_options cache; /* the same kept at a registry */
    struct compression compression;      /* of new layers */
    struct indexstore_options indexes;   /* of base layers, kept at a registry too */
    bool allow_private;                  /* ADD may download from addresses of the own network */
    struct sourceauth auth;              /* of ADD */
    bool (*cancelled)(void *context);    /* in any thread, one at a time; NULL: never */
    void *cancelled_context;
    struct engine_run run;
    struct engine_watch watch;
};

struct built {
    struct bytes config;
    struct built_layer *layers; /* the base's first */
    size_t layer_count;
    int64_t time_s;          /* that everything made has: the context's, or what the argument SOURCE_DATE_EPOCH says */
    const struct base *base; /* that the image's first stage stands on; NULL: scratch */
    struct build *owner;     /* of all of it */
};

struct engine; /* one context, its Dockerfile parsed */

/* ERROR_INVALID: the Dockerfile is wrong, with the line. */
struct engine *engine_new(const struct engine_options *options, struct error *err);
void engine_free(struct engine *engine);
AUTO_FREE(struct engine, engine_free)

/* The images for these platforms, one in *out for each; nothing is in it after an error. Stages that do not need each other are made at the
 * same time (turns.h), which is not to be seen in the result. Errors name the line of the instruction: ERROR_INVALID, ERROR_UNSUPPORTED;
 * those of registries and downloads; ERROR_UNAVAILABLE "cancelled". The result borrows from the engine. */
bool engine_build(struct engine *engine, const char *const *platforms, size_t count, struct built *out,
                  struct error *err);
void built_release(struct built *built);

/* What there is to say of the Dockerfile, after engine_build(), also a failed one. The engine's. */
const struct dockerfile_warnings *engine_warnings(const struct engine *engine);

/* Nobody will ask for files of the image any more: what its RUNs have left is removed while other things are done. */
void built_forget_files(struct built *built);

/* Once the images stand in the repository `image`: keep what they are made of, and what their cache mounts hold, in the cache at the
 * registry, when there is one and it does not hold all of it. */
bool engine_export_cache(struct engine *engine, const struct built *built, size_t count, const char *image,
                         struct error *err);
/* Every image that a stage of it stands on or copies from, by name. */
struct base *const *built_bases(const struct built *built, size_t *count);
AUTO_RELEASE(struct built, built_release)

#endif
