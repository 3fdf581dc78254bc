/* The server's inside: who owns what, between the thread of server_run and the workers.
 *
 * Handing a request from one thread to another costs more than reading it, so it is avoided: idle workers wait for the
 * connections themselves (one epoll set, EPOLLONESHOT, one waiter woken an event), and the one that is woken reads the
 * request, runs the handler and writes the answer. The thread of server_run accepts and watches the time. Only while
 * every worker is inside a handler does it watch the connections too: health is answered, requests are read and
 * queued, and a worker that comes back takes from the queue first.
 *
 * With options.begin it is the other way round: handlers do not wait for anything, so the thread of server_run reads, handles and answers by
 * itself, and workers only take what it hands over (work_fd).
 *
 * A connection is touched by the thread that has claimed it, under the lock, by an event or because its time is up;
 * releasing it arms its descriptor again. Claimed or not it stands in exactly one list, the one of its state, oldest
 * first; since every state has one time limit, the head of a list is the first to run out. Everything marked [lock] is
 * read and written under server->lock. */
#ifndef PUSHWRIGHT_RUNTIME_SERVER_INTERNAL_H
#define PUSHWRIGHT_RUNTIME_SERVER_INTERNAL_H

#include "runtime/server_message.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

enum connection_state {
    CONNECTION_IDLE,    /* between requests, or new */
    CONNECTION_HEAD,    /* the first byte of a request has come */
    CONNECTION_BODY,    /* its headers have come */
    CONNECTION_STARVED, /* its body waits for memory; not armed */
    CONNECTION_QUEUED,  /* complete, waits for a worker; claimed for it */
    CONNECTION_RUNNING, /* in the handler */
    CONNECTION_PARKED,  /* begun, its answer comes later */
    CONNECTION_WRITING, /* the peer does not take the answer as fast as it is given */
    CONNECTION_LINGER,  /* answered and half closed: what still comes is dropped, lest a reset overtake the answer */
    CONNECTION_STATES
};

enum {
    SERVER_SCRATCH = 16 * 1024, /* one read of a head and what follows it */
    SERVER_STACK = 1024 * 1024, /* of a worker; only what is used takes memory */
    SERVER_HEAD_ROOM = 512,     /* the part of an answer's head that the server writes */
    SERVER_READS_A_TURN = 16,   /* then the other connections have their turn */
    LINGER_MS = 2000,
    LINGER_DRAIN_MS = 250,     /* while stopping */
    FRESH_DRAIN_MS = 250,      /* for the first request of a connection that was made just before the stop */
    BODY_GRACE_MS = 10 * 1000, /* then a body must have come with at least: */
    BODY_BYTES_PER_SECOND = 1024,
    ACCEPT_PAUSE_MS = 100, /* when the system has no descriptor left */
    /* While others wait for memory, a body must bring so much in so long. */
    WAITED_FOR_MS = 2000,
    WAITED_FOR_BYTES = 1024 * 1024,
    SMALL_BODY = 256 * 1024,
    SMALL_BODIES_SHARE = 8, /* one in so many of the memory */
    HEAD_USUAL = 4 * 1024,  /* not counted */
    SLOTS_BESIDE = 2,       /* a new connection stands beside the one that makes room for it */
};

/* A request in progress and its answer; idle connections have none. */
struct exchange {
    struct message message;
    struct reply reply;
    char head[SERVER_HEAD_ROOM]; /* status line and the fields of the server */
    size_t head_len, sent;
    int64_t begun_us;
    size_t charged; /* [lock] what its body and an unusual head hold */
    size_t marked;  /* length of the body at marked_ms, moved on with every WAITED_FOR_BYTES */
    int64_t marked_ms;
    void *work; /* handed over to a worker; NULL: the request itself */
    bool close_after;
};

struct connection {
    struct connection *next, *previous; /* [lock] */
    enum connection_state state;        /* [lock] */
    int64_t since_ms;                   /* [lock] when it came into this state */
    bool claimed;                       /* [lock] some thread has it */
    bool asked;                         /* [lock] while draining: has been looked at once more */
    uint32_t slot;
    int fd;
    bool registered; /* with epoll */
    bool served;     /* has had an answer */
    struct exchange *exchange;
    char *pending; /* what came behind the request that is being served */
    size_t pending_len;
    struct connection *next_answered;
};

struct connection_list {
    struct connection *first, *last;
};

/* What events name, instead of a pointer: an event that was on its way when its connection was closed finds another
 * generation. */
struct slot {
    struct connection *connection; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};
/* And what no slot stands for. */
enum {
    SLOT_WATCH = 0x80000000u, /* and the number of the watch */
    SLOT_CONNECTIONS = UINT32_MAX - 3,
    SLOT_LISTENER,
    SLOT_WAKE,
    SLOT_NONE,
};

/* A descriptor of others. */
struct watch {
    int fd; /* -1: free */
    uint32_t generation;
    void (*ready)(void *context);
    void *context;
};

struct spare {
    char *data;
    size_t capacity;
};
enum { SERVER_SPARES = 8, SERVER_SPARE_EXCHANGES = 16 };

struct server {
    struct server_options options;
    pthread_mutex_t lock;
    struct connection_list lists[CONNECTION_STATES]; /* [lock] */
    struct slot *slots;                              /* [lock] connections_max + SLOTS_BESIDE */
    uint32_t slots_used, first_free;                 /* [lock] */
    unsigned connections;                            /* [lock] open ones */
    size_t memory_used;                              /* [lock] what all hold but the privileged one */
    struct connection *privileged; /* [lock] for it body_max is kept free, so that at least one body gets on */
    struct exchange *spare_exchanges[SERVER_SPARE_EXCHANGES]; /* [lock] */
    unsigned spare_exchange_count;                            /* [lock] */
    struct spare spares[SERVER_SPARES];                       /* [lock] */
    unsigned spare_count;                                     /* [lock] */
    int64_t spare_since_ms;                                   /* [lock] when one was given back last */
    pthread_t *workers;
    unsigned workers_started, workers_idle; /* [lock] */
    unsigned queued;                        /* [lock] length of the list QUEUED */
    bool covering;                          /* [lock] the thread of server_run watches the connections */
    bool quit;                              /* [lock] workers end */
    bool draining;                          /* [lock] */
    atomic_bool stopping;
    int epoll_fd; /* the connections */
    int work_fd;  /* what idle workers wait for: kick_fd and the connections; with options.begin only kick_fd */
    int kick_fd;  /* wakes one idle worker for the queue; edge-triggered, never read */
    int loop_fd;  /* what server_run waits for: the listener, wake_fd, and while covering epoll_fd; or all in one */
    int wake_fd;
    int listen_fd;
    bool listening;          /* the listener is registered */
    int64_t accept_again_ms; /* 0: not paused */
    int64_t look_ms;         /* [lock] when time limits are looked at next */
    int64_t alarm_ms;        /* of options.alarm */
    struct watch watches[SERVER_WATCHES_MAX];
    struct connection *answered, **answered_end; /* rendered, written before the next wait */
    int64_t slow_check_ms;                       /* when bodies are looked at for their speed next */
    unsigned port;
    char *unix_path, *unix_hidden; /* the socket's file, and what it is called until server_show() */
    char *scratch;                 /* of the thread of server_run */
};

/* The thread that is at work: its scratch buffer, and whether it may run a handler. */
struct hands {
    char *scratch;
    bool works;
};

#define SERVER_CROWDED "too many large requests at once"

/* server_listen.c: bind as options.listen says; fills listen_fd, port and unix_path. */
bool server_bind(struct server *server, struct error *err);
bool server_show(struct server *server); /* once it listens: the socket's file gets its name; errno tells why not */

/* server_worker.c */
bool server_enqueue(struct server *server, struct connection *connection); /* false: no thread can be had */
void server_join_workers(struct server *server);
void server_wake(int fd); /* async-signal-safe */

/* server_spare.c: exchanges and bodies, new or used. */
struct exchange *exchange_new(struct server *server); /* NULL when memory is out */
void exchange_end(struct server *server, struct exchange *exchange);
void exchange_free(struct exchange *exchange);
void spare_use(struct server *server, struct bytes *body,
               size_t size); /* room for more than `size`, if there is a spare */
void spare_give(struct server *server,
                struct bytes *body); /* small ones stay where they are, and with what they hold */
int64_t spare_expiry_locked(const struct server *server);
void spare_drop(struct server *server);

/* server_reply.c */
void exchange_refuse(struct exchange *exchange, int status, const char *reason);
void exchange_render(struct exchange *exchange);
enum sent { SENT_ALL, SENT_PART, SENT_FAILED };
enum sent exchange_send(struct exchange *exchange, int fd);
bool reply_headers_are_safe(struct span lines);

/* server_connection.c: [lock] is taken inside, unless the name says so. The connection is claimed by the caller; each
 * of these releases or closes it. */
void connection_move_locked(struct server *server, struct connection *connection, enum connection_state state);
bool connection_add(struct server *server, int fd); /* takes the descriptor */
/* Above how much used memory a body of that size waits, the privileged one's apart. */
size_t server_memory_for(const struct server *server, uint64_t size);
struct connection *connection_claim(struct server *server, uint64_t event);
void connection_react(struct server *server, struct connection *connection, const struct hands *hands);
void connection_read(struct server *server, struct connection *connection, const struct hands *hands);
void connection_respond(struct server *server, struct connection *connection);
void connection_flush(struct server *server); /* the answers that were put off */
void connection_refuse(struct server *server, struct connection *connection, int status, const char *reason);
void connection_close(struct server *server, struct connection *connection);

/* server.c: how long a connection may be in a state; INT64_MAX: as long as it takes. */
int64_t server_limit_ms(const struct server *server, enum connection_state state);

/* server_watch.c */
void server_react_to_watch(struct server *server, uint64_t event);

/* Is a body of which `received` bytes came in `age_ms` slower than is allowed? */
static inline bool body_is_too_slow(size_t received, int64_t age_ms)
{
    return age_ms >= BODY_GRACE_MS && (int64_t)received < age_ms * BODY_BYTES_PER_SECOND / 1000;
}

static inline void server_lock(struct server *server)
{
    pthread_mutex_lock(&server->lock);
}

static inline void server_unlock(struct server *server)
{
    pthread_mutex_unlock(&server->lock);
}

#endif
