#include "runtime/local/services_internal.h"

#include "shared/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { ACCEPT_ROUNDS = 64, BACKLOG = 4096, DESCRIPTOR_PAUSE_MS = 50 };

static int listen_on(const char *address, unsigned port, struct error *err)
{
    struct sockaddr_in where = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int one = 1;
    inet_pton(AF_INET, address, &where.sin_addr);
    AUTO(close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&where, sizeof where) < 0 || listen(fd, BACKLOG) < 0) {
        error_set_errno(err, errno, "listen on %s:%u", address, port);
        return -1;
    }
    int listener = fd;
    fd = -1;
    return listener;
}

static unsigned bound_port(int fd)
{
    struct sockaddr_in where = { .sin_port = 0 };
    socklen_t size = sizeof where;
    getsockname(fd, (struct sockaddr *)&where, &size);
    return ntohs(where.sin_port);
}

static void front_watch(struct services *services, struct service *service, bool watched)
{
    struct front *front = &service->front;
    if (front->listener < 0 || front->watched == watched)
        return;
    if (watched)
        services_watch(services, front->listener, &front->watch);
    else
        services_unwatch(services, front->listener);
    front->watched = watched;
}

/* The port asked for, else the one that it has had, else one of the kernel's choice. What is open already and right stays. */
bool front_open(struct services *services, struct service *service, const char *wanted, struct error *err)
{
    struct front *front = &service->front;
    struct service_record *record = &service->record;
    char address[16];
    unsigned port;
    if (!service_port_parse(wanted, address, &port, err))
        return false;
    bool same_address = strcmp(address, record->address) == 0;
    if (port == 0 && same_address)
        port = record->port;
    if (front->listener >= 0 && same_address && port == record->port)
        return true;
    int listener = listen_on(address, port, err);
    if (listener < 0)
        return false;
    if (front->listener >= 0) {
        front_watch(services, service, false);
        close(front->listener);
    }
    front->listener = listener;
    record->port = bound_port(listener);
    memcpy(record->address, address, sizeof record->address);
    front_watch(services, service, true);
    return true;
}

static bool hand_over(struct service *service, int fd)
{
    struct instance *current = service->current;
    return current && current->phase == INSTANCE_READY && sandbox_connect(current->sandbox, fd);
}

void front_offer(struct services *services, struct service *service, int fd)
{
    struct front *front = &service->front;
    if (front->waiting_count == 0 && hand_over(service, fd))
        return;
    if (front->waiting_count == WAITING_MAX) {
        close(fd); /* a client that came back from an instance while the queue is full */
        return;
    }
    front->waiting[front->waiting_count].fd = fd;
    front->waiting[front->waiting_count++].until_ms = clock_monotonic_ms() + WAITING_MS;
    if (front->waiting_count == WAITING_MAX)
        front_watch(services, service, false);
}

void front_accept(struct services *services, struct service *service)
{
    struct front *front = &service->front;
    for (int round = 0; round < ACCEPT_ROUNDS && front->watched; round++) {
        int fd = accept4(front->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            front_offer(services, service, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            front->again_ms = clock_monotonic_ms() + DESCRIPTOR_PAUSE_MS;
            front_watch(services, service, false);
        }
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

/* In the order in which they came; those who have waited too long are sent away. */
void front_tend(struct services *services, struct service *service, int64_t now_ms)
{
    struct front *front = &service->front;
    size_t kept = 0;
    for (size_t i = 0; i < front->waiting_count; i++) {
        if (kept == 0 && hand_over(service, front->waiting[i].fd))
            continue;
        if (now_ms >= front->waiting[i].until_ms)
            close(front->waiting[i].fd);
        else
            front->waiting[kept++] = front->waiting[i];
    }
    front->waiting_count = kept;
    if (kept < WAITING_MAX && now_ms >= front->again_ms) {
        front->again_ms = 0;
        front_watch(services, service, true);
    }
}

void front_close(struct services *services, struct service *service)
{
    struct front *front = &service->front;
    for (size_t i = 0; i < front->waiting_count; i++)
        close(front->waiting[i].fd);
    front->waiting_count = 0;
    front_watch(services, service, false);
    if (front->listener >= 0)
        close(front->listener);
    front->listener = -1;
}
