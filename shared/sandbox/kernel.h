/* The kernel's interface, as far as this module uses it: musl's headers do not have all of it, and the build sees no others. */
#ifndef PUSHWRIGHT_SANDBOX_KERNEL_H
#define PUSHWRIGHT_SANDBOX_KERNEL_H

#include <assert.h>
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
#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
#ifndef SYS_fsconfig
#define SYS_fsconfig 431
#endif
#ifndef SYS_fsmount
#define SYS_fsmount 432
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
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
    PIDFD_THREAD_FLAG = 0200, /* O_EXCL */
    MOUNT_FROM_NOW = 6,       /* FSCONFIG_CMD_CREATE */
    FSMOUNT_CLOSE_ON_EXEC = 1,
};

/* linux/mount.h */
struct mount_attributes {
    uint64_t set, clear, propagation, user_namespace;
};

/* linux/openat2.h */
struct open_way {
    uint64_t flags, mode, resolve;
};
enum { OPEN_NO_MAGIC_LINKS = 2, OPEN_NO_LINKS = 4, OPEN_BENEATH = 8 };

/* linux/stat.h: struct statx, of which musl's knows less */
struct file_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct file_status {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, reserved;
    uint64_t inode, size, blocks, attributes_mask;
    struct file_time accessed, birth, changed, modified;
    uint32_t device[4];
    uint64_t mount, more[13];
};
static_assert(sizeof(struct file_status) == 256, "as the kernel has it");
enum { STATUS_BASIC = 0x7ff, STATUS_BIRTH = 0x800, STATUS_MOUNT = 0x1000 };

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
#define SECCOMP_NOTIFY 0x7fc00000u

/* linux/seccomp.h: calls that another process answers */
struct seccomp_notice {
    uint64_t id;
    uint32_t pid, flags;
    int32_t number;
    uint32_t arch;
    uint64_t instruction, args[6];
    uint64_t newer[16]; /* room for what later kernels may add */
};
struct seccomp_descriptor {
    uint64_t id;
    uint32_t flags, here, there, close_on_exec;
};
struct seccomp_reply {
    uint64_t id;
    int64_t value;
    int32_t error;
    uint32_t flags;
};
enum { SECCOMP_INSTALL = 1, SECCOMP_NEW_LISTENER = 8, SECCOMP_WAIT_KILLABLE = 32, SECCOMP_CONTINUE = 1 };
#define SECCOMP_RECEIVE 0xc0502100ul   /* _IOWR('!', 0, 80 bytes) */
#define SECCOMP_SEND 0xc0182101ul      /* _IOWR('!', 1, 24 bytes) */
#define SECCOMP_IS_VALID 0x40082102ul  /* _IOW('!', 2, 8 bytes) */
#define SECCOMP_GIVE 0x40182103ul      /* _IOW('!', 3, 24 bytes): a descriptor */
#define SECCOMP_SET_FLAGS 0x40082104ul /* _IOW('!', 4, 8 bytes) */

#endif
