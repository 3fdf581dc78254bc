#include "shared/sandbox/privilege.h"
#include "shared/sandbox/kernel.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Docker's default set. CAP_MKNOD only goes to steps of a build, whose mounts take no devices; there is no device cgroup here that would
 * make them harmless for services. */
static const struct {
    uint8_t number;
    uint8_t only;           /* to whom; 0: to everybody */
    const char *for_chroot; /* needed there */
} kept_capabilities[] = {
    { 0, 0, "CAP_CHOWN" },
    { 1, 0, "CAP_DAC_OVERRIDE" },
    { 3, 0, "CAP_FOWNER" },
    { 4, 0, NULL }, /* FSETID */
    { 5, 0, "CAP_KILL" },
    { 6, 0, "CAP_SETGID" },
    { 7, 0, "CAP_SETUID" },
    { 8, 0, "CAP_SETPCAP" },
    { 10, 0, NULL }, /* NET_BIND_SERVICE */
    { 13, 0, NULL }, /* NET_RAW */
    { 18, PRIVILEGE_ROOTS, "CAP_SYS_CHROOT" },
    { 19, PRIVILEGE_LOOKS, NULL }, /* SYS_PTRACE */
    { 27, PRIVILEGE_DEVICES, "CAP_MKNOD" },
    { 29, 0, NULL }, /* AUDIT_WRITE */
    { 31, 0, NULL }, /* SETFCAP */
};
enum { KEPT_CAPABILITIES = sizeof kept_capabilities / sizeof kept_capabilities[0] };

static uint64_t kept_mask(unsigned more)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < KEPT_CAPABILITIES; i++)
        if ((kept_capabilities[i].only & more) == kept_capabilities[i].only)
            mask |= UINT64_C(1) << kept_capabilities[i].number;
    return mask;
}

static bool capabilities_read(struct capability_data data[2], struct error *err)
{
    struct capability_header header = { CAPABILITY_VERSION_3, 0 };
    return syscall(SYS_capget, &header, data) == 0 || error_set_errno(err, errno, "read capabilities");
}

bool privilege_for_chroot(struct error *err)
{
    struct capability_data data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    if (!capabilities_read(data, err))
        return false;
    for (size_t i = 0; i < KEPT_CAPABILITIES; i++) {
        const char *name = kept_capabilities[i].for_chroot;
        if (name && !(data[0].effective >> kept_capabilities[i].number & 1))
            return error_set(err, ERROR_UNSUPPORTED, "a chroot takes %s, which this process does not have", name);
    }
    return true;
}

bool privilege_bound(unsigned more, struct error *err)
{
    uint64_t kept = kept_mask(more);
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) < 0)
            break; /* beyond the last one that this kernel knows */
        if (!(kept >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return error_set_errno(err, errno, "drop capability %lu", capability);
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return true;
}

bool privilege_hold(bool keep, struct error *err)
{
    struct capability_header header = { CAPABILITY_VERSION_3, 0 };
    struct capability_data data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    uint64_t kept = kept_mask(PRIVILEGE_DEVICES | PRIVILEGE_ROOTS | PRIVILEGE_LOOKS);
    for (unsigned long i = 0; i < KEPT_CAPABILITIES; i++)
        if (prctl(PR_CAPBSET_READ, (unsigned long)kept_capabilities[i].number, 0, 0, 0) != 1)
            kept &= ~(UINT64_C(1) << kept_capabilities[i].number);
    if (keep && !capabilities_read(data, err))
        return false;
    for (unsigned i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(kept >> (32 * i)); /* one that was not had before cannot be gained */
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_set_errno(err, errno, "set capabilities");
    return true;
}

bool privilege_limits(int64_t memory, unsigned pids, struct error *err)
{
    const struct {
        int resource;
        const char *name;
        rlim_t soft; /* cut at the hard limit that we were given */
        rlim_t hard; /* 0: that stays */
    } rows[] = {
        { RLIMIT_CORE, "core size", 0, 0 }, /* a crash must not fill the disk */
        { RLIMIT_NOFILE, "open files", 65536, 0 },
        { RLIMIT_STACK, "stack size", 8 * 1024 * 1024, 0 },
        { RLIMIT_DATA, "data size", memory ? (rlim_t)memory : RLIM_INFINITY, (rlim_t)memory },
        { RLIMIT_NPROC, "processes", pids ? pids : RLIM_INFINITY, pids },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rlimit limit;
        if (getrlimit(rows[i].resource, &limit) < 0)
            return error_set_errno(err, errno, "read the limit of %s", rows[i].name);
        if (rows[i].hard && rows[i].hard < limit.rlim_max)
            limit.rlim_max = rows[i].hard;
        limit.rlim_cur = rows[i].soft < limit.rlim_max ? rows[i].soft : limit.rlim_max;
        if (setrlimit(rows[i].resource, &limit) < 0)
            return error_set_errno(err, errno, "set the limit of %s", rows[i].name);
    }
    return true;
}
