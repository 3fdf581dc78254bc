#include "shared/dockerfile/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

enum { MEMORY = 16 << 20 };

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *name, *platform;
        enum named_context_kind kind;
        const char *rest;
    } rows[] = {
        { "tools", "../tools", "tools", NULL, NAMED_CONTEXT_DIRECTORY, "../tools" },
        { "src", "https://h/a.git#v1:s", "src", NULL, NAMED_CONTEXT_GIT, "https://h/a.git#v1:s" },
        { "data", "https://h/a.tar.gz", "data", NULL, NAMED_CONTEXT_DOWNLOAD, "https://h/a.tar.gz" },
        { "docker.io/library/alpine:latest", "docker-image://a:1", "alpine", NULL, NAMED_CONTEXT_IMAGE, "a:1" },
        { "alpine:3::linux/aarch64", "oci-layout:///l:t", "alpine:3", "linux/arm64", NAMED_CONTEXT_LAYOUT, "/l:t" },
        { "h:5/x/y", "target:deps", "h:5/x/y", NULL, NAMED_CONTEXT_TARGET, "deps" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
        struct named_context have = { 0 };
        struct error err = { 0 };
        assert_true(named_context_parse(arena, (struct dockerfile_pair){ rows[i].key, rows[i].value }, &have, &err));
        assert_string_equal(have.name, rows[i].name);
        assert_int_equal(have.kind, rows[i].kind);
        assert_string_equal(have.value, rows[i].rest);
        assert_int_equal(!have.platform, !rows[i].platform);
        if (have.platform)
            assert_string_equal(have.platform, rows[i].platform);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *message;
    } rows[] = {
        { "x", NULL, "invalid context value: x, expected key=value" },
        { "X", "y", "invalid context name X: invalid reference format: repository name (library/X) must be lowercase" },
        { "x", "docker-image://", "context x: nothing stands behind docker-image://" },
        { "x", "https://h/a.git?foo=1", "context x: unexpected query \"foo\"" },
        { "x::a/b/c/d", "y",
          "failed to parse platform a/b/c/d: \"a/b/c/d\": cannot parse platform specifier: invalid argument" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
        struct named_context have;
        struct error err = { 0 };
        assert_false(named_context_parse(arena, (struct dockerfile_pair){ rows[i].key, rows[i].value }, &have, &err));
        assert_string_equal(err.message, rows[i].message);
    }
}

/* They stand for images, for stages with their instructions, and for what COPY and mounts take from. */
static void test_plan(void **state)
{
    (void)state;
    static const struct dockerfile_pair contexts[] = { { "alpine", "docker-image://other" },
                                                       { "alpine::linux/arm64", "docker-image://arm" },
                                                       { "deps", "target:deps" },
                                                       { "tools", "dir" } };
    const struct dockerfile_options options = { .contexts = { contexts, COUNT(contexts) } };
    const struct span text = SPAN("FROM alpine:latest\n"
                                  "FROM --platform=linux/arm64 docker.io/library/alpine AS arm\n"
                                  "FROM busybox AS deps\nCOPY --from=gone a b\n"
                                  "FROM scratch\nCOPY --from=tools a b\nCOPY --from=deps a b\n"
                                  "RUN --mount=from=tools,target=/t x\n");
    struct error err = { 0 };
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(text, &err);
    AUTO(dockerfile_scope_free) struct dockerfile_scope *global = dockerfile_scope_global(dockerfile, &options, &err);
    AUTO(dockerfile_plan_free)
    struct dockerfile_plan *plan = dockerfile_plan_new(dockerfile, global, &options, &err);
    struct dockerfile_source source;
    assert_non_null(plan);
    assert_string_equal(dockerfile_plan_stage(plan, 0)->base.context->value, "other");
    assert_string_equal(dockerfile_plan_stage(plan, 1)->base.context->value, "arm");
    assert_true(dockerfile_plan_stage(plan, 2)->replaced);
    assert_true(dockerfile_plan_stage(plan, 2)->needed);
    assert_int_equal(dockerfile_plan_stage(plan, 2)->base.context->kind, NAMED_CONTEXT_TARGET);
    assert_true(dockerfile_plan_source(plan, 3, "tools", &source, &err));
    assert_int_equal(source.kind, DOCKERFILE_NAMED);
    assert_string_equal(source.context->value, "dir");
    dockerfile_plan_mount_source(plan, "deps", &source);
    assert_int_equal(source.kind, DOCKERFILE_STAGE);
    dockerfile_plan_mount_source(plan, "gone", &source);
    assert_int_equal(source.kind, DOCKERFILE_IMAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/context", tests, NULL, NULL);
}
