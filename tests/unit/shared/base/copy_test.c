#include "tests/unit/shared/base/test.h"

#include <string.h>
#include <sys/mman.h>

enum { ROOM = 1600, LONGEST = 700, MARGIN = 40 };

/* Called by pointer: the compiler would make its own of a call that it understands. */
static void *(*volatile copy)(void *restrict, const void *restrict, size_t) = memcpy;
static void *(*volatile move)(void *, const void *, size_t) = memmove;
static size_t (*volatile length)(const char *) = strlen;

static void fill(unsigned char *bytes)
{
    for (size_t i = 0; i < ROOM; i++)
        bytes[i] = (unsigned char)(i * 167 + i / 251);
}

/* What the memory must look like, byte by byte. */
static void check(const unsigned char *bytes, const unsigned char *before, size_t to, size_t from, size_t len)
{
    for (size_t i = 0; i < ROOM; i++) {
        unsigned char expected = i >= to && i < to + len ? before[from + i - to] : before[i];
        if (bytes[i] != expected)
            fail_msg("%zu bytes from %zu to %zu: wrong at %zu", len, from, to, i);
    }
}

static void every_length_is_copied_and_nothing_beside_it(void **state)
{
    (void)state;
    unsigned char bytes[ROOM], before[ROOM];
    fill(before);
    for (size_t len = 0; len <= LONGEST; len++) {
        size_t to = len % 17, from = ROOM / 2 + len % 13;
        memcpy(bytes, before, ROOM);
        assert_ptr_equal(copy(bytes + to, bytes + from, len), bytes + to);
        check(bytes, before, to, from, len);
    }
}

static void what_overlaps_is_moved_whole(void **state)
{
    (void)state;
    unsigned char bytes[ROOM], before[ROOM];
    fill(before);
    for (size_t len = 0; len <= LONGEST; len += len < 100 ? 1 : 37) {
        for (size_t to = 0; to <= 2 * MARGIN; to++) {
            memcpy(bytes, before, ROOM);
            assert_ptr_equal(move(bytes + to, bytes + MARGIN, len), bytes + to);
            check(bytes, before, to, MARGIN, len);
        }
    }
}

/* At the end of a page behind which there is nothing, and with no NUL before it but its own. */
static void a_text_is_measured_up_to_the_end_of_memory(void **state)
{
    (void)state;
    enum { PAGE = 4096, LONG = 100 };
    char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    assert_int_equal(mprotect(page + PAGE, PAGE, PROT_NONE), 0);
    for (size_t behind = 0; behind < 20; behind++) {
        memset(page, 0x80, PAGE);
        char *end = page + PAGE - 1 - behind;
        memset(end, '\0', behind + 1);
        for (size_t len = 0; len < LONG; len++) {
            assert_int_equal(length(end - len), len);
            end[-(ptrdiff_t)len - 1] = '\0'; /* what stands before does not count */
            assert_int_equal(length(end - len), len);
            end[-(ptrdiff_t)len - 1] = '\x01';
        }
    }
    munmap(page, 2 * PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_measured_up_to_the_end_of_memory),
        cmocka_unit_test(every_length_is_copied_and_nothing_beside_it),
        cmocka_unit_test(what_overlaps_is_moved_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
