/* Any bytes as the archive of a layer: whatever is laid out, nothing beside the layer's directory is made, changed, linked or removed. */
#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/rootfs/unpack.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATH_ROOM = 300 };

static char *cage;
static struct stat kept_was, outside_was;

static void below(const char *name, char out[static PATH_ROOM])
{
    snprintf(out, PATH_ROOM, "%s/%s", cage, name);
}

static void look(const char *name, struct stat *is)
{
    char path[PATH_ROOM];
    below(name, path);
    assert(lstat(path, is) == 0);
}

static void clear(void)
{
    struct error err = { 0 };
    sandbox_remove_tree(cage, &err);
    free(cage);
}

static void prepare(void)
{
    struct error err = { 0 };
    char path[PATH_ROOM];
    if (cage)
        return;
    cage = directory_make_temporary("unpack-fuzz", &err);
    assert(cage);
    atexit(clear);
    below("outside", path);
    assert(mkdir(path, 0755) == 0);
    below("outside/kept", path);
    AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert(fd >= 0 && write(fd, "kept", 4) == 4);
    look("outside", &outside_was);
    look("outside/kept", &kept_was);
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink &&
           a->st_size == b->st_size && a->st_uid == b->st_uid && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void check_outside(void)
{
    struct stat is;
    look("outside", &is);
    assert(same(&is, &outside_was));
    look("outside/kept", &is);
    assert(same(&is, &kept_was));
    look("", &is);
    assert(is.st_nlink <= 2 + 3); /* outside, layout, layer */
}

/* As an ordinary user would: no devices. */
static void unpack(struct span archive)
{
    struct error err = { 0 };
    char text[PATH_ROOM + 8], path[PATH_ROOM];
    struct image_layer layer = { .blob = { .media_type = "application/vnd.oci.image.layer.v1.tar",
                                           .digest = "sha256:",
                                           .size = (int64_t)archive.len } };
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(bytes_release) struct bytes implied = BYTES(1024 * 1024);
    sha256_hex_of(archive, layer.blob.digest + strlen("sha256:"));
    memcpy(layer.diff_id, layer.blob.digest, sizeof layer.diff_id);
    below("layout", path);
    assert(sandbox_remove_tree(path, &err));
    snprintf(text, sizeof text, "oci:%s", path);
    assert(reference_parse(span_of(text), &reference, &err));
    AUTO(store_free) struct store *store = store_open(&reference, NULL, &err);
    assert(store && store_put_blob(store, &layer.blob, archive, &err));
    below("layer", path);
    assert(sandbox_remove_tree(path, &err) && mkdir(path, 0755) == 0);
    layer_unpack(store, &layer, path, &(struct unpack_how){ .mode = SANDBOX_AS_USER, .implied = &implied }, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    unpack((struct span){ (const char *)data, size });
    check_outside();
    return 0;
}
