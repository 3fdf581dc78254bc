/* A system call that waits for the supervisor (watch.h): what the process asks for, and what it is told. No allocation. */
#ifndef PUSHWRIGHT_SANDBOX_REQUEST_H
#define PUSHWRIGHT_SANDBOX_REQUEST_H

#include "shared/sandbox/kernel.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { NO_ARGUMENT = -1 };

/* Which arguments say what file is meant. */
struct place {
    int8_t directory; /* a descriptor; NO_ARGUMENT: the working directory */
    int8_t path;      /* NO_ARGUMENT: the descriptor itself */
    int8_t flags;     /* AT_...; NO_ARGUMENT: `always` alone */
    uint16_t always;
};

/* What a call is answered with: its value, -errno, or that the kernel is to go on with it. */
enum { REQUEST_PASS = INT_MIN };

struct request {
    int listener;
    const struct seccomp_notice *notice;
    const struct call *call;
};

static inline uint64_t request_argument(const struct request *request, int number)
{
    return request->notice->args[number];
}

/* Is it still the process that has called? Its number may be another one's by now. */
bool request_is_valid(const struct request *request);

/* "" where the argument is no string and need not be one: AT_EMPTY_PATH. False with errno. */
bool request_path(const struct request *request, const struct place *place, char out[static PATH_MAX]);
/* 0, or -errno: an answer. */
long request_write(const struct request *request, uint64_t address, const void *data, size_t len);

/* Where requests look from; the working directory has to be `processes`, a file system of the processes. */
struct request_roots {
    int root, processes;
    bool numbers_differ; /* it has other numbers than the supervisor */
    bool chroots;        /* a process may have another root directory */
};
extern struct request_roots request_roots;

/* O_PATH, or -1 with errno: the file of that path, found where the process would find it: from its root directory, its working directory
 * or its descriptor. Links of /proc are not followed (ELOOP): they lead to where the one leads who follows them. */
int request_open_path(const struct request *request, const struct place *place, const char *path);
int request_open(const struct request *request, const struct place *place);

/* What becomes of the modes of its new files; 022 when it cannot be told. */
unsigned request_umask(const struct request *request);

#endif
