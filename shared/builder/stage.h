/* A stage on its way: the configuration, the layers, and the tree once an instruction has to look into it. Private to the engine. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_STAGE_H
#define PUSHWRIGHT_SHARED_BUILDER_STAGE_H

#include "shared/builder/cache.h"
#include "shared/builder/cache_mounts.h"
#include "shared/builder/copy.h"
#include "shared/builder/download.h"
#include "shared/builder/engine.h"
#include "shared/builder/imageconfig.h"
#include "shared/dockerfile/plan.h"

#include <pthread.h>

enum { STAGE_LAYERS_MAX = IMAGE_LAYERS_MAX };
static const int64_t build_layers_max = INT64_C(16) << 30; /* bytes of all new layers of all stages, compressed */

struct linked { /* a layer made without looking (COPY --link), for when the tree is looked at after all */
    struct tree *tree;
    size_t layer; /* index among the stage's */
};

/* What the next RUN stands on: layers as directories, in the build's arena. */
struct run_root {
    const char **lowers; /* lowest first; NULL until the first RUN */
    size_t lower_count;
    size_t stacked;    /* so many of the stage's layers are among them, or were made since */
    uint32_t placed;   /* what layers up to this number hold is in them */
    int64_t copied_ns; /* when the copy that is run on instead was there, by the clock of files */
};

struct stage {
    struct build *build;
    size_t index;
    struct base *base;    /* NULL: scratch, or */
    struct stage *parent; /* a stage it stands on */
    struct imageconfig *config;
    struct dockerfile_scope *scope;
    struct tree *tree;          /* NULL until stage_tree() */
    size_t tree_layers;         /* so many of the layers are in it */
    struct built_layer *layers; /* room for STAGE_LAYERS_MAX */
    size_t layer_count;
    struct linked *linked; /* of this stage */
    size_t linked_count;
    struct run_root root;
    size_t runs_ahead;   /* RUN instructions that are still to come */
    struct spool *spool; /* downloads and what archives held; NULL until needed */
    bool begun, done;
    size_t next; /* instruction */
    bool making; /* what its keys stand for, at this moment */
    bool cmd_set;
    bool layer_made;           /* by the instruction at hand */
    struct progress_step step; /* the same, for who listens */
    unsigned step_count, step_total;
    char keys[CACHE_KEYS_MAX][SHA256_HEX_SIZE]; /* of it; "": none */
    char origin[DIGEST_TEXT_SIZE];              /* of what it makes; "": its diff id */
    int64_t until_s;                            /* likewise, see cache_record.h */
};

struct downloaded {
    const struct dockerfile_copy *in;
    const char *url;
    struct download got;
    struct spool *spool;
    int hold; /* keeps what is read in the cache; -1: nothing is */
    struct downloaded *next;
};
void downloaded_release(struct downloaded *list);

/* One platform's build. */
struct build {
    const struct engine_options *options;
    const struct context *context;
    const struct dockerfile *dockerfile;
    const char *platform;
    struct arena *arena;
    struct dockerfile_scope *global;
    struct dockerfile_plan *plan;
    struct stage *stages; /* one for each of the Dockerfile */
    size_t stage_count;
    struct base **bases;
    size_t base_count;
    struct fetched *fetched; /* repositories that were added */
    struct tree *nothing;    /* an empty tree, for COPY --from=scratch */
    int64_t layers_size;     /* of the new layers */
    uint32_t layer_number;   /* of the last new layer */
    uint64_t file_number;    /* of the last hard-linked file */
    int64_t time_s;          /* of what is made */
    int64_t newest_s;        /* what is copied has no later time */
    bool may_guess;          /* what the names of bases stand for, see base.h */
    bool timed;              /* time_s is a commit's or was said: layers of other times will not do */
    struct runner *runner;   /* NULL until the first RUN */
    struct trial *trial;     /* what RUN may do here, while it is found out; NULL: nobody does */
    pthread_t sweeper;       /* takes the runner away */
    bool sweeping;
    struct cache *cache; /* the engine's; NULL: none */
    struct turns *turns; /* likewise */
    struct downloaded *downloaded;
    struct cache_mount *mounts; /* that a RUN has used */
};

/* What the stage holds now. */
struct tree *stage_tree(struct stage *stage, struct error *err);

/* For which its base is: one that is for the machine that builds is the same for every target. */
const char *stage_platform(const struct stage *stage);

/* Has anything been put into the stage, or does it stand on something? */
bool stage_is_empty(const struct stage *stage);

/* Make the layer of what was touched with this number in the tree. */
bool stage_add_layer(struct stage *stage, const struct tree *tree, uint32_t number, struct error *err);
/* The same for a layer made beside the stage's tree, which is laid over it; the tree becomes the stage's. */
bool stage_link_layer(struct stage *stage, struct tree *tree, uint32_t number, struct error *err);

/* ERROR_UNSUPPORTED "line 4: RUN is not supported by this builder". */
bool stage_can(const struct dockerfile_instruction *instruction, struct error *err);

/* One instruction, expanded, takes effect. Errors begin with its line and name. */
bool stage_apply(struct stage *stage, const struct dockerfile_instruction *instruction, struct error *err);

/* Who watches is told of the layer that has come on top. */
void stage_tell_made(const struct stage *stage);

/* Does it make a layer? */
bool stage_makes_layer(const struct dockerfile_instruction *instruction);

/* Has the cache what the instruction makes? Then it has taken effect. */
bool stage_from_cache(struct stage *stage, const struct dockerfile_instruction *instruction, bool *done,
                      struct error *err);

/* What came from the cache with the time of another build gets that of this one. */
bool stage_settle(struct stage *stage, struct error *err);

/* Before the first instruction of a stage that has a RUN, once one is not in the cache: its base is unpacked, and indexed on the way, so
 * that it comes over the network once. */
bool stage_run_begin(struct stage *stage, struct error *err);

/* There will be a RUN: what it may do on this machine is found out meanwhile. */
void build_try_sandbox(struct build *build);

/* RUN. words: what is executed. */
bool stage_run(struct stage *stage, const struct dockerfile_run *run, struct dockerfile_words words, struct error *err);

/* Steps for who listens: the stage's base, and an instruction as parsed, when it is one that is told. Ended by progress_end(). */
void stage_step_base(struct stage *stage);
void stage_step_begin(struct stage *stage, const struct dockerfile_instruction *parsed);
/* What RUN executes: in shell form the shell's words, then the text. */
bool stage_run_words(struct stage *stage, const struct dockerfile_instruction *instruction,
                     struct dockerfile_words *out, struct error *err);

/* COPY and ADD. */
struct stage_copying {
    struct copy copy; /* without layer, tree and owner */
    struct ignore *excludes;
};
bool stage_copying_begin(struct stage *stage, const struct dockerfile_instruction *instruction,
                         struct stage_copying *out, struct error *err);
void stage_copying_release(struct stage_copying *copying);
AUTO_RELEASE(struct stage_copying, stage_copying_release)
bool stage_copy_is_linked(const struct dockerfile_copy *in);
bool stage_copy(struct stage *stage, const struct dockerfile_instruction *instruction, struct error *err);

/* The image by its name, opened once for each platform. */
struct base *build_base(struct build *build, const char *image, const char *platform, struct error *err);
/* What the cache has of a step; takes the hit's descriptor. */
struct base *build_cached(struct build *build, const struct cache_hit *hit, struct error *err);
/* Waits, without the turn, until it is known that every base is what it was taken for: before anything is done that others may see. */
bool build_settle(struct build *build, struct error *err);
struct spool *stage_spool(struct stage *stage, struct error *err);
/* Of this ADD, downloaded once. */
struct download *stage_download(struct stage *stage, const struct dockerfile_copy *in, const char *url,
                                struct error *err);
/* A build argument as it was given; NULL: it was not. */
const char *build_argument(const struct build *build, const char *name);

#endif
