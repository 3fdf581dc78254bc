#include "runtime/local/services.h"
#include "runtime/local/services_internal.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>

enum { REPLY_MAX = 8 * 1024 * 1024, WAIT_MAX_MS = 2000, PREPARE_AGAIN_MS = 5000, DIGESTS_MAX = 4096 };

void services_say(struct services *services, const char *format, ...)
{
    char text[1200];
    va_list args;
    if (!services->options.say)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    services->options.say(services->options.context, text);
}

void services_wake(struct services *services)
{
    uint64_t one = 1;
    if (write(services->wake, &one, sizeof one) < 0 && errno != EAGAIN)
        services_say(services, "the service agent cannot be woken up");
}

void services_save(struct services *services, const struct service *service)
{
    struct error err = { 0 };
    if (!service_record_write(&service->record, services->records, &err))
        services_say(services, "service %s/%s is not remembered: %s", service->record.namespace, service->record.name,
                     err.message);
}

static struct service *service_find(struct services *services, struct span namespace, struct span name)
{
    for (struct service *service = services->list; service; service = service->next)
        if (!service->deleted && span_is(namespace, service->record.namespace) && span_is(name, service->record.name))
            return service;
    return NULL;
}

static struct service *service_new(void)
{
    struct service *service = calloc(1, sizeof *service);
    if (!service)
        return NULL;
    service->front.watch = (struct watch){ WATCH_FRONT, service };
    service->front.listener = -1;
    snprintf(service->record.address, sizeof service->record.address, "127.0.0.1");
    return service;
}

void service_free(struct service *service)
{
    image_run_free(service->run);
    image_run_free(service->prepared);
    service_record_release(&service->record);
    free(service);
}

/* --- preparing ------------------------------------------------------------------------------------------------------ */

struct preparation {
    struct services *services;
    char namespace[RECORD_NAME_MAX + 1], name[RECORD_NAME_MAX + 1];
    int64_t generation; /* 0: the image that is running already by the record */
    char *image;
};

static void preparation_free(struct preparation *preparation)
{
    if (preparation)
        free(preparation->image);
    free(preparation);
}
AUTO_FREE(struct preparation, preparation_free)

static bool is_stopping(void *context)
{
    return atomic_load(&((struct services *)context)->stopping);
}

/* Under the lock: what came of a preparation reaches the service, unless that wants something else by now. */
static void hand_over(const struct preparation *preparation, struct image_run *run, const struct error *err)
{
    struct services *services = preparation->services;
    struct service *service = service_find(services, span_of(preparation->namespace), span_of(preparation->name));
    bool for_running = preparation->generation == 0;
    if (!service)
        return;
    if (for_running)
        service->preparing_running = false;
    if (for_running && run && !service->run) {
        service->run = image_run_hold(run);
    } else if (for_running && !run) {
        service->prepare_again_ms = clock_monotonic_ms() + PREPARE_AGAIN_MS;
        services_say(services, "service %s/%s waits for its image: %s", preparation->namespace, preparation->name,
                     err->message);
    } else if (!for_running && service->rolling && service->record.generation == preparation->generation) {
        if (run)
            service->prepared = image_run_hold(run);
        else
            rollout_failed(services, service, err->message);
    }
    services_wake(services);
}

/* Everything but the images that a service runs or wants. */
static void set_aside(struct services *services)
{
    const char *digests[DIGESTS_MAX];
    size_t count = 0;
    for (const struct service *service = services->list; service && count + 2 < DIGESTS_MAX; service = service->next) {
        if (service->record.running.digest)
            digests[count++] = service->record.running.digest;
        if (service->record.wanted.digest)
            digests[count++] = service->record.wanted.digest;
    }
    for (const struct instance *instance = services->instances; instance && count < DIGESTS_MAX;
         instance = instance->next)
        digests[count++] = instance->run->digest;
    if (count + 2 < DIGESTS_MAX)
        image_set_aside(&services->shop, digests, count);
}

static void *prepare_main(void *context)
{
    AUTO(preparation_free) struct preparation *preparation = context;
    struct services *services = preparation->services;
    struct error err = { 0 };
    struct image_run *run = image_prepare(&services->shop, preparation->image, &err);
    pthread_mutex_lock(&services->lock);
    hand_over(preparation, run, &err);
    pthread_mutex_unlock(&services->lock);
    if (run)
        image_settle(&services->shop, run);
    pthread_mutex_lock(&services->lock);
    image_run_free(run);
    if (services->preparing == 1 && !is_stopping(services))
        set_aside(services);
    pthread_mutex_unlock(&services->lock);
    image_clear(&services->shop);
    pthread_mutex_lock(&services->lock);
    services->preparing--;
    pthread_cond_broadcast(&services->changed);
    pthread_mutex_unlock(&services->lock);
    return NULL;
}

static bool preparation_start(struct preparation *preparation, struct error *err)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &attributes, prepare_main, preparation);
    pthread_attr_destroy(&attributes);
    return failed == 0 || error_set_errno(err, failed, "start a thread");
}

void services_prepare(struct services *services, struct service *service, bool running)
{
    const struct service_record *record = &service->record;
    struct error err = { 0 };
    AUTO(preparation_free) struct preparation *preparation = calloc(1, sizeof *preparation);
    if (preparation) {
        *preparation = (struct preparation){ .services = services, .generation = running ? 0 : record->generation };
        memcpy(preparation->namespace, record->namespace, sizeof record->namespace);
        memcpy(preparation->name, record->name, sizeof record->name);
        preparation->image = strdup(running ? record->running.image : record->wanted.image);
    }
    bool started = preparation && preparation->image && preparation_start(preparation, &err);
    if (started) {
        preparation = NULL; /* the thread's */
        services->preparing++;
        service->preparing_running |= running;
    } else if (running) {
        service->prepare_again_ms = clock_monotonic_ms() + PREPARE_AGAIN_MS;
    } else {
        rollout_failed(services, service, err.kind != ERROR_NONE ? err.message : "out of memory");
    }
}

/* --- the API ---------------------------------------------------------------------------------------------------------- */

struct query {
    struct services *services;
    const struct request *request;
    struct span namespace, name;
    struct reply *reply;
};

static void reply_error(struct reply *reply, int status, const char *text)
{
    struct error ignored;
    struct json_writer w = json_writer_on(&reply->body);
    bytes_clear(&reply->body);
    json_open_object(&w, NULL);
    json_add_string(&w, "error", text);
    json_close_object(&w);
    json_writer_end(&w, &ignored);
    reply->status = status;
    reply->content_type = "application/json";
}

static void reply_state(struct reply *reply, int status, const struct service *service)
{
    struct error err = { 0 };
    reply->status = status;
    reply->content_type = "application/json";
    if (!service_record_tell(&service->record, &reply->body, &err))
        reply_error(reply, 500, err.message);
}

static bool integer_read(struct span text, int64_t max, int64_t *out)
{
    int64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > max)
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    *out = value;
    return text.len > 0 && value <= max;
}

static int64_t query_number(struct span query, const char *name, int64_t fallback)
{
    size_t len = strlen(name);
    for (struct span part = span_cut(&query, '&'); part.data; part = span_cut(&query, '&')) {
        int64_t value;
        if (span_starts(part, name) && part.len > len && part.data[len] == '=' &&
            integer_read((struct span){ part.data + len + 1, part.len - len - 1 }, INT32_MAX, &value))
            return value;
    }
    return fallback;
}

static void wait_for(struct services *services, int64_t deadline_ms)
{
    struct timespec when = { .tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000 };
    pthread_cond_timedwait(&services->changed, &services->lock, &when);
}

static void api_get(struct query *query)
{
    struct services *services = query->services;
    int64_t generation = query_number(query->request->query, "wait", 0);
    int64_t timeout_ms = query_number(query->request->query, "timeout", WAIT_MAX_MS);
    int64_t deadline_ms = clock_monotonic_ms() + (timeout_ms < WAIT_MAX_MS ? timeout_ms : WAIT_MAX_MS);
    for (;;) {
        const struct service *service = service_find(services, query->namespace, query->name);
        if (!service) {
            reply_error(query->reply, 404, "no such service");
            return;
        }
        bool settled = service->record.generation != generation || service->record.state != SERVICE_STARTING;
        if (generation == 0 || settled || is_stopping(services) || clock_monotonic_ms() >= deadline_ms) {
            reply_state(query->reply, 200, service);
            return;
        }
        wait_for(services, deadline_ms);
    }
}

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool same_program(const struct service_spec *a, const struct service_spec *b)
{
    return same_text(a->digest, b->digest) && same_text(a->service_port, b->service_port) &&
           a->container_port == b->container_port;
}

/* A program that runs already is not started anew because a note on it changed. */
static bool take_over_running(struct service *service, struct error *err)
{
    struct service_record *record = &service->record;
    struct service_spec copy;
    bool serves = service->current && service->current->phase == INSTANCE_READY;
    if (!serves || !same_program(&record->wanted, &record->running))
        return true;
    if (!service_spec_copy(&copy, &record->wanted, err))
        return false;
    service_spec_release(&record->running);
    record->running = copy;
    record->state = SERVICE_RUNNING;
    return true;
}

/* The record as it is wanted to be, on disk before anybody is told. */
static bool put_want(struct services *services, struct service *service, struct service_spec *spec, struct error *err)
{
    struct service_record *record = &service->record;
    struct service_spec before = record->wanted;
    const enum service_state state = record->state;
    record->wanted = *spec;
    record->generation++;
    record->state = SERVICE_STARTING;
    if (!take_over_running(service, err) || !service_record_write(record, services->records, err)) {
        record->wanted = before;
        record->generation--;
        record->state = state;
        return false;
    }
    record->reason[0] = '\0';
    *spec = (struct service_spec){ 0 };
    service_spec_release(&before);
    return true;
}

static struct service *service_add(struct query *query)
{
    struct service *service = service_new();
    if (!service)
        return NULL;
    snprintf(service->record.namespace, sizeof service->record.namespace, "%.*s", SPAN_ARGS(query->namespace));
    snprintf(service->record.name, sizeof service->record.name, "%.*s", SPAN_ARGS(query->name));
    return service;
}

static void roll(struct services *services, struct service *service)
{
    image_run_free(TAKE(service->prepared));
    service->rolling = service->record.state == SERVICE_STARTING;
    if (service->rolling)
        services_prepare(services, service, false);
    pthread_cond_broadcast(&services->changed);
}

static bool read_condition(struct query *query, int64_t *expected)
{
    struct span condition = span_trim(request_header(query->request, "If-Match", NULL));
    if (!condition.data || integer_read(condition, INT64_MAX / 16, expected))
        return true;
    reply_error(query->reply, 400, "If-Match: want a generation");
    return false;
}

static void api_patch(struct query *query)
{
    struct services *services = query->services;
    struct error err = { 0 };
    int64_t expected = 0;
    struct service *service = service_find(services, query->namespace, query->name);
    if (!read_condition(query, &expected))
        return;
    if (!service) {
        reply_error(query->reply, 404, "no such service");
        return;
    }
    struct service_record *record = &service->record;
    if (record->generation != expected) {
        reply_state(query->reply, 409, service);
        return;
    }
    struct span notes = query->request->body;
    /* What runs is of this generation, and stays so: resuming tells by the annotations. */
    bool runs = same_text(record->wanted.annotations, record->running.annotations);
    if (!service_spec_annotate(&record->wanted, notes, &err) ||
        (runs && !service_spec_annotate(&record->running, notes, &err))) {
        reply_error(query->reply, err.kind == ERROR_INTERNAL ? 503 : 400, err.message);
        return;
    }
    if (!service_record_write(record, services->records, &err)) {
        reply_error(query->reply, 503, err.message);
        return;
    }
    reply_state(query->reply, 200, service);
}

static void api_put(struct query *query)
{
    struct services *services = query->services;
    struct error err = { 0 };
    int64_t expected = 0;
    AUTO(service_spec_release) struct service_spec spec = { 0 };
    if (!read_condition(query, &expected))
        return;
    if (!services->isolates) {
        reply_error(query->reply, 501, services->isolates_not.message);
        return;
    }
    if (!service_spec_parse(query->request->body, &spec, &err)) {
        reply_error(query->reply, 400, err.message);
        return;
    }
    struct service *service = service_find(services, query->namespace, query->name);
    if (service ? service->record.generation != expected : expected != 0) {
        if (service)
            reply_state(query->reply, 409, service);
        else
            reply_error(query->reply, 409, "there is no such service");
        return;
    }
    struct service *added = service ? NULL : service_add(query);
    if (!service && !added) {
        reply_error(query->reply, 503, "out of memory");
        return;
    }
    if (!put_want(services, service ? service : added, &spec, &err)) {
        if (added)
            service_free(added);
        reply_error(query->reply, 503, err.message);
        return;
    }
    if (added) {
        added->next = services->list;
        services->list = added;
        service = added;
    }
    roll(services, service);
    reply_state(query->reply, 202, service);
}

static void api_delete(struct query *query)
{
    struct services *services = query->services;
    struct service *service = service_find(services, query->namespace, query->name);
    struct error err = { 0 };
    if (!service) {
        reply_error(query->reply, 404, "no such service");
        return;
    }
    if (!service_record_remove(&service->record, services->records, &err)) {
        reply_error(query->reply, 503, err.message);
        return;
    }
    service->deleted = true;
    services_wake(services);
    pthread_cond_broadcast(&services->changed);
    query->reply->status = 204;
}

static void api_list(struct query *query)
{
    struct error err = { 0 };
    struct json_writer w = json_writer_on(&query->reply->body);
    json_open_object(&w, NULL);
    json_open_array(&w, "services");
    for (const struct service *service = query->services->list; service; service = service->next) {
        AUTO(bytes_release) struct bytes state = BYTES(RECORD_MAX);
        if (!service->deleted && service_record_tell(&service->record, &state, &err))
            json_add_raw(&w, NULL, bytes_span(&state));
    }
    json_close_array(&w);
    json_close_object(&w);
    query->reply->content_type = "application/json";
    if (!json_writer_end(&w, &err))
        reply_error(query->reply, 500, err.message);
}

static const struct {
    const char *method;
    bool named; /* of one service, not of all */
    void (*answer)(struct query *query);
} routes[] = {
    { "GET", true, api_get },       { "PUT", true, api_put },   { "PATCH", true, api_patch },
    { "DELETE", true, api_delete }, { "GET", false, api_list },
};

void services_handle(struct services *services, const struct request *request, struct reply *reply)
{
    struct span path = request->path;
    span_cut(&path, '/');
    struct span head = span_cut(&path, '/');
    struct query query = { .services = services, .request = request, .reply = reply };
    bool named = path.data != NULL;
    query.namespace = span_cut(&path, '/');
    query.name = path;
    if (reply->body.max == 0)
        bytes_init(&reply->body, REPLY_MAX);
    if (!span_is(head, "services") ||
        (named && (!service_name_is_legal(query.namespace) || !service_name_is_legal(query.name)))) {
        reply_error(reply, 404, "want /services or /services/NAMESPACE/NAME, with names of a-z, 0-9 and '-'");
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (routes[i].named != named || !span_is(request->method, routes[i].method))
            continue;
        pthread_mutex_lock(&services->lock);
        routes[i].answer(&query);
        pthread_mutex_unlock(&services->lock);
        return;
    }
    reply_error(reply, 405, "no such method");
    reply->allow = named ? "GET, PUT, PATCH, DELETE" : "GET";
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

static bool lock_directory(struct services *services, struct error *err)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/services.lock", services->state_dir);
    services->directory_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (services->directory_lock < 0)
        return error_set_errno(err, errno, "open '%s'", path);
    if (flock(services->directory_lock, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, ERROR_CONFLICT, "'%s' is in use by another agent", services->state_dir);
    return true;
}

/* Nothing of an earlier agent lives any more: the kernel ended it with that agent. */
static bool make_directories(struct services *services, struct error *err)
{
    snprintf(services->records, sizeof services->records, "%s/services", services->state_dir);
    snprintf(services->instances_dir, sizeof services->instances_dir, "%s/instances", services->state_dir);
    snprintf(services->logs, sizeof services->logs, "%s/logs", services->state_dir);
    return directory_make(services->state_dir, 0700, err) && lock_directory(services, err) &&
           sandbox_remove_tree(services->instances_dir, err) && directory_make(services->instances_dir, 0700, err) &&
           directory_make(services->records, 0700, err) && directory_make(services->logs, 0700, err) &&
           image_make_directories(&services->shop, err);
}

static bool start_keeper(struct services *services, struct error *err)
{
    services->epoll = epoll_create1(EPOLL_CLOEXEC);
    services->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (services->epoll < 0 || services->wake < 0)
        return error_set_errno(err, errno, "make the service agent's descriptors");
    services->wake_watch.kind = WATCH_WAKE;
    services_watch(services, services->wake, &services->wake_watch);
    int failed = pthread_create(&services->keeper, NULL, keeper_main, services);
    services->keeper_runs = failed == 0;
    return failed == 0 || error_set_errno(err, failed, "start a thread");
}

static void init(struct services *services, const struct services_options *options)
{
    pthread_condattr_t monotonic;
    services->options = *options;
    services->directory_lock = services->epoll = services->wake = -1;
    snprintf(services->state_dir, sizeof services->state_dir, "%s", options->state_dir);
    services->isolates = sandbox_probe(true, &services->shop.mode, &services->isolates_not);
    services->shop.state_dir = services->state_dir;
    services->shop.registry = options->registry;
    services->shop.cancelled = is_stopping;
    services->shop.context = services;
    pthread_mutex_init(&services->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&services->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct services *services_new(const struct services_options *options, struct error *err)
{
    AUTO(services_free) struct services *services = NULL;
    if (strlen(options->state_dir) >= sizeof services->state_dir) {
        error_set(err, ERROR_INVALID, "the name of the state directory is too long");
        return NULL;
    }
    services = calloc(1, sizeof *services);
    if (!services) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    init(services, options);
    if (!make_directories(services, err) || !start_keeper(services, err))
        return NULL;
    services_say(services, "%s",
                 services->isolates ? sandbox_mode_text(services->shop.mode) : services->isolates_not.message);
    return TAKE(services);
}

/* Its port is taken at once: who comes before it runs waits instead of being refused. */
static void resume_one(struct services *services, struct service_record *record)
{
    struct error err = { 0 };
    struct service *service = service_new();
    if (!service)
        return;
    service->record = *record;
    *record = (struct service_record){ .generation = 0 };
    record = &service->record;
    service->next = services->list;
    services->list = service;
    if (record->running.image && !front_open(services, service, record->running.service_port, &err))
        services_say(services, "service %s/%s: %s", record->namespace, record->name, err.message);
    bool interrupted =
        record->state == SERVICE_STARTING && !(same_program(&record->wanted, &record->running) &&
                                               same_text(record->wanted.annotations, record->running.annotations));
    if (interrupted)
        roll(services, service);
    else if (record->state == SERVICE_RUNNING)
        record->state = SERVICE_STARTING;
}

void services_resume(struct services *services)
{
    AUTO(closedir) DIR *dir = opendir(services->records);
    pthread_mutex_lock(&services->lock);
    for (struct dirent *entry = dir && services->isolates ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char path[PATH_ROOM + 256];
        struct error err = { 0 };
        AUTO(service_record_release) struct service_record record = { .generation = 0 };
        if (!span_ends(span_of(entry->d_name), ".json"))
            continue;
        snprintf(path, sizeof path, "%s/%s", services->records, entry->d_name);
        if (service_record_read(path, &record, &err))
            resume_one(services, &record);
        else
            services_say(services, "a service is not started again: %s", err.message);
    }
    pthread_mutex_unlock(&services->lock);
    services_wake(services);
}

void services_stop(struct services *services)
{
    if (!services->keeper_runs)
        return;
    pthread_mutex_lock(&services->lock);
    atomic_store(&services->stopping, true);
    pthread_cond_broadcast(&services->changed);
    pthread_mutex_unlock(&services->lock);
    services_wake(services);
    pthread_join(services->keeper, NULL);
    services->keeper_runs = false;
    pthread_mutex_lock(&services->lock);
    while (services->preparing > 0)
        pthread_cond_wait(&services->changed, &services->lock);
    pthread_mutex_unlock(&services->lock);
}

void services_free(struct services *services)
{
    if (!services)
        return;
    services_stop(services);
    while (services->list) {
        struct service *service = services->list;
        services->list = service->next;
        service_free(service);
    }
    int descriptors[] = { services->epoll, services->wake, services->directory_lock };
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    pthread_cond_destroy(&services->changed);
    pthread_mutex_destroy(&services->lock);
    free(services);
}
