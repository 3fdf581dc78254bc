#include "runtime/local/services_internal.h"

#include "shared/base/clock.h"

#include <stdio.h>
#include <string.h>

static void label(const struct service *service, char out[static 160])
{
    snprintf(out, 160, "service %s/%s", service->record.namespace, service->record.name);
}

static void settle(struct services *services, struct service *service, enum service_state state, const char *reason)
{
    service->record.state = state;
    snprintf(service->record.reason, sizeof service->record.reason, "%s", reason);
    pthread_cond_broadcast(&services->changed);
}

void rollout_failed(struct services *services, struct service *service, const char *reason)
{
    char who[160];
    label(service, who);
    service->rolling = false;
    settle(services, service, SERVICE_FAILED, reason);
    services_save(services, service);
    services_say(services, "%s does not come up with %.19s: %s%s", who, service->record.wanted.digest, reason,
                 service->record.running.image ? "; what ran before stays" : "");
}

/* The new one serves from here on; the old one finishes what it has begun. */
static void promote(struct services *services, struct service *service)
{
    struct service_record *record = &service->record;
    struct instance *old = service->current, *new = service->candidate;
    struct service_spec now;
    struct error err = { 0 };
    if (!front_open(services, service, record->wanted.service_port, &err) ||
        !service_spec_copy(&now, &record->wanted, &err)) {
        service->candidate = NULL;
        instance_stop(new);
        rollout_failed(services, service, err.message);
        return;
    }
    if (record->running.digest)
        snprintf(record->previous_digest, sizeof record->previous_digest, "%s", record->running.digest);
    service_spec_release(&record->running);
    record->running = now;
    image_run_free(service->run);
    service->run = image_run_hold(new->run);
    service->current = new;
    service->candidate = NULL;
    service->rolling = false;
    service->deaths = 0;
    new->phase = INSTANCE_READY;
    front_tend(services, service, clock_monotonic_ms());
    if (old)
        instance_drain(services, old, DRAIN_MS);
    settle(services, service, SERVICE_RUNNING, "");
    services_save(services, service);
}

void rollout_ready(struct services *services, struct instance *instance)
{
    struct service *service = instance->service;
    char who[160];
    if (!service || (instance != service->candidate && instance != service->current))
        return;
    instance->deadline_ms = 0;
    if (instance == service->candidate) {
        promote(services, service);
    } else {
        instance->phase = INSTANCE_READY;
        front_tend(services, service, clock_monotonic_ms());
        if (!service->rolling && service->record.state == SERVICE_STARTING)
            settle(services, service, SERVICE_RUNNING, "");
    }
    label(service, who);
    if (service->current == instance)
        services_say(services, "%s runs %.19s at http://%s:%u, up in %lld ms", who, service->record.running.digest,
                     service->record.address, service->record.port,
                     (long long)(clock_monotonic_ms() - instance->started_ms));
}

static void start_again_later(struct service *service, int64_t ran_ms)
{
    if (ran_ms >= STEADY_MS)
        service->deaths = 0;
    int64_t pause = service->deaths == 0 ? 0 : (int64_t)RETRY_MS << (service->deaths < 8 ? service->deaths - 1 : 7);
    service->deaths++;
    service->start_again_ms = clock_monotonic_ms() + (pause < RETRY_MAX_MS ? pause : RETRY_MAX_MS);
}

void rollout_ended(struct services *services, struct instance *instance, const char *why)
{
    struct service *service = instance->service;
    char who[160], reason[REASON_SIZE];
    if (!service)
        return;
    label(service, who);
    if (instance == service->candidate) {
        service->candidate = NULL;
        rollout_failed(services, service, why);
    } else if (instance == service->current) {
        service->current = NULL;
        start_again_later(service, clock_monotonic_ms() - instance->started_ms);
        services_say(services, "%s: %.700s; starting it again", who, why);
        snprintf(reason, sizeof reason, "starting again: %.900s", why);
        if (service->record.state == SERVICE_RUNNING)
            settle(services, service, SERVICE_STARTING, reason);
    }
}

static void start_candidate(struct services *services, struct service *service)
{
    struct error err = { 0 };
    struct image_run *run = TAKE(service->prepared);
    if (service->candidate) { /* of an older generation */
        struct instance *older = TAKE(service->candidate);
        instance_stop(older);
    }
    service->candidate = instance_start(services, service, run, &service->record.wanted, &err);
    image_run_free(run);
    if (!service->candidate)
        rollout_failed(services, service, err.message);
}

static void start_current(struct services *services, struct service *service)
{
    struct error err = { 0 };
    service->current = instance_start(services, service, service->run, &service->record.running, &err);
    if (service->current)
        return;
    start_again_later(service, 0);
    services_say(services, "%s/%s: %s", service->record.namespace, service->record.name, err.message);
}

void rollout_tend(struct services *services, struct service *service, int64_t now_ms)
{
    if (service->prepared)
        start_candidate(services, service);
    if (service->run && !service->current && now_ms >= service->start_again_ms)
        start_current(services, service);
    if (!service->run && service->record.running.image && !service->preparing_running &&
        now_ms >= service->prepare_again_ms)
        services_prepare(services, service, true);
    front_tend(services, service, now_ms);
}

void rollout_leave(struct services *services, struct service *service, long grace_ms)
{
    front_close(services, service);
    for (struct instance *instance = services->instances; instance; instance = instance->next) {
        if (instance->service != service)
            continue;
        if (instance->phase != INSTANCE_STOPPING && instance->phase != INSTANCE_DRAINING)
            instance_drain(services, instance, grace_ms);
        instance->service = NULL;
    }
    service->current = service->candidate = NULL;
}
