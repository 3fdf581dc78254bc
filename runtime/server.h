/* HTTP/1.1 server: llhttp for framing, epoll for the sockets, handlers in worker threads.
 *
 * Strict where leniency is dangerous (smuggling shapes, two Hosts, bare LF ... are 400 and closed), bounded in every
 * dimension, and quiet about connections that come and go (probes). Source: RFC 9110, RFC 9112. */
#ifndef PUSHWRIGHT_RUNTIME_SERVER_H
#define PUSHWRIGHT_RUNTIME_SERVER_H

#include "runtime/function.h"

struct server;
struct parked; /* a request that is answered later */

/* What became of a request in options.begin. */
enum begun {
    BEGUN_NOT,  /* nothing: a worker is to handle it */
    BEGUN_DONE, /* *reply is the answer */
    BEGUN_WAITS, /* server_answer() or server_hand_over() is called for it, now or later; what was given stays valid until then */
};

struct server_options {
    const char *listen;   /* "8080" (every address, dual stack), "127.0.0.1:0", "[::1]:0", "unix:/path" */
    unsigned socket_mode; /* permissions of a socket's file; 0: as the umask leaves them */
    unsigned workers;     /* threads that run handlers; 0: 4 */
    /* 0: 10000; above it the longest idle one is closed. The process's limit on descriptors is raised as far as it may
     * be; where that does not suffice, they are fewer. */
    unsigned connections_max;
    size_t body_max; /* 0: EVENT_MAX; over it 413 and close */
    /* All bodies together; 0: 4 * body_max; at least body_max, which is kept free so that one can always come whole. When
     * it is used up reading waits, and who has been sending for long makes room: 503. A share is for small bodies. */
    size_t memory_max;
    long header_timeout_ms; /* first byte of a request to its blank line; 0: 10 s -> 408 */
    long body_timeout_ms;   /* blank line to last byte; 0: 60 s -> 408, as a body slower than 1 KB/s after 10 s */
    long idle_timeout_ms;   /* keep-alive; 0: 620 s */
    long drain_timeout_ms;  /* after server_stop: 0: 30 s */

    /* In a worker thread, for every request that the server itself does not answer. Fills *reply, whose buffers come
     * with their ceilings set and are released by the server. */
    void (*handle)(void *context, const struct request *request, struct reply *reply);
    void *context;
    /* For handlers that never wait: asked first, in the thread of server_run, which reads the requests then. NULL:
     * workers read and handle everything. */
    enum begun (*begin)(void *context, const struct request *request, struct reply *reply, struct parked *parked);
    /* In a worker thread: what server_hand_over() was given. */
    void (*resume)(void *context, void *work, struct reply *reply);
    /* In the thread of server_run, each time before it waits. */
    void (*flush)(void *context);
    /* In the thread of server_run, once the time that server_set_alarm() named has come. */
    void (*alarm)(void *context, int64_t now_ms);
    /* In any of the server's threads, must not block: a request that is answered at once, however busy the workers are
     * (health, metrics); false: it goes to a worker. */
    bool (*answer)(void *context, const struct request *request, struct reply *reply);
    /* One call for each finished exchange (metrics, access log), from either kind of thread; NULL: none. status 0: the
     * peer went away. The duration is from the last header field to the last byte of the answer. The request of one
     * that the server refused (400, 408, 431 ...) may have no method and no path. */
    void (*finished)(void *context, const struct request *request, int status, int64_t duration_us);
    /* Once, in server_run: connections are taken from now on. NULL: none. */
    void (*ready)(void *context);
};

/* Request line 8 KiB, headers 32 KiB and 100 fields. */
enum { SERVER_LINE_MAX = 8 * 1024, SERVER_HEADERS_MAX = 32 * 1024, SERVER_FIELDS_MAX = 100 };

/* Largest body of an answer. */
enum { SERVER_REPLY_MAX = 16 * 1024 * 1024 };

/* Binds, but takes no connection before server_run. */
struct server *server_new(const struct server_options *options, struct error *err);
void server_free(struct server *server);
AUTO_FREE(struct server, server_free)

unsigned server_port(const struct server *server);

/* For what options.begin has begun, and in the thread of server_run only: answer with the reply it filled, or let a worker
 * go on with `work`. */
void server_answer(struct server *server, struct parked *parked);
void server_hand_over(struct server *server, struct parked *parked, void *work);
/* Within options.begin, of a request that is answered later: its body is needed no more, and its memory is there for others. */
void server_forget_body(struct server *server, struct parked *parked);

/* Descriptors of others that are watched together with the connections, in the thread of server_run only. `ready` is called when there
 * is something to read, the end included, or to write when that is asked for. -1: no room. */
enum { SERVER_WATCHES_MAX = 64 };
int server_watch(struct server *server, int fd, void (*ready)(void *context), void *context);
bool server_watch_writing(struct server *server, int watch, bool too);
void server_unwatch(struct server *server, int watch); /* before the descriptor is closed */

/* Monotonic; the earliest of several counts, and each alarm is one. */
void server_set_alarm(struct server *server, int64_t at_ms);

/* Serve until server_stop: then stop accepting, finish what has begun (Connection: close), close idle connections,
 * return. A request whose first byte has arrived is served. False with ERROR_BUSY when handlers are still running at
 * the end of drain_timeout_ms: end the process then; server_free would wait for them. */
bool server_run(struct server *server, struct error *err);

/* From any thread or signal handler, any number of times. */
void server_stop(struct server *server);
bool server_stopping(const struct server *server);

#endif
