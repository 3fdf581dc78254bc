/* A function as a process of its own, for the tests of this module. */
#ifndef PUSHWRIGHT_TEST_RUNTIME_RUNNING_H
#define PUSHWRIGHT_TEST_RUNTIME_RUNNING_H

#include "runtime/function.h"

#include "tests/unit/runtime/peer.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct running {
    pid_t pid;
    int out; /* its standard output */
    unsigned port;
};

/* Runs body() in a child with the settings ("NAME=value", NULL at the end) and standard output in a pipe. */
static inline pid_t run_child(int (*body)(void *context), void *context, const char *const *settings, int *out)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
        for (; settings && *settings; settings++)
            putenv((char *)(uintptr_t)*settings);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        int code = body(context);
        fflush(NULL);
        _exit(code);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

/* One line, without its end; false when there is no more. */
static inline bool read_line(int fd, char *line, size_t room)
{
    size_t len = 0;
    while (len + 1 < room && read(fd, line + len, 1) == 1)
        if (line[len++] == '\n') {
            line[len - 1] = '\0';
            return true;
        }
    line[len] = '\0';
    return len > 0;
}

static inline void read_all(int fd, char *text, size_t room)
{
    size_t len = 0;
    for (ssize_t n; len + 1 < room && (n = read(fd, text + len, room - len - 1)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
}

static inline struct running start_running(int (*body)(void *context), void *context, const char *const *settings)
{
    struct running running = { 0 };
    char line[4096];
    running.pid = run_child(body, context, settings, &running.out);
    while (read_line(running.out, line, sizeof line)) {
        const char *port = strstr(line, "\"message\":\"listening\"") ? strstr(line, "\"port\":") : NULL;
        if (port) {
            running.port = (unsigned)strtoul(port + 7, NULL, 10);
            return running;
        }
    }
    fail_msg("the function did not start to listen");
    return running;
}

static inline int exit_code_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* SIGTERM; what it logged since the start goes to `log`, when that is not NULL. */
static inline void stop_running(struct running *running, char *log, size_t room)
{
    kill(running->pid, SIGTERM);
    if (log)
        read_all(running->out, log, room);
    close(running->out);
    assert_int_equal(exit_code_of(running->pid), 0);
}

#endif
