#include "shared/sandbox/watch.h"
#include "shared/sandbox/identity.h"
#include "shared/sandbox/kernel.h"
#include "shared/sandbox/request.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { RENAME_EXCHANGE_FLAG = 2, ROUNDS = 8 };

static const uint32_t unchanged = UINT32_MAX;

/* One for the process, which has no allocator. */
static struct {
    const struct sandbox_owners *owners;
    int upper;
    uint64_t mount; /* of the root directory */
} watch = { .upper = -1 };

struct call {
    int number;
    long (*answer)(const struct request *request);
    struct place place;
    int8_t rest; /* the argument with the buffer, the user, the mode, the target */
    int8_t more; /* the one with the flags of what is opened or renamed, the device, the mask */
};

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

/* What most calls ask: nothing is noted, and the layers say that it is `own`, be it changed or not. */
static bool is_plain(const struct object *object)
{
    const struct sandbox_owners *owners = watch.owners;
    struct owner owner;
    return owners_none(owners->notes) && owners->below &&
           owners->below(owners->context, object->path, object->is.mode & S_IFMT, true, &owner) &&
           owner_is(owner, owners->own);
}

static bool is_in_root(const struct object *object)
{
    return object->is.mount == watch.mount;
}

/* False: it is no longer. Takes the descriptor. What lies in a mount, such as a file system in memory, is known by itself. */
static bool look(int fd, struct object *object)
{
    *object = (struct object){ .fd = fd, .upper = -1, .owner = watch.owners->own };
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATUS_BASIC | STATUS_MOUNT, &object->is) < 0)
        return false;
    if (is_in_root(object))
        return path_of(fd, object->path) && (is_plain(object) || (find_upper(object) && find_owner(object)));
    object->upper = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    object->noted = owners_find(watch.owners->notes, fd, "", &object->owner);
    return object->upper >= 0;
}

static bool note(struct object *object, struct owner owner)
{
    if (object->upper < 0) /* it is there now */
        find_upper(object);
    return object->upper < 0 || owners_note(watch.owners->notes, object->upper, "", owner);
}

/* ---- the calls ---- */

/* False with errno, 0: it is there, but cannot be looked at. */
static bool find(const struct request *request, const struct place *place, struct object *object)
{
    int fd = request_open(request, place);
    *object = (struct object){ .fd = -1, .upper = -1 };
    if (fd < 0)
        return false;
    if (look(fd, object))
        return true;
    errno = 0;
    return false;
}

/* What the kernel would tell of every file is `own`. */
static long answer_stat(const struct request *request)
{
    AUTO(object_release) struct object object;
    const struct call *call = request->call;
    bool full = call->number == SYS_statx;
    union {
        struct stat plain; /* as the kernel has it, on every machine that this is for */
        struct file_status full;
    } is;
    if (!find(request, &call->place, &object) || owner_is(object.owner, watch.owners->own))
        return REQUEST_PASS;
    unsigned synchronised = full ? (unsigned)request_argument(request, call->place.flags) & 0x6000 : 0;
    long told = full ? syscall(SYS_statx, object.fd, "", AT_EMPTY_PATH | synchronised,
                               request_argument(request, call->more), &is)
                     : syscall(SYS_newfstatat, object.fd, "", &is, AT_EMPTY_PATH);
    if (told < 0)
        return -errno;
    *(full ? &is.full.uid : &is.plain.st_uid) = object.owner.uid;
    *(full ? &is.full.gid : &is.plain.st_gid) = object.owner.gid;
    return request_write(request, request_argument(request, call->rest), &is, full ? sizeof is.full : sizeof is.plain);
}

static bool is_group_of_own(uint32_t gid)
{
    const struct sandbox_owners *owners = watch.owners;
    for (size_t i = 0; i < owners->group_count; i++)
        if (owners->groups[i] == gid)
            return true;
    return false;
}

/* chown(2): root may, and who owns the file may give it to a group of his. */
static bool may_give(const struct request *request, const struct object *object, struct owner to)
{
    const struct owner own = watch.owners->own, who = identity_of_files(request, own);
    return who.uid == 0 ||
           (object->owner.uid == who.uid && to.uid == who.uid &&
            (to.gid == object->owner.gid || to.gid == who.gid || (owner_is(who, own) && is_group_of_own(to.gid))));
}

static uint32_t changed(uint32_t asked, uint32_t is)
{
    return asked == unchanged ? is : asked;
}

/* The kernel is asked to give the file to whom it is: it copies it up, takes the set-id bits and capabilities away, and sets its time of change.
 * Success without effect: a process or file that we may not look into, a device of the machine. */
static long answer_chown(const struct request *request)
{
    AUTO(object_release) struct object object;
    uint32_t uid = (uint32_t)request_argument(request, request->call->rest),
             gid = (uint32_t)request_argument(request, request->call->rest + 1);
    if (!find(request, &request->call->place, &object))
        return errno == ELOOP || errno == EPERM ? 0 : -errno;
    const struct owner to = { changed(uid, object.owner.uid), changed(gid, object.owner.gid) };
    if (!may_give(request, &object, to))
        return -EPERM;
    if (!request_is_valid(request))
        return 0;
    if (fchownat(object.fd, "", uid == unchanged ? uid : 0, gid == unchanged ? gid : 0, AT_EMPTY_PATH) < 0)
        return is_in_root(&object) || errno != EPERM ? -errno : 0;
    return (object.noted || !owner_is(to, object.owner)) && !note(&object, to) ? -errno : 0;
}

/* A file of the layers is known by its path; before it gets another one, its owner is noted, and that of what cannot be marked as no file of
 * theirs. The path of a directory with files of the layers in it cannot be changed. */
static void settle(const struct request *request, const struct place *place)
{
    AUTO(object_release) struct object object;
    if (!find(request, place, &object) || object.noted || S_ISDIR(object.is.mode) || !request_is_valid(request) ||
        (S_ISREG(object.is.mode) && owner_is(object.owner, watch.owners->own)))
        return;
    const struct file_time *accessed = &object.is.accessed, *modified = &object.is.modified;
    const struct timespec same[] = { { .tv_sec = accessed->seconds, .tv_nsec = (long)accessed->nanoseconds },
                                     { .tv_sec = modified->seconds, .tv_nsec = (long)modified->nanoseconds } };
    if (object.upper < 0)
        syscall(SYS_utimensat, object.fd, "", same, AT_EMPTY_PATH); /* copies it up */
    note(&object, object.owner);
}

static long answer_rename(const struct request *request)
{
    settle(request, &request->call->place);
    if (request->call->more != NO_ARGUMENT && request_argument(request, request->call->more) & RENAME_EXCHANGE_FLAG)
        settle(request, &(struct place){ 2, 3, NO_ARGUMENT, AT_SYMLINK_NOFOLLOW });
    return REQUEST_PASS;
}

/* ---- new files ---- */

/* What is to be made by the supervisor, because it is not to belong to `own` as all that the kernel makes does. */
struct making {
    int parent;
    char path[PATH_MAX];
    const char *name;
    struct owner owner;
};

static void making_release(struct making *making)
{
    if (making->parent >= 0)
        close(making->parent);
}
AUTO_RELEASE(struct making, making_release)

static int open_parent(const struct request *request, struct making *making)
{
    struct place place = request->call->place;
    size_t len = strlen(making->path);
    while (len > 1 && making->path[len - 1] == '/')
        making->path[--len] = '\0';
    char *slash = strrchr(making->path, '/');
    making->name = slash ? slash + 1 : making->path;
    if (making->name[0] == '\0' || strcmp(making->name, ".") == 0 || strcmp(making->name, "..") == 0)
        return -1;
    place.always = AT_EMPTY_PATH;
    if (!slash || slash == making->path)
        return request_open_path(request, &place, slash ? "/" : "");
    *slash = '\0';
    return request_open_path(request, &place, making->path);
}

/* A link cannot be marked as no longer the one that the layers have there. */
static bool replaces_link(const struct object *parent, const char *name, struct owner owner)
{
    char path[PATH_MAX];
    struct owner was;
    int n = snprintf(path, sizeof path, "%s%s%s", parent->path, parent->path[0] ? "/" : "", name);
    return n > 0 && (size_t)n < sizeof path && is_in_root(parent) && watch.owners->below &&
           watch.owners->below(watch.owners->context, path, S_IFLNK, true, &was) && !owner_is(was, owner);
}

/* False: the kernel may make it. Below a directory with the set-group-id bit files have its group. */
static bool is_to_be_made(const struct request *request, bool link, struct making *out)
{
    AUTO(object_release) struct object parent = { .fd = -1, .upper = -1 };
    const struct owner own = watch.owners->own;
    *out = (struct making){ .parent = -1, .owner = identity_of_files(request, own) };
    out->parent = request_path(request, &request->call->place, out->path) ? open_parent(request, out) : -1;
    if (out->parent < 0 || syscall(SYS_statx, out->parent, "", AT_EMPTY_PATH, STATUS_BASIC, &parent.is) < 0)
        return false;
    bool grouped = parent.is.mode & S_ISGID;
    if (!grouped && !link && owner_is(out->owner, own))
        return false;
    if (!look(fcntl(out->parent, F_DUPFD_CLOEXEC, 0), &parent))
        return false;
    if (grouped)
        out->owner.gid = parent.owner.gid;
    if ((owner_is(out->owner, own) && !(link && replaces_link(&parent, out->name, own))) || !request_is_valid(request))
        return false;
    umask(request_umask(request));
    return true;
}

static long finish(const struct making *making, bool made)
{
    AUTO(object_release) struct object object = { .fd = -1, .upper = -1 };
    int fd = made ? openat(making->parent, making->name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
    return fd < 0 || (look(fd, &object) && !note(&object, making->owner)) ? -errno : 0;
}

static long answer_open(const struct request *request)
{
    AUTO(making_release) struct making making;
    const struct call *call = request->call;
    int flags = call->more >= 0 ? (int)request_argument(request, call->more) : O_CREAT | O_WRONLY | O_TRUNC;
    if (flags & O_PATH || !is_to_be_made(request, false, &making))
        return REQUEST_PASS;
    AUTO(close)
    int fd = openat(making.parent, making.name, flags | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC,
                    (mode_t)request_argument(request, call->rest) & 07777);
    if (fd < 0 && !(flags & O_EXCL))
        return REQUEST_PASS; /* it is there */
    long answer = finish(&making, fd >= 0);
    if (answer == 0)
        answer = syscall(SYS_ioctl, request->listener, SECCOMP_GIVE,
                         &(struct seccomp_descriptor){ .id = request->notice->id,
                                                       .here = (uint32_t)fd,
                                                       .close_on_exec = (uint32_t)(flags & O_CLOEXEC) });
    return answer == -1 ? -errno : answer;
}

/* A directory, or any other file but a link. */
static long answer_mknod(const struct request *request)
{
    AUTO(making_release) struct making making;
    const struct call *call = request->call;
    mode_t mode = (mode_t)request_argument(request, call->rest);
    if (!is_to_be_made(request, false, &making))
        return REQUEST_PASS;
    return finish(&making, (call->more < 0 ? mkdirat(making.parent, making.name, mode)
                                           : mknodat(making.parent, making.name, mode,
                                                     (dev_t)request_argument(request, call->more))) == 0);
}

static long answer_symlink(const struct request *request)
{
    AUTO(making_release) struct making making;
    char target[PATH_MAX];
    const struct place of_target = { NO_ARGUMENT, request->call->rest, NO_ARGUMENT, 0 };
    if (!is_to_be_made(request, true, &making))
        return REQUEST_PASS;
    return finish(&making,
                  request_path(request, &of_target, target) && symlinkat(target, making.parent, making.name) == 0);
}

/* Of who has become somebody else nothing but his group is known. */
static long answer_getgroups(const struct request *request)
{
    const struct sandbox_owners *owners = watch.owners;
    const struct owner who = identity_of_files(request, owners->own);
    bool own = owner_is(who, owners->own);
    size_t count = own ? owners->group_count : 1, room = request_argument(request, 0);
    if (room == 0)
        return (long)count;
    long failed = room < count ? -EINVAL
                               : request_write(request, request_argument(request, 1), own ? owners->groups : &who.gid,
                                               count * sizeof who.gid);
    return failed ? failed : (long)count;
}

static long answer_chroot(const struct request *request)
{
    (void)request;
    request_roots.chroots = true;
    return REQUEST_PASS;
}

enum { NONE = NO_ARGUMENT, ITSELF = AT_SYMLINK_NOFOLLOW };

static const struct call calls[] = {
    { SYS_fstat, answer_stat, { 0, NONE, NONE, AT_EMPTY_PATH }, 1, NONE },
    { SYS_newfstatat, answer_stat, { 0, 1, 3, 0 }, 2, NONE },
    { SYS_statx, answer_stat, { 0, 1, 2, 0 }, 4, 3 },
    { SYS_fchown, answer_chown, { 0, NONE, NONE, AT_EMPTY_PATH }, 1, NONE },
    { SYS_fchownat, answer_chown, { 0, 1, 4, 0 }, 2, NONE },
    { SYS_renameat2, answer_rename, { 0, 1, NONE, ITSELF }, NONE, 4 },
    { SYS_linkat, answer_rename, { 0, 1, 4, ITSELF }, NONE, NONE },
    { SYS_openat, answer_open, { 0, 1, NONE, 0 }, 3, 2 },
    { SYS_mkdirat, answer_mknod, { 0, 1, NONE, 0 }, 2, NONE },
    { SYS_mknodat, answer_mknod, { 0, 1, NONE, 0 }, 2, 3 },
    { SYS_symlinkat, answer_symlink, { 1, 2, NONE, 0 }, 0, NONE },
    { SYS_getgroups, answer_getgroups, { NONE, NONE, NONE, 0 }, NONE, NONE },
    { SYS_chroot, answer_chroot, { NONE, NONE, NONE, 0 }, NONE, NONE },
#ifdef SYS_renameat
    { SYS_renameat, answer_rename, { 0, 1, NONE, ITSELF }, NONE, NONE },
#endif
#ifdef SYS_chown
    { SYS_stat, answer_stat, { NONE, 0, NONE, 0 }, 1, NONE },
    { SYS_lstat, answer_stat, { NONE, 0, NONE, ITSELF }, 1, NONE },
    { SYS_chown, answer_chown, { NONE, 0, NONE, 0 }, 1, NONE },
    { SYS_lchown, answer_chown, { NONE, 0, NONE, ITSELF }, 1, NONE },
    { SYS_open, answer_open, { NONE, 0, NONE, 0 }, 2, 1 },
    { SYS_creat, answer_open, { NONE, 0, NONE, 0 }, 1, NONE },
    { SYS_mkdir, answer_mknod, { NONE, 0, NONE, 0 }, 1, NONE },
    { SYS_mknod, answer_mknod, { NONE, 0, NONE, 0 }, 1, 2 },
    { SYS_symlink, answer_symlink, { NONE, 1, NONE, 0 }, 0, NONE },
    { SYS_rename, answer_rename, { NONE, 0, NONE, ITSELF }, NONE, NONE },
    { SYS_link, answer_rename, { NONE, 0, NONE, ITSELF }, NONE, NONE },
#endif
};
enum { CALLS = sizeof calls / sizeof calls[0] };

size_t watch_calls(struct privilege_watched out[static PRIVILEGE_WATCHED_MAX])
{
    for (size_t i = 0; i < CALLS; i++) {
        bool opens = calls[i].answer == answer_open && calls[i].more >= 0;
        out[i] = (struct privilege_watched){ .number = calls[i].number,
                                             .argument = opens ? (uint8_t)calls[i].more : 0,
                                             .bits = opens ? O_CREAT : 0 };
    }
    return identity_calls(out, CALLS);
}

static const struct call *call_of(int number)
{
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == number)
            return &calls[i];
    return NULL;
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
    snprintf(upper, sizeof upper, "%s%s", spec->whole ? spec->whole : spec->scratch, spec->whole ? "" : "/upper");
    watch.owners = spec->step->owners;
    watch.upper = openat(machine, upper + 1, O_PATH | O_DIRECTORY | O_CLOEXEC); /* without the slash: below it */
    request_roots.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    request_roots.processes = open_processes();
    if (request_roots.processes < 0) { /* a container that shows parts of /proc only: then that one */
        request_roots.processes = openat(machine, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        request_roots.numbers_differ = true;
    }
    if (watch.upper < 0 || request_roots.root < 0 || request_roots.processes < 0)
        return error_set_errno(err, errno, "look into changes and processes");
    if (syscall(SYS_statx, request_roots.root, "", AT_EMPTY_PATH, STATUS_MOUNT, &is) < 0)
        return error_set_errno(err, errno, "look at '/'");
    watch.mount = is.mount; /* since 5.8 */
    return true;
}

bool watch_begin(int listener, struct error *err)
{
    syscall(SYS_ioctl, listener, SECCOMP_SET_FLAGS, 1UL /* SYNC_WAKE_UP, since 6.6: faster */);
    return fchdir(request_roots.processes) == 0 || error_set_errno(err, errno, "enter /proc");
}

void watch_answer(int listener)
{
    struct seccomp_notice notice = { 0 };
    if (syscall(SYS_ioctl, listener, SECCOMP_RECEIVE, &notice) < 0)
        return; /* the process was killed meanwhile */
    const struct request request = { listener, &notice, call_of(notice.number) };
    long answer = request.call ? request.call->answer(&request) : identity_answer(&request, watch.owners->own);
    struct seccomp_reply reply = { .id = notice.id };
    if (answer == REQUEST_PASS)
        reply.flags = SECCOMP_CONTINUE;
    else if (answer < 0)
        reply.error = (int32_t)answer;
    else
        reply.value = answer;
    syscall(SYS_ioctl, listener, SECCOMP_SEND, &reply);
}
