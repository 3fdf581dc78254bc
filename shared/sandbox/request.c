#include "shared/sandbox/request.h"

#include "shared/base/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { PAGE = 4096, UMASK_USUAL = 022, LINKS_MAX = 8 };

struct request_roots request_roots = { .root = -1, .processes = -1 };

/* libc's ioctl() has a type of its own for the request. */
static long ask(int listener, unsigned long request, const void *what)
{
    return syscall(SYS_ioctl, listener, request, what);
}

bool request_is_valid(const struct request *request)
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

long request_write(const struct request *request, uint64_t address, const void *data, size_t len)
{
    const struct iovec here = { (void *)(uintptr_t)data, len }, there = { (void *)(uintptr_t)address, len };
    bool written = request_is_valid(request) &&
                   process_vm_writev((pid_t)request->notice->pid, &here, 1, &there, 1, 0) == (ssize_t)len;
    return written ? 0 : -EFAULT;
}

/* ---- the file that it means ---- */

/* What is told of a descriptor for a process has its number as that /proc counts. Threads have descriptors of their own since 6.9 only. */
static unsigned number_there(unsigned process)
{
    char path[64], text[512];
    unsigned number = 0;
    AUTO(close) int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
    if (pidfd < 0)
        pidfd = (int)syscall(SYS_pidfd_open, process, PIDFD_THREAD_FLAG);
    snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
    AUTO(close) int fd = pidfd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "\nPid:");
    return line && sscanf(line, "\nPid: %9u", &number) == 1 ? number : 0;
}

/* EPERM: it cannot be found. */
static int open_of_process(const struct request *request, const char *what, int flags)
{
    char path[64];
    unsigned process = request->notice->pid, number = request_roots.numbers_differ ? number_there(process) : process;
    snprintf(path, sizeof path, "%u/%s", number, what);
    if (number > 0)
        return open(path, flags | O_CLOEXEC);
    errno = EPERM;
    return -1;
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

static int open_path(int directory, const char *path, bool follow)
{
    const struct open_way way = { .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
                                  .resolve = OPEN_NO_MAGIC_LINKS };
    return (int)syscall(SYS_openat2, directory, path, &way, sizeof way);
}

static int open_as_process(const struct request *request, int directory, const char *path, bool follow)
{
    if (!request_roots.chroots)
        return open_path(directory, path, follow);
    AUTO(close) int root = open_of_process(request, "root", O_PATH);
    if (root < 0 || is_file(root, request_roots.root))
        return open_path(directory, path, follow);
    enter(root);
    int fd = open_path(directory, path, follow), saved = errno;
    enter(request_roots.root);
    if (fchdir(request_roots.processes) < 0)
        _exit(1);
    errno = saved;
    return fd;
}

/* The working directory, or what a descriptor is open for. */
static int open_base(const struct request *request, int number)
{
    char name[32];
    snprintf(name, sizeof name, "fd/%d", number);
    int fd = open_of_process(request, number == AT_FDCWD ? "cwd" : name, O_PATH);
    if (fd < 0 && errno == ENOENT)
        errno = EBADF;
    return fd;
}

static unsigned flags_of(const struct request *request, const struct place *place)
{
    return place->always | (place->flags >= 0 ? (unsigned)request_argument(request, place->flags) : 0);
}

bool request_path(const struct request *request, const struct place *place, char out[static PATH_MAX])
{
    uint64_t address = place->path >= 0 ? request_argument(request, place->path) : 0;
    out[0] = '\0';
    return (!address && flags_of(request, place) & AT_EMPTY_PATH) || read_path(request, address, out);
}

/* What a path, or a link there, names as a descriptor of the process, such as "/dev/stdout". We do not see ourselves in its /proc, so that nothing is
 * there for us. */
static int open_own_descriptor(const struct request *request, int base, const char *path)
{
    char target[PATH_MAX];
    for (int links = 0; links < LINKS_MAX; links++) {
        int number;
        char end;
        if (sscanf(path, "/proc/self/fd/%9d%c", &number, &end) == 1 ||
            sscanf(path, "/dev/fd/%9d%c", &number, &end) == 1)
            return open_base(request, number);
        AUTO(close) int fd = open_as_process(request, base, path, false);
        ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof target - 1);
        if (n <= 0 || target[0] != '/')
            break;
        target[n] = '\0';
        path = target;
    }
    errno = ENOENT;
    return -1;
}

int request_open_path(const struct request *request, const struct place *place, const char *path)
{
    unsigned flags = flags_of(request, place);
    bool follow = !(flags & AT_SYMLINK_NOFOLLOW) || flags & AT_SYMLINK_FOLLOW;
    if (path[0] == '\0' && !(flags & AT_EMPTY_PATH)) {
        errno = ENOENT;
        return -1;
    }
    int number = place->directory >= 0 ? (int)request_argument(request, place->directory) : AT_FDCWD;
    AUTO(close) int base = path[0] == '/' ? -1 : open_base(request, number);
    if (path[0] != '/' && (base < 0 || path[0] == '\0'))
        return base < 0 ? -1 : fcntl(base, F_DUPFD_CLOEXEC, 0);
    int fd = open_as_process(request, base, path, follow);
    return fd < 0 && errno == ENOENT && follow ? open_own_descriptor(request, base, path) : fd;
}

int request_open(const struct request *request, const struct place *place)
{
    char path[PATH_MAX];
    return request_path(request, place, path) ? request_open_path(request, place, path) : -1;
}

unsigned request_umask(const struct request *request)
{
    char text[1024];
    unsigned mask = UMASK_USUAL;
    AUTO(close) int fd = open_of_process(request, "status", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "\nUmask:"); /* since 4.7, behind the name, which has its line ends escaped */
    return line && sscanf(line, "\nUmask: %o", &mask) == 1 ? mask & 0777 : UMASK_USUAL;
}
