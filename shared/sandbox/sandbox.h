/* Runs a program from the layers of an image, in namespaces of its own (mounts, processes, IPC, host name, network), with
 * what Docker leaves a container by default: its capability set, a seccomp filter, no new privileges, no file descriptor
 * and no environment variable of ours.
 *
 * Three modes, told apart once by sandbox_probe(): as root; as a root that may not mount, such as a container's, in a user namespace
 * with the same ids (an ordinary user with subordinate ids becomes such a root); and as an ordinary user in a user namespace in which that one user is mapped and changes of identity are answered
 * with success without effect, so that images which start as root and hand on to a service user run unchanged; of a step of a build it is
 * noted who its processes have become and whom they give files to, and shown to it. Needs Linux 5.12.
 *
 * Inside, a small supervisor of ours is the init of an outer process namespace, and the program is process 1 of an inner
 * one, as it would be in a container elsewhere. When the thread that started the sandbox ends, or its process is killed, the
 * kernel kills the supervisor and with it everything inside; mounts live in the sandbox's mount namespace only.
 *
 * The network namespace has a loopback interface and nothing else. Connections reach the program through
 * sandbox_connect(): the caller's accepted sockets are handed in, and the supervisor carries their bytes to the program's
 * port. */
#ifndef PUSHWRIGHT_SANDBOX_SANDBOX_H
#define PUSHWRIGHT_SANDBOX_SANDBOX_H

#include "shared/base/auto.h"
#include "shared/base/error.h"
#include "shared/sandbox/owners.h"

#include <stdint.h>
#include <sys/types.h>

enum sandbox_mode {
    SANDBOX_AS_ROOT, /* no user namespace */
    SANDBOX_WITH_IDS, /* a user namespace with the ids of ours: root of a container that may not mount, or of a user namespace */
    SANDBOX_AS_USER,   /* one in which only our user is mapped */
    SANDBOX_IN_CHROOT, /* no namespaces, for commands that are trusted: see sandbox_probe_chroot() */
};

enum { SANDBOX_LOWERS_MAX = 128, SANDBOX_TEXT_MAX = 400 };

/* An ordinary user for whom /etc/subuid and /etc/subgid set ids aside, and newuidmap and newgidmap are there to map them: the process enters a
 * user namespace in which it is root and those ids are the others, and sandbox_probe() then finds SANDBOX_WITH_IDS. Every other ordinary user
 * enters one in which he is who he was, and may read his files whatever their modes are. For root nothing happens. Before the first thread is started: the kernel moves no process that has several. On an error all is as it was. */
bool sandbox_take_subordinate_ids(struct error *err);

/* What this machine allows, found by trying; with a network of its own if programs will have one, which takes longest to be made.
 * ERROR_UNSUPPORTED names what is missing and what would help. */
bool sandbox_probe(bool own_network, enum sandbox_mode *mode, struct error *err);
/* Where that fails: may SANDBOX_IN_CHROOT be had, which is never chosen by itself? It takes root with a container's usual capabilities, and runs
 * steps on a `whole` only. Kept from the command are our files, descriptors and variables, and our memory (no ptrace); not kept are
 * the network, the other processes' ids, and System V and abstract objects. Instead of mounts things are moved into the root directory and
 * out again: secrets lie on the disk meanwhile, read-only is not enforced, there is no /proc and no /sys, and set-user-id programs gain nothing. */
bool sandbox_probe_chroot(struct error *err);
const char *sandbox_mode_text(enum sandbox_mode mode); /* one sentence for people */

/* Are files given to the users of an image? */
static inline bool sandbox_has_ids(enum sandbox_mode mode)
{
    return mode != SANDBOX_AS_USER;
}

/* What overlayfs calls its mark on a directory that hides those below. */
static inline const char *sandbox_opaque_attribute(enum sandbox_mode mode)
{
    return mode == SANDBOX_AS_ROOT ? "trusted.overlay.opaque" : "user.overlay.opaque";
}

/* What overlayfs puts, in a user namespace, on files and directories that it has copied up, and on no others; a file with several names has it
 * not. */
#define SANDBOX_COPIED_ATTRIBUTE "user.overlay.origin"

/* Something laid into the root directory of a build's step. */
struct sandbox_mount {
    const char *target; /* path inside, links followed there; made when it is missing: a directory, or an empty file */
    const char *source; /* directory, file or socket outside; NULL: content, or a file system in memory */
    const char *const *lowers; /* layers as below, for this mount alone; `source` is a path in them, by no link */
    size_t lower_count;
    const char *writes; /* an empty directory that takes what is written; NULL: goes to the directory `source` */
    bool read_only;
    int64_t size;        /* of memory, bytes at most; 0: half of the machine's */
    const char *content; /* of a file that never lies on a disk, such as a secret; NULL: none */
    size_t content_len;
    unsigned uid, gid, mode; /* of that file; the ids of a source as well, where owners are noted */
};

/* A command that builds an image, instead of a service: what it changes is wanted. As root it has what BuildKit leaves it: the whole of
 * Docker's default capability set, and set-user-id programs work; devices that it makes cannot be opened. */
struct sandbox_step {
    bool network;                       /* the machine's; else loopback only */
    const struct sandbox_mount *mounts; /* in this order */
    size_t mount_count;
    const struct sandbox_owners *owners; /* of SANDBOX_AS_USER; NULL: they are not noted */
};

/* Owners where there is one user: system calls that give files away, or ask whose they are, are answered by the supervisor. */
struct sandbox_owners {
    struct owners *notes;   /* of files in the upper directory; what is there and not noted is `own`, or as below */
    struct owner own;       /* who runs the command */
    const uint32_t *groups; /* of his, ascending */
    size_t group_count;
    /* Whose the file of the layers is, by its path from the root ("etc/shadow"); false: there is none, or none of that type (S_IFMT).
     * marked: what is there now is that file or its copy; otherwise it is only if that one had several names. NULL: all that is not `own` is
     * noted. Called in another process, which has a copy of this one's memory and may not allocate. */
    bool (*below)(void *context, const char *path, mode_t type, bool marked, struct owner *out);
    void *context;
};

/* For everything inside together, where there are control groups; 0: none. Else the memory is that of each process. */
struct sandbox_limits {
    int64_t memory; /* bytes, 1 MiB at least */
    unsigned pids;  /* processes and threads */
};

/* Carries connections to the program; a program that only runs steps need not link it. */
struct sandbox_carrier;
extern const struct sandbox_carrier sandbox_connections;

enum { SANDBOX_GROUPS_MAX = 3072 };

/* The directory in which control groups with these limits can be made: found by trying, what killed builders have left in it is removed, and
 * this process may be moved into another group for it. False: it says why there is none. */
bool sandbox_find_groups(const struct sandbox_limits *limits, char groups[static SANDBOX_GROUPS_MAX],
                         struct error *err);

/* Everything is borrowed for the call, strings as well. */
struct sandbox_spec {
    enum sandbox_mode mode;
    const char *const *lowers; /* layer directories, the image's first one first; whiteouts as overlayfs has them */
    size_t lower_count;
    const char
        *whole; /* instead of layers: one directory with everything, which a step changes in place; NULL: layers */
    const char *scratch;     /* an empty directory for what is written ("upper" in it, of a step always); removed with
                            sandbox_remove_tree() by the caller */
    const char *const *argv; /* argv[0] without '/' is looked up in PATH inside */
    size_t arg_count;
    const char *const *env; /* "NAME=value"; PATH, HOME and for a service HOSTNAME are added where missing */
    size_t env_count;
    const char *cwd;  /* NULL or "": "/"; made when missing */
    const char *user; /* name or uid, with :group or :gid; looked up inside; NULL or "": root */
    const char *hostname;
    int output;                                /* receives standard output and error */
    const struct sandbox_carrier *connections; /* &sandbox_connections; NULL: there are none */
    unsigned port;                             /* where the program is going to listen inside; 0: it does not */
    int stop_signal;                           /* 0: SIGTERM */
    const char *const *check;                  /* a command that tells by exit status 0 that the program is well */
    size_t check_count;                        /* 0: none */
    long check_timeout_ms;                     /* 0: 30 s */
    const struct sandbox_step *step;           /* NULL: a service */
    struct sandbox_limits limits;
    const char *groups; /* where its control group is made; NULL: nowhere */
};

struct sandbox; /* one thread: the one that started it */

/* Returns as soon as the supervisor exists; how it goes on is told by events. ERROR_INTERNAL: the kernel refused. */
struct sandbox *sandbox_start(const struct sandbox_spec *spec, struct error *err);

/* Kills what is left, at once, and waits until the kernel has ended it. */
void sandbox_free(struct sandbox *sandbox);
AUTO_FREE(struct sandbox, sandbox_free)

enum sandbox_event_kind {
    SANDBOX_NOTHING,   /* no event yet */
    SANDBOX_STARTED,   /* the program runs; text: why owners are not noted though they should be, or "" */
    SANDBOX_FAILED,    /* it could not be started; text says why. SANDBOX_ENDED follows */
    SANDBOX_LISTENING, /* its port accepts connections */
    SANDBOX_CHECKED,   /* the check has ended, status as waitpid() says; -1: it took too long */
    SANDBOX_RETURNED,  /* a connection of which the program has seen nothing; fd is the caller's now */
    SANDBOX_DRAINED,   /* after sandbox_drain(): no connection is left */
    SANDBOX_EXITED,    /* the program has ended, status as waitpid() says */
    SANDBOX_ENDED,     /* nothing more will come */
};

struct sandbox_event {
    enum sandbox_event_kind kind;
    int status;
    int fd;
    char text[SANDBOX_TEXT_MAX];
};

/* Which of its limits was reached, as a sentence; NULL: none. */
const char *sandbox_reached(const struct sandbox *sandbox);

int sandbox_fd(const struct sandbox *sandbox);                           /* readable: sandbox_next() has something */
void sandbox_next(struct sandbox *sandbox, struct sandbox_event *event); /* never blocks */

/* Hand a connected stream socket in; on success the caller's copy is closed. False with errno set (EAGAIN: later; EPIPE:
 * it has ended), the socket is still the caller's. */
bool sandbox_connect(struct sandbox *sandbox, int fd);

/* Each asks; the answer is an event. Asking a sandbox that has ended is harmless. */
void sandbox_check(struct sandbox *sandbox);
void sandbox_drain(struct sandbox *sandbox,
                   long grace_ms); /* resting connections are returned when the peer speaks again */
void sandbox_stop(struct sandbox *sandbox, long grace_ms); /* the stop signal, then SIGKILL */

/* "exited with status 3", "killed by signal 9 (Killed)". */
void sandbox_status_text(int status, char *out, size_t size);

/* Remove a directory that a sandbox or an unpacked layer left behind, whatever modes it has, never following a link. A
 * missing one is fine. */
bool sandbox_remove_tree(const char *path, struct error *err);

#endif
