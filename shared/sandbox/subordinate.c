/* Subordinate ids, subuid(5): what an administrator has set aside for an ordinary user. Only the set-user-id programs of the package uidmap may
 * map them. */
#include "shared/base/file.h"
#include "shared/base/span.h"
#include "shared/sandbox/kernel.h"
#include "shared/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SUBORDINATE_FILE_MAX = 1024 * 1024, NUMBER_MAX = 16 };

static const char uid_mapper[] = "/usr/bin/newuidmap", gid_mapper[] = "/usr/bin/newgidmap";

/* What images use: every id of 16 bits. */
static const unsigned long wanted_ids = 65535;

struct range {
    char first[NUMBER_MAX], count[NUMBER_MAX];
};

/* The user's largest range; lines are "NAME-OR-UID:FIRST:COUNT". False: none. */
static bool find_range(const char *file, const char *name, const char *uid, struct range *out)
{
    struct error ignored;
    AUTO(bytes_release) struct bytes text = BYTES(SUBORDINATE_FILE_MAX);
    unsigned long most = 0;
    if (!file_read(&text, file, &ignored))
        return false;
    struct span rest = bytes_span(&text);
    for (struct span line = span_cut(&rest, '\n'); line.data; line = span_cut(&rest, '\n')) {
        char owner[64], end;
        unsigned long first, count;
        AUTO(free) char *copy = strndup(line.data, line.len);
        if (!copy || sscanf(copy, "%63[^:]:%10lu:%10lu%c", owner, &first, &count, &end) != 3 || count <= most ||
            (strcmp(owner, uid) != 0 && (!name || strcmp(owner, name) != 0)))
            continue;
        most = count;
        snprintf(out->first, sizeof out->first, "%lu", first);
        snprintf(out->count, sizeof out->count, "%lu", count < wanted_ids ? count : wanted_ids);
    }
    return most > 0;
}

/* Ours becomes 0 inside, the range what follows. */
static bool map(const char *program, pid_t pid, unsigned own, const struct range *range, struct error *err)
{
    char target[NUMBER_MAX], outside[NUMBER_MAX], zero[] = "0", one[] = "1";
    char *const argv[] = {
        (char *)(uintptr_t)program,      target, zero, outside, one, one, (char *)(uintptr_t)range->first,
        (char *)(uintptr_t)range->count, NULL
    };
    char *const nothing[] = { NULL };
    pid_t mapper;
    int status;
    snprintf(target, sizeof target, "%d", (int)pid);
    snprintf(outside, sizeof outside, "%u", own);
    int failed = posix_spawn(&mapper, program, NULL, NULL, argv, nothing);
    if (failed)
        return error_set_errno(err, failed, "run '%s'", program);
    while (waitpid(mapper, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(err, errno, "wait for '%s'", program);
    return status == 0 ||
           error_set(err, ERROR_DENIED,
                     "'%s' refused to map the ids %s to %s+%s; it needs to be set-user-id (package uidmap)", program,
                     range->first, range->first, range->count);
}

/* A process that only holds the namespace open; it ends with us. */
static pid_t hold_namespace(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | SIGCHLD), 0UL, 0UL, 0UL, 0UL);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
            pause();
    }
    return pid;
}

static bool join(pid_t holder, struct error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)holder);
    AUTO(close) int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWUSER) < 0)
        return error_set_errno(err, errno, "enter the user namespace of the subordinate ids");
    return true;
}

static bool write_proc(pid_t pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    AUTO(close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* The same ids in a namespace of our own, in which we may read what is ours in whatever mode a command has left it. Where the machine does not let
 * us, nothing has happened. */
static void take_own_namespace(void)
{
    char uids[2 * NUMBER_MAX], gids[2 * NUMBER_MAX];
    struct error ignored;
    pid_t holder = hold_namespace();
    if (holder < 0)
        return;
    snprintf(uids, sizeof uids, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    snprintf(gids, sizeof gids, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    if (write_proc(holder, "setgroups", "deny") && write_proc(holder, "uid_map", uids) &&
        write_proc(holder, "gid_map", gids))
        join(holder, &ignored);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}

/* False: nobody has set ids aside for us, or they cannot be mapped. */
static bool find_ranges(struct range *uids, struct range *gids)
{
    const struct passwd *account = getpwuid(geteuid());
    const char *name = account ? account->pw_name : NULL;
    char uid[NUMBER_MAX];
    snprintf(uid, sizeof uid, "%u", (unsigned)geteuid());
    return access(uid_mapper, X_OK) == 0 && access(gid_mapper, X_OK) == 0 &&
           find_range("/etc/subuid", name, uid, uids) && find_range("/etc/subgid", name, uid, gids);
}

bool sandbox_take_subordinate_ids(struct error *err)
{
    struct range uids, gids;
    if (geteuid() == 0)
        return true;
    if (!find_ranges(&uids, &gids)) {
        take_own_namespace();
        return true;
    }
    pid_t holder = hold_namespace();
    if (holder < 0)
        return errno == EPERM || errno == ENOSPC || error_set_errno(err, errno, "make a user namespace");
    bool joined = map(uid_mapper, holder, geteuid(), &uids, err) && map(gid_mapper, holder, getegid(), &gids, err) &&
                  join(holder, err);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    return joined;
}
