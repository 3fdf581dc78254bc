/* Where the place allows no namespaces at all: the root directory is entered with chroot, and what would be mounted there is laid into it and taken
 * out again. Everything is named by descriptors of directories that were opened while nothing of the image ran. */
#include "shared/sandbox/inside.h"
#include "shared/sandbox/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* Something that stands in the root directory for the time of the command. */
struct laid {
    int parent;
    char name[NAME_MAX + 1];
    const char *source; /* where it goes back to; NULL: it is thrown away */
    bool had;           /* something else, which waits in the scratch directory */
};

struct alone {
    int processes; /* /proc, as the machine shows it */
    int scratch, machine;
    struct laid *laid;
    size_t count;
};

static void aside_name(size_t number, const char *kind, char out[static 32])
{
    snprintf(out, 32, "%s-%zu", kind, number);
}

static bool times_of(int directory, struct timespec times[2])
{
    struct stat is;
    if (fstat(directory, &is) < 0)
        return false;
    times[0] = is.st_atim;
    times[1] = is.st_mtim;
    return true;
}

/* The directory that holds the target, made when it is missing, and the target's name in it, links followed. */
static bool open_parent(const char *target, struct laid *out, struct error *err)
{
    char real[PATH_MAX], parent[PATH_MAX];
    struct stat found;
    if (stat(target, &found) == 0 && realpath(target, real))
        target = real;
    const char *slash = strrchr(target, '/');
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - target), target);
    if (slash[1] == '\0' || strlen(slash + 1) > NAME_MAX)
        return error_set(err, ERROR_INVALID, "nothing can be laid over '%.200s' without mounts", target);
    snprintf(out->name, sizeof out->name, "%s", slash + 1);
    if (parent[0] && !root_make_directory(parent, err))
        return false;
    out->parent = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return out->parent >= 0 || error_set_errno(err, errno, "open '%.200s'", parent);
}

static bool write_content(const struct laid *laid, const struct sandbox_mount *row)
{
    int fd = openat(laid->parent, laid->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = write(fd, row->content, row->content_len) == (ssize_t)row->content_len &&
                fchown(fd, row->uid, row->gid) == 0 && fchmod(fd, row->mode) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return good;
}

static bool put(const struct alone *alone, const struct laid *laid, const struct sandbox_mount *row)
{
    if (row->content)
        return write_content(laid, row);
    if (!row->source)
        return mkdirat(laid->parent, laid->name, 01777) == 0;
    /* The source is named from outside: sources are below the machine's root directory. */
    return renameat(alone->machine, row->source + 1, laid->parent, laid->name) == 0;
}

static bool lay(struct alone *alone, const struct sandbox_mount *row, struct error *err)
{
    struct laid *laid = &alone->laid[alone->count];
    struct timespec times[2];
    char aside[32];
    *laid = (struct laid){ .source = row->source };
    if (!open_parent(row->target, laid, err))
        return false;
    aside_name(alone->count, "aside", aside);
    bool timed = times_of(laid->parent, times);
    laid->had = renameat(laid->parent, laid->name, alone->scratch, aside) == 0;
    if (!laid->had && errno != ENOENT)
        return error_set_errno(err, errno, "put '%.200s' aside", row->target);
    alone->count++;
    if (!put(alone, laid, row))
        return error_set_errno(err, errno, "lay '%.200s' into the root directory", row->target);
    struct stat was;
    if (laid->had && !row->content && !row->source && fstatat(alone->scratch, aside, &was, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(was.st_mode))
        fchmodat(laid->parent, laid->name, was.st_mode & 07777, 0); /* as a mount would have it */
    if (timed && laid->had)
        futimens(laid->parent, times); /* else it is as new as where something is mounted that was not there */
    return true;
}

static void take_out(const struct alone *alone, size_t number)
{
    const struct laid *laid = &alone->laid[number];
    char name[32];
    struct timespec times[2];
    bool timed = times_of(laid->parent, times);
    aside_name(number, "spent", name);
    if (!laid->source || renameat(laid->parent, laid->name, alone->machine, laid->source + 1) < 0)
        renameat(laid->parent, laid->name, alone->scratch, name);
    aside_name(number, "aside", name);
    if (laid->had)
        renameat(alone->scratch, name, laid->parent, laid->name);
    if (timed)
        futimens(laid->parent, times);
    close(laid->parent);
}

static bool make_devices(struct error *err)
{
    static const struct {
        const char *path;
        unsigned minor, major;
    } devices[] = {
        { "/dev/null", 3, 1 },   { "/dev/zero", 5, 1 },    { "/dev/full", 7, 1 },
        { "/dev/random", 8, 1 }, { "/dev/urandom", 9, 1 }, { "/dev/tty", 0, 5 },
    };
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) < 0)
            return error_set_errno(err, errno, "make '%s'", devices[i].path);
    return mkdir("/dev/shm", 01777) == 0 || error_set_errno(err, errno, "make '/dev/shm'");
}

static bool lay_all(struct alone *alone, const struct sandbox_step *step, struct error *err)
{
    static const char *const always[] = { "/dev", "/proc", "/sys" };
    const struct sandbox_mount dev = { .target = "/dev" };
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (!root_make_directory(always[i], err))
            return false;
    if (!lay(alone, &dev, err) || chmod("/dev", 0755) < 0 || !make_devices(err))
        return false;
    for (size_t i = 0; i < step->mount_count; i++)
        if (!lay(alone, &step->mounts[i], err))
            return false;
    return true;
}

struct alone *alone_enter(const struct plan *plan, int machine, struct error *err)
{
    static struct laid places[STEP_MOUNTS_MAX + 1]; /* there is no allocator here */
    static struct alone alone;
    const struct sandbox_step *step = plan->spec->step;
    if (!step || !plan->spec->whole || step->mount_count > STEP_MOUNTS_MAX) {
        error_set(err, ERROR_UNSUPPORTED, "without namespaces only a step of a build can be run");
        return NULL;
    }
    alone = (struct alone){
        .processes = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .scratch = open(plan->spec->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .machine = machine,
        .laid = places,
    };
    /* What is left over of the program comes to us, to be ended. */
    if (alone.processes < 0 || alone.scratch < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ||
        chdir(plan->spec->whole) < 0 || chroot(".") < 0) {
        error_set_errno(err, errno, "enter the root directory");
        return NULL;
    }
    umask(0);
    bool laid = lay_all(&alone, step, err);
    umask(022);
    if (!laid)
        alone_leave(&alone);
    return laid ? &alone : NULL;
}

/* The parent of a process, from "PID (NAME) STATE PARENT ..."; the name may hold anything. 0: it is gone. */
static pid_t parent_of(int processes, const char *pid)
{
    char path[300], text[512];
    snprintf(path, sizeof path, "%s/stat", pid);
    int fd = openat(processes, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

/* linux/dirent.h */
struct entry64 {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static void kill_children(int processes)
{
    union {
        struct entry64 first;
        char bytes[16 * 1024];
    } page;
    lseek(processes, 0, SEEK_SET);
    for (long n; (n = syscall(SYS_getdents64, processes, &page, sizeof page)) > 0;) {
        for (long at = 0; at < n;) {
            const struct entry64 *entry = (const struct entry64 *)(const void *)(page.bytes + at);
            long pid = strtol(entry->name, NULL, 10);
            if (pid > 0 && parent_of(processes, entry->name) == getpid())
                kill((pid_t)pid, SIGKILL);
            at += entry->length;
        }
    }
}

void alone_leave(const struct alone *alone)
{
    /* Whoever loses his parent becomes our child; the next round finds him. */
    while (waitpid(-1, NULL, WNOHANG) >= 0 || errno == EINTR) {
        kill_children(alone->processes);
        waitpid(-1, NULL, 0);
    }
    for (size_t i = alone->count; i-- > 0;)
        take_out(alone, i);
}
