/* What a program inside may ask of the kernel: capabilities, limits, system calls. No allocation: between clone and exec. */
#ifndef PUSHWRIGHT_SANDBOX_PRIVILEGE_H
#define PUSHWRIGHT_SANDBOX_PRIVILEGE_H

#include "shared/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Of Docker's default capabilities, those that not everybody is left. */
enum {
    PRIVILEGE_DEVICES = 1, /* CAP_MKNOD */
    PRIVILEGE_ROOTS = 2,   /* CAP_SYS_CHROOT, which leads out of a chroot */
    PRIVILEGE_LOOKS = 4,   /* CAP_SYS_PTRACE, for who answers the calls of others */
};

/* Take every capability out of the bounding and ambient sets but Docker's default ones, of those above the ones in `more`. Needs
 * CAP_SETPCAP. */
bool privilege_bound(unsigned more, struct error *err);

/* Make the default set all that is permitted and effective (keep), or nothing at all. */
bool privilege_hold(bool keep, struct error *err);

/* Do we have what a chroot takes? Tells what is missing. */
bool privilege_for_chroot(struct error *err);

/* memory: of each process, bytes, and pids: of the user; 0: as they are. */
bool privilege_limits(int64_t memory, unsigned pids, struct error *err);

/* A system call that another process answers. */
struct privilege_watched {
    int number;
    uint8_t argument; /* only where this one */
    uint32_t bits;    /* has any of these; 0: or not */
    uint32_t value;   /* is this; 0: or not */
};
enum { PRIVILEGE_WATCHED_MAX = 48 };

struct privilege_filter {
    bool
        pretend; /* calls that change identity are answered with success and do nothing, for user namespaces in which one user is
                       mapped */
    bool in_chroot; /* nothing that looks into processes outside, or changes the root directory */
    bool set_user;  /* set-user-id programs go on to work; needs CAP_SYS_ADMIN */
    const struct privilege_watched *watched;
    size_t watched_count; /* 0: none */
};

/* No new privileges (unless set_user), then the table of refused system calls. *listener: of who answers those that are watched; -1 where
 * there are none, or the kernel lets nobody answer (errno says why), and they are as without. NULL: none are. */
bool privilege_filter(const struct privilege_filter *how, int *listener, struct error *err);

#endif
