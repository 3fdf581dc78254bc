#include "shared/sandbox/privilege.h"
#include "shared/sandbox/kernel.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Docker's default set. CAP_MKNOD only goes to steps of a build, whose mounts take no devices; there is no device cgroup here that would
 * make them harmless for services. */
enum { MKNOD = 27 };
static const uint8_t kept_capabilities[] = {
    0,         /* CHOWN */
    1,         /* DAC_OVERRIDE */
    3,         /* FOWNER */
    4,         /* FSETID */
    5,         /* KILL */
    6,         /* SETGID */
    7,         /* SETUID */
    8,         /* SETPCAP */
    10,        /* NET_BIND_SERVICE */
    13,        /* NET_RAW */
    18,        /* SYS_CHROOT */
    MKNOD, 29, /* AUDIT_WRITE */
    31,        /* SETFCAP */
};

static uint64_t kept_mask(void)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < sizeof kept_capabilities; i++)
        mask |= UINT64_C(1) << kept_capabilities[i];
    return mask;
}

bool privilege_bound(bool devices, struct error *err)
{
    uint64_t kept = kept_mask() & ~(devices ? 0 : UINT64_C(1) << MKNOD);
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
    uint64_t kept = kept_mask();
    if (prctl(PR_CAPBSET_READ, MKNOD, 0, 0, 0) != 1)
        kept &= ~(UINT64_C(1) << MKNOD);
    if (keep && syscall(SYS_capget, &header, data) < 0)
        return error_set_errno(err, errno, "read capabilities");
    for (unsigned i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(kept >> (32 * i)); /* one that was not had before cannot be gained */
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_set_errno(err, errno, "set capabilities");
    return true;
}

bool privilege_limits(struct error *err)
{
    static const struct {
        int resource;
        const char *name;
        rlim_t soft; /* cut at the hard limit that we were given */
    } rows[] = {
        { RLIMIT_CORE, "core size", 0 }, /* a crash must not fill the disk */
        { RLIMIT_NOFILE, "open files", 65536 },
        { RLIMIT_STACK, "stack size", 8 * 1024 * 1024 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rlimit limit;
        if (getrlimit(rows[i].resource, &limit) < 0)
            return error_set_errno(err, errno, "read the limit of %s", rows[i].name);
        limit.rlim_cur = rows[i].soft < limit.rlim_max ? rows[i].soft : limit.rlim_max;
        if (setrlimit(rows[i].resource, &limit) < 0)
            return error_set_errno(err, errno, "set the limit of %s", rows[i].name);
    }
    return true;
}
