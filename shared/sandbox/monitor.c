/* The supervisor of one sandbox: init of the outer process namespace. Lays out the inside, starts the program, carries its
 * connections, and tells the outside what happens. It gives its own privileges up once the program runs. */
#include "shared/base/clock.h"
#include "shared/sandbox/inside.h"
#include "shared/sandbox/kernel.h"
#include "shared/sandbox/privilege.h"
#include "shared/sandbox/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { CHANNEL = 3, OUTPUT = 4, MACHINE = 5, FIRST_OTHER = 6 };
enum { PROBES_FAST = 200, PROBE_FAST_MS = 1, PROBE_SLOW_MS = 20, CHECK_DEFAULT_MS = 30000 };

struct monitor {
    const struct plan *plan;
    int epoll, signals, calls; /* calls: -1, or where those that are watched come in */
    struct error unwatched;    /* why they do not, though they should */
    pid_t program, check;
    const struct sandbox_carrier *carrier; /* NULL: there are no connections, and no relays */
    struct relays *relays;
    unsigned probes;
    bool probing, draining, drained, ended;
    int64_t probe_ms, check_deadline_ms, drain_deadline_ms, kill_ms; /* 0: not set */
};

/* Where there are no namespaces; NULL: the kernel ends what is inside with us. */
static const struct alone *alone;

static _Noreturn void leave(int code)
{
    if (alone)
        alone_leave(alone);
    _exit(code);
}

/* Blocks while the outside is busy; without an outside there is nothing to live for. */
static void tell(uint32_t kind, int value, const char *text, int fd)
{
    struct message message = { .kind = kind, .value = value };
    snprintf(message.text, sizeof message.text, "%s", text);
    while (!message_send(CHANNEL, &message, fd)) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ETOOMANYREFS)
            leave(1);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

static _Noreturn void fail(const struct error *err)
{
    tell(SANDBOX_FAILED, 0, err->message, -1);
    leave(1);
}

static void close_all(unsigned first, unsigned last)
{
    if (syscall(SYS_close_range, first, last, 0) == 0)
        return;
    for (unsigned fd = first; fd <= last && fd < 65536; fd++)
        close((int)fd);
}

static void close_from(unsigned first)
{
    close_all(first, ~0u);
}

/* Only the channel and the program's output stay; their numbers may be each other's, so both move out of the way first. */
static bool keep_descriptors(int channel, int output, struct error *err)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int channel_copy = fcntl(channel, F_DUPFD_CLOEXEC, 16), output_copy = fcntl(output, F_DUPFD_CLOEXEC, 16);
    if (nothing < 0 || channel_copy < 0 || output_copy < 0)
        return error_set_errno(err, errno, "keep descriptors");
    for (int fd = 0; fd < 3; fd++)
        dup2(nothing, fd);
    if (dup3(channel_copy, CHANNEL, O_CLOEXEC) < 0 || dup3(output_copy, OUTPUT, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "keep descriptors");
    close_from(MACHINE);
    int machine = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC); /* the lowest free number */
    return machine == MACHINE || error_set_errno(err, errno, "open the root directory");
}

static bool loopback_up(struct error *err)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    up = up && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return up || error_set_errno(err, saved, "bring the loopback interface up");
}

/* Until the outside has written the user namespace's maps, and put us into our control group. */
static void await_go(const struct sandbox_spec *spec)
{
    struct message message;
    int fd;
    if (spec->mode == SANDBOX_AS_ROOT && !spec->groups)
        return; /* there is nothing to wait for */
    if (message_receive(CHANNEL, &message, &fd, 0) != 1 || message.kind != ORDER_GO)
        _exit(1);
}

static bool is_watched(const struct monitor *monitor)
{
    const struct sandbox_step *step = monitor->plan->spec->step;
    return step && step->owners && monitor->unwatched.kind == ERROR_NONE;
}

static bool lay_out(struct monitor *monitor, struct error *err)
{
    const struct plan *plan = monitor->plan;
    const char *name = plan->spec->hostname;
    if (plan->spec->mode == SANDBOX_IN_CHROOT)
        return (alone = alone_enter(plan, MACHINE, err)) != NULL;
    if (plan->spec->mode != SANDBOX_AS_ROOT &&
        (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0))
        return error_set_errno(err, errno, "become root of the user namespace");
    /* Podman's filter refuses the name even to root of a user namespace that owns it; the container's is then seen. */
    if (sethostname(name, strlen(name)) < 0 && (errno != EPERM || plan->spec->mode == SANDBOX_AS_ROOT))
        return error_set_errno(err, errno, "set host name '%s'", name);
    const struct sandbox_step *step = plan->spec->step;
    if ((!(step && step->network) && !loopback_up(err)) || !root_enter(plan, err))
        return false;
    close_all(FIRST_OTHER, ROOT_GIVEN - 1); /* what was opened on the way shows the outside */
    if (is_watched(monitor))
        watch_prepare(plan, MACHINE, &monitor->unwatched);
    return unshare(CLONE_NEWPID) == 0 || error_set_errno(err, errno, "make a process namespace");
}

/* fork() without libc: its other threads, whose state libc would put in order, do not exist here. */
static pid_t split(void)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0UL, 0UL, 0UL, 0UL);
}

/* In the child: run, and on failure tell the reason to the parent, who reads until exec has closed the socket. */
static _Noreturn void child_main(const struct monitor *monitor, bool first, int report)
{
    struct error err = { 0 };
    struct message message = { .kind = MESSAGE_FAILED };
    const struct plan *plan = monitor->plan;
    if (first)
        program_first(plan, MACHINE, OUTPUT, is_watched(monitor), report, &err);
    else
        program_run(plan, plan->check, OUTPUT, false, report, &err);
    snprintf(message.text, sizeof message.text, "%.*s", SANDBOX_TEXT_MAX - 1, err.message);
    message_send(report, &message, -1);
    _exit(127);
}

static bool read_report(struct monitor *monitor, int report, struct error *err)
{
    struct message message;
    int fd, got;
    while ((got = message_receive(report, &message, &fd, 0)) == 1 && message.kind == MESSAGE_LISTENER) {
        monitor->calls = fd;
        if (fd < 0)
            error_set_errno(&monitor->unwatched, message.value, "watch system calls");
    }
    if (got == 0)
        return true;
    return error_set(err, ERROR_INVALID, "%s", got == 1 ? message.text : "the program could not be started");
}

static pid_t start_child(struct monitor *monitor, bool first, struct error *err)
{
    int report[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) < 0) {
        error_set_errno(err, errno, "make a socket pair");
        return -1;
    }
    pid_t pid = split();
    if (pid == 0) {
        close(report[0]);
        child_main(monitor, first, report[1]);
    }
    int saved = errno;
    if (first)
        close_from(ROOT_GIVEN); /* the child has it */
    close(report[1]);
    bool started = pid > 0 ? read_report(monitor, report[0], err) : error_set_errno(err, saved, "start a process");
    close(report[0]);
    if (!started && pid > 0)
        waitpid(pid, NULL, 0);
    return started ? pid : -1;
}

/* What is left to do needs no more than the program itself has. The filter would forbid checks of another user their user
 * namespace; as an ordinary user there is little to give up anyway. */
static bool give_up_privileges(const struct monitor *monitor, struct error *err)
{
    enum sandbox_mode mode = monitor->plan->spec->mode;
    unsigned more = (mode == SANDBOX_IN_CHROOT ? 0 : PRIVILEGE_ROOTS) | (monitor->calls >= 0 ? PRIVILEGE_LOOKS : 0);
    if (!privilege_bound(more, err) || !privilege_hold(true, err))
        return false;
    return mode == SANDBOX_AS_USER ||
           privilege_filter(&(struct privilege_filter){ .in_chroot = alone != NULL }, NULL, err);
}

static const struct source channel_source = { SOURCE_CHANNEL }, signal_source = { SOURCE_CHILDREN },
                           calls_source = { SOURCE_CALLS };

static bool watch_sources(struct monitor *monitor, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    monitor->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    monitor->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event channel = { .events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&channel_source };
    struct epoll_event signals = { .events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&signal_source };
    if (monitor->signals < 0 || monitor->epoll < 0 || epoll_ctl(monitor->epoll, EPOLL_CTL_ADD, CHANNEL, &channel) < 0 ||
        epoll_ctl(monitor->epoll, EPOLL_CTL_ADD, monitor->signals, &signals) < 0)
        return error_set_errno(err, errno, "watch the sandbox");
    monitor->carrier = monitor->plan->spec->connections;
    if (!monitor->carrier)
        return true;
    monitor->relays = monitor->carrier->new(monitor->epoll, monitor->plan->spec->port);
    return monitor->relays || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool watch_calls_come(struct monitor *monitor, struct error *err)
{
    struct epoll_event calls = { .events = EPOLLIN, .data.ptr = (void *)(uintptr_t)&calls_source };
    if (monitor->calls < 0)
        return true;
    return watch_begin(monitor->calls, err) && (epoll_ctl(monitor->epoll, EPOLL_CTL_ADD, monitor->calls, &calls) == 0 ||
                                                error_set_errno(err, errno, "watch system calls"));
}

static void answer_calls(struct monitor *monitor, uint32_t events)
{
    if (events & EPOLLIN)
        watch_answer(monitor->calls);
    else
        epoll_ctl(monitor->epoll, EPOLL_CTL_DEL, monitor->calls, NULL); /* nobody is left who could call */
}

static void check_begin(struct monitor *monitor)
{
    struct error err = { 0 };
    const struct sandbox_spec *spec = monitor->plan->spec;
    if (monitor->check > 0 || spec->check_count == 0)
        return;
    pid_t pid = start_child(monitor, false, &err);
    if (pid < 0) {
        tell(SANDBOX_CHECKED, 127 << 8, err.message, -1);
        return;
    }
    monitor->check = pid;
    monitor->check_deadline_ms =
        clock_monotonic_ms() + (spec->check_timeout_ms > 0 ? spec->check_timeout_ms : CHECK_DEFAULT_MS);
}

static void return_clients(struct monitor *monitor)
{
    for (int fd; monitor->carrier && (fd = monitor->carrier->take_returned(monitor->relays)) >= 0; close(fd))
        tell(SANDBOX_RETURNED, 0, "", fd);
}

static void order_connect(struct monitor *monitor, int value, int fd)
{
    (void)value;
    if (fd >= 0 && monitor->carrier)
        monitor->carrier->add(monitor->relays, fd);
    else if (fd >= 0)
        close(fd);
}

static void order_check(struct monitor *monitor, int value, int fd)
{
    (void)value;
    (void)fd;
    check_begin(monitor);
}

static void order_drain(struct monitor *monitor, int value, int fd)
{
    (void)fd;
    monitor->draining = true;
    monitor->drain_deadline_ms = clock_monotonic_ms() + value;
    if (monitor->carrier)
        monitor->carrier->drain(monitor->relays);
}

/* A line "Name:\thex mask" of the program's status: does the mask hold the signal? */
static bool mask_holds(const char *status, const char *name, int number)
{
    const char *line = strstr(status, name);
    return !line || strtoull(line + strlen(name), NULL, 16) >> (number - 1) & 1;
}

/* As process 1 it is spared what a signal does to others by default: it would have to be killed when the grace is over.
 * That is done at once for a program that made no arrangement for the signal. */
static bool is_deaf_to(int number)
{
    char status[4096];
    int fd = open("/proc/1/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    status[n] = '\0';
    return !mask_holds(status, "SigBlk:", number) && !mask_holds(status, "SigIgn:", number) &&
           !mask_holds(status, "SigCgt:", number);
}

static void order_stop(struct monitor *monitor, int value, int fd)
{
    (void)fd;
    int asked = monitor->plan->spec->stop_signal, number = asked > 0 ? asked : SIGTERM;
    kill(monitor->program, is_deaf_to(number) ? SIGKILL : number);
    monitor->kill_ms = clock_monotonic_ms() + value;
}

static void handle_order(struct monitor *monitor, const struct message *message, int fd)
{
    static const struct {
        enum order order;
        void (*run)(struct monitor *monitor, int value, int fd);
    } orders[] = {
        { ORDER_CONNECT, order_connect },
        { ORDER_CHECK, order_check },
        { ORDER_DRAIN, order_drain },
        { ORDER_STOP, order_stop },
    };
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
        if (message->kind == (uint32_t)orders[i].order)
            orders[i].run(monitor, message->value, fd);
}

static void read_orders(struct monitor *monitor)
{
    struct message message;
    int fd, got;
    while ((got = message_receive(CHANNEL, &message, &fd, MSG_DONTWAIT)) == 1)
        handle_order(monitor, &message, fd);
    if (got == 0 && !monitor->ended)
        leave(0); /* the outside is gone: as init of this namespace we take everything with us */
}

/* Connections handed in that nobody has looked at yet find another program too. */
static void program_ended(struct monitor *monitor, int status)
{
    monitor->ended = true;
    shutdown(CHANNEL, SHUT_RD);
    read_orders(monitor);
    if (monitor->carrier)
        monitor->carrier->abandon(monitor->relays);
    return_clients(monitor);
    tell(SANDBOX_EXITED, status, "", -1);
    leave(0);
}

static void reap(struct monitor *monitor)
{
    struct signalfd_siginfo drained;
    while (read(monitor->signals, &drained, sizeof drained) > 0)
        ;
    int status;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        if (pid == monitor->program)
            program_ended(monitor, status);
        if (pid != monitor->check)
            continue;
        tell(SANDBOX_CHECKED, monitor->check_deadline_ms ? status : -1, "", -1);
        monitor->check = 0;
    }
}

static void probe(struct monitor *monitor, int64_t now)
{
    if (monitor->carrier->probe(monitor->plan->spec->port)) {
        monitor->probing = false;
        tell(SANDBOX_LISTENING, 0, "", -1);
        return;
    }
    monitor->probe_ms = now + (monitor->probes++ < PROBES_FAST ? PROBE_FAST_MS : PROBE_SLOW_MS);
}

static void run_timers(struct monitor *monitor, int64_t now)
{
    if (monitor->probing && now >= monitor->probe_ms)
        probe(monitor, now);
    if (monitor->kill_ms && now >= monitor->kill_ms) {
        monitor->kill_ms = 0;
        kill(monitor->program, SIGKILL);
    }
    if (monitor->check > 0 && monitor->check_deadline_ms && now >= monitor->check_deadline_ms) {
        monitor->check_deadline_ms = 0; /* tells reap() that it took too long */
        kill(-monitor->check, SIGKILL);
        kill(monitor->check, SIGKILL);
    }
    bool over = !monitor->carrier || monitor->carrier->count(monitor->relays) == 0 || now >= monitor->drain_deadline_ms;
    if (monitor->draining && !monitor->drained && over) {
        monitor->drained = true;
        tell(SANDBOX_DRAINED, 0, "", -1);
    }
}

static int earlier(int wait, int64_t deadline_ms, int64_t now)
{
    int left = deadline_ms > now ? (int)(deadline_ms - now) : 0;
    return wait < 0 || left < wait ? left : wait;
}

static int next_timer(const struct monitor *monitor, int wait, int64_t now)
{
    if (monitor->probing)
        wait = earlier(wait, monitor->probe_ms, now);
    if (monitor->kill_ms)
        wait = earlier(wait, monitor->kill_ms, now);
    if (monitor->check > 0 && monitor->check_deadline_ms)
        wait = earlier(wait, monitor->check_deadline_ms, now);
    if (monitor->draining && !monitor->drained)
        wait = earlier(wait, monitor->drain_deadline_ms, now);
    return wait;
}

static void handle_source(struct monitor *monitor, struct source *source, uint32_t events)
{
    if (source->kind == SOURCE_CALLS)
        answer_calls(monitor, events);
    else if (source->kind == SOURCE_CHANNEL)
        read_orders(monitor);
    else if (source->kind == SOURCE_CHILDREN)
        reap(monitor);
    else
        monitor->carrier->handle(monitor->relays, source);
}

static _Noreturn void supervise(struct monitor *monitor)
{
    struct epoll_event events[64];
    for (;;) {
        int64_t now = clock_monotonic_ms();
        int wait = monitor->carrier ? monitor->carrier->tend(monitor->relays, now) : -1;
        run_timers(monitor, now);
        int count = epoll_wait(monitor->epoll, events, 64, next_timer(monitor, wait, now));
        for (int i = 0; i < count; i++)
            handle_source(monitor, events[i].data.ptr, events[i].events);
        return_clients(monitor);
    }
}

_Noreturn void monitor_main(const struct plan *plan, int channel)
{
    struct error err = { 0 };
    struct monitor monitor = { .plan = plan, .calls = -1 };
    if (plan->spec->mode != SANDBOX_IN_CHROOT) /* there we have to tidy up first, and hear of it by the channel's end */
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NAME, "pushwright-box", 0, 0, 0);
    setsid();
    signals_reset();
    signal(SIGPIPE, SIG_IGN);
    if (!keep_descriptors(channel, plan->spec->output, &err))
        _exit(1);
    await_go(plan->spec);
    if (!lay_out(&monitor, &err) || !watch_sources(&monitor, &err))
        fail(&err);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* this memory is a copy of our starter's: no program inside may look into it */
    monitor.program = start_child(&monitor, true, &err);
    if (!alone)
        close(MACHINE);
    if (monitor.program < 0 || !give_up_privileges(&monitor, &err) || !watch_calls_come(&monitor, &err))
        fail(&err);
    tell(SANDBOX_STARTED, 0, monitor.unwatched.message, -1);
    monitor.probing = monitor.carrier && plan->spec->port != 0;
    supervise(&monitor);
}
