#include "shared/dockerfile/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

enum { MEMORY = 1 << 20 };

/* SOURCE_DATE_EPOCH as a build argument, NULL for none; `text` has what the file says itself. */
static struct dockerfile_scope *scope_of(const struct dockerfile *dockerfile, const char *value, struct error *err)
{
    static const struct dockerfile_pair contexts[] = { { "tools", "dir" } };
    const struct dockerfile_pair args[] = { { "SOURCE_DATE_EPOCH", value } };
    const struct dockerfile_options options = { .args = { args, value != NULL }, .contexts = { contexts, 1 } };
    return dockerfile_scope_global(dockerfile, &options, err);
}

static void test_epoch(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value;
        enum dockerfile_epoch_kind kind;
        int64_t seconds;
        const char *source, *variable; /* what SOURCE_DATE_EPOCH is in the global scope then */
    } rows[] = {
        { "FROM scratch\n", NULL, DOCKERFILE_EPOCH_UNSAID, 0, NULL, NULL },
        { "FROM scratch\n", "", DOCKERFILE_EPOCH_UNSAID, 0, NULL, NULL },
        { "FROM scratch\n", "0012", DOCKERFILE_EPOCH_SECONDS, 12, NULL, "12" },
        { "ARG SOURCE_DATE_EPOCH=-5\nFROM scratch\n", NULL, DOCKERFILE_EPOCH_SECONDS, -5, NULL, "-5" },
        { "FROM scratch\n", "context", DOCKERFILE_EPOCH_CONTEXT, 0, NULL, NULL },
        { "FROM scratch\n", "tools", DOCKERFILE_EPOCH_CONTEXT, 0, NULL, NULL },
        { "FROM scratch AS src\nARG V=1\nADD https://h/$V.tar /\nFROM a\n", "SRC", DOCKERFILE_EPOCH_SOURCE, 0,
          "https://h/1.tar", NULL },
        { "FROM scratch AS src\nADD https://h/a.git#v1 /\nFROM a\n", "src", DOCKERFILE_EPOCH_SOURCE, 0,
          "https://h/a.git#v1", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(span_of(rows[i].text), &err);
        AUTO(dockerfile_scope_free) struct dockerfile_scope *global = scope_of(dockerfile, rows[i].value, &err);
        assert_non_null(global);
        struct dockerfile_epoch epoch = dockerfile_scope_epoch(global);
        const char *variable = dockerfile_scope_get(global, "SOURCE_DATE_EPOCH");
        assert_int_equal(epoch.kind, rows[i].kind);
        assert_int_equal(epoch.seconds, rows[i].seconds);
        assert_string_equal(epoch.source ? epoch.source : "", rows[i].source ? rows[i].source : "");
        assert_string_equal(variable ? variable : "", rows[i].variable ? rows[i].variable : "");
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "FROM a\n", "invalid SOURCE_DATE_EPOCH: src" },
        { "FROM a AS src\n", "dockerfile line 1: SOURCE_DATE_EPOCH stage must use FROM scratch" },
        { "FROM scratch AS src\n", "dockerfile line 1: SOURCE_DATE_EPOCH stage must contain exactly one remote ADD" },
        { "FROM scratch AS src\nrun x\n", "dockerfile line 1: SOURCE_DATE_EPOCH stage does not meet source-only "
                                          "requirements: unsupported run instruction" },
        { "FROM scratch AS src\nADD a b\n",
          "dockerfile line 1: SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD" },
        { "FROM scratch AS src\nADD http://a http://b c\n",
          "dockerfile line 1: SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(span_of(rows[i].text), &err);
        assert_null(scope_of(dockerfile, "src", &err));
        assert_string_equal(err.message, rows[i].message);
    }
}

static void test_proxies(void **state)
{
    (void)state;
    static const struct dockerfile_pair args[] = {
        { "HTTP_PROXY", "big" }, { "http_proxy", "small" }, { "no_proxy", "x" }, { "FTP_PROXY", "" }, { "other", "y" }
    };
    const struct dockerfile_options options = { .args = { args, COUNT(args) } };
    struct error err = { 0 };
    struct dockerfile_words proxies = { 0 };
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(SPAN("FROM scratch\n"), &err);
    AUTO(dockerfile_scope_free) struct dockerfile_scope *global = dockerfile_scope_global(dockerfile, &options, &err);
    assert_true(dockerfile_scope_proxies(global, arena, &proxies, &err));
    assert_int_equal(proxies.count, 4);
    assert_string_equal(proxies.items[0], "HTTP_PROXY=small");
    assert_string_equal(proxies.items[1], "http_proxy=small");
    assert_string_equal(proxies.items[2], "NO_PROXY=x");
    assert_string_equal(proxies.items[3], "no_proxy=x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_proxies),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/epoch", tests, NULL, NULL);
}
