/* Where the process runs, found out from its environment: a table of rows, not a program each. */
#ifndef PUSHWRIGHT_RUNTIME_PLATFORM_H
#define PUSHWRIGHT_RUNTIME_PLATFORM_H

#include "shared/base/bytes.h"
#include "shared/base/error.h"

#include "runtime/envelope.h"

enum platform_mode {
    PLATFORM_HTTP,        /* listen on the port that the environment names */
    PLATFORM_EVENT_FILE,  /* one event, in a file of a directory that a variable names */
    PLATFORM_EVENT_VALUE, /* one event, in a variable */
};

struct platform {
    const char *name;
    const char *signals[2]; /* variables that give the platform away, either; none: the last row, any */
    enum platform_mode mode;
    const char *ports[3];            /* variables that name the port, the first that is set counts */
    const char *port;                /* when none is set; NULL: a variable must name a socket, "unix:/path" */
    const struct envelope *envelope; /* NULL: requests and answers are as they are */
    unsigned socket_mode;            /* permissions of the socket's file; 0: the umask's */
    bool is_patient;                 /* one connection that stays open however long nothing comes */
    struct {
        const char *exec, *read,
            *write; /* variables that limit a call, a request's arrival, and what has begun at SIGTERM */
    } limits;
    const char *event; /* variable of the directory or of the event itself */
    struct {
        const char *header; /* tells with a request when the platform gives up on it; NULL: none does */
        int64_t (*left_ms)(struct span value, int64_t wall_ms); /* negative: not understood */
    } deadline;
};

/* $PUSHWRIGHT_PLATFORM names a row; else the first row whose signal is set. NULL with ERROR_INVALID for an unknown name. */
const struct platform *platform_detect(struct error *err);

/* What to listen on: $PUSHWRIGHT_LISTEN, else the port. */
const char *platform_listen(const struct platform *platform);

/* The limits that the environment sets, in milliseconds; 0: none. ERROR_INVALID: not a duration of Go's ("1m30s", or seconds). */
struct platform_limits {
    int64_t exec_ms, read_ms, write_ms;
};
bool platform_limits(const struct platform *platform, struct platform_limits *out, struct error *err);

/* How long the platform waits for the answer to this request; INT64_MAX when it does not tell. Whoever else sends the header can only
 * shorten his own request. */
int64_t platform_allowance_ms(const struct platform *platform, const struct request *request);

/* The event of a one-shot platform, structured. */
bool platform_read_event(const struct platform *platform, struct bytes *out, struct error *err);

/* A GET or HEAD that asks whether the process is well, on any platform: the paths they use, and any path for Kubernetes'
 * own probes. *readiness: the question is whether it takes work. */
bool platform_is_health_check(const struct request *request, bool *readiness);

/* OpenFaaS without its HTTP probe looks for a file in /tmp: made in containers, where the platform says what to listen on, and only when it is
 * not there already. True: it was made, and platform_unmark_ready takes it away again. */
bool platform_mark_ready(void);
void platform_unmark_ready(void);

#endif
