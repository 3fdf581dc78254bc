#include "runtime/local/program.h"

#include "shared/base/bytes.h"
#include "shared/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/wait.h>

enum { MANIFEST_MAX = 64 * 1024, ANSWER_MS = 10000 };

extern char **environ;

/* A program that is none of ours may never answer. */
static bool wait_readable(int fd, int64_t until_ms, struct error *err)
{
    int64_t left = until_ms - clock_monotonic_ms();
    struct pollfd wanted = { .fd = fd, .events = POLLIN };
    int ready = left > 0 ? poll(&wanted, 1, (int)left) : 0;
    if (ready < 0 && errno != EINTR)
        return error_set_errno(err, errno, "cannot wait");
    return ready != 0 || error_set(err, ERROR_INTERNAL, "no answer to --manifest within %d s", ANSWER_MS / 1000);
}

static bool read_all(int fd, struct bytes *out, struct error *err)
{
    int64_t until_ms = clock_monotonic_ms() + ANSWER_MS;
    for (;;) {
        if (!wait_readable(fd, until_ms, err) || !bytes_reserve(out, 4096, err))
            return false;
        ssize_t n = read(fd, out->data + out->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read");
        if (n == 0)
            return true;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

static bool run(const char *program, struct bytes *out, struct error *err)
{
    int ends[2];
    pid_t pid;
    int status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(err, errno, "cannot make a pipe");
    AUTO(close) int reading = ends[0];
    char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)"--manifest", NULL };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int failed = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed)
        return error_set_errno(err, failed, "cannot start '%s'", program);
    bool ok = read_all(reading, out, err);
    if (!ok)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (ok && status != 0)
        return error_set(err, ERROR_INTERNAL, "'%s --manifest' failed", program);
    return ok || error_wrap(err, "'%s'", program);
}

struct manifest *program_manifest(const char *program, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(MANIFEST_MAX);
    if (!run(program, &text, err))
        return NULL;
    struct manifest *manifest = manifest_parse(bytes_text(&text), err);
    if (!manifest)
        error_wrap(err, "manifest of '%s'", program);
    return manifest;
}
