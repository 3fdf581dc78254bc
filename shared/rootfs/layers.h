/* Layers unpacked, each once, by the digest of its content, for whoever stacks them with overlayfs: builds and services of one machine.
 *
 * Below the directory:
 *   HEX/fs      the content of the layer with that diff id; beside it "size" in bytes (its time is that of the last use), "boot", the boot
 *               in which it was written, "implied" (see unpack.h), and "synced": a layer from before a crash of the machine counts only when it had reached the disk
 *   new-*       on its way, and scratch space of builds
 *   dead-*      to be removed
 *   .locks/     who may make what
 * A layer has its name only once it is whole, so that the end of a process at any moment leaves nothing half. Who uses a layer
 * holds a shared lock on its directory, who makes something an exclusive one; what nobody holds may be removed by anybody. */
#ifndef PUSHWRIGHT_ROOTFS_LAYERS_H
#define PUSHWRIGHT_ROOTFS_LAYERS_H

#include "shared/rootfs/unpack.h"

enum { LAYERS_PATH_MAX = 4096, LAYERS_IMPLIED_MAX = 16 * 1024 * 1024 };

struct layers_options {
    const char *directory; /* absolute; made when missing */
    enum sandbox_mode mode;
    bool without_whiteouts;           /* see unpack.h */
    int64_t bytes_max;                /* before a new layer is unpacked the longest unused ones go; 0: nothing goes */
    bool (*cancelled)(void *context); /* NULL: never; ERROR_UNAVAILABLE */
    void *context;
    /* Asked before a layer is unpacked: true when somebody wants to see it, who is then in *out. NULL: nobody. In any thread. */
    bool (*watch)(void *watch_context, const struct image_layer *layer, struct unpack_watch *out);
    void *watch_context;
};

struct layers; /* safe for several threads and processes; the locks it holds end with it */

struct layers *layers_open(const struct layers_options *options, struct error *err);
void layers_free(struct layers *layers);
AUTO_FREE(struct layers, layers_free)

/* The directory of the layer, held until layers_free(): unpacked first when it is not there, or awaited when somebody is at it. */
bool layers_get(struct layers *layers, struct store *store, const struct image_layer *layer,
                char path[static LAYERS_PATH_MAX], struct error *err);

/* All of an image, several at a time over connections of their own. paths[i] is malloc'ed. */
bool layers_get_all(struct layers *layers, const struct reference *reference, const struct registry_options *registries,
                    const struct image_layer *list, size_t count, char **paths, struct error *err);

/* The directory that the layer has or would have, whether it is there or not; whole only when layers_is_whole(). */
void layers_path(const char *directory, const char *diff_id, char path[static LAYERS_PATH_MAX]);
bool layers_is_whole(const char *path);
/* Directories of the layer that it does not describe: paths, each with its NUL, appended to *out. */
bool layers_implied(const char *path, struct bytes *out, struct error *err);
/* Bring everything to the disk and note it beside these. */
void layers_settle(const char *directory, const char *const *paths, size_t count);

/* An empty directory of one's own, on the same file system; removed by layers_free(), or by the next who opens when the process
 * has ended before. */
bool layers_scratch(struct layers *layers, char path[static LAYERS_PATH_MAX], struct error *err);

#endif
