/* The ustar header block (POSIX.1-2017, pax, "ustar Interchange Format") and GNU's additions: shared by reader and
 * writer. */
#ifndef PUSHWRIGHT_OCI_TAR_FORMAT_H
#define PUSHWRIGHT_OCI_TAR_FORMAT_H

#include <assert.h>

enum { TAR_BLOCK_SIZE = 512 };

struct tar_header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char typeflag;
    char linkname[100];
    char magic[6]; /* "ustar\0", or "ustar " for GNU */
    char version[2];
    char uname[32];
    char gname[32];
    char devmajor[8];
    char devminor[8];
    char prefix[155]; /* GNU keeps times and sparse maps here */
    char padding[12];
};
static_assert(sizeof(struct tar_header) == TAR_BLOCK_SIZE, "a header is one block");

/* Sum of the header's bytes, its checksum field read as blanks. */
static inline unsigned tar_checksum(const struct tar_header *header)
{
    const unsigned char *p = (const unsigned char *)header;
    const unsigned char *field = (const unsigned char *)header->checksum;
    unsigned sum = 0;
    for (int i = 0; i < TAR_BLOCK_SIZE; i++)
        sum += p + i >= field && p + i < field + sizeof header->checksum ? ' ' : p[i];
    return sum;
}

#endif
