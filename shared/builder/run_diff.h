/* What a RUN has changed, read from the upper directory of its overlay into the tree of the stage (T1 to T7 of the reference). */
#ifndef PUSHWRIGHT_SHARED_BUILDER_RUN_DIFF_H
#define PUSHWRIGHT_SHARED_BUILDER_RUN_DIFF_H

#include "shared/builder/times.h"
#include "shared/builder/tree.h"
#include "shared/sandbox/sandbox.h"

struct diff_stub { /* made for a mount; not part of the layer while there is nothing in it */
    const char *path;
    bool directory;
};

struct diff {
    struct tree *tree;
    bool untouched;    /* nothing on the disk is changed */
    const char *upper; /* directory, kept as long as the tree: contents are read from it. In an arena */
    /* It is no upper directory, but holds everything, put there before placed_ns: what has not changed since is as it was. */
    bool whole;
    int64_t placed_ns;
    const char *const *lowers; /* what it lay upon, lowest first */
    size_t lower_count;
    const struct diff_stub *stubs;
    size_t stub_count;
    uint32_t layer;        /* number of the new layer */
    uint64_t *file_number; /* counted up for hard links */
    int64_t time_s;    /* later times become this one, on the disk too, and those since started_s; 0: only the latter */
    int64_t started_s; /* when the command was started, by the clock of files */
    const struct retiming
        *lower_times; /* what is on the disk below has times of other builds: they become time_s, too */
    size_t lower_time_count;
    int64_t *
        until_s; /* the least of the times that became time_s without being from the clock or from below; left alone: none. NULL: nobody asks */
    /* Where one user stands for all, owners are those that were noted, of the tree where files of it are only changed, and of what is new
     * the command's. Without notes what has the path and type of a file of the tree has its owner. */
    enum sandbox_mode mode;
    const struct owners *notes; /* NULL: none */
    struct owner own;
    bool (*cancelled)(void *context);
    void *context;
};

/* Whose a file of the tree is, as struct sandbox_owners wants it told; the context is the tree. */
bool diff_owner_below(void *context, const char *path, mode_t type, bool marked, struct owner *out);

/* ERROR_INVALID names a path that no layer can hold. */
bool diff_read(const struct diff *diff, struct error *err);

/* Once the layer is written: take the marks of deletion out of the tree again. */
void diff_forget_whiteouts(struct tree *tree, uint32_t layer);

#endif
