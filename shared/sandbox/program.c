/* The last steps before a program of the image runs: process namespace, identity, privileges, exec. */
#include "shared/sandbox/account.h"
#include "shared/sandbox/identity.h"
#include "shared/sandbox/inside.h"
#include "shared/sandbox/kernel.h"
#include "shared/sandbox/privilege.h"
#include "shared/sandbox/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { ACCOUNT_FILE_MAX = 1024 * 1024 };

/* passwd or group of the image, in fresh pages (there is no allocator here); absent when there is none. A file that is no
 * regular one, such as a FIFO that would block us for ever, counts as none. */
static struct span account_file(const char *path)
{
    struct stat found;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return (struct span){ NULL, 0 };
    struct span text = { NULL, 0 };
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0 && found.st_size <= ACCOUNT_FILE_MAX) {
        char *pages = mmap(NULL, (size_t)found.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ssize_t n = pages == MAP_FAILED ? -1 : read(fd, pages, (size_t)found.st_size);
        if (n > 0)
            text = (struct span){ pages, (size_t)n };
    }
    close(fd);
    return text;
}

static bool proc_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return done;
}

/* One user is mapped here, as 0. An image's own user becomes visible in one more user namespace that maps it to that one. */
static bool appear_as(const struct account *account, struct error *err)
{
    char uid_map[64], gid_map[64];
    if (account->uid == 0 && account->gid == 0)
        return true;
    snprintf(uid_map, sizeof uid_map, "%u 0 1", account->uid);
    snprintf(gid_map, sizeof gid_map, "%u 0 1", account->gid);
    if (unshare(CLONE_NEWUSER) < 0)
        return error_set_errno(err, errno, "make a user namespace for user %u", account->uid);
    /* While it is undumpable, /proc/self is root's. A running program of the image cannot use the moment: it is in another user
     * namespace, and this memory, a copy of our starter's, stays closed to it. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    proc_write("/proc/self/setgroups", "deny"); /* denied already where the outer namespace denies it */
    bool mapped = proc_write("/proc/self/uid_map", uid_map) && proc_write("/proc/self/gid_map", gid_map);
    int saved = errno;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return mapped || error_set_errno(err, saved, "map user %u", account->uid);
}

/* By raw system calls: libc's wrappers want to tell the other threads, of which this process has none left. */
static bool become(const struct account *account, struct error *err)
{
    if (syscall(SYS_setgroups, account->group_count, account->groups) < 0)
        return error_set_errno(err, errno, "set the groups of user %u", account->uid);
    if (syscall(SYS_setresgid, account->gid, account->gid, account->gid) < 0)
        return error_set_errno(err, errno, "become group %u", account->gid);
    if (syscall(SYS_setresuid, account->uid, account->uid, account->uid) < 0)
        return error_set_errno(err, errno, "become user %u", account->uid);
    return true;
}

/* The last thing before exec: whoever calls what is watched from here on waits for the supervisor. */
static bool filter_calls(struct privilege_filter *filter, bool watched, int report, struct error *err)
{
    struct privilege_watched calls[PRIVILEGE_WATCHED_MAX];
    struct message message = { .kind = MESSAGE_LISTENER };
    int listener = -1;
    filter->watched = calls;
    filter->watched_count = watched ? watch_calls(calls) : 0;
    if (watched)
        identity_begin();
    if (!privilege_filter(filter, &listener, err))
        return false;
    message.value = errno;
    return !watched || message_send(report, &message, listener) ||
           error_set_errno(err, errno, "hand over the system calls");
}

static bool take_identity(const struct sandbox_spec *spec, const struct account *account, bool watched, int report,
                          struct error *err)
{
    bool as_user = spec->mode == SANDBOX_AS_USER, in_chroot = spec->mode == SANDBOX_IN_CHROOT;
    /* A step as root may use set-user-id programs, as it may with BuildKit: the filter then has to come before the change of user. */
    struct privilege_filter filter = { .pretend = as_user,
                                       .in_chroot = in_chroot,
                                       .set_user = spec->step && !as_user && !in_chroot };
    unsigned more = (filter.set_user ? PRIVILEGE_DEVICES : 0) | (in_chroot ? 0 : PRIVILEGE_ROOTS);
    if (!privilege_bound(more, err) || (filter.set_user && !privilege_filter(&filter, NULL, err)))
        return false;
    if (!(as_user ? appear_as(account, err) : become(account, err)))
        return false;
    const struct sandbox_limits limits = spec->groups ? (struct sandbox_limits){ 0 } : spec->limits;
    return privilege_hold(account->uid == 0, err) && privilege_limits(limits.memory, limits.pids, err) &&
           (filter.set_user || filter_calls(&filter, watched, report, err));
}

static bool enter_directory(const char *cwd, struct error *err)
{
    char absolute[4096];
    bool relative = !cwd || cwd[0] != '/';
    int n = snprintf(absolute, sizeof absolute, "%s%s", relative ? "/" : "", cwd ? cwd : "");
    if (n < 0 || (size_t)n >= sizeof absolute)
        return error_set(err, ERROR_INVALID, "the working directory's name is too long");
    if (chdir(absolute) == 0)
        return true;
    if (errno == ENOENT && root_make_directory(absolute, err) && chdir(absolute) == 0)
        return true;
    return error_set_errno(err, errno, "enter working directory '%s'", absolute);
}

static const char *variable(const char *const *env, size_t count, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < count; i++)
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return env[i] + len + 1;
    return NULL;
}

static size_t add_missing(const char **env, size_t count, const char *name, char *assignment)
{
    if (!variable(env, count, name))
        env[count++] = assignment;
    return count;
}

/* argv[0] as a path or along PATH, as a shell would; a directory entry that may not be run is passed over. */
static void exec_along_path(const char *const *argv, const char *const *env, size_t env_count, struct error *err)
{
    char *const *arguments = (char *const *)(uintptr_t)argv, *const *environment = (char *const *)(uintptr_t)env;
    if (strchr(argv[0], '/')) {
        execve(argv[0], arguments, environment);
        error_set_errno(err, errno, "run '%s'", argv[0]);
        return;
    }
    struct span path = span_of(variable(env, env_count, "PATH"));
    int reason = ENOENT;
    for (struct span directory = span_cut(&path, ':'); directory.data; directory = span_cut(&path, ':')) {
        char candidate[4096];
        int n =
            snprintf(candidate, sizeof candidate, "%.*s/%s", SPAN_ARGS(directory.len ? directory : SPAN(".")), argv[0]);
        if (n < 0 || (size_t)n >= sizeof candidate)
            continue;
        execve(candidate, arguments, environment);
        if (errno != ENOENT && errno != ENOTDIR)
            reason = errno;
    }
    error_set_errno(err, reason, "run '%s' (looked up in PATH)", argv[0]);
}

static bool set_streams(int output, struct error *err)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        return error_set_errno(err, errno, "open standard streams");
    return true;
}

void signals_reset(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void program_run(const struct plan *plan, const char *const *argv, int output, bool watched, int report,
                 struct error *err)
{
    const struct sandbox_spec *spec = plan->spec;
    struct account account;
    char host[80], home[ACCOUNT_HOME_MAX + 8], path[] = "PATH=" DEFAULT_PATH;
    if (!account_resolve(spec->user, account_file("/etc/passwd"), account_file("/etc/group"), &account, err))
        return;
    snprintf(host, sizeof host, "HOSTNAME=%s", spec->hostname);
    snprintf(home, sizeof home, "HOME=%s", account.home);
    size_t count = add_missing(plan->env, plan->env_count, "PATH", path);
    if (!spec->step)
        count = add_missing(plan->env, count, "HOSTNAME", host);
    count = add_missing(plan->env, count, "HOME", home);
    plan->env[count] = NULL;

    /* "/dev/stdout" opens the pipe again, which only its owner may. */
    if (fchown(output, account.uid, account.gid) < 0)
        errno = 0; /* not ours to give away as an ordinary user, and not needed there */
    setsid();
    if (!set_streams(output, err) || !enter_directory(spec->cwd, err) ||
        !take_identity(spec, &account, watched, report, err))
        return;
    signals_reset();
    exec_along_path(argv, plan->env, count, err);
}

void program_first(const struct plan *plan, int machine, int output, bool watched, int report, struct error *err)
{
    bool named = plan->spec->step != NULL; /* it is given the files of its builder */
    if (plan->spec->mode == SANDBOX_IN_CHROOT) {
        program_run(plan, plan->argv, output, watched, report, err);
        return;
    }
    if (root_mount_proc(err) && root_forget_machine(machine, err) && root_give(plan, err) &&
        (named || root_write_names(plan->spec->hostname, err)))
        program_run(plan, plan->argv, output, watched, report, err);
}
