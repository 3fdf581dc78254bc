#include "shared/sandbox/group.h"

#include "shared/base/file.h"
#include "shared/base/random.h"
#include "shared/base/span.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "pushwright-"
#define OURSELVES "pushwright.builder"

enum { SMALL_FILE_MAX = 64 * 1024, GROUP_FILE_SYSTEM = 0x63677270, END_WAITS = 200 };

/* ---- files of a group ---- */

static bool write_into(const char *group, const char *file, const char *text)
{
    char path[SANDBOX_GROUPS_MAX + 128];
    snprintf(path, sizeof path, "%s/%s", group, file);
    AUTO(close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool read_from(const char *group, const char *file, struct bytes *out)
{
    char path[SANDBOX_GROUPS_MAX + 128];
    struct error ignored;
    snprintf(path, sizeof path, "%s/%s", group, file);
    return file_read(out, path, &ignored);
}

static bool write_limits(const char *group, const struct sandbox_limits *limits)
{
    char memory[32], pids[32];
    snprintf(memory, sizeof memory, "%lld", (long long)limits->memory);
    snprintf(pids, sizeof pids, "%u", limits->pids);
    if ((limits->memory && !write_into(group, "memory.max", memory)) ||
        (limits->pids && !write_into(group, "pids.max", pids)))
        return false;
    if (limits->memory)
        write_into(group, "memory.swap.max", "0"); /* not there without swap */
    return true;
}

/* ---- one ---- */

bool group_make(const char *groups, const struct sandbox_limits *limits, struct group *out, struct error *err)
{
    snprintf(out->path, sizeof out->path, "%s/" PREFIX "%016llx", groups, (unsigned long long)random_u64());
    bool made = mkdir(out->path, 0755) == 0;
    out->fd = made && write_limits(out->path, limits) ? open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (out->fd >= 0)
        return true;
    error_set_errno(err, errno, "make the control group '%s'", out->path);
    if (made)
        rmdir(out->path);
    out->path[0] = '\0';
    return false;
}

void group_end(struct group *group)
{
    if (!group->path[0])
        return;
    write_into(group->path, "cgroup.kill", "1");
    for (int waits = 0; rmdir(group->path) < 0 && errno == EBUSY && waits < END_WAITS; waits++)
        nanosleep(&(struct timespec){ .tv_nsec = 5 * 1000 * 1000 }, NULL);
    close(group->fd);
    group->path[0] = '\0';
}

/* A line "NAME NUMBER" whose number is not 0. */
static bool counted(const char *group, const char *file, const char *name)
{
    AUTO(bytes_release) struct bytes text = BYTES(SMALL_FILE_MAX);
    const char *line = read_from(group, file, &text) ? strstr(bytes_text(&text), name) : NULL;
    return line && strtoull(line + strlen(name), NULL, 10) > 0;
}

const char *group_reached(const struct group *group)
{
    if (!group->path[0])
        return NULL;
    return counted(group->path, "memory.events", "oom_kill ") ? "the memory limit was reached, and a process killed"
           : counted(group->path, "pids.events", "max ")      ? "the limit of processes was reached, and one refused"
                                                              : NULL;
}

/* ---- where they are made ---- */

/* The directory of the group that we are in. */
static bool own_group(char out[static SANDBOX_GROUPS_MAX])
{
    static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    AUTO(bytes_release) struct bytes text = BYTES(SMALL_FILE_MAX);
    struct statfs about;
    const char *line = read_from("/proc/self", "cgroup", &text) ? strstr(bytes_text(&text), "0::/") : NULL;
    if (!line || (line > text.data && line[-1] != '\n'))
        return false;
    line += strlen("0::");
    int len = (int)strcspn(line, "\n");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (statfs(places[i], &about) < 0 || about.f_type != GROUP_FILE_SYSTEM)
            continue;
        int n = snprintf(out, SANDBOX_GROUPS_MAX, "%s%.*s", places[i], len == 1 ? 0 : len, line);
        return n > 0 && n < SANDBOX_GROUPS_MAX && !strstr(out, "/../");
    }
    return false;
}

static bool has_controllers(const char *group, const struct sandbox_limits *limits)
{
    AUTO(bytes_release) struct bytes text = BYTES(SMALL_FILE_MAX);
    if (!read_from(group, "cgroup.subtree_control", &text))
        return false;
    return (!limits->memory || strstr(bytes_text(&text), "memory")) &&
           (!limits->pids || strstr(bytes_text(&text), "pids"));
}

static bool give_controllers(const char *group, const struct sandbox_limits *limits)
{
    if (has_controllers(group, limits))
        return true;
    return (!limits->memory || write_into(group, "cgroup.subtree_control", "+memory")) &&
           (!limits->pids || write_into(group, "cgroup.subtree_control", "+pids"));
}

/* What builders that were killed have left; one with processes in it stays by itself. */
static void sweep(const char *groups)
{
    AUTO(closedir) DIR *dir = opendir(groups);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0)
            unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
}

static bool groups_work(const char *groups, const struct sandbox_limits *limits, struct error *err)
{
    struct group trial = { .fd = -1 };
    if (!give_controllers(groups, limits))
        return error_set_errno(err, errno, "have the controllers in '%s'", groups);
    sweep(groups);
    if (!group_make(groups, limits, &trial, err))
        return false;
    group_end(&trial);
    return true;
}

/* A group with processes of its own hands no controllers on (the rule of "no internal processes"): when there are none but us, we move below it. */
static bool move_below(const char *own, struct error *err)
{
    char below[SANDBOX_GROUPS_MAX + 32];
    snprintf(below, sizeof below, "%s/" OURSELVES, own);
    if ((mkdir(below, 0755) < 0 && errno != EEXIST) || !write_into(below, "cgroup.procs", "0"))
        return error_set_errno(err, errno, "move below the control group '%s'", own);
    return true;
}

bool sandbox_find_groups(const struct sandbox_limits *limits, char groups[static SANDBOX_GROUPS_MAX], struct error *err)
{
    char own[SANDBOX_GROUPS_MAX];
    if (!own_group(own))
        return error_set(err, ERROR_UNSUPPORTED, "no control groups of version 2 are seen");
    snprintf(groups, SANDBOX_GROUPS_MAX, "%s", own);
    if (groups_work(groups, limits, err))
        return true;
    /* Beside our own, in the one that a user's systemd has, and what a builder before us has moved below. */
    char *slash = strrchr(groups, '/');
    *slash = '\0';
    struct error ignored;
    if (has_controllers(groups, limits) && groups_work(groups, limits, &ignored))
        return true;
    snprintf(groups, SANDBOX_GROUPS_MAX, "%s", own);
    if (!move_below(own, &ignored))
        return false;
    if (groups_work(groups, limits, err))
        return true;
    write_into(own, "cgroup.procs", "0");
    return false;
}
