#include "runtime/local/supervisor.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

struct fixture {
    char *directory;
    char log[256];
    _Atomic unsigned ended;
    int status;
    long pause_ms, longest_pause_ms;
    char why[1000];
};

static int make(void **state)
{
    struct error err = { 0 };
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_make_temporary("supervisor", &err);
    assert_non_null(f->directory);
    snprintf(f->log, sizeof f->log, "%s/log", f->directory);
    *state = f;
    return 0;
}

static int unmake(void **state)
{
    struct error err = { 0 };
    struct fixture *f = *state;
    directory_remove(f->directory, &err);
    free(f->directory);
    free(f);
    return 0;
}

static void note_end(void *context, const struct child *child, int status, const struct error *why, long restart_in_ms)
{
    struct fixture *f = context;
    (void)child;
    f->status = status;
    f->pause_ms = restart_in_ms;
    if (restart_in_ms > f->longest_pause_ms)
        f->longest_pause_ms = restart_in_ms;
    if (why)
        snprintf(f->why, sizeof f->why, "%s", why->message);
    f->ended++;
}

#define WAIT_FOR(condition)                                                                                            \
    do {                                                                                                               \
        int64_t until_ = clock_monotonic_ms() + 5000;                                                                  \
        while (!(condition) && clock_monotonic_ms() < until_)                                                          \
            poll(NULL, 0, 1);                                                                                          \
        assert_true(condition);                                                                                        \
    } while (0)

/* Arguments are not written to, but exec() has them without const. */
#define TEXT(text) ((char *)(uintptr_t)(text))
/* A child that runs a line of shell. */
#define SHELL(script)                                                                                                  \
    (char *const[])                                                                                                    \
    {                                                                                                                  \
        TEXT("/bin/sh"), TEXT("-c"), TEXT(script), NULL                                                                \
    }
static char *const no_environment[] = { NULL };

static struct supervisor *begin(struct fixture *f, const struct child *children, size_t count)
{
    struct error err = { 0 };
    const struct supervisor_options options = {
        .children = children, .child_count = count, .ended = note_end, .context = f
    };
    struct supervisor *supervisor = supervisor_new(&options, &err);
    if (!supervisor)
        snprintf(f->why, sizeof f->why, "%s", err.message);
    return supervisor;
}

static bool log_holds(const struct fixture *f, const char *text)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes log = BYTES(64 * 1024);
    return file_read(&log, f->log, &err) && strstr(bytes_text(&log), text);
}

static void a_child_writes_to_its_log_and_reads_nothing(void **state)
{
    struct fixture *f = *state;
    const struct child child = { "one", SHELL("cat; echo said; echo complained >&2; echo \"[$NAME]\"; exec sleep 100"),
                                 (char *const[]){ TEXT("NAME=value"), NULL }, f->log };
    AUTO(supervisor_free) struct supervisor *s = begin(f, &child, 1);
    assert_non_null(s);
    WAIT_FOR(log_holds(f, "said\ncomplained\n[value]\n"));
    assert_true(supervisor_pid(s, "one") > 0);
    assert_int_equal(supervisor_pid(s, "two"), -1);
}

static void a_child_that_dies_is_started_again(void **state)
{
    struct fixture *f = *state;
    const struct child child = { "one", SHELL("echo started; exec sleep 100"), no_environment, f->log };
    AUTO(supervisor_free) struct supervisor *s = begin(f, &child, 1);
    pid_t first = supervisor_pid(s, "one");
    WAIT_FOR(log_holds(f, "started\n"));
    assert_int_equal(kill(first, SIGKILL), 0);
    WAIT_FOR(f->ended == 1);
    assert_true(WIFSIGNALED(f->status) && WTERMSIG(f->status) == SIGKILL);
    WAIT_FOR(supervisor_pid(s, "one") > 0 && supervisor_pid(s, "one") != first);
    WAIT_FOR(log_holds(f, "started\nstarted\n"));
}

static void one_that_dies_at_once_is_started_less_and_less_often(void **state)
{
    struct fixture *f = *state;
    const struct child child = { "one", SHELL("exit 7"), no_environment, f->log };
    AUTO(supervisor_free) struct supervisor *s = begin(f, &child, 1);
    WAIT_FOR(f->ended >= 5);
    assert_true(WIFEXITED(f->status) && WEXITSTATUS(f->status) == 7);
    assert_true(f->longest_pause_ms >= 320); /* 20, 40, 80, 160, 320 */
}

static void a_program_that_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    const struct child children[] = {
        { "good", SHELL("exec sleep 100"), no_environment, f->log },
        { "bad", (char *const[]){ TEXT("/no/such/program"), NULL }, no_environment, f->log },
    };
    assert_null(begin(f, children, 2));
    assert_string_equal(f->why, "cannot start '/no/such/program': No such file or directory");
    /* And the good one is gone, reaped too. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void a_log_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;
    const struct child child = { "one", SHELL("exec sleep 100"), no_environment, "/no/such/directory/log" };
    assert_null(begin(f, &child, 1));
    assert_non_null(strstr(f->why, "No such file or directory"));
}

static void a_program_that_goes_away_is_told_and_taken_when_it_is_back(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    char program[300], hidden[310];
    snprintf(program, sizeof program, "%s/program", f->directory);
    snprintf(hidden, sizeof hidden, "%s.away", program);
    assert_true(file_write_atomic(program, SPAN("#!/bin/sh\nexec sleep 100\n"), 0700, &err));
    const struct child child = { "one", (char *const[]){ program, NULL }, no_environment, f->log };
    AUTO(supervisor_free) struct supervisor *s = begin(f, &child, 1);
    assert_non_null(s);
    poll(NULL, 0, 50); /* until the shell has read its script */
    assert_int_equal(rename(program, hidden), 0);
    assert_int_equal(kill(supervisor_pid(s, "one"), SIGKILL), 0);
    WAIT_FOR(f->ended >= 2);
    assert_non_null(strstr(f->why, "cannot start"));
    assert_int_equal(rename(hidden, program), 0);
    WAIT_FOR(supervisor_pid(s, "one") > 0);
}

static void a_child_that_heeds_no_signal_is_killed_after_the_grace(void **state)
{
    struct fixture *f = *state;
    const struct child children[] = {
        { "deaf", SHELL("trap '' TERM; echo ready; while :; do sleep 0.05; done"), no_environment, f->log },
        { "polite", SHELL("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"), no_environment,
          f->log },
    };
    AUTO(supervisor_free) struct supervisor *s = begin(f, children, 2);
    WAIT_FOR(log_holds(f, "ready\nready\n"));
    int64_t began = clock_monotonic_ms();
    supervisor_stop(s, 400);
    int64_t took = clock_monotonic_ms() - began;
    assert_true(took >= 400 && took < 3000);
    assert_true(log_holds(f, "bye\n"));
    assert_int_equal(f->ended, 0); /* who is told to end does not end by itself */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    supervisor_stop(s, 400); /* again is harmless */
}

/* A process with a child dies without a word: the child goes with it. */
static void children_die_with_the_process(void **state)
{
    struct fixture *f = *state;
    char pid_file[300];
    snprintf(pid_file, sizeof pid_file, "%s/pid", f->directory);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t parent = fork();
    if (parent == 0) {
        const struct child child = { "one", SHELL("exec sleep 100"), no_environment, f->log };
        struct supervisor *s = begin(f, &child, 1);
        struct error err = { 0 };
        char text[32];
        snprintf(text, sizeof text, "%d", s ? (int)supervisor_pid(s, "one") : 0);
        (void)file_write_atomic(pid_file, span_of(text), 0600, &err);
        pause();
    }
    WAIT_FOR(access(pid_file, F_OK) == 0);
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(32);
    assert_true(file_read(&text, pid_file, &err));
    pid_t child = (pid_t)strtol(bytes_text(&text), NULL, 10);
    assert_true(child > 0);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child); /* it came to us when its parent died */
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_long_log_is_put_aside(void **state)
{
    struct fixture *f = *state;
    char old[300];
    struct stat st;
    struct error err = { 0 };
    snprintf(old, sizeof old, "%s.old", f->log);
    assert_true(file_write_atomic(f->log, SPAN("x"), 0600, &err));
    assert_int_equal(truncate(f->log, 17 * 1024 * 1024), 0);
    const struct child child = { "one", SHELL("echo new; exec sleep 100"), no_environment, f->log };
    AUTO(supervisor_free) struct supervisor *s = begin(f, &child, 1);
    WAIT_FOR(log_holds(f, "new\n"));
    assert_int_equal(stat(old, &st), 0);
    assert_int_equal(st.st_size, 17 * 1024 * 1024);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_child_writes_to_its_log_and_reads_nothing),
        TEST(a_child_that_dies_is_started_again),
        TEST(one_that_dies_at_once_is_started_less_and_less_often),
        TEST(a_program_that_is_not_there_is_named),
        TEST(a_log_that_cannot_be_written_is_an_error),
        TEST(a_program_that_goes_away_is_told_and_taken_when_it_is_back),
        TEST(a_child_that_heeds_no_signal_is_killed_after_the_grace),
        TEST(children_die_with_the_process),
        TEST(a_long_log_is_put_aside),
    };
    return cmocka_run_group_tests_name("runtime/local/supervisor", tests, NULL, NULL);
}
