/* The kernel's interface, as far as this module uses it: musl's headers do not have all of it, and the build sees no others. */
#ifndef PUSHWRIGHT_SANDBOX_KERNEL_H
#define PUSHWRIGHT_SANDBOX_KERNEL_H

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers from 424 on are the same for every architecture. */
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

enum {
    OPEN_TREE_CLONE_FLAG = 1,
    OPEN_TREE_EMPTY_PATH = 0x1000,
    OPEN_TREE_RECURSIVE = 0x8000,
    MOVE_MOUNT_FROM_EMPTY_PATH = 4,
    MOVE_MOUNT_FOLLOW_TARGET = 0x10,
    MOUNT_ATTRIBUTE_READ_ONLY = 1,
    MOUNT_ATTRIBUTE_NO_DEVICES = 4,
    CLONE_PIDFD_FLAG = 0x1000,
    P_PIDFD_TYPE = 3,
};

/* linux/mount.h */
struct mount_attributes {
    uint64_t set, clear, propagation, user_namespace;
};

/* linux/capability.h, version 3 */
struct capability_header {
    uint32_t version;
    int pid;
};
struct capability_data {
    uint32_t effective, permitted, inheritable;
};
#define CAPABILITY_VERSION_3 0x20080522u

/* linux/filter.h, linux/seccomp.h: classic BPF */
struct bpf_step {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t k;
};
struct bpf_program {
    unsigned short length;
    const struct bpf_step *steps;
};
enum {
    BPF_LOAD_WORD = 0x20,      /* BPF_LD | BPF_W | BPF_ABS */
    BPF_JUMP_EQUAL = 0x15,     /* BPF_JMP | BPF_JEQ | BPF_K */
    BPF_JUMP_GREATER = 0x25,   /* BPF_JMP | BPF_JGT | BPF_K */
    BPF_JUMP_ANY_BIT = 0x45,   /* BPF_JMP | BPF_JSET | BPF_K */
    BPF_RETURN = 0x06,         /* BPF_RET | BPF_K */
    SECCOMP_OFFSET_NUMBER = 0, /* struct seccomp_data */
    SECCOMP_OFFSET_ARCH = 4,
    SECCOMP_OFFSET_ARGS = 16,
};
#define SECCOMP_ALLOW 0x7fff0000u
#define SECCOMP_ERRNO 0x00050000u

#endif
