/* RUN: where it happens, and with what. Private to the engine; stage_run() is in stage.h. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_RUN_H
#define PUSHWRIGHT_SHARED_BUILDER_RUN_H

#include "shared/builder/stage.h"
#include "shared/rootfs/layers.h"
#include "shared/sandbox/sandbox.h"

enum { RUN_PATH_MAX = LAYERS_PATH_MAX };

/* One for a build. */
struct runner {
    struct build *build;
    enum sandbox_mode mode;
    struct layers *layers;
    char directory[RUN_PATH_MAX]; /* of the cache */
    char work[RUN_PATH_MAX];      /* of this build, removed at its end */
    bool whole;                   /* no changes can be stacked on that file system: each RUN has a copy of everything */
    char *temporary;              /* the cache, when there is none to keep */
    bool unwatched;               /* owners cannot be noted here */
    char groups[SANDBOX_GROUPS_MAX]; /* where control groups are made; "": nowhere */
    unsigned count;                  /* of directories made in work */
    int64_t mounts_max;              /* bytes of cache mounts that are kept */
    struct placed_source *placed;    /* what RUN --mount=type=bind has been given */
    struct run_image *images;        /* the same of images, as layers */
};

/* Made on the first call. ERROR_UNSUPPORTED: this machine does not let us, and what would help. */
struct runner *build_runner(struct build *build, struct error *err);
void runner_free(struct runner *runner);

struct trial;
void trial_free(struct trial *trial);

/* The image as layers, unpacked once for all builds. */
const struct run_root *runner_image(struct runner *runner, struct base *base, struct error *err);
/* The same of a stage that is done, and has its tree. */
bool runner_stage(struct runner *runner, const struct stage *stage, struct run_root *out, struct error *err);

/* "WORK/KIND-3" in the arena. */
const char *runner_path(struct runner *runner, const char *kind, struct error *err);

/* As above, and made. */
const char *runner_directory(struct runner *runner, const char *kind, struct error *err);

/* What a RUN is given beside its root directory. */
struct diff_stub;
struct run_mounts {
    struct sandbox_mount *items;
    size_t count;
    struct diff_stub *stubs;
    size_t stub_count;
    const char **env; /* variables that secrets and agents become */
    size_t env_count;
    int *locks; /* of cache mounts, held until the end */
    size_t lock_count;
    struct agent **agents; /* likewise */
    size_t agent_count;
};

/* Everything is in the build's arena, but the locks and agents. */
bool run_mounts_prepare(struct stage *stage, const struct dockerfile_run *run, const char *script_path,
                        struct run_mounts *out, struct error *err);
void run_mounts_release(struct run_mounts *mounts);
AUTO_RELEASE(struct run_mounts, run_mounts_release)

#endif
