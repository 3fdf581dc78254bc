/* Formats: git's gitformat-pack(5), index version 2. */
#include "shared/git/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OID = 20,
    FANOUT_AT = 8,
    NAMES_AT = FANOUT_AT + 256 * 4,
    TYPE_BLOB = 3,
    HEAD_MAX = 32,
    PIECE = 32 * 1024,
};

static bool read_at(int fd, void *out, size_t len, int64_t offset)
{
    ssize_t n;

    do
        n = pread(fd, out, len, offset);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

static bool read_number(int fd, int64_t offset, uint32_t *out)
{
    unsigned char bytes[4];

    if (!read_at(fd, bytes, sizeof(bytes), offset))
        return false;
    *out = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return true;
}

/* Position of the name in the sorted table of the index. */
static bool find_name(int fd, const unsigned char *oid, uint32_t *position, uint32_t *count)
{
    uint32_t low = 0, high;
    unsigned char name[OID];

    if ((oid[0] > 0 && !read_number(fd, FANOUT_AT + (oid[0] - 1) * 4, &low)) ||
        !read_number(fd, FANOUT_AT + oid[0] * 4, &high) || !read_number(fd, FANOUT_AT + 255 * 4, count))
        return false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (!read_at(fd, name, OID, NAMES_AT + (int64_t)middle * OID))
            return false;
        int order = memcmp(oid, name, OID);
        if (order == 0) {
            *position = middle;
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static bool offset_of(int fd, const unsigned char *oid, int64_t *offset)
{
    static const unsigned char version2[FANOUT_AT] = { 0xff, 't', 'O', 'c', 0, 0, 0, 2 };
    unsigned char head[FANOUT_AT];
    uint32_t position, count, low, high;

    if (!read_at(fd, head, sizeof(head), 0) || memcmp(head, version2, sizeof(head)) != 0 ||
        !find_name(fd, oid, &position, &count))
        return false;
    int64_t offsets = NAMES_AT + (int64_t)count * (OID + 4), large = offsets + (int64_t)count * 4;
    if (!read_number(fd, offsets + (int64_t)position * 4, &low))
        return false;
    *offset = low;
    if (!(low & UINT32_C(1) << 31))
        return true;
    /* The pack is larger than 2 GB: the rest of the number is the place in a second table. */
    int64_t place = large + (int64_t)(low & ~(UINT32_C(1) << 31)) * 8;
    if (!read_number(fd, place, &high) || !read_number(fd, place + 4, &low))
        return false;
    *offset = (int64_t)((uint64_t)high << 32 | low);
    return *offset >= 0;
}

/* Type and size in front of an object; *offset goes behind them. */
static bool read_head(int fd, int64_t *offset, int64_t *size)
{
    unsigned char head[HEAD_MAX];
    ssize_t n = pread(fd, head, sizeof(head), *offset);
    size_t at = 1;

    if (n < 1 || (head[0] >> 4 & 7) != TYPE_BLOB)
        return false;
    *size = head[0] & 15;
    for (unsigned shift = 4; head[at - 1] & 0x80; shift += 7, at++) {
        if ((ssize_t)at >= n || shift > 56)
            return false;
        *size |= (int64_t)(head[at] & 0x7f) << shift;
    }
    *offset += (int64_t)at;
    return true;
}

static bool is_index(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".idx") == 0;
}

/* The pack that belongs to the index. */
static bool open_pack(int directory, const char *index, int64_t offset, struct pack_place *place)
{
    char name[NAME_MAX + 8];

    snprintf(name, sizeof(name), "%.*s.pack", (int)(strlen(index) - strlen(".idx")), index);
    AUTO(close) int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !read_head(fd, &offset, &place->size))
        return false;
    place->offset = offset;
    place->fd = fd;
    fd = -1;
    return true;
}

bool pack_find(const char *objects, const unsigned char oid[static 20], struct pack_place *place, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(GIT_PATH_MAX);
    int64_t offset;

    if (!bytes_printf(&path, err, "%s/pack", objects))
        return false;
    AUTO(closedir) DIR *directory = opendir(path.data);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (!is_index(entry->d_name))
            continue;
        AUTO(close) int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && offset_of(fd, oid, &offset))
            return open_pack(dirfd(directory), entry->d_name, offset, place);
    }
    return false;
}

bool pack_read(const struct pack_place *place, git_packed_fn *on_packed, void *context, struct error *err)
{
    unsigned char piece[PIECE];
    int64_t offset = place->offset;

    for (bool done = false; !done;) {
        ssize_t n = pread(place->fd, piece, sizeof(piece), offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(err, ERROR_INVALID, "a pack of the repository is broken");
        if (!on_packed(context, piece, (size_t)n, &done, err))
            return false;
        offset += n;
    }
    return true;
}
