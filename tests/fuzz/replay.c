/* Feeds a fuzz target every file named on the command line or found in the directories named there (and below), and says
 * how many there were. None is a failure: a corpus that has gone missing must not pass for one that was replayed. */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * 1024 * 1024, OPEN_DIRECTORIES_MAX = 16 };

static size_t replayed;

static int replay(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)where;
    if (type != FTW_F)
        return 0;
    AUTO(bytes_release) struct bytes input = BYTES(INPUT_MAX);
    struct error err = { 0 };
    if (!file_read(&input, path, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    /* In memory of exactly its size, so that a sanitizer sees a read behind the end. */
    AUTO(free) uint8_t *exact = malloc(input.len);
    if (!exact && input.len > 0)
        return 1;
    if (input.len > 0)
        memcpy(exact, input.data, input.len);
    LLVMFuzzerTestOneInput(exact, input.len);
    replayed++;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (nftw(argv[i], replay, OPEN_DIRECTORIES_MAX, FTW_PHYS) != 0) {
            fprintf(stderr, "cannot replay '%s'\n", argv[i]);
            return 1;
        }
    }
    printf("%zu inputs replayed\n", replayed);
    return replayed > 0 ? 0 : 1;
}
