/* The seccomp filter: a table of what is refused. The list is the one that Docker's documentation gives for its default
 * profile, kept whatever capabilities the program has, and io_uring, which Docker has taken out since. */
#include "shared/sandbox/kernel.h"
#include "shared/sandbox/privilege.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

#if defined(__x86_64__)
#define NATIVE_ARCH 0xc000003eu /* AUDIT_ARCH_X86_64 */
#elif defined(__aarch64__)
#define NATIVE_ARCH 0xc00000b7u /* AUDIT_ARCH_AARCH64 */
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH 0xc00000f3u /* AUDIT_ARCH_RISCV64 */
#else
#error "name the AUDIT_ARCH of this architecture, from linux/audit.h"
#endif
static_assert(BYTE_ORDER == LITTLE_ENDIAN, "the low half of an argument stands first");

/* The newest system call whose effect has been looked at (mseal); newer ones do not exist as far as a program inside sees. */
enum { NEWEST_KNOWN = 462 };

enum { NEW_NAMESPACES = 0x7e020000, FAMILY_VSOCK = 40, FAMILY_ALG = 38, TTY_PUSH_INPUT = 0x5412, TTY_SUBCODE = 0x541c };

enum match { ALWAYS, ANY_BIT, EQUAL };

struct rule {
    int number;
    uint16_t answer; /* errno; 0: success without effect */
    enum match match;
    uint8_t argument;
    uint32_t value;
};

#define REFUSE(name) { .number = SYS_##name, .answer = EPERM }
#define REFUSE_WHEN(name, arg, how, what) { SYS_##name, EPERM, how, arg, what }

static const struct rule refused[] = {
    REFUSE(acct),
    REFUSE(add_key),
    REFUSE(bpf),
    REFUSE(clock_adjtime),
    REFUSE(clock_settime),
    REFUSE_WHEN(clone, 0, ANY_BIT, NEW_NAMESPACES),
    { .number = SYS_clone3, .answer = ENOSYS }, /* its flags stand in memory; libc falls back to clone */
    REFUSE(delete_module),
    REFUSE(fanotify_init),
    REFUSE(finit_module),
    REFUSE(fsconfig),
    REFUSE(fsmount),
    REFUSE(fsopen),
    REFUSE(fspick),
    REFUSE(get_mempolicy),
    REFUSE(init_module),
    { .number = SYS_io_uring_setup, .answer = ENOSYS },
    { .number = SYS_io_uring_enter, .answer = ENOSYS },
    { .number = SYS_io_uring_register, .answer = ENOSYS },
    REFUSE_WHEN(ioctl, 1, EQUAL, TTY_PUSH_INPUT),
    REFUSE_WHEN(ioctl, 1, EQUAL, TTY_SUBCODE),
    REFUSE(kcmp),
    REFUSE(kexec_load),
#ifdef SYS_kexec_file_load
    REFUSE(kexec_file_load),
#endif
    REFUSE(keyctl),
    REFUSE(lookup_dcookie),
    REFUSE(mbind),
    REFUSE(mount),
    REFUSE(move_mount),
    REFUSE(move_pages),
    REFUSE(name_to_handle_at),
    REFUSE(nfsservctl),
    REFUSE(open_by_handle_at),
    REFUSE(open_tree),
    REFUSE(perf_event_open),
    REFUSE(pivot_root),
    REFUSE(process_vm_readv),
    REFUSE(process_vm_writev),
    REFUSE(quotactl),
    REFUSE(reboot),
    REFUSE(request_key),
    REFUSE(set_mempolicy),
    REFUSE(setns),
    REFUSE(settimeofday),
    REFUSE_WHEN(socket, 0, EQUAL, FAMILY_VSOCK),
    REFUSE_WHEN(socket, 0, EQUAL, FAMILY_ALG),
    REFUSE(swapoff),
    REFUSE(swapon),
    REFUSE(syslog),
    REFUSE(umount2),
    REFUSE(unshare),
    REFUSE(userfaultfd),
    REFUSE(vhangup),
    { .number = 442, .answer = EPERM }, /* mount_setattr */
    { .number = 443, .answer = EPERM }, /* quotactl_fd */
#ifdef __x86_64__
    REFUSE(_sysctl),
    REFUSE(create_module),
    REFUSE(get_kernel_syms),
    REFUSE(ioperm),
    REFUSE(iopl),
    REFUSE(query_module),
    REFUSE(sysfs),
    REFUSE(uselib),
    REFUSE(ustat),
#endif
};

#define PRETEND(name) { .number = SYS_##name }

static const struct rule pretended[] = {
    PRETEND(setuid),    PRETEND(setgid),   PRETEND(setgroups), PRETEND(setreuid), PRETEND(setregid), PRETEND(setresuid),
    PRETEND(setresgid), PRETEND(setfsuid), PRETEND(setfsgid),  PRETEND(fchown),   PRETEND(fchownat),
#ifdef SYS_chown
    PRETEND(chown),     PRETEND(lchown),
#endif
};

static const struct rule refused_in_chroot[] = {
    REFUSE(chroot), REFUSE(ptrace), { .number = 438, .answer = EPERM }, /* pidfd_getfd */
};

#define COUNT(rules) (sizeof(rules) / sizeof(rules)[0])
enum { STEPS_BEFORE = 8, STEPS_A_RULE = 5 };
enum {
    STEPS_MAX = STEPS_BEFORE +
                STEPS_A_RULE * (COUNT(refused) + COUNT(pretended) + COUNT(refused_in_chroot) + PRIVILEGE_WATCHED_MAX)
};

struct filter {
    struct bpf_step steps[STEPS_MAX];
    unsigned short count;
};

static void step(struct filter *filter, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    assert(filter->count < STEPS_MAX);
    filter->steps[filter->count++] = (struct bpf_step){ code, if_true, if_false, k };
}

/* The system call's number is in the accumulator before and after. */
static void rule_append(struct filter *filter, const struct rule *rule, uint32_t answer)
{
    static const uint16_t tests[] = { [ANY_BIT] = BPF_JUMP_ANY_BIT, [EQUAL] = BPF_JUMP_EQUAL };
    if (rule->match == ALWAYS) {
        step(filter, BPF_JUMP_EQUAL, (uint32_t)rule->number, 0, 1);
        step(filter, BPF_RETURN, answer, 0, 0);
        return;
    }
    step(filter, BPF_JUMP_EQUAL, (uint32_t)rule->number, 0, 4);
    step(filter, BPF_LOAD_WORD, SECCOMP_OFFSET_ARGS + 8u * rule->argument, 0, 0);
    step(filter, tests[rule->match], rule->value, 0, 1);
    step(filter, BPF_RETURN, answer, 0, 0);
    step(filter, BPF_LOAD_WORD, SECCOMP_OFFSET_NUMBER, 0, 0);
}

static void rules_append(struct filter *filter, const struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rule_append(filter, &rules[i], SECCOMP_ERRNO | rules[i].answer);
}

static void watched_append(struct filter *filter, const struct privilege_watched *watched, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct rule rule = { .number = watched[i].number,
                                   .match = watched[i].bits    ? ANY_BIT
                                            : watched[i].value ? EQUAL
                                                               : ALWAYS,
                                   .argument = watched[i].argument,
                                   .value = watched[i].bits | watched[i].value };
        rule_append(filter, &rule, SECCOMP_NOTIFY);
    }
}

static void filter_make(struct filter *filter, const struct privilege_filter *how, bool watching)
{
    filter->count = 0;
    step(filter, BPF_LOAD_WORD, SECCOMP_OFFSET_ARCH, 0, 0);
    step(filter, BPF_JUMP_EQUAL, NATIVE_ARCH, 1,
         0); /* other ABIs have other numbers: they would walk around the table */
    step(filter, BPF_RETURN, SECCOMP_ERRNO | ENOSYS, 0, 0);
    step(filter, BPF_LOAD_WORD, SECCOMP_OFFSET_NUMBER, 0, 0);
    step(filter, BPF_JUMP_GREATER, NEWEST_KNOWN, 0, 1); /* x32 of x86-64 too: bit 30 */
    step(filter, BPF_RETURN, SECCOMP_ERRNO | ENOSYS, 0, 0);
    rules_append(filter, refused, COUNT(refused));
    watched_append(filter, how->watched, watching ? how->watched_count : 0);
    rules_append(filter, pretended, how->pretend ? COUNT(pretended) : 0);
    rules_append(filter, refused_in_chroot, how->in_chroot ? COUNT(refused_in_chroot) : 0);
    step(filter, BPF_RETURN, SECCOMP_ALLOW, 0, 0);
}

/* Once a call is being answered only the process's end interrupts it (5.19): what was done is not done again. */
static int install_watched(const struct filter *filter)
{
    const struct bpf_program program = { filter->count, filter->steps };
    long fd = syscall(SYS_seccomp, SECCOMP_INSTALL, SECCOMP_NEW_LISTENER | SECCOMP_WAIT_KILLABLE, &program);
    if (fd < 0 && errno == EINVAL)
        fd = syscall(SYS_seccomp, SECCOMP_INSTALL, SECCOMP_NEW_LISTENER, &program);
    return (int)fd;
}

bool privilege_filter(const struct privilege_filter *how, int *listener, struct error *err)
{
    struct filter filter;
    if (!how->set_user && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(err, errno, "give up new privileges");
    if (how->watched_count > 0) {
        filter_make(&filter, how, true);
        *listener = install_watched(&filter);
        if (*listener >= 0)
            return true;
    }
    int refusal = errno;
    filter_make(&filter, how, false);
    struct bpf_program program = { filter.count, filter.steps };
    if (prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, &program, 0, 0) < 0)
        return error_set_errno(err, errno, "install the system call filter");
    errno = refusal;
    return true;
}
