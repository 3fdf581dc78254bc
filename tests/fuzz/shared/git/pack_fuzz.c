/* Any bytes as a pack and its index: a blob is looked for, and what is found is read. The input is the blob's id, one byte that tells
 * how much of the rest is the index (in 1/256), the index, and the pack. */
#include "shared/base/file.h"
#include "shared/git/pack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OID = 20, PIECES_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/pack-fuzz-XXXXXX";

static void remove_all(void)
{
    directory_remove(directory, &(struct error){ 0 });
}

static void set_up(void)
{
    char path[64];

    if (directory[strlen(directory) - 1] != 'X')
        return;
    assert(mkdtemp(directory));
    atexit(remove_all);
    snprintf(path, sizeof(path), "%s/pack", directory);
    assert(mkdir(path, 0700) == 0);
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    char path[64];
    struct error err = { 0 };

    snprintf(path, sizeof(path), "%s/pack/pack-a.%s", directory, name);
    assert(file_write_atomic(path, (struct span){ (const char *)data, size }, 0600, &err));
}

static bool on_packed(void *context, const void *data, size_t len, bool *done, struct error *err)
{
    unsigned *pieces = context;

    (void)err;
    assert(data && len > 0);
    *done = ++*pieces == PIECES_MAX;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pack_place place = { .fd = -1 };
    struct error err = { 0 };
    unsigned pieces = 0;

    if (size <= OID)
        return 0;
    set_up();
    const uint8_t *rest = data + OID + 1;
    size_t index = (size - OID - 1) * data[OID] / 255;
    put("idx", rest, index);
    put("pack", rest + index, size - OID - 1 - index);
    if (pack_find(directory, data, &place, &err)) {
        assert(place.fd >= 0 && place.offset >= 0 && place.size >= 0);
        (void)pack_read(&place, on_packed, &pieces, &err);
        close(place.fd);
    }
    return 0;
}
