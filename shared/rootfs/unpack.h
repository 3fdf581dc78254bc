/* A layer's archive laid out as a directory that overlayfs can stack. */
#ifndef PUSHWRIGHT_ROOTFS_UNPACK_H
#define PUSHWRIGHT_ROOTFS_UNPACK_H

#include "shared/oci/image.h"
#include "shared/oci/tar.h"
#include "shared/sandbox/sandbox.h"

/* More than any image in use holds; a bomb ends here. */
#define LAYER_BYTES_MAX (INT64_C(32) * 1024 * 1024 * 1024)
enum { LAYER_ENTRIES_MAX = 4 * 1000 * 1000 };

/* Somebody else who wants to see the archive as it passes, and once it is over hears whether it was what it should be. */
struct unpack_watch {
    struct tar_events events; /* a failure ends the watching only */
    void (*done)(void *context, bool whole);
};

/* As root owners and devices are the archive's; as an ordinary user everything is that user's, and devices are left out.
 * cancelled is asked now and then; true stops with ERROR_UNAVAILABLE. `implied` receives the paths, each with its NUL, of directories that
 * the archive does not list though it has something in them: with root's defaults they would hide what a layer below says of them. */
struct unpack_how {
    enum sandbox_mode mode;
    bool
        without_whiteouts; /* on a file system that has none: the directory says what the layer has, not what it hides */
    bool (*cancelled)(void *context); /* NULL: never */
    void *context;
    struct bytes *implied;      /* NULL: not of interest */
    struct unpack_watch *watch; /* NULL: nobody */
    int64_t *disk_bytes;        /* receives how much the content takes; NULL: not of interest */
};

/* Stream the layer from the store into the empty directory, checking its digest both as stored and as plain tar; while one thread fetches
 * and inflates, another one writes. Paths that leave the directory, by "..", through links or however, stay inside or are refused. On
 * failure the directory holds something of no use. */
bool layer_unpack(struct store *store, const struct image_layer *layer, const char *directory,
                  const struct unpack_how *how, struct error *err);

#endif
