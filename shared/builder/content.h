/* Where the bytes of a file come from. Nothing is read before a layer is written. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CONTENT_H
#define PUSHWRIGHT_SHARED_BUILDER_CONTENT_H

#include "shared/builder/spool.h"
#include "shared/git/git.h"

struct base;
struct folder;
struct tree_node;

enum content_kind {
    CONTENT_EMPTY,
    CONTENT_MEMORY, /* a heredoc */
    CONTENT_GIT,    /* a blob of the commit */
    CONTENT_FOLDER, /* a file of this machine */
    CONTENT_SPOOL,  /* a download, or taken out of an archive or base */
    CONTENT_DISK,   /* what RUN has written; read as it lies there */
    CONTENT_BASE,   /* still in a layer of a base image: base_extract() makes it a spooled one */
};

struct content {
    enum content_kind kind;
    int64_t size; /* -1: not known before content_size() */
    union {
        const char *memory;
        struct {
            struct git_snapshot *snapshot;
            const char *oid;
        } git;
        struct {
            struct folder *folder;
            const struct tree_node *node; /* that was made of the file */
        } folder;
        struct {
            const struct spool *spool;
            int64_t offset;
        } spool;
        struct {
            const char *root, *path; /* no link on the path is followed */
        } disk;
        struct {
            struct base *base;
            uint32_t layer, ordinal; /* the layer's number in the image, the entry's number in the layer */
            const char *path;        /* of that entry, as written */
        } base;
    };
};

static const int64_t content_max = INT64_C(4) << 30; /* of one file of the context */

/* Over content_max is ERROR_TOO_LARGE. */
bool content_size(struct content *content, struct error *err);
bool content_digest(const struct content *content, uint8_t sha256[static 32], struct error *err);
/* Is it a file of that size, below the directory and by no link? Then it becomes CONTENT_DISK. */
bool content_on_disk(struct content *content, const char *root, const char *path);
bool content_read(const struct content *content, http_body_fn *on_data, void *context, struct error *err);

#endif
