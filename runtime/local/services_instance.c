#include "runtime/local/services_internal.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PORT_DEFAULT = 80, OUTPUT_ROUNDS = 16 };

/* --- output --------------------------------------------------------------------------------------------------------- */

static void log_path(const struct services *services, const struct service *service, const char *suffix, char *out,
                     size_t size)
{
    snprintf(out, size, "%s/%s.%s.log%s", services->logs, service->record.namespace, service->record.name, suffix);
}

static int log_open(const struct services *services, const struct service *service, size_t *size)
{
    char path[PATH_ROOM + 256];
    struct stat found;
    log_path(services, service, "", path, sizeof path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    *size = fd >= 0 && fstat(fd, &found) == 0 ? (size_t)found.st_size : 0;
    return fd;
}

static void log_turn(const struct services *services, struct instance *instance)
{
    char path[PATH_ROOM + 256], older[PATH_ROOM + 256];
    if (instance->log_size < LOG_MAX || !instance->service)
        return;
    log_path(services, instance->service, "", path, sizeof path);
    log_path(services, instance->service, ".1", older, sizeof older);
    rename(path, older);
    close(instance->log);
    instance->log = log_open(services, instance->service, &instance->log_size);
}

static void keep_tail(struct instance *instance, const char *data, size_t len)
{
    if (len > TAIL_SIZE) {
        data += len - TAIL_SIZE;
        len = TAIL_SIZE;
    }
    size_t old = instance->tail_len + len > TAIL_SIZE ? TAIL_SIZE - len : instance->tail_len;
    memmove(instance->tail, instance->tail + instance->tail_len - old, old);
    memcpy(instance->tail + old, data, len);
    instance->tail_len = old + len;
}

/* Bounded: a program that writes without end must not keep the keeper from everything else. */
void instance_output(struct services *services, struct instance *instance)
{
    char piece[16 * 1024];
    for (int round = 0; round < OUTPUT_ROUNDS && instance->output >= 0; round++) {
        ssize_t n = read(instance->output, piece, sizeof piece);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            services_unwatch(services, instance->output);
            close(instance->output);
            instance->output = -1;
            return;
        }
        struct error ignored;
        keep_tail(instance, piece, (size_t)n);
        if (instance->log >= 0 && file_write_all(instance->log, piece, (size_t)n, &ignored))
            instance->log_size += (size_t)n;
        log_turn(services, instance);
    }
}

void instance_reason(const struct instance *instance, const char *why, char *out, size_t size)
{
    char said[TAIL_SIZE + 1];
    struct span tail = span_trim((struct span){ instance->tail, instance->tail_len });
    if (instance->tail_len == TAIL_SIZE && span_find(tail, '\n') >= 0)
        span_cut(&tail, '\n'); /* the first line is cut anywhere */
    size_t len = 0;
    for (size_t i = 0; i < tail.len; i++)
        said[len++] = (unsigned char)tail.data[i] < ' ' ? ' ' : tail.data[i];
    said[len] = '\0';
    snprintf(out, size, "%s%s%s", why, len > 0 ? "; it said: " : "", said);
}

/* --- start ---------------------------------------------------------------------------------------------------------- */

static struct instance *instance_new(struct services *services, struct service *service, struct image_run *run,
                                     unsigned port)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return NULL;
    instance->service = service;
    instance->run = image_run_hold(run);
    instance->output = -1;
    instance->port = port;
    instance->log = log_open(services, service, &instance->log_size);
    instance->sandbox_watch = (struct watch){ WATCH_SANDBOX, instance };
    instance->output_watch = (struct watch){ WATCH_OUTPUT, instance };
    instance->started_ms = clock_monotonic_ms();
    snprintf(instance->scratch, sizeof instance->scratch, "%.4000s/%016llx", services->instances_dir,
             (unsigned long long)random_u64());
    return instance;
}

static void instance_free(struct services *services, struct instance *instance)
{
    struct error err = { 0 };
    if (!instance)
        return;
    if (instance->sandbox)
        services_unwatch(services, sandbox_fd(instance->sandbox));
    sandbox_free(instance->sandbox);
    if (instance->output >= 0) {
        services_unwatch(services, instance->output);
        close(instance->output);
    }
    if (instance->log >= 0)
        close(instance->log);
    if (!sandbox_remove_tree(instance->scratch, &err))
        services_say(services, "what an instance wrote stays behind: %s", err.message);
    image_run_free(instance->run);
    free(instance);
}

static bool launch(struct services *services, struct instance *instance, struct error *err)
{
    const struct image_run *run = instance->run;
    int pipes[2];
    if (mkdir(instance->scratch, 0700) < 0 || pipe2(pipes, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "make '%s' and a pipe", instance->scratch);
    instance->output = pipes[0];
    AUTO(close) int theirs = pipes[1];
    fcntl(instance->output, F_SETFL, O_NONBLOCK);
    const struct sandbox_spec spec = {
        .mode = services->shop.mode,
        .lowers = run->layers,
        .lower_count = run->layer_count,
        .scratch = instance->scratch,
        .argv = run->argv,
        .arg_count = run->arg_count,
        .env = run->env,
        .env_count = run->env_count,
        .cwd = run->cwd,
        .user = run->user,
        .hostname = instance->service->record.name,
        .output = theirs,
        .connections = &sandbox_connections,
        .port = instance->port,
        .stop_signal = run->stop_signal,
        .check = run->check,
        .check_count = run->check_count,
        .check_timeout_ms = run->check_timeout_ms,
    };
    instance->sandbox = sandbox_start(&spec, err);
    return instance->sandbox != NULL;
}

struct instance *instance_start(struct services *services, struct service *service, struct image_run *run,
                                const struct service_spec *spec, struct error *err)
{
    unsigned port = spec->container_port ? spec->container_port : run->exposed_port ? run->exposed_port : PORT_DEFAULT;
    struct instance *instance = instance_new(services, service, run, port);
    if (!instance) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    if (!launch(services, instance, err)) {
        instance_free(services, instance);
        return NULL;
    }
    instance->deadline_ms = instance->started_ms + spec->ready_timeout_s * 1000;
    services_watch(services, sandbox_fd(instance->sandbox), &instance->sandbox_watch);
    services_watch(services, instance->output, &instance->output_watch);
    instance->next = services->instances;
    services->instances = instance;
    return instance;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

void instance_stop(struct instance *instance)
{
    if (instance->phase == INSTANCE_STOPPING)
        return;
    instance->phase = INSTANCE_STOPPING;
    instance->deadline_ms = instance->check_ms = 0;
    sandbox_stop(instance->sandbox, STOP_GRACE_MS);
}

void instance_drain(struct services *services, struct instance *instance, long grace_ms)
{
    (void)services;
    if (instance->phase != INSTANCE_READY) {
        instance_stop(instance);
        return;
    }
    instance->phase = INSTANCE_DRAINING;
    sandbox_drain(instance->sandbox, grace_ms);
}

static void on_listening(struct services *services, struct instance *instance)
{
    instance->listening = true;
    if (instance->run->check_count > 0)
        sandbox_check(instance->sandbox);
    else
        rollout_ready(services, instance);
}

static void on_checked(struct services *services, struct instance *instance, int status)
{
    if (instance->phase != INSTANCE_STARTING)
        return;
    if (status == 0)
        rollout_ready(services, instance);
    else
        instance->check_ms = clock_monotonic_ms() + CHECK_PAUSE_MS;
}

static void on_end(struct services *services, struct instance *instance, const char *why)
{
    char reason[REASON_SIZE];
    if (instance->said_end)
        return;
    instance->said_end = true;
    instance_output(services, instance);
    instance_reason(instance, why, reason, sizeof reason);
    rollout_ended(services, instance, reason);
}

static void on_returned(struct services *services, struct instance *instance, int fd)
{
    if (instance->service && !atomic_load(&services->stopping))
        front_offer(services, instance->service, fd);
    else
        close(fd);
}

/* False: nothing more for now. */
static bool handle_event(struct services *services, struct instance *instance, const struct sandbox_event *event)
{
    char why[128];
    switch (event->kind) {
    case SANDBOX_NOTHING:
        return false;
    case SANDBOX_STARTED:
        break;
    case SANDBOX_FAILED:
        on_end(services, instance, event->text);
        break;
    case SANDBOX_LISTENING:
        if (instance->phase == INSTANCE_STARTING)
            on_listening(services, instance);
        break;
    case SANDBOX_CHECKED:
        on_checked(services, instance, event->status);
        break;
    case SANDBOX_RETURNED:
        on_returned(services, instance, event->fd);
        break;
    case SANDBOX_DRAINED:
        instance_stop(instance);
        break;
    case SANDBOX_EXITED:
        sandbox_status_text(event->status, why, sizeof why);
        on_end(services, instance, why);
        break;
    case SANDBOX_ENDED:
        on_end(services, instance, "ended unexpectedly");
        instance->ended = true;
        return false;
    }
    return true;
}

void instance_handle(struct services *services, struct instance *instance)
{
    struct sandbox_event event;
    if (instance->ended)
        return;
    do
        sandbox_next(instance->sandbox, &event);
    while (handle_event(services, instance, &event));
}

void instance_timers(struct services *services, struct instance *instance, int64_t now_ms)
{
    char why[128], reason[REASON_SIZE];
    if (instance->check_ms && now_ms >= instance->check_ms) {
        instance->check_ms = 0;
        sandbox_check(instance->sandbox);
    }
    if (instance->phase != INSTANCE_STARTING || now_ms < instance->deadline_ms)
        return;
    long long took_s = (long long)(now_ms - instance->started_ms + 500) / 1000;
    snprintf(why, sizeof why,
             instance->listening ? "its health check did not succeed within %lld s"
                                 : "it did not listen on port %2$u within %1$lld s",
             took_s, instance->port);
    instance_reason(instance, why, reason, sizeof reason);
    instance->said_end = true;
    rollout_ended(services, instance, reason);
    instance_stop(instance);
}

void instances_reap(struct services *services)
{
    for (struct instance **link = &services->instances; *link;) {
        struct instance *instance = *link;
        if (!instance->ended) {
            link = &instance->next;
            continue;
        }
        *link = instance->next;
        instance_free(services, instance);
    }
}
