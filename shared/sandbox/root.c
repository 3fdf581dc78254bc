/* The root directory: layers stacked by overlayfs, entered with pivot_root, furnished from inside. */
#include "shared/sandbox/inside.h"
#include "shared/sandbox/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define TMPFS_FLAGS (MS_NOSUID | MS_NODEV)

static const struct {
    const char *name, *path;
} devices[] = {
    { "null", "/dev/null" },     { "zero", "/dev/zero" },       { "full", "/dev/full" },
    { "random", "/dev/random" }, { "urandom", "/dev/urandom" }, { "tty", "/dev/tty" },
};
enum { DEVICES = sizeof devices / sizeof devices[0], LOWER_MAX = 3800 };

/* Directories for overlayfs are named by descriptor: no escaping of ':' and ',', no limit of their length, and none of them can
 * be exchanged between looking and mounting. */
static bool open_directory(const char *path, int *fd, struct error *err)
{
    *fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 || error_set_errno(err, errno, "open directory '%s'", path);
}

static bool scratch_directory(int scratch, const char *name, int *fd, struct error *err)
{
    if (mkdirat(scratch, name, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, errno, "make directory '%s' for what is written", name);
    *fd = openat(scratch, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 || error_set_errno(err, errno, "open directory '%s'", name);
}

/* "lowerdir=TOP:...:BOTTOM", topmost first as overlayfs wants it. The descriptors that it names are needed until it is mounted. */
static bool lower_option(const char *const *lowers, size_t count, int fds[static SANDBOX_LOWERS_MAX],
                         char out[static LOWER_MAX], struct error *err)
{
    size_t len = (size_t)snprintf(out, LOWER_MAX, "lowerdir=");
    if (count > SANDBOX_LOWERS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "%zu layers are too many for one mount", count);
    for (size_t i = count; i-- > 0;) {
        if (!open_directory(lowers[i], &fds[i], err))
            return false;
        int n = snprintf(out + len, LOWER_MAX - len, "%s/proc/self/fd/%d", i + 1 == count ? "" : ":", fds[i]);
        if (n < 0 || (size_t)n >= LOWER_MAX - len)
            return error_set(err, ERROR_TOO_LARGE, "%zu layers are too many for one mount", count);
        len += (size_t)n;
    }
    return true;
}

/* A step's changes are read from the upper directory, which must say all by itself: no redirects, no contents left below. Written
 * they need not be ("volatile", 5.10): a crash of the machine ends the build anyway. */
static const char *const step_options[] = { ",redirect_dir=nofollow,metacopy=off,index=off,volatile",
                                            ",redirect_dir=nofollow,metacopy=off,index=off" };

static bool overlay_mount(const struct sandbox_spec *spec, const char *lower, int scratch, const char *target,
                          struct error *err)
{
    char options[4096]; /* a page is what mount(2) takes */
    int upper = -1, work = -1;
    bool in_user_namespace = spec->mode != SANDBOX_AS_ROOT;
    unsigned long flags = MS_NODEV | (spec->step ? 0 : MS_NOSUID);
    size_t ways = spec->step ? 2 : 1;
    if (!scratch_directory(scratch, "upper", &upper, err) || !scratch_directory(scratch, "work", &work, err))
        return false;
    for (size_t i = 0; i < ways; i++) {
        int n = snprintf(options, sizeof options, "%s,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d%s%s", lower,
                         upper, work, in_user_namespace ? ",userxattr" : "", spec->step ? step_options[i] : "");
        if (n < 0 || (size_t)n >= sizeof options)
            return error_set(err, ERROR_TOO_LARGE, "the layers are too many for one mount");
        if (mount("overlay", target, "overlay", flags, options) == 0)
            return true;
    }
    return error_set_errno(err, errno, "mount the layers");
}

static bool bind_whole(const struct sandbox_spec *spec, const char *target, struct error *err)
{
    struct mount_attributes attributes = { .set = MOUNT_ATTRIBUTE_NO_DEVICES };
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, spec->whole, OPEN_TREE_CLONE_FLAG | O_CLOEXEC);
    if (tree < 0 || syscall(SYS_mount_setattr, tree, "", OPEN_TREE_EMPTY_PATH, &attributes, sizeof attributes) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_FROM_EMPTY_PATH | MOVE_MOUNT_FOLLOW_TARGET) < 0)
        return error_set_errno(err, errno, "mount the directory '%s'", spec->whole);
    close(tree);
    return true;
}

/* On the scratch directory's file system; where that can't be written through overlayfs (a container's own overlay, some
 * network file systems), in memory. */
static bool stack_layers(const struct sandbox_spec *spec, char *target, size_t target_size, struct error *err)
{
    char lower[LOWER_MAX];
    int scratch, root, fds[SANDBOX_LOWERS_MAX];
    if (!open_directory(spec->scratch, &scratch, err) || !scratch_directory(scratch, "root", &root, err))
        return false;
    snprintf(target, target_size, "/proc/self/fd/%d", root);
    if (spec->whole)
        return bind_whole(spec, target, err);
    if (!lower_option(spec->lowers, spec->lower_count, fds, lower, err))
        return false;
    if (overlay_mount(spec, lower, scratch, target, err))
        return true;
    if (spec->step)
        return false; /* what is written there would be lost */
    char memory[64];
    int in_memory;
    if (!scratch_directory(scratch, "memory", &in_memory, err))
        return false;
    snprintf(memory, sizeof memory, "/proc/self/fd/%d", in_memory);
    struct error ignored;
    if (mount("tmpfs", memory, "tmpfs", TMPFS_FLAGS, "mode=755") < 0)
        return false; /* with the first error, which is the one that helps */
    int top = openat(scratch, "memory", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return top >= 0 && overlay_mount(spec, lower, top, target, &ignored);
}

bool root_make_directory(const char *path, struct error *err)
{
    char partial[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof partial)
        return error_set(err, ERROR_INVALID, "directory name of %zu bytes", len);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(partial, path, i);
        partial[i] = '\0';
        if (mkdir(partial, 0755) < 0 && errno != EEXIST)
            return error_set_errno(err, errno, "make directory '%s'", partial);
    }
    return true;
}

/* One mount inside; optional ones may fail, because kernels and containers around us differ. */
struct inside_mount {
    const char *type, *target, *options;
    unsigned long flags;
    bool optional;
};

static bool mount_inside(const struct inside_mount *row, struct error *err)
{
    if (!root_make_directory(row->target, err))
        return row->optional;
    if (mount(row->type, row->target, row->type, row->flags, row->options) < 0 && !row->optional)
        return error_set_errno(err, errno, "mount %s", row->target);
    return true;
}

static bool mounts_make(const struct inside_mount *rows, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!mount_inside(&rows[i], err))
            return false;
    return true;
}

static bool devices_place(const int *trees, struct error *err)
{
    static const struct {
        const char *name, *target;
    } links[] = {
        { "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" }, { "/dev/stdout", "/proc/self/fd/1" },
        { "/dev/stderr", "/proc/self/fd/2" }, { "/dev/ptmx", "pts/ptmx" },
    };
    for (size_t i = 0; i < DEVICES; i++) {
        if (trees[i] < 0)
            continue; /* a machine without it */
        int fd = open(devices[i].path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        if (fd < 0)
            return error_set_errno(err, errno, "make %s", devices[i].path);
        close(fd);
        if (syscall(SYS_move_mount, trees[i], "", AT_FDCWD, devices[i].path, MOVE_MOUNT_FROM_EMPTY_PATH) < 0)
            return error_set_errno(err, errno, "place %s", devices[i].path);
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i].target, links[i].name) < 0 && errno != EEXIST)
            return error_set_errno(err, errno, "link %s", links[i].name);
    return true;
}

/* Something that hides a file or directory of the kernel that says or does too much. */
static void mask(const char *path)
{
    struct stat found;
    if (stat(path, &found) < 0)
        return;
    if (S_ISDIR(found.st_mode))
        mount("tmpfs", path, "tmpfs", TMPFS_FLAGS | MS_RDONLY | MS_NOEXEC, "size=0");
    else
        mount("/dev/null", path, NULL, MS_BIND, NULL);
}

static bool furnish(const int *trees, struct error *err)
{
    static const struct inside_mount rows[] = {
        { "tmpfs", "/dev", "mode=755,size=65536k", TMPFS_FLAGS, false },
        { "devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620", MS_NOSUID | MS_NOEXEC, true },
        { "tmpfs", "/dev/shm", "mode=1777,size=65536k", TMPFS_FLAGS | MS_NOEXEC, true },
        { "mqueue", "/dev/mqueue", NULL, TMPFS_FLAGS | MS_NOEXEC, true },
        { "sysfs", "/sys", NULL, TMPFS_FLAGS | MS_NOEXEC | MS_RDONLY, true },
    };
    return mounts_make(rows, sizeof rows / sizeof rows[0], err) && devices_place(trees, err);
}

/* ---- what a user namespace may not mount anew ---- */

/* In a container whose own /proc is covered in parts the kernel lets nobody mount another one: then that one is seen, too little
 * for us to do harm with. The same for /sys, which belongs to whoever owns the network. */
struct kernel_trees {
    int proc, sys;
};

static int whole_tree(const char *path)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, path,
                        OPEN_TREE_CLONE_FLAG | (unsigned)O_CLOEXEC | (unsigned)OPEN_TREE_RECURSIVE);
}

static bool place_whole(int tree, const char *target)
{
    return tree >= 0 && syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_FROM_EMPTY_PATH) == 0;
}

static bool place_kernel_trees(const struct kernel_trees *trees, struct error *err)
{
    struct mount_attributes read_only = { .set = MOUNT_ATTRIBUTE_READ_ONLY };
    if (access("/sys/kernel", F_OK) < 0) {
        syscall(SYS_mount_setattr, trees->sys, "", OPEN_TREE_EMPTY_PATH | OPEN_TREE_RECURSIVE, &read_only,
                sizeof read_only);
        place_whole(trees->sys, "/sys");
    }
    if (!root_make_directory("/proc", err))
        return false;
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
        return umount2("/proc", MNT_DETACH) == 0 || error_set_errno(err, errno, "unmount /proc");
    return place_whole(trees->proc, "/proc") || error_set_errno(err, errno, "mount /proc");
}

/* ---- what a step is given ---- */

/* The topmost directory of an overlayfs looks as its upper one does. */
static bool look_alike(int source, int writes, struct error *err)
{
    struct stat is;
    if (fstat(source, &is) == 0 && mkdirat(writes, "upper", 0700) == 0 &&
        fchownat(writes, "upper", is.st_uid, is.st_gid, 0) == 0 &&
        fchmodat(writes, "upper", is.st_mode & 07777, 0) == 0 &&
        utimensat(writes, "upper", (struct timespec[2]){ is.st_atim, is.st_mtim }, 0) == 0)
        return true;
    return error_set_errno(err, errno, "make a directory for what is written");
}

/* The source, or the layers, with one of its own upon it, seen at `writes`/root. */
static bool overlay_source(const struct sandbox_spec *spec, const struct sandbox_mount *row, struct error *err)
{
    const char *const *lowers = row->lowers ? row->lowers : &row->source;
    size_t count = row->lowers ? row->lower_count : 1;
    char lower[LOWER_MAX], target[64];
    int writes, seen, fds[SANDBOX_LOWERS_MAX];
    if (!open_directory(row->writes, &writes, err) || !lower_option(lowers, count, fds, lower, err) ||
        !look_alike(fds[count - 1], writes, err) || !scratch_directory(writes, "root", &seen, err))
        return false;
    snprintf(target, sizeof target, "/proc/self/fd/%d", seen);
    bool mounted = overlay_mount(spec, lower, writes, target, err);
    for (size_t i = 0; i < count; i++)
        close(fds[i]); /* there may be many mounts */
    return mounted;
}

/* What is mounted, by descriptor. */
static int open_source(const struct sandbox_spec *spec, const struct sandbox_mount *row, struct error *err)
{
    const struct open_way inside = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                     .resolve = OPEN_BENEATH | OPEN_NO_LINKS };
    char seen[4096];
    if (row->writes && !overlay_source(spec, row, err))
        return -1;
    snprintf(seen, sizeof seen, "%s/root", row->writes ? row->writes : "");
    int source = open(row->writes ? seen : row->source, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int part =
        source >= 0 && row->lowers ? (int)syscall(SYS_openat2, source, row->source, &inside, sizeof inside) : source;
    if (part < 0)
        error_set_errno(err, errno, "open what is mounted at '%s'", row->target);
    return part;
}

static bool take_tree(const struct sandbox_spec *spec, const struct sandbox_mount *row, int *tree, struct error *err)
{
    struct mount_attributes attributes = { .set = MOUNT_ATTRIBUTE_NO_DEVICES |
                                                  (row->read_only ? MOUNT_ATTRIBUTE_READ_ONLY : 0) };
    int fd = open_source(spec, row, err);
    if (fd < 0)
        return false;
    *tree = (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE_FLAG | OPEN_TREE_EMPTY_PATH | (unsigned)O_CLOEXEC);
    if (*tree < 0)
        return error_set_errno(err, errno, "open what is mounted at '%s'", row->target);
    if (syscall(SYS_mount_setattr, *tree, "", OPEN_TREE_EMPTY_PATH, &attributes, sizeof attributes) < 0)
        return error_set_errno(err, errno, "restrict what is mounted at '%s'", row->target);
    close(fd);
    return true;
}

/* Detached copies of what is laid in, taken while the outside is still seen. -1: made inside. */
static bool take_trees(const struct sandbox_spec *spec, int *trees, struct error *err)
{
    const struct sandbox_step *step = spec->step;
    if (step->mount_count > STEP_MOUNTS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d mounts", STEP_MOUNTS_MAX);
    for (size_t i = 0; i < step->mount_count; i++) {
        trees[i] = -1;
        if (step->mounts[i].source && !take_tree(spec, &step->mounts[i], &trees[i], err))
            return false;
    }
    return true;
}

static bool make_target(const char *path, bool directory, struct error *err)
{
    char parent[4096];
    struct stat found;
    if (stat(path, &found) == 0)
        return true;
    if (directory)
        return root_make_directory(path, err);
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    *slash = '\0';
    if (parent[0] && !root_make_directory(parent, err))
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set_errno(err, errno, "make '%s'", path);
    close(fd);
    return true;
}

/* In the memory behind /dev, under a name that goes once it has been laid over its target. */
#define CONTENT_NAME "/dev/.content"

static int content_tree(const struct sandbox_mount *row)
{
    struct mount_attributes attributes = { .set = MOUNT_ATTRIBUTE_NO_DEVICES | MOUNT_ATTRIBUTE_READ_ONLY };
    int fd = open(CONTENT_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    bool good = write(fd, row->content, row->content_len) == (ssize_t)row->content_len &&
                (fchown(fd, row->uid, row->gid) == 0 || errno == EINVAL || errno == EPERM) &&
                fchmod(fd, row->mode) == 0;
    int tree = good ? (int)syscall(SYS_open_tree, AT_FDCWD, CONTENT_NAME, OPEN_TREE_CLONE_FLAG | O_CLOEXEC) : -1;
    if (tree >= 0)
        syscall(SYS_mount_setattr, tree, "", OPEN_TREE_EMPTY_PATH, &attributes, sizeof attributes);
    int saved = errno;
    close(fd);
    errno = saved;
    return tree;
}

/* A directory that is there keeps its mode, as with runc. */
static bool mount_memory(const struct sandbox_mount *row, struct error *err)
{
    char options[64];
    struct stat is;
    unsigned mode = stat(row->target, &is) == 0 ? is.st_mode & 07777 : 01777;
    if (!make_target(row->target, true, err))
        return false;
    int n = snprintf(options, sizeof options, "mode=%o", mode);
    if (row->size > 0)
        snprintf(options + n, sizeof options - (size_t)n, ",size=%lld", (long long)row->size);
    unsigned long flags = TMPFS_FLAGS | (row->read_only ? MS_RDONLY : 0);
    return mount("tmpfs", row->target, "tmpfs", flags, options) == 0 ||
           error_set_errno(err, errno, "mount memory at '%s'", row->target);
}

static bool place_tree(const struct sandbox_mount *row, int tree, struct error *err)
{
    struct stat is;
    if (fstat(tree, &is) < 0 || !make_target(row->target, S_ISDIR(is.st_mode), err))
        return err->kind != ERROR_NONE ? false : error_set_errno(err, errno, "look at '%s'", row->target);
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, row->target,
                MOVE_MOUNT_FROM_EMPTY_PATH | MOVE_MOUNT_FOLLOW_TARGET) < 0)
        return error_set_errno(err, errno, "mount '%s'", row->target);
    close(tree);
    return true;
}

/* Where it could not be given to whom it is for. */
static void note_owner(const struct sandbox_step *step, const struct sandbox_mount *row, int tree)
{
    const struct owner owner = { row->uid, row->gid };
    if (step->owners && !owner_is(owner, step->owners->own))
        owners_note(step->owners->notes, tree, "", owner);
}

static bool place_trees(const struct sandbox_step *step, const int *trees, struct error *err)
{
    for (size_t i = 0; i < step->mount_count; i++) {
        const struct sandbox_mount *row = &step->mounts[i];
        int tree = row->content ? content_tree(row) : trees[i];
        if (row->content && tree < 0)
            return error_set_errno(err, errno, "make the content of '%s'", row->target);
        if (tree >= 0)
            note_owner(step, row, tree);
        if (!(tree >= 0 ? place_tree(row, tree, err) : mount_memory(row, err)))
            return false;
        if (row->content)
            unlink(CONTENT_NAME);
    }
    return true;
}

static int given[STEP_MOUNTS_MAX]; /* of this process and those that split off it */

/* Away from what is closed now. */
static bool set_aside(const struct sandbox_step *step, struct error *err)
{
    for (size_t i = 0; i < step->mount_count; i++) {
        int fd = given[i];
        if (fd < 0)
            continue;
        given[i] = fcntl(fd, F_DUPFD_CLOEXEC, ROOT_GIVEN);
        close(fd);
        if (given[i] < 0)
            return error_set_errno(err, errno, "keep what is mounted at '%s'", step->mounts[i].target);
    }
    return true;
}

bool root_enter(const struct plan *plan, struct error *err)
{
    char target[64];
    int trees[DEVICES];
    bool in_user_namespace = plan->spec->mode != SANDBOX_AS_ROOT;
    struct kernel_trees kernel = { -1, -1 };
    const struct sandbox_step *step = plan->spec->step;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set_errno(err, errno, "make mounts private");
    for (size_t i = 0; i < DEVICES; i++)
        trees[i] = (int)syscall(SYS_open_tree, AT_FDCWD, devices[i].path, OPEN_TREE_CLONE_FLAG | O_CLOEXEC);
    if (in_user_namespace)
        kernel = (struct kernel_trees){ whole_tree("/proc"), whole_tree("/sys") };
    if ((step && !take_trees(plan->spec, given, err)) || !stack_layers(plan->spec, target, sizeof target, err))
        return false;
    /* The directory is looked up again, below its name in the scratch directory: only now it is the mounted one. */
    int scratch = open(plan->spec->scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int root = openat(scratch, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fchdir(root) < 0)
        return error_set_errno(err, errno, "enter the root directory");
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return error_set_errno(err, errno, "make it the root directory");
    if (chdir("/") < 0)
        return error_set_errno(err, errno, "enter '/'");
    umask(0);
    bool done = furnish(trees, err) && (!in_user_namespace || place_kernel_trees(&kernel, err));
    mask("/sys/firmware");
    mask("/sys/devices/virtual/powercap");
    umask(022);
    return done && (!step || set_aside(step, err));
}

bool root_give(const struct plan *plan, struct error *err)
{
    return !plan->spec->step || place_trees(plan->spec->step, given, err);
}

/* In a user namespace the kernel mounts /proc and /sys only where others of their kind are seen: hence so late. */
bool root_forget_machine(int machine, struct error *err)
{
    if (fchdir(machine) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return error_set_errno(err, errno, "leave the machine's root directory");
    close(machine);
    return true;
}

static void sysctl_write(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* older kernels; the program then finds out by itself */
    ssize_t ignored = write(fd, value, strlen(value));
    (void)ignored;
    close(fd);
}

bool root_mount_proc(struct error *err)
{
    static const char *const masked[] = {
        "/proc/acpi",          "/proc/asound", "/proc/interrupts", "/proc/kcore",       "/proc/keys",
        "/proc/latency_stats", "/proc/scsi",   "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    };
    static const char *const frozen[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
    if (!root_make_directory("/proc", err))
        return false;
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 && access("/proc/self", F_OK) < 0)
        return error_set_errno(err, errno, "mount /proc");
    sysctl_write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"); /* as Docker does: port 80 for every user */
    for (size_t i = 0; i < sizeof masked / sizeof masked[0]; i++)
        mask(masked[i]);
    for (size_t i = 0; i < sizeof frozen / sizeof frozen[0]; i++)
        if (mount(frozen[i], frozen[i], NULL, MS_BIND | MS_REC, NULL) == 0)
            mount(NULL, frozen[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    return true;
}

/* Whatever stands there goes, a link as well; the layer below keeps it. */
static bool write_new(const char *path, const char *text, struct error *err)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set_errno(err, errno, "write '%s'", path);
    ssize_t n = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    return n == (ssize_t)strlen(text) || error_set_errno(err, saved, "write '%s'", path);
}

bool root_write_names(const char *hostname, struct error *err)
{
    char hosts[512], name[128];
    snprintf(hosts, sizeof hosts, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n", hostname);
    snprintf(name, sizeof name, "%s\n", hostname);
    return root_make_directory("/etc", err) && write_new("/etc/hosts", hosts, err) &&
           write_new("/etc/hostname", name, err) &&
           write_new("/etc/resolv.conf", "# no network but the loopback interface\n", err);
}
