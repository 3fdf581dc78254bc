/* A path of the program, run again and again with one more allocation that succeeds: whatever is missing, it ends in order and says so. For
 * programs named *_memory_test, which are linked with malloc, calloc and realloc taken over. */
#ifndef PUSHWRIGHT_TESTS_FAILING_H
#define PUSHWRIGHT_TESTS_FAILING_H

#include "shared/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ALLOCATIONS_MAX = 100 * 1000 };

static struct {
    size_t wanted, seen; /* the one that fails; 0: none */
    bool all;            /* and every one after it */
} failing;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool fails(void)
{
    if (!failing.wanted)
        return false;
    failing.seen++;
    return failing.all ? failing.seen >= failing.wanted : failing.seen == failing.wanted;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

/* `path` frees what it takes, and is true when it has come to its end. */
static void run_without_memory(const char *name, bool (*path)(struct error *err))
{
    for (int all = 0; all < 2; all++)
        for (size_t wanted = 1; wanted < ALLOCATIONS_MAX; wanted++) {
            struct error err = { 0 };
            failing.seen = 0;
            failing.all = all;
            failing.wanted = wanted;
            bool done = path(&err);
            failing.wanted = 0;
            if (failing.seen < wanted) {
                if (!done)
                    fail_msg("%s fails with all its memory: %s", name, err.message);
                break;
            }
            if (!done && (err.kind != ERROR_INTERNAL || !strstr(err.message, "out of memory")))
                fail_msg("%s, allocation %zu: kind %d, '%s'", name, wanted, (int)err.kind, err.message);
        }
}

#endif
