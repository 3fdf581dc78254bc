/* How much work a hostile Dockerfile makes, counted. */
#include "shared/dockerfile/names.h"
#include "shared/dockerfile/scope_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MEMORY = 64 << 20 };

/* Goes through the first stage, each instruction described; *steps is what it took. */
static bool go_through(struct span text, size_t *steps, struct error *err)
{
    const struct dockerfile_options options = { 0 };
    const struct dockerfile_base scratch = { 0 };
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(text, err);
    AUTO(dockerfile_scope_free)
    struct dockerfile_scope *global = dockerfile ? dockerfile_scope_global(dockerfile, &options, err) : NULL;
    AUTO(dockerfile_scope_free)
    struct dockerfile_scope *scope = global ? dockerfile_scope_on_image(global, &scratch, err) : NULL;
    AUTO(bytes_release) struct bytes history = BYTES(MEMORY);
    bool ok = scope;
    for (size_t i = 0; ok && i < dockerfile->stages[0].count; i++) {
        AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
        struct dockerfile_instruction it;
        ok = dockerfile_expand(scope, &dockerfile->stages[0].instructions[i], arena, &it, err) &&
             dockerfile_created_by(scope, &it, &history, err);
    }
    *steps = scope ? scope->steps : 0;
    return ok;
}

static void test_many_args_before_many_runs(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(MEMORY);
    struct error err = { 0 };
    size_t steps = 0;
    bytes_append_text(&text, "FROM scratch\n", &err);
    for (unsigned i = 0; i < 980; i++)
        bytes_printf(&text, &err, "ARG a%u=1\n", i);
    for (unsigned i = 0; i < 9000; i++)
        bytes_append_text(&text, "RUN x\n", &err);
    assert_false(go_through(bytes_span(&text), &steps, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_non_null(strstr(err.message, "the history of the stage takes more than"));
    assert_true(steps < 2 * DOCKERFILE_HISTORY_MAX);
}

static void test_args_that_change_between_runs(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(MEMORY);
    struct error err = { 0 };
    size_t steps = 0;
    bytes_append_text(&text, "FROM scratch\n", &err);
    for (unsigned i = 0; i < 200; i++)
        bytes_printf(&text, &err, "ARG a%u\n", i);
    for (unsigned i = 0; i < 4000; i++)
        bytes_printf(&text, &err, "ENV a1=%u\nRUN x\n", i);
    assert_true(go_through(bytes_span(&text), &steps, &err));
    assert_true(steps < 4 * DOCKERFILE_HISTORY_MAX);
}

/* Every variable is found in a few steps, though there are a thousand. */
static void test_many_uses_of_many_variables(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(MEMORY);
    struct error err = { 0 };
    size_t steps = 0, uses = 0;
    bytes_append_text(&text, "FROM scratch\n", &err);
    for (unsigned i = 0; i < 950; i++)
        bytes_printf(&text, &err, "ENV v%u=\n", i);
    for (unsigned line = 0; line < 100; line++) {
        bytes_append_text(&text, "LABEL x=", &err);
        for (unsigned i = 0; i < 900; i++, uses++)
            bytes_printf(&text, &err, "$v%u", i);
        bytes_append_char(&text, '\n', &err);
    }
    assert_true(go_through(bytes_span(&text), &steps, &err));
    assert_true(steps < 5 * uses);
}

static void test_names(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
    struct names names = { 0 };
    struct error err = { 0 };
    assert_null(names_find(&names, SPAN("a")));
    names_drop(&names, SPAN("a"));
    for (size_t i = 0; i < 1000; i++) {
        const char *name = arena_printf(arena, "n%zu", i);
        assert_true(names_put(arena, &names, (struct name_slot){ span_of(name), name, i }, &err));
    }
    for (size_t i = 0; i < 1000; i += 2)
        names_drop(&names, span_of(arena_printf(arena, "n%zu", i)));
    assert_int_equal(names.count, 500);
    for (size_t i = 0; i < 1000; i++) {
        const struct name_slot *slot = names_find(&names, span_of(arena_printf(arena, "n%zu", i)));
        assert_int_equal(slot != NULL, i % 2);
        assert_true(!slot || slot->value == i);
    }
    assert_true(names_put(arena, &names, (struct name_slot){ SPAN("n1"), "again", 7 }, &err));
    assert_int_equal(names.count, 500);
    assert_int_equal(names_find(&names, SPAN("n1"))->value, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_args_before_many_runs),
        cmocka_unit_test(test_args_that_change_between_runs),
        cmocka_unit_test(test_many_uses_of_many_variables),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/work", tests, NULL, NULL);
}
