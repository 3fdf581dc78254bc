/* What the parts that run inside share: between clone and exec nothing may allocate, because the process that was cloned has
 * other threads, which may have held the allocator's lock. */
#ifndef PUSHWRIGHT_SANDBOX_INSIDE_H
#define PUSHWRIGHT_SANDBOX_INSIDE_H

#include "shared/base/error.h"
#include "shared/base/span.h"
#include "shared/sandbox/sandbox.h"

#include <stddef.h>
#include <stdint.h>

/* Messages over the channel, a sequenced-packet socket. Events have the numbers of sandbox_event_kind. */
enum order { ORDER_GO = 100, ORDER_CONNECT, ORDER_CHECK, ORDER_DRAIN, ORDER_STOP };
/* What a child says to its supervisor before exec closes the socket. */
enum { MESSAGE_LISTENER = 200, MESSAGE_FAILED };

struct message {
    uint32_t kind;
    int32_t value;
    char text[SANDBOX_TEXT_MAX];
};

/* The whole message or nothing, never blocking; fd -1: none goes along. False with errno. */
bool message_send(int channel, const struct message *message, int fd);
/* 1: one was read, *fd is -1 or a descriptor that came along; 0: the other side is gone; -1: errno. flags as for recvmsg. */
int message_receive(int channel, struct message *message, int *fd, int flags);

enum { STEP_MOUNTS_MAX = 256 };

/* What was made ready before the clone. */
struct plan {
    const struct sandbox_spec *spec;
    const char **argv;  /* NULL-terminated */
    const char **check; /* NULL-terminated */
    const char **env;   /* env_count entries, then room for four more */
    size_t env_count;
};

/* The supervisor; never returns. */
_Noreturn void monitor_main(const struct plan *plan, int channel);

/* Stack the layers, make them the root, lay out /dev and /sys. What a step is given is open from ROOT_GIVEN on. The machine's own root
 * still lies upon this one: "/" is the image's, but a ".." too many leads out. */
enum { ROOT_GIVEN = 512 };
bool root_enter(const struct plan *plan, struct error *err);
/* Let go of the machine's own root, opened as `machine` before root_enter(); nothing of it can be reached any more: from here on links
 * lead nowhere else. */
bool root_forget_machine(int machine, struct error *err);
/* Only then: mount what a step is given, at places that commands may have made links of. */
bool root_give(const struct plan *plan, struct error *err);
/* Without namespaces: the root directory by chroot, with what it is given laid into it. NULL: failed. */
struct alone;
struct alone *alone_enter(const struct plan *plan, int machine, struct error *err);
/* End every process that came of ours, and take what was laid in out again. */
void alone_leave(const struct alone *alone);
/* /proc, by a process of the inner process namespace. */
bool root_mount_proc(struct error *err);
/* /etc/hosts, hostname, resolv.conf */
bool root_write_names(const char *hostname, struct error *err);
bool root_make_directory(const char *path, struct error *err);

/* Become the image's user with its limits, then exec; returns only on failure. With `watched`, what is noted of owners goes through the
 * supervisor: MESSAGE_LISTENER goes to `report`, with its descriptor or with why there is none. */
void program_run(const struct plan *plan, const char *const *argv, int output, bool watched, int report,
                 struct error *err);
/* The first process: lays out what only it can, then as above. */
void program_first(const struct plan *plan, int machine, int output, bool watched, int report, struct error *err);

/* Every signal unblocked and with its default effect: handlers of the process we were cloned from mean nothing here. */
void signals_reset(void);

struct relays; /* connections being carried; see relay.c */
struct source {
    enum { SOURCE_CHANNEL, SOURCE_PROGRAM, SOURCE_CHILDREN, SOURCE_CLIENT, SOURCE_SERVER, SOURCE_CALLS } kind;
};
struct sandbox_carrier {
    struct relays *(*new)(int epoll, unsigned port);
    /* Takes the client's socket. False: no memory; it is closed. */
    bool (*add)(struct relays *relays, int client);
    void (*handle)(struct relays *relays, struct source *source);
    void (*drain)(struct relays *relays);
    size_t (*count)(const struct relays *relays);
    /* After each round: frees what has ended, tries again what was refused. Milliseconds until it wants to be called again, -1: no need. */
    int (*tend)(struct relays *relays, int64_t now_ms);
    /* A client that the program has seen nothing of (or, draining, one that begins a new exchange); -1: none. The caller owns it. */
    int (*take_returned)(struct relays *relays);
    /* The program is gone: untouched clients are returned, the others closed. */
    void (*abandon)(struct relays *relays);
    /* A connection attempt to the program's port: 1 accepted, 0 not yet. */
    int (*probe)(unsigned port);
};

#endif
