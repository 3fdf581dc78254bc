/* Descriptors of others in the set that the thread of server_run waits for. */
#include "runtime/server_internal.h"

#include <sys/epoll.h>

static bool control(struct server *server, int operation, int watch, uint32_t events)
{
    struct watch *w = &server->watches[watch];
    struct epoll_event event = { .events = events };
    event.data.u64 = (uint64_t)w->generation << 32 | SLOT_WATCH | (uint32_t)watch;
    return epoll_ctl(server->loop_fd, operation, w->fd, &event) == 0;
}

int server_watch(struct server *server, int fd, void (*ready)(void *context), void *context)
{
    int watch = 0;
    while (watch < SERVER_WATCHES_MAX && server->watches[watch].fd >= 0)
        watch++;
    if (watch == SERVER_WATCHES_MAX)
        return -1;
    struct watch *w = &server->watches[watch];
    *w = (struct watch){ .fd = fd, .generation = w->generation + 1, .ready = ready, .context = context };
    if (control(server, EPOLL_CTL_ADD, watch, EPOLLIN))
        return watch;
    w->fd = -1;
    return -1;
}

bool server_watch_writing(struct server *server, int watch, bool too)
{
    return control(server, EPOLL_CTL_MOD, watch, too ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void server_unwatch(struct server *server, int watch)
{
    control(server, EPOLL_CTL_DEL, watch, 0);
    server->watches[watch].fd = -1;
}

/* An event of a descriptor that has been given up in the meantime names another generation. */
void server_react_to_watch(struct server *server, uint64_t event)
{
    uint32_t watch = (uint32_t)event - SLOT_WATCH;
    if (watch >= SERVER_WATCHES_MAX)
        return;
    const struct watch *w = &server->watches[watch];
    if (w->fd >= 0 && w->generation == event >> 32)
        w->ready(w->context);
}
