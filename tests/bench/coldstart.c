/* From nothing to the first answered delivery: posix_spawn, connect until the connection is accepted, send the signed request, read a 2xx.
 *
 *   coldstart PORT REQUEST-FILE COUNT CORE PROGRAM ARGUMENT...
 *
 * The program runs on CORE and the clock on another one (CORE -1: wherever they like); each is killed before the next begins. Prints a
 * JSON array of pairs: microseconds until the connection was accepted, and until the answer. */
#include "answer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { GIVE_UP_NS = 1000000000, ANSWER_MAX = 8192 };

struct question {
    int port, core;
    cpu_set_t cores; /* all that may be used */
    char *request;
    size_t len;
};

static void run_on(const cpu_set_t *cores)
{
    if (sched_setaffinity(0, sizeof *cores, cores) != 0)
        die("cannot choose a core: %s", strerror(errno));
}

/* The child inherits the core it is born on; the clock moves to the others, or both would share it. */
static pid_t born(const struct question *q, const posix_spawn_file_actions_t *quiet, char **argv, int64_t *began)
{
    pid_t pid;
    cpu_set_t all = q->cores, one;
    if (q->core >= 0) {
        CPU_ZERO(&one);
        CPU_SET((size_t)q->core, &one);
        run_on(&one);
    }
    *began = now_ns();
    int failed = posix_spawn(&pid, argv[0], quiet, NULL, argv, environ);
    if (failed)
        die("cannot start '%s': %s", argv[0], strerror(failed));
    if (q->core >= 0) {
        CPU_CLR((size_t)q->core, &all);
        run_on(&all);
    }
    return pid;
}

static int connected(int port, int64_t until)
{
    const struct sockaddr_in address = loopback(port);
    while (now_ns() < until) {
        int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            return fd;
        }
        close(fd);
    }
    die("nothing listens on port %d after a second", port);
}

/* The status of the answer; 0 when there is none. */
static int asked(const struct question *q, int fd)
{
    char answer[ANSWER_MAX + 1];
    size_t got = 0;
    int status = 0;
    if (send(fd, q->request, q->len, MSG_NOSIGNAL) != (ssize_t)q->len)
        return 0;
    for (ssize_t n; got < ANSWER_MAX && (n = recv(fd, answer + got, ANSWER_MAX - got, 0)) > 0;) {
        got += (size_t)n;
        answer[got] = '\0';
        if (answer_is_whole(answer, got, &status))
            return status;
    }
    return 0;
}

static void measure(const struct question *q, const posix_spawn_file_actions_t *quiet, char **argv)
{
    int64_t began, accepted;
    pid_t pid = born(q, quiet, argv, &began);
    int status;
    do {
        int fd = connected(q->port, began + GIVE_UP_NS);
        accepted = now_ns() - began;
        status = asked(q, fd);
        close(fd);
    } while ((status < 200 || status > 299) && now_ns() < began + GIVE_UP_NS);
    int64_t took = now_ns() - began;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (status < 200 || status > 299)
        die("'%s' answers %d", argv[0], status);
    printf("[%.1f, %.1f]", (double)accepted / 1e3, (double)took / 1e3);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        die("see the head of coldstart.c");
    struct question q = { .port = atoi(argv[1]), .core = atoi(argv[4]) };
    q.request = file_bytes(argv[2], &q.len);
    if (sched_getaffinity(0, sizeof q.cores, &q.cores) != 0)
        die("cannot read the cores: %s", strerror(errno));
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    for (int i = 0, n = atoi(argv[3]); i < n; i++) {
        fputs(i ? ", " : "[", stdout);
        measure(&q, &quiet, argv + 5);
    }
    puts("]");
    posix_spawn_file_actions_destroy(&quiet);
    free(q.request);
    return 0;
}
