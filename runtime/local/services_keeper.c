#include "runtime/local/services_internal.h"

#include "shared/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

enum { EVENTS = 64, HAND_OVER_AGAIN_MS = 2, IDLE_MS = 60 * 1000 };

void services_watch(struct services *services, int fd, struct watch *watch)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };
    epoll_ctl(services->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Before closing: a sandbox that is just being cloned holds a copy for a moment, and epoll goes by what is open anywhere. */
void services_unwatch(struct services *services, int fd)
{
    epoll_ctl(services->epoll, EPOLL_CTL_DEL, fd, NULL);
}

static void handle(struct services *services, struct watch *watch)
{
    uint64_t count;
    switch (watch->kind) {
    case WATCH_WAKE:
        if (read(services->wake, &count, sizeof count) < 0 && errno != EAGAIN)
            services_say(services, "the service agent's wake-up is broken");
        break;
    case WATCH_FRONT:
        front_accept(services, watch->owner);
        break;
    case WATCH_SANDBOX:
        instance_handle(services, watch->owner);
        break;
    case WATCH_OUTPUT:
        instance_output(services, watch->owner);
        break;
    }
}

static void sooner(int64_t *next, int64_t when)
{
    if (when != 0 && when < *next)
        *next = when;
}

static int64_t next_deadline(const struct services *services, int64_t now_ms)
{
    int64_t next = now_ms + IDLE_MS;
    for (const struct service *service = services->list; service; service = service->next) {
        bool can_hand_over = service->current && service->current->phase == INSTANCE_READY;
        if (service->front.waiting_count > 0)
            sooner(&next, can_hand_over ? now_ms + HAND_OVER_AGAIN_MS : service->front.waiting[0].until_ms);
        sooner(&next, service->front.again_ms);
        if (service->run && !service->current)
            sooner(&next, service->start_again_ms);
        if (!service->run && service->record.running.image && !service->preparing_running)
            sooner(&next, service->prepare_again_ms);
    }
    for (const struct instance *instance = services->instances; instance; instance = instance->next) {
        if (instance->phase == INSTANCE_STARTING)
            sooner(&next, instance->deadline_ms);
        sooner(&next, instance->check_ms);
    }
    return next;
}

static void tend(struct services *services)
{
    int64_t now_ms = clock_monotonic_ms();
    for (struct instance *instance = services->instances; instance; instance = instance->next)
        instance_timers(services, instance, now_ms);
    for (struct service *service = services->list; service; service = service->next)
        rollout_tend(services, service, now_ms);
}

static void bury(struct services *services)
{
    for (struct service **link = &services->list; *link;) {
        struct service *service = *link;
        if (!service->deleted) {
            link = &service->next;
            continue;
        }
        rollout_leave(services, service, STOP_DRAIN_MS);
        *link = service->next;
        service_free(service);
    }
}

static void wait_and_handle(struct services *services)
{
    struct epoll_event events[EVENTS];
    int64_t now_ms = clock_monotonic_ms(), next = next_deadline(services, now_ms);
    pthread_mutex_unlock(&services->lock);
    int count = epoll_wait(services->epoll, events, EVENTS, next > now_ms ? (int)(next - now_ms) : 0);
    pthread_mutex_lock(&services->lock);
    for (int i = 0; i < count; i++)
        handle(services, events[i].data.ptr);
    bury(services);
    instances_reap(services); /* only now: an event of this round may have been about it */
}

void *keeper_main(void *context)
{
    struct services *services = context;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, "services");
    pthread_mutex_lock(&services->lock);
    while (!atomic_load(&services->stopping)) {
        tend(services);
        wait_and_handle(services);
    }
    for (struct service *service = services->list; service; service = service->next)
        rollout_leave(services, service, STOP_DRAIN_MS);
    while (services->instances)
        wait_and_handle(services);
    pthread_mutex_unlock(&services->lock);
    return NULL;
}
