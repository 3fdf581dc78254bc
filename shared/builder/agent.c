#include "shared/builder/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PIECE = 8 * 1024 };

/* One direction of a connection. */
struct way {
    char data[PIECE];
    size_t at, len;
    bool over; /* nothing more will come */
};

struct line {
    int ends[2];        /* the command's and the agent's; -1: no connection */
    struct way ways[2]; /* from ends[i] to the other */
};

struct agent {
    const char *socket, *path;
    int listener, stop;
    pthread_t thread;
    bool running;
    struct line lines[AGENT_LINES_MAX];
};

/* Through its directory, because the name of a socket may have 107 bytes only. */
static bool name_socket(const char *path, struct sockaddr_un *name, int *directory)
{
    const char *slash = strrchr(path, '/');
    char parent[4096];

    if (!slash || snprintf(parent, sizeof(parent), "%.*s/", (int)(slash - path), path) >= (int)sizeof(parent))
        return false;
    *directory = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *name = (struct sockaddr_un){ .sun_family = AF_UNIX };
    return *directory >= 0 && snprintf(name->sun_path, sizeof(name->sun_path), "/proc/self/fd/%d/%s", *directory,
                                       slash + 1) < (int)sizeof(name->sun_path);
}

/* ---- carrying ---- */

static void hang_up(struct line *line)
{
    close(line->ends[0]);
    close(line->ends[1]);
    line->ends[0] = line->ends[1] = -1;
}

static int call_agent(const struct agent *agent)
{
    AUTO(close) int directory = -1, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un name;

    if (fd < 0 || !name_socket(agent->socket, &name, &directory) ||
        connect(fd, (const struct sockaddr *)&name, sizeof(name)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -1;
    int called = fd;
    fd = -1;
    return called;
}

static struct line *free_line(struct agent *agent)
{
    for (size_t i = 0; i < AGENT_LINES_MAX; i++) {
        if (agent->lines[i].ends[0] < 0)
            return &agent->lines[i];
    }
    return NULL;
}

static void pick_up(struct agent *agent, struct line *line)
{
    int command = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int end = command < 0 ? -1 : call_agent(agent);

    if (end < 0) {
        if (command >= 0)
            close(command);
        return;
    }
    memset(line->ways, 0, sizeof(line->ways));
    line->ends[0] = command;
    line->ends[1] = end;
}

static bool will_be_there(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static bool take_in(struct way *way, int from, int to)
{
    ssize_t n = recv(from, way->data, PIECE, 0);

    if (will_be_there(n))
        return true;
    way->at = 0;
    way->len = n > 0 ? (size_t)n : 0;
    way->over = n == 0;
    if (way->over)
        shutdown(to, SHUT_WR);
    return n >= 0;
}

static bool give_out(struct way *way, int to)
{
    ssize_t n = send(to, way->data + way->at, way->len, MSG_NOSIGNAL);

    if (will_be_there(n))
        return true;
    if (n < 0)
        return false;
    way->at += (size_t)n;
    way->len -= (size_t)n;
    return true;
}

static short events_of(const struct line *line, size_t end)
{
    const struct way *out = &line->ways[end], *in = &line->ways[!end];
    short wanted = out->len == 0 && !out->over ? POLLIN : 0;

    return (short)(wanted | (in->len > 0 ? POLLOUT : 0));
}

static bool carry(struct line *line, size_t end, short events)
{
    struct way *out = &line->ways[end], *in = &line->ways[!end];

    if (events & (POLLERR | POLLNVAL))
        return false;
    if (out->len == 0 && !out->over && events & (POLLIN | POLLHUP) && !take_in(out, line->ends[end], line->ends[!end]))
        return false;
    return in->len == 0 || !(events & POLLOUT) || give_out(in, line->ends[end]);
}

static bool has_ended(const struct line *line)
{
    return line->ways[0].over && line->ways[1].over && line->ways[0].len == 0 && line->ways[1].len == 0;
}

/* An end of which nothing is wanted is left out: that it was hung up would be told for ever. */
static void ask_lines(const struct agent *agent, struct pollfd asked[static 2 * AGENT_LINES_MAX])
{
    for (size_t i = 0; i < 2 * AGENT_LINES_MAX; i++) {
        const struct line *line = &agent->lines[i / 2];
        short events = line->ends[0] < 0 ? 0 : events_of(line, i % 2);
        asked[i] = (struct pollfd){ .fd = events ? line->ends[i % 2] : -1, .events = events };
    }
}

static void *run(void *opaque)
{
    struct agent *agent = opaque;
    struct pollfd asked[2 + 2 * AGENT_LINES_MAX];

    for (;;) {
        struct line *line = free_line(agent);
        asked[0] = (struct pollfd){ .fd = agent->stop, .events = POLLIN };
        asked[1] = (struct pollfd){ .fd = line ? agent->listener : -1, .events = POLLIN };
        ask_lines(agent, asked + 2);
        if (poll(asked, sizeof(asked) / sizeof(asked[0]), -1) < 0 && errno != EINTR)
            return NULL;
        if (asked[0].revents)
            return NULL;
        for (size_t i = 0; i < 2 * AGENT_LINES_MAX; i++) {
            struct line *at = &agent->lines[i / 2];
            if (asked[2 + i].revents && at->ends[0] >= 0 && (!carry(at, i % 2, asked[2 + i].revents) || has_ended(at)))
                hang_up(at);
        }
        if (asked[1].revents)
            pick_up(agent, line);
    }
}

/* ---- beginning and end ---- */

static bool listen_at(struct agent *agent, const struct agent_options *options, struct error *err)
{
    AUTO(close) int directory = -1;
    struct sockaddr_un name;

    agent->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (agent->listener < 0 || !name_socket(options->path, &name, &directory) ||
        bind(agent->listener, (const struct sockaddr *)&name, sizeof(name)) < 0)
        return error_set_errno(err, errno, "make '%s'", options->path);
    agent->path = options->path;
    if ((options->owner && chown(options->path, options->owner[0], options->owner[1]) < 0) ||
        chmod(options->path, options->mode & 07777) < 0 || listen(agent->listener, AGENT_LINES_MAX) < 0)
        return error_set_errno(err, errno, "give '%s' to its user", options->path);
    return true;
}

static bool start(struct agent *agent)
{
    sigset_t all, before;

    sigfillset(&all); /* signals are for the thread that began */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    agent->running = pthread_create(&agent->thread, NULL, run, agent) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return agent->running;
}

struct agent *agent_new(const struct agent_options *options, struct error *err)
{
    AUTO(agent_free) struct agent *agent = calloc(1, sizeof(*agent));

    if (!agent) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    agent->socket = options->socket;
    agent->listener = -1;
    for (size_t i = 0; i < AGENT_LINES_MAX; i++)
        agent->lines[i].ends[0] = agent->lines[i].ends[1] = -1;
    agent->stop = eventfd(0, EFD_CLOEXEC);
    if (agent->stop < 0 || !listen_at(agent, options, err))
        return agent->stop < 0 ? (error_set_errno(err, errno, "make an eventfd"), NULL) : NULL;
    if (!start(agent)) {
        error_set(err, ERROR_INTERNAL, "no thread can be had for an SSH agent");
        return NULL;
    }
    return TAKE(agent);
}

void agent_free(struct agent *agent)
{
    if (!agent)
        return;
    if (agent->running) {
        eventfd_write(agent->stop, 1);
        pthread_join(agent->thread, NULL);
    }
    for (size_t i = 0; i < AGENT_LINES_MAX; i++) {
        if (agent->lines[i].ends[0] >= 0)
            hang_up(&agent->lines[i]);
    }
    if (agent->path)
        unlink(agent->path);
    if (agent->listener >= 0)
        close(agent->listener);
    if (agent->stop >= 0)
        close(agent->stop);
    free(agent);
}
