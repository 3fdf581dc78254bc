#include "shared/sandbox/sandbox.h"
#include "shared/sandbox/group.h"
#include "shared/sandbox/inside.h"
#include "shared/sandbox/kernel.h"
#include "shared/sandbox/privilege.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

struct sandbox {
    int process; /* pidfd of the supervisor */
    int channel;
    bool ended;
    bool tidies_up; /* it has to, before it ends */
    struct group group;
};

typedef void inside_fn(const struct plan *plan, int channel);

static bool write_map(pid_t pid, const char *file, const char *text, struct error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    AUTO(close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return error_set_errno(err, errno, "write '%s'", path);
    return true;
}

/* One user: the kernel lets everyone map himself, and more only with help that not every machine has. */
static bool map_user(pid_t pid, struct error *err)
{
    char uid_map[64], gid_map[64];
    snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getegid());
    return write_map(pid, "setgroups", "deny", err) && write_map(pid, "uid_map", uid_map, err) &&
           write_map(pid, "gid_map", gid_map, err);
}

/* "INSIDE OUTSIDE COUNT" of each range that is mapped here, as "INSIDE INSIDE COUNT". */
static bool map_same(pid_t pid, const char *file, struct error *err)
{
    char path[64], map[4096];
    size_t len = 0;
    unsigned long inside, outside, count;
    snprintf(path, sizeof path, "/proc/self/%s", file);
    AUTO(fclose) FILE *own = fopen(path, "re");
    while (own && len + 64 < sizeof map && fscanf(own, "%lu %lu %lu", &inside, &outside, &count) == 3)
        len += (size_t)snprintf(map + len, sizeof map - len, "%lu %lu %lu\n", inside, inside, count);
    if (len == 0)
        return error_set_errno(err, errno, "read '%s'", path);
    return write_map(pid, file, map, err);
}

static bool map_ids(pid_t pid, struct error *err)
{
    return map_same(pid, "uid_map", err) && map_same(pid, "gid_map", err);
}

/* A raw clone, because fork() has no room for flags: the child must not touch what libc's locks guard. It ends without a signal:
 * SIGCHLD would interrupt calls of threads that have nothing to do with it, and wait(2) of others does not see it either. */
static pid_t clone_with(unsigned long flags, const struct plan *plan, inside_fn *inside, const int channel[2],
                        int *pidfd)
{
    pid_t pid = (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD_FLAG, 0UL, pidfd, 0UL, 0UL);
    if (pid == 0) {
        close(channel[0]); /* or the channel would not end with who has started us */
        inside(plan, channel[1]);
    }
    return pid;
}

static pid_t clone_inside(const struct plan *plan, enum sandbox_mode mode, inside_fn *inside, const int channel[2],
                          int *pidfd)
{
    if (mode == SANDBOX_IN_CHROOT)
        return clone_with(0, plan, inside, channel, pidfd);
    unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    if (!plan->spec->step || !plan->spec->step->network)
        flags |= CLONE_NEWNET;
    if (mode != SANDBOX_AS_ROOT)
        flags |= CLONE_NEWUSER;
    return clone_with(flags, plan, inside, channel, pidfd);
}

/* Before anything of the image runs. */
static bool enter_group(struct sandbox *sandbox, const struct sandbox_spec *spec, pid_t pid, struct error *err)
{
    char text[16];
    if (!group_make(spec->groups, &spec->limits, &sandbox->group, err))
        return false;
    snprintf(text, sizeof text, "%d", (int)pid);
    AUTO(close) int fd = openat(sandbox->group.fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return (fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text)) ||
           error_set_errno(err, errno, "enter the control group '%s'", sandbox->group.path);
}

static struct sandbox *sandbox_begin(const struct plan *plan, enum sandbox_mode mode, inside_fn *inside,
                                     struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        error_set_errno(err, errno, "make a socket pair");
        return NULL;
    }
    AUTO(close) int ours = pair[0];
    AUTO(close) int theirs = pair[1];
    int process = -1;
    pid_t pid = clone_inside(plan, mode, inside, pair, &process);
    if (pid < 0) {
        error_set_errno(err, errno, "make namespaces");
        err->kind = ERROR_INTERNAL;
        return NULL;
    }
    AUTO(sandbox_free) struct sandbox *sandbox = malloc(sizeof *sandbox);
    if (!sandbox) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, __WALL);
        close(process);
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    *sandbox = (struct sandbox){ .process = process, .channel = ours, .tidies_up = mode == SANDBOX_IN_CHROOT };
    ours = -1;
    if (plan->spec->groups && !enter_group(sandbox, plan->spec, pid, err))
        return NULL;
    if ((mode == SANDBOX_AS_USER && !map_user(pid, err)) || (mode == SANDBOX_WITH_IDS && !map_ids(pid, err)))
        return NULL;
    message_send(sandbox->channel, &(struct message){ .kind = ORDER_GO, .value = (int)mode },
                 -1); /* a child that died says so by its end */
    return TAKE(sandbox);
}

/* NULL-terminated copy with `spare` free places. */
static const char **vector_copy(const char *const *items, size_t count, size_t spare)
{
    const char **copy = calloc(count + spare + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = items[i];
    return copy;
}

struct sandbox *sandbox_start(const struct sandbox_spec *spec, struct error *err)
{
    assert(spec->arg_count > 0 && spec->scratch && spec->hostname);
    if (!spec->whole && (spec->lower_count == 0 || spec->lower_count > SANDBOX_LOWERS_MAX)) {
        error_set(err, ERROR_INVALID, "%zu layers; between 1 and %d can be stacked", spec->lower_count,
                  SANDBOX_LOWERS_MAX);
        return NULL;
    }
    AUTO(free) const char **argv = vector_copy(spec->argv, spec->arg_count, 0);
    AUTO(free) const char **check = vector_copy(spec->check, spec->check_count, 0);
    AUTO(free) const char **env = vector_copy(spec->env, spec->env_count, 4);
    if (!argv || !check || !env) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    struct plan plan = { .spec = spec, .argv = argv, .check = check, .env = env, .env_count = spec->env_count };
    return sandbox_begin(&plan, spec->mode, monitor_main, err);
}

void sandbox_free(struct sandbox *sandbox)
{
    if (!sandbox)
        return;
    siginfo_t ignored;
    if (sandbox->tidies_up)
        shutdown(sandbox->channel, SHUT_RDWR);
    else
        syscall(SYS_pidfd_send_signal, sandbox->process, SIGKILL, NULL, 0);
    while (waitid((idtype_t)P_PIDFD_TYPE, (id_t)sandbox->process, &ignored, WEXITED | __WALL) < 0 && errno == EINTR)
        ;
    group_end(&sandbox->group);
    close(sandbox->process);
    close(sandbox->channel);
    free(sandbox);
}

const char *sandbox_reached(const struct sandbox *sandbox)
{
    return group_reached(&sandbox->group);
}

int sandbox_fd(const struct sandbox *sandbox)
{
    return sandbox->channel;
}

void sandbox_next(struct sandbox *sandbox, struct sandbox_event *event)
{
    struct message message;
    int got = -1, fd = -1;
    *event = (struct sandbox_event){ .kind = SANDBOX_ENDED, .fd = -1 };
    if (sandbox->ended)
        return;
    do
        got = message_receive(sandbox->channel, &message, &fd, MSG_DONTWAIT);
    while (got < 0 && errno == ECONNRESET); /* it ended with orders unread; what it had told before still comes */
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        event->kind = SANDBOX_NOTHING;
        return;
    }
    if (got <= 0) {
        sandbox->ended = true;
        return;
    }
    event->kind = (enum sandbox_event_kind)message.kind;
    event->status = message.value;
    event->fd = fd;
    memcpy(event->text, message.text, sizeof event->text);
}

bool sandbox_connect(struct sandbox *sandbox, int fd)
{
    if (!message_send(sandbox->channel, &(struct message){ .kind = ORDER_CONNECT }, fd)) {
        if (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM)
            errno = EAGAIN;
        return false;
    }
    close(fd);
    return true;
}

static void order(struct sandbox *sandbox, enum order kind, long value)
{
    message_send(sandbox->channel, &(struct message){ .kind = kind, .value = (int32_t)value }, -1);
}

void sandbox_check(struct sandbox *sandbox)
{
    order(sandbox, ORDER_CHECK, 0);
}

void sandbox_drain(struct sandbox *sandbox, long grace_ms)
{
    order(sandbox, ORDER_DRAIN, grace_ms);
}

void sandbox_stop(struct sandbox *sandbox, long grace_ms)
{
    order(sandbox, ORDER_STOP, grace_ms);
}

void sandbox_status_text(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
}

const char *sandbox_mode_text(enum sandbox_mode mode)
{
    static const char *const texts[] = {
        [SANDBOX_AS_ROOT] = "programs run in namespaces of their own, with the users of their images",
        [SANDBOX_WITH_IDS] = "programs run in user namespaces, with the users of their images",
        [SANDBOX_AS_USER] = "programs run in user namespaces: every user of an image is this user outside",
        [SANDBOX_IN_CHROOT] = "programs run in a chroot: nothing but files is kept from them",
    };
    return texts[mode];
}

/* A trial of what root_enter() needs, on a file system in memory. */
static _Noreturn void trial_main(const struct plan *plan, int channel)
{
    (void)plan;
    struct message message = { .kind = SANDBOX_STARTED };
    int fd;
    if (message_receive(channel, &message, &fd, 0) != 1)
        _exit(1);
    bool as_root = message.value == SANDBOX_AS_ROOT;
    const char *step = NULL, *options = as_root ? "lowerdir=/proc/a,upperdir=/proc/b,workdir=/proc/c"
                                                : "lowerdir=/proc/a,upperdir=/proc/b,workdir=/proc/c,userxattr";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        step = "make mounts private";
    else if (as_root && mount("proc", "/proc", "proc", 0, NULL) < 0)
        step = "mount /proc";
    else if (mount("tmpfs", "/proc", "tmpfs", 0, NULL) < 0) /* a directory that every machine has */
        step = "mount a file system in memory";
    else if (mkdir("/proc/a", 0755) < 0 || mkdir("/proc/b", 0755) < 0 || mkdir("/proc/c", 0755) < 0 ||
             mkdir("/proc/d", 0755) < 0 || mount("overlay", "/proc/d", "overlay", 0, options) < 0)
        step = "stack directories with overlayfs";
    else if (as_root && setxattr("/proc/a", sandbox_opaque_attribute(SANDBOX_AS_ROOT), "y", 1, 0) < 0)
        step = "mark directories for overlayfs"; /* root of a user namespace only */
    else if (message.value == SANDBOX_WITH_IDS && syscall(SYS_setgroups, 0, NULL) < 0)
        step =
            "become the users of an image"; /* root of a namespace that was made by an ordinary user, for himself alone */
    message.kind = step ? SANDBOX_FAILED : SANDBOX_STARTED;
    message.value = errno;
    if (step)
        snprintf(message.text, sizeof message.text, "%s", step);
    message_send(channel, &message, -1);
    _exit(0);
}

static bool trial(enum sandbox_mode mode, bool own_network, struct error *err)
{
    const struct sandbox_step step = { .network = !own_network };
    const struct sandbox_spec spec = { .step = &step };
    const struct plan plan = { .spec = &spec };
    AUTO(sandbox_free) struct sandbox *sandbox = sandbox_begin(&plan, mode, trial_main, err);
    if (!sandbox)
        return false;
    struct message message;
    int fd;
    if (message_receive(sandbox->channel, &message, &fd, 0) != 1)
        return error_set(err, ERROR_INTERNAL, "the trial ended without a result");
    if (message.kind == SANDBOX_STARTED)
        return true;
    return error_set_errno(err, message.value, "%s", message.text);
}

bool sandbox_probe_chroot(struct error *err)
{
    return geteuid() == 0 ? privilege_for_chroot(err) : error_set(err, ERROR_UNSUPPORTED, "a chroot takes root");
}

bool sandbox_probe(bool own_network, enum sandbox_mode *mode, struct error *err)
{
    struct error reason = { 0 };
    if (geteuid() == 0 && trial(SANDBOX_AS_ROOT, own_network, &reason)) {
        *mode = SANDBOX_AS_ROOT;
        return true;
    }
    if (geteuid() == 0 && trial(SANDBOX_WITH_IDS, own_network, &reason)) {
        *mode = SANDBOX_WITH_IDS;
        return true;
    }
    if (trial(SANDBOX_AS_USER, own_network, &reason)) {
        *mode = SANDBOX_AS_USER;
        return true;
    }
    return error_set(
        err, ERROR_UNSUPPORTED,
        "this machine does not let us isolate programs: %s; run as root, or allow user namespaces "
        "(user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
        reason.message);
}
