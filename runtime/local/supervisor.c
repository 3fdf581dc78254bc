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
#include <sys/syscall.h>
#include <sys/wait.h>

enum { RESTART_FIRST_MS = 20, RESTART_LAST_MS = 10000, STEADY_MS = 5000 };

struct running {
    pid_t pid; /* -1: not running */
    int pidfd;
    int64_t started_ms, restart_at_ms;
    long pause_ms;
};

struct supervisor {
    struct supervisor_options options;
    struct running *running;
    struct pollfd *fds; /* one a child, and the wake-up */
    int wake; /* eventfd: stop */
    bool stopping, joined;
    pthread_mutex_t lock;
    pthread_t thread;
};

/* In the child, between fork and exec: async-signal-safe calls only. */
static void become(const struct child *child, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* the parent died before the line above */
    setpgid(0, 0); /* Ctrl-C is for the chain, which ends its functions in order */
    int in = open("/dev/null", O_RDONLY);
    int out = open(child->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(127);
    syscall(SYS_close_range, 3u, ~0u, 0u);
    execve(child->argv[0], child->argv, child->environment);
    _exit(127);
}

static bool start(const struct child *child, struct running *running, struct error *err)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return error_set_errno(err, errno, "cannot start '%s'", child->name);
    if (pid == 0)
        become(child, parent);
    running->pid = pid;
    running->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    running->started_ms = clock_monotonic_ms();
    return true;
}

static void reap(struct supervisor *s, size_t i)
{
    struct running *r = &s->running[i];
    int status = 0;
    if (waitpid(r->pid, &status, WNOHANG) != r->pid)
        return;
    int64_t now = clock_monotonic_ms();
    r->pid = -1;
    close(r->pidfd);
    r->pidfd = -1;
    bool was_steady = now - r->started_ms >= STEADY_MS;
    r->pause_ms = was_steady || r->pause_ms == 0 ? RESTART_FIRST_MS : r->pause_ms * 2;
    if (r->pause_ms > RESTART_LAST_MS)
        r->pause_ms = RESTART_LAST_MS;
    r->restart_at_ms = now + r->pause_ms;
    if (!s->stopping && s->options.ended)
        s->options.ended(s->options.context, &s->options.children[i], status, r->pause_ms);
}

/* Start what is due; milliseconds until the next one is, -1 for never. */
static int start_due(struct supervisor *s)
{
    int64_t now = clock_monotonic_ms(), next = -1;
    for (size_t i = 0; !s->stopping && i < s->options.child_count; i++) {
        struct running *r = &s->running[i];
        struct error err = { 0 };
        if (r->pid >= 0)
            continue;
        if (r->restart_at_ms <= now && start(&s->options.children[i], r, &err))
            continue;
        int64_t wait = r->restart_at_ms > now ? r->restart_at_ms - now : RESTART_FIRST_MS;
        next = next < 0 || wait < next ? wait : next;
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
        s->running[i] = (struct running){ .pid = -1, .pidfd = -1 };
    for (size_t i = 0; i < s->options.child_count; i++)
        if (!start(&s->options.children[i], &s->running[i], err))
            return false;
    /* PDEATHSIG follows the thread that forked: restarts come from the watching thread, which lives as long as we do. */
    int failed = pthread_create(&s->thread, NULL, watch, s);
    return failed == 0 || error_set_errno(err, failed, "cannot start a thread");
}

struct supervisor *supervisor_new(const struct supervisor_options *options, struct error *err)
{
    struct supervisor *s = calloc(1, sizeof *s);
    if (s) {
        s->running = calloc(options->child_count + 1, sizeof *s->running);
        s->fds = calloc(options->child_count + 1, sizeof *s->fds);
    }
    if (!s || !s->running || !s->fds) {
        if (s)
            free(s->running);
        free(s);
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    s->options = *options;
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&s->lock, NULL);
    if (!start_all(s, err)) {
        s->joined = true;
        supervisor_free(s);
        return NULL;
    }
    return s;
}

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
    if (s->joined)
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
    s->joined = true;
}

void supervisor_free(struct supervisor *s)
{
    if (!s)
        return;
    supervisor_stop(s, 1000);
    for (size_t i = 0; i < s->options.child_count; i++)
        if (s->running[i].pid > 0) /* only when starting failed half-way */
            kill(s->running[i].pid, SIGKILL);
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
