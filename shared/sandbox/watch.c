#include "shared/sandbox/watch.h"
#include "shared/sandbox/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>

enum { NO_ARGUMENT = -1, PAGE = 4096, RENAME_EXCHANGE_FLAG = 2, ROUNDS = 8, UNCHANGED = -1 };

/* One for the process, which has no allocator. */
static struct {
    const struct sandbox_owners *owners;
    int root, upper, processes;
    uint64_t mount; /* of the root directory */
    bool chroots;   /* a process may have another root directory */
} watch = { .root = -1, .upper = -1, .processes = -1 };

/* Which arguments say what file is meant. */
struct place {
    int8_t directory; /* a descriptor; NO_ARGUMENT: the working directory */
    int8_t path;      /* NO_ARGUMENT: the descriptor itself */
    int8_t flags;     /* AT_...; NO_ARGUMENT: `always` alone */
    uint16_t always;
};

struct request {
    int listener;
    const struct seccomp_notice *notice;
    struct seccomp_reply *reply;
    const struct call *call;
};

struct call {
    int number;
    void (*answer)(const struct request *request);
    struct place place;
    int8_t rest; /* the argument with the buffer, the user, the second path */
};

static uint64_t argument(const struct request *request, int number)
{
    return request->notice->args[number];
}

static void pass(const struct request *request)
{
    request->reply->flags = SECCOMP_CONTINUE;
}

static void refuse(const struct request *request, int reason)
{
    request->reply->error = -reason;
}

/* libc's ioctl() has a type of its own for the request. */
static long ask(int listener, unsigned long request, const void *what)
{
    return syscall(SYS_ioctl, listener, request, what);
}

/* Is it still the process that has called? Its number may be another one's by now. */
static bool is_valid(const struct request *request)
{
    return ask(request->listener, SECCOMP_IS_VALID, &request->notice->id) == 0;
}

/* ---- its memory ---- */

/* Up to the end of the page first: what lies behind it may not be there. */
static bool read_path(const struct request *request, uint64_t address, char out[static PATH_MAX])
{
    size_t first = PAGE - address % PAGE;
    const struct iovec here = { out, PATH_MAX };
    const struct iovec there[] = { { (void *)(uintptr_t)address, first },
                                   { (void *)(uintptr_t)(address + first), PATH_MAX - first } };
    ssize_t n = process_vm_readv((pid_t)request->notice->pid, &here, 1, there, 2, 0);
    if (n <= 0 || memchr(out, '\0', (size_t)n))
        return n > 0;
    errno = n == PATH_MAX ? ENAMETOOLONG : EFAULT;
    return false;
}

static void write_answer(const struct request *request, uint64_t address, void *data, size_t len)
{
    const struct iovec here = { data, len }, there = { (void *)(uintptr_t)address, len };
    if (is_valid(request) && process_vm_writev((pid_t)request->notice->pid, &here, 1, &there, 1, 0) != (ssize_t)len)
        refuse(request, EFAULT);
}

/* ---- the file that it means ---- */

static int open_of_process(const struct request *request, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "%u/%s", request->notice->pid, what);
    return open(path, O_PATH | O_CLOEXEC);
}

static bool is_file(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static void enter(int root)
{
    if (fchdir(root) < 0 || chroot(".") < 0)
        _exit(1); /* with everything inside: we would look in the wrong place from here on */
}

/* Links of /proc lead to where the one leads who follows them; that is not us. */
static int open_path(int directory, const char *path, bool follow)
{
    const struct open_way way = { .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
                                  .resolve = OPEN_NO_MAGIC_LINKS };
    return (int)syscall(SYS_openat2, directory, path, &way, sizeof way);
}

static int open_as_process(const struct request *request, int directory, const char *path, bool follow)
{
    if (!watch.chroots)
        return open_path(directory, path, follow);
    AUTO(close) int root = open_of_process(request, "root");
    if (root < 0 || is_file(root, watch.root))
        return open_path(directory, path, follow);
    enter(root);
    int fd = open_path(directory, path, follow), saved = errno;
    enter(watch.root);
    if (fchdir(watch.processes) < 0)
        _exit(1);
    errno = saved;
    return fd;
}

/* The working directory, or what a descriptor is open for. */
static int open_base(const struct request *request, int number)
{
    char name[32];
    snprintf(name, sizeof name, "fd/%d", number);
    int fd = open_of_process(request, number == AT_FDCWD ? "cwd" : name);
    if (fd < 0 && errno == ENOENT)
        errno = EBADF;
    return fd;
}

/* O_PATH, or -1 with errno. */
static int open_object(const struct request *request, const struct place *place)
{
    char path[PATH_MAX] = "";
    unsigned flags = place->always | (place->flags >= 0 ? (unsigned)argument(request, place->flags) : 0);
    bool follow = !(flags & AT_SYMLINK_NOFOLLOW) || flags & AT_SYMLINK_FOLLOW;
    if (place->path >= 0 && (argument(request, place->path) || !(flags & AT_EMPTY_PATH)) &&
        !read_path(request, argument(request, place->path), path))
        return -1;
    if (path[0] == '/')
        return open_as_process(request, -1, path, follow);
    if (path[0] == '\0' && !(flags & AT_EMPTY_PATH)) {
        errno = ENOENT;
        return -1;
    }
    int base = open_base(request, place->directory >= 0 ? (int)argument(request, place->directory) : AT_FDCWD);
    if (base < 0 || path[0] == '\0')
        return base;
    int fd = open_as_process(request, base, path, follow), saved = errno;
    close(base);
    errno = saved;
    return fd;
}

/* ---- whose it is ---- */

struct object {
    int fd, upper;       /* upper: the file among what was changed; -1: it is as the layers have it */
    char path[PATH_MAX]; /* from the root, without a slash */
    struct file_status is;
    struct owner owner;
    bool noted;
};

static void object_release(struct object *object)
{
    if (object->fd >= 0)
        close(object->fd);
    if (object->upper >= 0)
        close(object->upper);
}
AUTO_RELEASE(struct object, object_release)

static int open_upper(const char *path)
{
    const struct open_way way = { .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
                                  .resolve = OPEN_NO_MAGIC_LINKS | OPEN_NO_LINKS | OPEN_BENEATH };
    return (int)syscall(SYS_openat2, watch.upper, path[0] ? path : ".", &way, sizeof way);
}

static bool path_of(int fd, char out[static PATH_MAX])
{
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 1 || path[0] != '/')
        return false;
    path[n] = '\0';
    memcpy(out, path + 1, (size_t)n);
    return true;
}

/* The file among what was changed, by the path that it has before and after it is opened: it may be renamed meanwhile. */
static bool find_upper(struct object *object)
{
    char again[PATH_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        if (!path_of(object->fd, object->path))
            return false;
        if (object->upper >= 0)
            close(object->upper);
        object->upper = open_upper(object->path);
        if (path_of(object->fd, again) && strcmp(object->path, again) == 0)
            return true;
    }
    return false;
}

/* Only files and directories can be marked; the root directory is not. */
static bool is_marked_copied(const struct object *object)
{
    char link[32];
    if (object->path[0] == '\0')
        return true;
    snprintf(link, sizeof link, "self/fd/%d", object->upper);
    return (!S_ISREG(object->is.mode) && !S_ISDIR(object->is.mode)) ||
           getxattr(link, SANDBOX_COPIED_ATTRIBUTE, NULL, 0) >= 0;
}

static bool find_owner(struct object *object)
{
    const struct sandbox_owners *owners = watch.owners;
    object->noted = object->upper >= 0 && owners_find(owners->notes, object->upper, "", &object->owner);
    if (object->noted)
        return true;
    if (owners->below && owners->below(owners->context, object->path, object->is.mode & S_IFMT,
                                       object->upper < 0 || is_marked_copied(object), &object->owner))
        return true;
    object->owner = owners->own;
    return object->upper >= 0;
}

/* False: it is not in the root directory's file system, or is no longer at all. Takes the descriptor. */
static bool look(int fd, struct object *object)
{
    *object = (struct object){ .fd = fd, .upper = -1 };
    return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATUS_BASIC | STATUS_MOUNT, &object->is) == 0 &&
           object->is.mount == watch.mount && find_upper(object) && find_owner(object);
}

static bool note(struct object *object, struct owner owner)
{
    if (object->upper < 0) /* it is there now */
        find_upper(object);
    return object->upper < 0 || owners_note(watch.owners->notes, object->upper, "", owner);
}

/* ---- the calls ---- */

/* What the kernel would tell of every file is `own`. */
static bool is_told_wrong(const struct request *request, struct object *object)
{
    int fd = open_object(request, &request->call->place);
    *object = (struct object){ .fd = -1, .upper = -1 };
    if (fd >= 0 && look(fd, object) && !owner_is(object->owner, watch.owners->own))
        return true;
    pass(request);
    return false;
}

static void answer_stat(const struct request *request)
{
    AUTO(object_release) struct object object;
    struct stat is; /* as the kernel has it, on every machine that this is for */
    if (!is_told_wrong(request, &object))
        return;
    if (syscall(SYS_newfstatat, object.fd, "", &is, AT_EMPTY_PATH) < 0) {
        refuse(request, errno);
        return;
    }
    is.st_uid = object.owner.uid;
    is.st_gid = object.owner.gid;
    write_answer(request, argument(request, request->call->rest), &is, sizeof is);
}

static void answer_statx(const struct request *request)
{
    AUTO(object_release) struct object object;
    struct file_status is;
    if (!is_told_wrong(request, &object))
        return;
    unsigned flags = (unsigned)argument(request, 2) & 0x6000 /* AT_STATX_SYNC_TYPE */,
             mask = (unsigned)argument(request, 3);
    if (syscall(SYS_statx, object.fd, "", AT_EMPTY_PATH | flags, mask, &is) < 0) {
        refuse(request, errno);
        return;
    }
    is.uid = object.owner.uid;
    is.gid = object.owner.gid;
    write_answer(request, argument(request, 4), &is, sizeof is);
}

static bool is_group_of_own(uint32_t gid)
{
    const struct sandbox_owners *owners = watch.owners;
    for (size_t i = 0; i < owners->group_count; i++)
        if (owners->groups[i] == gid)
            return true;
    return gid == owners->own.gid;
}

/* chown(2): root may, and who owns the file may give it to a group of his. */
static bool may_give(const struct object *object, struct owner to)
{
    const struct owner own = watch.owners->own;
    return own.uid == 0 || (object->owner.uid == own.uid && to.uid == own.uid &&
                            (to.gid == object->owner.gid || is_group_of_own(to.gid)));
}

static uint32_t changed(uint64_t asked, uint32_t is)
{
    return (uint32_t)asked == (uint32_t)UNCHANGED ? is : (uint32_t)asked;
}

/* The kernel is asked to give the file to whom it is: it copies it up, takes the set-id bits and capabilities away, and sets its time of change. */
static void answer_chown(const struct request *request)
{
    AUTO(object_release) struct object object = { .fd = -1, .upper = -1 };
    uint64_t uid = argument(request, request->call->rest), gid = argument(request, request->call->rest + 1);
    int fd = open_object(request, &request->call->place);
    if (fd < 0 && errno != ELOOP) {
        refuse(request, errno);
        return;
    }
    if (fd < 0 || !look(fd, &object)) /* a pipe, a file in memory: success without effect */
        return;
    const struct owner to = { changed(uid, object.owner.uid), changed(gid, object.owner.gid) };
    if (!may_give(&object, to)) {
        refuse(request, EPERM);
        return;
    }
    if (!is_valid(request))
        return;
    if (fchownat(object.fd, "", (uint32_t)uid == (uint32_t)UNCHANGED ? (uid_t)-1 : 0,
                 (uint32_t)gid == (uint32_t)UNCHANGED ? (gid_t)-1 : 0, AT_EMPTY_PATH) < 0 ||
        ((object.noted || !owner_is(to, object.owner)) && !note(&object, to)))
        refuse(request, errno);
}

/* A file of the layers is known by its path; before it gets another one, its owner is noted. That of a directory with files of the layers in it
 * cannot be changed. */
static void settle(const struct request *request, const struct place *place)
{
    AUTO(object_release) struct object object = { .fd = -1, .upper = -1 };
    int fd = open_object(request, place);
    if (fd < 0 || !look(fd, &object) || object.noted || S_ISDIR(object.is.mode) ||
        owner_is(object.owner, watch.owners->own) || !is_valid(request))
        return;
    const struct file_time *accessed = &object.is.accessed, *modified = &object.is.modified;
    const struct timespec same[] = { { .tv_sec = accessed->seconds, .tv_nsec = (long)accessed->nanoseconds },
                                     { .tv_sec = modified->seconds, .tv_nsec = (long)modified->nanoseconds } };
    if (object.upper < 0)
        syscall(SYS_utimensat, object.fd, "", same, AT_EMPTY_PATH); /* copies it up */
    note(&object, object.owner);
}

static void answer_rename(const struct request *request)
{
    settle(request, &request->call->place);
    if (request->call->rest != NO_ARGUMENT && argument(request, request->call->rest) & RENAME_EXCHANGE_FLAG)
        settle(request, &(struct place){ 2, 3, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW });
    pass(request);
}

static void answer_chroot(const struct request *request)
{
    watch.chroots = true;
    pass(request);
}

static const struct call calls[] = {
    { SYS_fstat, answer_stat, { 0, NO_ARGUMENT, NO_ARGUMENT, AT_EMPTY_PATH }, 1 },
    { SYS_newfstatat, answer_stat, { 0, 1, 3, 0 }, 2 },
    { SYS_statx, answer_statx, { 0, 1, 2, 0 }, 4 },
    { SYS_fchown, answer_chown, { 0, NO_ARGUMENT, NO_ARGUMENT, AT_EMPTY_PATH }, 1 },
    { SYS_fchownat, answer_chown, { 0, 1, 4, 0 }, 2 },
    { SYS_renameat2, answer_rename, { 0, 1, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW }, 4 },
    { SYS_linkat, answer_rename, { 0, 1, 4, AT_SYMLINK_NOFOLLOW }, NO_ARGUMENT },
    { SYS_chroot, answer_chroot, { NO_ARGUMENT, NO_ARGUMENT, NO_ARGUMENT, 0 }, NO_ARGUMENT },
#ifdef SYS_renameat
    { SYS_renameat, answer_rename, { 0, 1, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW }, NO_ARGUMENT },
#endif
#ifdef SYS_chown
    { SYS_stat, answer_stat, { NO_ARGUMENT, 0, NO_ARGUMENT, 0 }, 1 },
    { SYS_lstat, answer_stat, { NO_ARGUMENT, 0, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW }, 1 },
    { SYS_chown, answer_chown, { NO_ARGUMENT, 0, NO_ARGUMENT, 0 }, 1 },
    { SYS_lchown, answer_chown, { NO_ARGUMENT, 0, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW }, 1 },
    { SYS_rename, answer_rename, { NO_ARGUMENT, 0, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW }, NO_ARGUMENT },
    { SYS_link, answer_rename, { NO_ARGUMENT, 0, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW }, NO_ARGUMENT },
#endif
};
enum { CALLS = sizeof calls / sizeof calls[0] };
static_assert(CALLS <= (int)PRIVILEGE_WATCHED_MAX, "they fit into the filter");

size_t watch_calls(struct privilege_watched out[static PRIVILEGE_WATCHED_MAX])
{
    for (size_t i = 0; i < CALLS; i++)
        out[i] = (struct privilege_watched){ .number = calls[i].number };
    return CALLS;
}

static const struct call *call_of(int number)
{
    size_t at = 0;
    while (at < CALLS - 1 && calls[at].number != number)
        at++;
    return &calls[at];
}

/* ---- from beginning to end ---- */

static int open_processes(void)
{
    AUTO(close) int system = (int)syscall(SYS_fsopen, "proc", FSMOUNT_CLOSE_ON_EXEC);
    if (system < 0 || syscall(SYS_fsconfig, system, MOUNT_FROM_NOW, NULL, NULL, 0) < 0)
        return -1;
    return (int)syscall(SYS_fsmount, system, FSMOUNT_CLOSE_ON_EXEC, 0);
}

bool watch_prepare(const struct plan *plan, int machine, struct error *err)
{
    const struct sandbox_spec *spec = plan->spec;
    char upper[PATH_MAX];
    struct file_status is;
    int n = spec->whole ? snprintf(upper, sizeof upper, "%s", spec->whole)
                        : snprintf(upper, sizeof upper, "%s/upper", spec->scratch);
    if (n < 1 || (size_t)n >= sizeof upper || upper[0] != '/')
        return error_set(err, ERROR_INVALID, "'%.200s' is no path from the root directory", upper);
    watch.owners = spec->step->owners;
    watch.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    watch.upper = openat(machine, upper + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (watch.root < 0 || watch.upper < 0)
        return error_set_errno(err, errno, "open '%.200s'", upper);
    watch.processes = open_processes();
    if (watch.processes < 0)
        return error_set_errno(err, errno, "mount /proc for the supervisor");
    if (syscall(SYS_statx, watch.root, "", AT_EMPTY_PATH, STATUS_BASIC | STATUS_MOUNT, &is) < 0 ||
        !(is.mask & STATUS_MOUNT))
        return error_set(err, ERROR_UNSUPPORTED, "the kernel does not tell which mount a file is in");
    watch.mount = is.mount;
    return true;
}

bool watch_begin(int listener, struct error *err)
{
    syscall(SYS_ioctl, listener, SECCOMP_SET_FLAGS, 1UL /* SYNC_WAKE_UP, since 6.6: faster */);
    return fchdir(watch.processes) == 0 || error_set_errno(err, errno, "enter /proc");
}

void watch_answer(int listener)
{
    struct seccomp_notice notice = { 0 };
    if (ask(listener, SECCOMP_RECEIVE, &notice) < 0)
        return; /* the process was killed meanwhile */
    struct seccomp_reply reply = { .id = notice.id };
    const struct request request = { listener, &notice, &reply, call_of(notice.number) };
    request.call->answer(&request);
    ask(listener, SECCOMP_SEND, &reply);
}
