#include "shared/secrets/secret.h"

#include "shared/base/file.h"
#include "tests/unit/shared/base/test.h"

static char *directory;
static char path[512];

static int set_up(void **state)
{
    (void)state;
    struct error err = { 0 };
    directory = directory_make_temporary("pushwright-secret-test", &err);
    snprintf(path, sizeof path, "%s/secret", directory ? directory : "");
    return directory ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool removed = directory_remove(directory, &err);
    free(directory);
    return removed ? 0 : -1;
}

static const struct {
    const char *content, *secret;
} rows[] = {
    { "hunter2", "hunter2" },       { "hunter2\n", "hunter2" },   { "hunter2\r\n", "hunter2" },
    { "hunter2\n\n", "hunter2\n" }, { " hunter2 ", " hunter2 " }, { "a\nb\n", "a\nb" },
};

static void files_lose_one_newline(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        assert_true(file_write_atomic(path, span_of(rows[i].content), 0600, &err));
        AUTO(secret_free) struct secret *secret = secret_from_file(path, &err);
        assert_non_null(secret);
        assert_true(span_is(secret_reveal(secret), rows[i].secret));
        assert_int_equal(secret_reveal(secret).data[secret_reveal(secret).len], '\0');
    }
}

static void variables_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        setenv("PUSHWRIGHT_TEST_SECRET", rows[i].content, 1);
        AUTO(secret_free) struct secret *secret = secret_from_environment("PUSHWRIGHT_TEST_SECRET", &err);
        assert_non_null(secret);
        assert_true(span_is(secret_reveal(secret), rows[i].secret));
    }
}

static void an_empty_secret_protects_nothing(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_null(secret_new(SPAN(""), &err));
    assert_error(err, ERROR_INVALID, "empty secret");
    assert_true(file_write_atomic(path, SPAN("\n"), 0600, &err));
    assert_null(secret_from_file(path, &err));
    assert_error(err, ERROR_INVALID, path);
    setenv("PUSHWRIGHT_TEST_SECRET", "", 1);
    assert_null(secret_from_environment("PUSHWRIGHT_TEST_SECRET", &err));
    assert_error(err, ERROR_INVALID, "variable 'PUSHWRIGHT_TEST_SECRET'");
}

static void errors_name_the_place_not_the_content(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_null(secret_from_file(path, &err));
    assert_error(err, ERROR_NOT_FOUND, path);
    unsetenv("PUSHWRIGHT_TEST_SECRET");
    assert_null(secret_from_environment("PUSHWRIGHT_TEST_SECRET", &err));
    assert_error(err, ERROR_NOT_FOUND, "'PUSHWRIGHT_TEST_SECRET' is not set");
    AUTO(bytes_release) struct bytes large = BYTES(SECRET_MAX + 10);
    while (large.len < SECRET_MAX + 3)
        assert_true(bytes_append_char(&large, 'S', &err));
    assert_true(file_write_atomic(path, bytes_span(&large), 0600, &err));
    assert_null(secret_from_file(path, &err));
    assert_error(err, ERROR_TOO_LARGE, path);
    assert_null(strstr(err.message, "SSS"));
}

static void the_largest_secret_may_end_in_a_newline(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes large = BYTES(SECRET_MAX + 10);
    while (large.len < SECRET_MAX)
        assert_true(bytes_append_char(&large, 'S', &err));
    assert_true(bytes_append_text(&large, "\r\n", &err));
    assert_true(file_write_atomic(path, bytes_span(&large), 0600, &err));
    AUTO(secret_free) struct secret *secret = secret_from_file(path, &err);
    assert_non_null(secret);
    assert_int_equal(secret_reveal(secret).len, SECRET_MAX);
}

static void secrets_are_compared_whole(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(secret_free) struct secret *secret = secret_new(SPAN("hunter2"), &err);
    assert_true(secret_equal(secret, SPAN("hunter2")));
    assert_false(secret_equal(secret, SPAN("hunter")));
    assert_false(secret_equal(secret, SPAN("hunter22")));
    assert_false(secret_equal(secret, SPAN("hunter3")));
    assert_false(secret_equal(secret, SPAN("")));
    assert_false(secret_equal(secret, (struct span){ NULL, 0 }));
    secret_free(NULL);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(files_lose_one_newline),
        FRESH(variables_too),
        FRESH(an_empty_secret_protects_nothing),
        FRESH(errors_name_the_place_not_the_content),
        FRESH(the_largest_secret_may_end_in_a_newline),
        FRESH(secrets_are_compared_whole),
    };
    return cmocka_run_group_tests_name("secrets/secret", tests, NULL, NULL);
}
