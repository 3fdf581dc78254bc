#include "runtime/local/supervisor.h"

#include "shared/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    RESTART_FIRST_MS = 20,
    RESTART_LAST_MS = 10000,
    STEADY_MS = 5000, /* who ran so long begins with a short pause again */
    LOOK_MS = 100,    /* how often to look where the kernel has no pidfd */
    LOG_MAX = 16 * 1024 * 1024,
};

struct running {
    pid_t pid; /* -1: not running */
    int pidfd;
    int64_t started_ms, restart_at_ms;
    long pause_ms;
};

struct supervisor {
    struct supervisor_options options;
    struct running *running;
    struct pollfd *fds;     /* one a child, and the wake-up */
    int wake;               /* eventfd: stop */
    bool stopping, watched; /* watched: the thread runs */
    pthread_mutex_t lock;
    pthread_t thread;
};

/* --- starting ----------------------------------------------------------------------------------------------------- */

/* In the child, between fork and exec: async-signal-safe calls only. What fails goes to the parent as errno. */
__attribute__((noreturn)) static void give_up(int report)
{
    int failed = errno;
    (void)!write(report, &failed, sizeof failed);
    _exit(127);
}

__attribute__((noreturn)) static void become(const struct child *child, pid_t parent, int report)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL); /* what is ignored stays so across exec */
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* the parent died before the line above */
    setpgid(0, 0);  /* Ctrl-C is for the chain, which ends its functions in order */
    int in = open("/dev/null", O_RDONLY);
    int out = open(child->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        give_up(report);
    syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC: the report lives until exec */);
    execve(child->argv[0], child->argv, child->environment);
    give_up(report);
}

/* The report's end without a word means that the program runs. */
static bool read_report(int fd, const struct child *child, struct error *err)
{
    int failed = 0;
    ssize_t n;
    while ((n = read(fd, &failed, sizeof failed)) < 0 && errno == EINTR)
        ;
    return n != (ssize_t)sizeof failed || error_set_errno(err, failed, "cannot start '%s'", child->argv[0]);
}

static void rotate_log(const struct child *child)
{
    struct stat st;
    char old[4096];
    if (stat(child->log, &st) == 0 && st.st_size > LOG_MAX &&
        snprintf(old, sizeof old, "%s.old", child->log) < (int)sizeof old)
        (void)rename(child->log, old);
}

static void reap_now(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static bool start(const struct child *child, struct running *running, struct error *err)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(err, errno, "cannot start '%s'", child->name);
    AUTO(close) int reading = ends[0];
    rotate_log(child);
    pid_t pid = fork();
    int failed = errno;
    if (pid == 0)
        become(child, parent, ends[1]);
    close(ends[1]);
    if (pid < 0)
        return error_set_errno(err, failed, "cannot start '%s'", child->name);
    if (!read_report(reading, child, err)) {
        reap_now(pid);
        return false;
    }
    running->pid = pid;
    running->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    running->started_ms = clock_monotonic_ms();
    return true;
}

/* --- watching ----------------------------------------------------------------------------------------------------- */

static void plan_restart(struct supervisor *s, size_t i, int status, const struct error *why)
{
    struct running *r = &s->running[i];
    int64_t now = clock_monotonic_ms();
    bool was_steady = !why && now - r->started_ms >= STEADY_MS;
    r->pause_ms = was_steady || r->pause_ms == 0 ? RESTART_FIRST_MS : r->pause_ms * 2;
    if (r->pause_ms > RESTART_LAST_MS)
        r->pause_ms = RESTART_LAST_MS;
    r->restart_at_ms = now + r->pause_ms;
    if (!s->stopping && s->options.ended)
        s->options.ended(s->options.context, &s->options.children[i], status, why, r->pause_ms);
}

static void reap(struct supervisor *s, size_t i)
{
    struct running *r = &s->running[i];
    int status = 0;
    pid_t ended = waitpid(r->pid, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return;
    r->pid = -1;
    if (r->pidfd >= 0)
        close(r->pidfd);
    r->pidfd = -1;
    plan_restart(s, i, status, NULL);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || b < a ? b : a;
}

/* Start what is due; milliseconds until there is something to do again, -1 for never. */
static int start_due(struct supervisor *s)
{
    int64_t now = clock_monotonic_ms(), next = -1;
    for (size_t i = 0; i < s->options.child_count; i++) {
        struct running *r = &s->running[i];
        struct error err = { 0 };
        if (r->pid < 0 && !s->stopping && r->restart_at_ms <= now && !start(&s->options.children[i], r, &err))
            plan_restart(s, i, 0, &err);
        if (r->pid < 0 && !s->stopping)
            next = sooner(next, r->restart_at_ms > now ? r->restart_at_ms - now : 1);
        if (r->pid >= 0 && r->pidfd < 0)
            next = sooner(next, LOOK_MS);
    }
    return (int)next;
}

static bool anybody_runs(const struct supervisor *s)
{
    for (size_t i = 0; i < s->options.child_count; i++)
        if (s->running[i].pid >= 0)
            return true;
    return false;
}

static void *watch(void *context)
{
    struct supervisor *s = context;
    size_t n = s->options.child_count;
    struct pollfd *fds = s->fds;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        for (size_t i = 0; i < n; i++)
            if (s->running[i].pid >= 0)
                reap(s, i);
        int wait = start_due(s);
        bool over = s->stopping && !anybody_runs(s);
        for (size_t i = 0; i < n; i++)
            fds[i] = (struct pollfd){ .fd = s->running[i].pidfd, .events = POLLIN };
        /* Once stopping, the wake-up has done its work: wait for the children alone. */
        fds[n] = (struct pollfd){ .fd = s->stopping ? -1 : s->wake, .events = POLLIN };
        pthread_mutex_unlock(&s->lock);
        if (over)
            return NULL;
        poll(fds, n + 1, wait);
    }
}

static bool start_all(struct supervisor *s, struct error *err)
{
    for (size_t i = 0; i < s->options.child_count; i++)
        if (!start(&s->options.children[i], &s->running[i], err))
            return false;
    /* Restarts come from the watching thread, which lives as long as we do. */
    int failed = pthread_create(&s->thread, NULL, watch, s);
    s->watched = failed == 0;
    return s->watched || error_set_errno(err, failed, "cannot start a thread");
}

static bool prepare(struct supervisor *s, const struct supervisor_options *options, struct error *err)
{
    s->options = *options;
    pthread_mutex_init(&s->lock, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake < 0)
        return error_set_errno(err, errno, "cannot make an event descriptor");
    s->running = calloc(options->child_count + 1, sizeof *s->running);
    s->fds = calloc(options->child_count + 1, sizeof *s->fds);
    if (!s->running || !s->fds)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < options->child_count; i++)
        s->running[i] = (struct running){ .pid = -1, .pidfd = -1 };
    return true;
}

struct supervisor *supervisor_new(const struct supervisor_options *options, struct error *err)
{
    AUTO(supervisor_free) struct supervisor *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return prepare(s, options, err) && start_all(s, err) ? TAKE(s) : NULL;
}

/* --- ending ------------------------------------------------------------------------------------------------------- */

static void signal_all(struct supervisor *s, int signal)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->options.child_count; i++)
        if (s->running[i].pid > 0)
            kill(s->running[i].pid, signal);
    pthread_mutex_unlock(&s->lock);
}

static bool all_gone(struct supervisor *s)
{
    pthread_mutex_lock(&s->lock);
    bool gone = !anybody_runs(s);
    pthread_mutex_unlock(&s->lock);
    return gone;
}

void supervisor_stop(struct supervisor *s, long grace_ms)
{
    if (!s->watched)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    uint64_t one = 1;
    (void)!write(s->wake, &one, sizeof one);
    signal_all(s, SIGTERM);
    int64_t until = clock_monotonic_ms() + grace_ms;
    while (!all_gone(s) && clock_monotonic_ms() < until)
        poll(NULL, 0, 2);
    signal_all(s, SIGKILL);
    pthread_join(s->thread, NULL);
    s->watched = false;
}

/* Those that nobody watches: starting failed half-way. */
static void end_unwatched(struct supervisor *s)
{
    for (size_t i = 0; s->running && i < s->options.child_count; i++) {
        if (s->running[i].pid < 0)
            continue;
        kill(s->running[i].pid, SIGKILL);
        reap_now(s->running[i].pid);
        if (s->running[i].pidfd >= 0)
            close(s->running[i].pidfd);
    }
}

void supervisor_free(struct supervisor *s)
{
    if (!s)
        return;
    supervisor_stop(s, 1000);
    end_unwatched(s);
    if (s->wake >= 0)
        close(s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->fds);
    free(s->running);
    free(s);
}

pid_t supervisor_pid(struct supervisor *s, const char *name)
{
    pid_t pid = -1;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->options.child_count; i++)
        if (strcmp(s->options.children[i].name, name) == 0)
            pid = s->running[i].pid;
    pthread_mutex_unlock(&s->lock);
    return pid;
}
