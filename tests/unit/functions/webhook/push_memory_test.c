#include "functions/webhook/push.h"

#include "tests/unit/failing.h"

#define OID "1111111111111111111111111111111111111111"
#define PUSH                                                                                                           \
    "{\"ref\":\"refs/heads/main\",\"before\":\"" OID "\",\"after\":\"" OID "\",\"head_commit\":{\"id\":\"" OID         \
    "\",\"message\":\"a \\u00e9\\n\\nb\",\"timestamp\":\"2026-09-20T10:00:00+02:00\"},\"sender\":{\"login\":\"ann\"}," \
    "\"repository\":{\"full_name\":\"acme\\/web\",\"html_url\":\"https://h/acme/web\",\"pushed_at\":1790000000},"      \
    "\"commits\":[{\"id\":\"" OID "\",\"added\":[\"src/a\\u00e9.c\"],\"modified\":[],\"removed\":[]}]}"

static bool read_push(struct error *err)
{
    struct change change;
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return push_read(arena, SOURCE_GITHUB, SPAN("push"), SPAN(PUSH), &change, err);
}

static void every_path_says_that_memory_is_out(void **state)
{
    (void)state;
    run_without_memory("a push", read_push);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_path_says_that_memory_is_out) };
    return cmocka_run_group_tests_name("functions/webhook/push memory", tests, NULL, NULL);
}
