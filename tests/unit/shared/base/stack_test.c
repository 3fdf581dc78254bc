#include "shared/base/stack.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEEP = 256 * 1024 };

static bool is_in_memory(uintptr_t address)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    unsigned char there = 0;

    assert_int_equal(mincore((void *)(address / page * page), 1, &there), 0);
    return there & 1;
}

/* Where the lowest byte of its memory is. */
__attribute__((noinline)) static uintptr_t go_deep(void)
{
    volatile char memory[DEEP];

    for (size_t i = 0; i < DEEP; i += 512)
        memory[i] = 1;
    return (uintptr_t)&memory[0];
}

static void *run(void *unused)
{
    char kept[5000];
    uintptr_t deep = go_deep();

    (void)unused;
    memset(kept, 'x', sizeof(kept));
    assert_true(is_in_memory(deep));
    stack_give_back();
    assert_false(is_in_memory(deep));
    for (size_t i = 0; i < sizeof(kept); i++)
        assert_int_equal(kept[i], 'x');
    assert_int_not_equal(go_deep(), 0);
    return NULL;
}

static void what_calls_have_used_is_given_back_and_what_is_used_stays(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    run(NULL); /* the first thread's stack grows as it is used */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_calls_have_used_is_given_back_and_what_is_used_stays),
    };

    return cmocka_run_group_tests_name("shared/base/stack", tests, NULL, NULL);
}
