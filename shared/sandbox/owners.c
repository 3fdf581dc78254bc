#include "shared/sandbox/owners.h"
#include "shared/sandbox/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADS = 16 * 1024, HANDLE_MAX = 128 /* MAX_HANDLE_SZ */ };

struct note {
    uint64_t file;
    struct owner owner;
    uint32_t next; /* of those with the same head; numbers are counted from 1, 0: none */
};

struct owners {
    uint32_t max, count;
    bool full;
    uint32_t heads[HEADS];
    struct note notes[];
};

static size_t size_of(uint32_t max)
{
    return sizeof(struct owners) + max * sizeof(struct note);
}

struct owners *owners_new(uint32_t max, struct error *err)
{
    struct owners *owners =
        mmap(NULL, size_of(max), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (owners == MAP_FAILED) {
        error_set_errno(err, errno, "keep the owners of files");
        return NULL;
    }
    owners->max = max;
    return owners;
}

void owners_free(struct owners *owners)
{
    if (owners)
        munmap(owners, size_of(owners->max));
}

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return sum;
}

/* Who chooses his files' names cannot choose their handles; and who could would deceive his own image. */
static bool file_of(int directory, const char *name, uint64_t *out)
{
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + HANDLE_MAX];
    } known = { .handle.handle_bytes = HANDLE_MAX };
    int mount, flags = name[0] ? 0 : AT_EMPTY_PATH;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    if (name_to_handle_at(directory, name, &known.handle, &mount, flags) == 0) {
        *out = mix(sum, known.handle.f_handle, known.handle.handle_bytes);
        return true;
    }
    struct file_status is = { 0 };
    if (errno != EOPNOTSUPP ||
        syscall(SYS_statx, directory, name, flags | AT_SYMLINK_NOFOLLOW, STATUS_BASIC | STATUS_BIRTH, &is) < 0)
        return false;
    *out = mix(mix(sum, &is.inode, sizeof is.inode), &is.birth, sizeof is.birth);
    return true;
}

static struct note *find(const struct owners *owners, uint64_t file)
{
    uint32_t number = owners->heads[file % HEADS];
    while (number && owners->notes[number - 1].file != file)
        number = owners->notes[number - 1].next;
    return number ? (struct note *)(uintptr_t)&owners->notes[number - 1] : NULL;
}

bool owners_find(const struct owners *owners, int directory, const char *name, struct owner *out)
{
    uint64_t file;
    const struct note *note = owners->count && file_of(directory, name, &file) ? find(owners, file) : NULL;
    if (note)
        *out = note->owner;
    return note != NULL;
}

bool owners_note(struct owners *owners, int directory, const char *name, struct owner owner)
{
    uint64_t file;
    if (!file_of(directory, name, &file))
        return false;
    struct note *note = find(owners, file);
    if (!note && owners->count == owners->max) {
        owners->full = true;
        errno = ENOSPC;
        return false;
    }
    if (!note) {
        note = &owners->notes[owners->count++];
        *note = (struct note){ .file = file, .next = owners->heads[file % HEADS] };
        owners->heads[file % HEADS] = owners->count;
    }
    note->owner = owner;
    return true;
}

bool owners_full(const struct owners *owners)
{
    return owners->full;
}

bool owners_none(const struct owners *owners)
{
    return owners->count == 0;
}
