/* Private to the service agent: its parts and how they share the work.
 *
 * services.c            what is asked over HTTP, and preparing images in threads of their own
 * services_keeper.c     one thread that owns every instance and listening socket: the event loop
 * services_instance.c   one sandboxed program from start to end
 * services_rollout.c    which instance serves: replacing, failing, starting again
 * services_front.c      listening sockets, and clients that wait for an instance
 *
 * The keeper is the thread that starts sandboxes, because they die with their starter. One lock guards everything below; the
 * keeper gives it up only while it waits. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_INTERNAL_H
#define PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_INTERNAL_H

#include "runtime/local/services.h"
#include "runtime/local/services_image.h"
#include "runtime/local/services_record.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    WAITING_MAX = 512,        /* clients of one service between two instances; more stay in the kernel's queue */
    WAITING_MS = 10 * 1000,   /* then they are sent away */
    DRAIN_MS = 10 * 1000,     /* for answers in progress of an instance that is being replaced */
    STOP_DRAIN_MS = 1000,     /* the same when the agent stops */
    STOP_GRACE_MS = 5 * 1000, /* from the stop signal to SIGKILL */
    CHECK_PAUSE_MS = 50,      /* between health checks of an instance that is coming up */
    RETRY_MS = 100,           /* between starts of one that keeps dying, doubled up to: */
    RETRY_MAX_MS = 10 * 1000,
    STEADY_MS = 10 * 1000, /* having run that long, it does not keep dying */
    LOG_MAX = 1024 * 1024, /* of a service's output; once over, it becomes the older one of two files */
    TAIL_SIZE = 512,       /* of its output, told as reason */
    PATH_ROOM = 4096,
};

/* What an event of the keeper's epoll is about. */
struct watch {
    enum { WATCH_WAKE, WATCH_FRONT, WATCH_SANDBOX, WATCH_OUTPUT } kind;
    void *owner;
};

struct instance {
    struct instance *next;
    struct service *service; /* NULL: the service is gone */
    struct image_run *run;
    struct sandbox *sandbox;
    struct watch sandbox_watch, output_watch;
    int output, log;
    size_t log_size;
    char tail[TAIL_SIZE];
    size_t tail_len;
    char scratch[PATH_ROOM];
    enum { INSTANCE_STARTING, INSTANCE_READY, INSTANCE_DRAINING, INSTANCE_STOPPING } phase;
    bool ended, listening, said_end;
    unsigned port;
    int64_t started_ms, deadline_ms, check_ms; /* 0: not set */
};

struct front {
    struct watch watch;
    int listener; /* -1: none yet */
    bool watched;
    int64_t again_ms; /* out of descriptors: listen again then */
    struct {
        int fd;
        int64_t until_ms;
    } waiting[WAITING_MAX];
    size_t waiting_count;
};

struct service {
    struct service *next;
    struct service_record record;
    struct front front;
    struct instance *current, *candidate;
    struct image_run *run;      /* of record.running; NULL: not ready to run yet */
    struct image_run *prepared; /* of record.wanted, for the keeper to start */
    bool deleted;               /* the keeper takes it apart: an event about it may be on its way */
    bool rolling;               /* record.wanted is neither running nor failed */
    bool preparing_running;
    unsigned deaths;
    int64_t start_again_ms, prepare_again_ms, asked_ms;
};

struct services {
    struct services_options options;
    char state_dir[PATH_ROOM / 2], records[PATH_ROOM], instances_dir[PATH_ROOM], logs[PATH_ROOM];
    int directory_lock;
    struct image_shop shop;
    bool isolates;
    struct error isolates_not;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* CLOCK_MONOTONIC */
    pthread_t keeper;
    bool keeper_runs;
    atomic_bool stopping;
    int epoll, wake;
    struct watch wake_watch;
    struct service *list;
    struct instance *instances;
    unsigned preparing;
};

__attribute__((format(printf, 2, 3))) void services_say(struct services *services, const char *format, ...);
void services_wake(struct services *services);
void services_watch(struct services *services, int fd, struct watch *watch);
void services_unwatch(struct services *services, int fd);
void services_save(struct services *services, const struct service *service); /* a failure is said */
/* Pull and unpack in a thread, then services.c hands the result over. */
void services_prepare(struct services *services, struct service *service, bool running);
void service_free(struct service *service); /* its instances must have left */

void *keeper_main(void *services);

/* NULL with *err. The instance is in services->instances. */
struct instance *instance_start(struct services *services, struct service *service, struct image_run *run,
                                const struct service_spec *spec, struct error *err);
void instance_drain(struct services *services, struct instance *instance, long grace_ms); /* then stop */
void instance_stop(struct instance *instance);
void instance_handle(struct services *services, struct instance *instance);
void instance_output(struct services *services, struct instance *instance);
void instance_timers(struct services *services, struct instance *instance, int64_t now_ms);
void instances_reap(struct services *services); /* free those that have ended */
/* "why; it said: ..." */
void instance_reason(const struct instance *instance, const char *why, char *out, size_t size);

void rollout_ready(struct services *services, struct instance *instance);
void rollout_ended(struct services *services, struct instance *instance, const char *why);
void rollout_failed(struct services *services, struct service *service, const char *reason);
void rollout_tend(struct services *services, struct service *service, int64_t now_ms);
void rollout_leave(struct services *services, struct service *service, long grace_ms); /* everything of it */

bool front_open(struct services *services, struct service *service, const char *wanted, struct error *err);
void front_close(struct services *services, struct service *service);
void front_accept(struct services *services, struct service *service);
void front_offer(struct services *services, struct service *service, int fd); /* takes the client */
void front_tend(struct services *services, struct service *service, int64_t now_ms);

#endif
