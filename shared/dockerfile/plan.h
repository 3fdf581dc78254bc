/* Which stages a build needs, and on what each stands. */
#ifndef PUSHWRIGHT_DOCKERFILE_PLAN_H
#define PUSHWRIGHT_DOCKERFILE_PLAN_H

#include "shared/dockerfile/context.h"
#include "shared/dockerfile/scope.h"

enum dockerfile_source_kind {
    DOCKERFILE_SCRATCH,
    DOCKERFILE_STAGE,
    DOCKERFILE_IMAGE,
    DOCKERFILE_CONTEXT, /* the build's own */
    DOCKERFILE_NAMED    /* one of dockerfile_options.contexts; never met when there are none */
};

/* Where a stage begins, or where COPY --from and RUN --mount from= take from. */
struct dockerfile_source {
    enum dockerfile_source_kind kind;
    size_t stage;                        /* DOCKERFILE_STAGE: its index */
    const char *image;                   /* DOCKERFILE_IMAGE: the reference as written, variables replaced */
    const struct named_context *context; /* DOCKERFILE_NAMED */
};

struct dockerfile_plan_stage {
    struct dockerfile_source base; /* never DOCKERFILE_CONTEXT */
    const char *platform;          /* --platform, expanded and normalised ("linux/arm64"); NULL: the target platform */
    bool replaced;                 /* a named context has the stage's name: it is the stage, whose instructions are
                                      not run */
    bool needed;                   /* false: not to be built, its image not to be looked up */
    const struct dockerfile_instruction *triggers; /* ONBUILD of the base, to be run before the stage's own */
    size_t trigger_count;
};

struct dockerfile_plan; /* borrows the dockerfile and the global scope, which must outlive it */

/* ERROR_INVALID for blank bases, wrong named contexts, unknown platforms or targets, stages that copy from themselves or from later ones. */
struct dockerfile_plan *dockerfile_plan_new(const struct dockerfile *dockerfile, const struct dockerfile_scope *global,
                                            const struct dockerfile_options *options, struct error *err);
void dockerfile_plan_free(struct dockerfile_plan *plan);
AUTO_FREE(struct dockerfile_plan, dockerfile_plan_free)

size_t dockerfile_plan_target(const struct dockerfile_plan *plan); /* index of the stage that becomes the image */

/* Stages are built in the order of their index: what a stage needs stands before it. */
const struct dockerfile_plan_stage *dockerfile_plan_stage(const struct dockerfile_plan *plan, size_t index);

/* Tell the ONBUILD texts of the config of the base of a needed stage, in their order, before the stage is gone through;
 * they may make further, earlier stages needed. To be asked for every needed stage on an image, from the target down to
 * index 0; and for a stage on a stage with what that stage collected by ONBUILD itself. */
bool dockerfile_plan_triggers(struct dockerfile_plan *plan, size_t index, struct dockerfile_words onbuild,
                              struct error *err);

/* What --from of a COPY of the stage means; from NULL is the context. Case does not matter; a number is an index. */
bool dockerfile_plan_source(const struct dockerfile_plan *plan, size_t stage, const char *from,
                            struct dockerfile_source *out, struct error *err);

/* The same for `from` of a mount, where a number is no index. */
void dockerfile_plan_mount_source(const struct dockerfile_plan *plan, const char *from, struct dockerfile_source *out);

#endif
