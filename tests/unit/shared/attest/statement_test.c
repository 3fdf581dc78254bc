#include "shared/attest/statement.h"

#include "tests/unit/shared/base/test.h"

#define HEX "7a6708975c41af22fef6e88fbb408e9edf95d560730a1434d2c6258c3bd9f74e"

static void everything_that_is_known_is_told(void **state)
{
    (void)state;
    static const char *const arguments[] = { "VERSION", "WITH \"QUOTES\"" }, *const platforms[] = { "linux/amd64" };
    static const struct dependency dependencies[] = {
        { "git+https://git.example.com/a/b.git@refs/heads/main", "1111111111111111111111111111111111111111" },
        { NULL, "sha256:" HEX },
    };
    const struct provenance provenance = { .rule = "web",
                                           .source = "https://git.example.com/a/b.git",
                                           .ref = "refs/heads/main",
                                           .dockerfile = "Dockerfile",
                                           .context = ".",
                                           .arguments = arguments,
                                           .argument_count = COUNT(arguments),
                                           .platforms = platforms,
                                           .platform_count = COUNT(platforms),
                                           .dependencies = dependencies,
                                           .dependency_count = COUNT(dependencies),
                                           .invocation = "chain-1",
                                           .started_ms = 1700000000000,
                                           .finished_ms = 1700000001500 };
    AUTO(bytes_release) struct bytes out = BYTES(4096);
    struct error err = { 0 };

    assert_true(provenance_write(&out, &provenance, &err));
    assert_string_equal(
        bytes_text(&out),
        "{\"buildDefinition\":{\"buildType\":\"https://pushwright.dev/build/dockerfile/v1\",\"externalParameters\":{"
        "\"rule\":\"web\",\"repository\":\"https://git.example.com/a/b.git\",\"ref\":\"refs/heads/main\","
        "\"dockerfile\":\"Dockerfile\",\"context\":\".\",\"args\":[\"VERSION\",\"WITH \\\"QUOTES\\\"\"],"
        "\"platforms\":[\"linux/amd64\"]},\"resolvedDependencies\":[{\"uri\":\"git+https://git.example.com/a/"
        "b.git@refs/heads/"
        "main\",\"digest\":{\"gitCommit\":\"1111111111111111111111111111111111111111\"}},{\"digest\":{\"sha256\":\"" HEX
        "\"}}]},\"runDetails\":{\"builder\":{\"id\":\"https://pushwright.dev/builder/"
        "v1\"},\"metadata\":{\"invocationId\":"
        "\"chain-1\",\"startedOn\":\"2023-11-14T22:13:20Z\",\"finishedOn\":\"2023-11-14T22:13:21.500Z\"}}}");
}

static void a_statement_names_what_it_is_about(void **state)
{
    (void)state;
    static const struct subject subjects[] = { { "r.example/a", "sha256:" HEX }, { NULL, "sha256:" HEX } };
    AUTO(bytes_release) struct bytes out = BYTES(4096);
    struct error err = { 0 };

    assert_true(statement_write(&out, subjects, COUNT(subjects), PREDICATE_SPDX, SPAN("{\"a\":1}"), &err));
    assert_string_equal(bytes_text(&out), "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":["
                                          "{\"name\":\"r.example/a\",\"digest\":{\"sha256\":\"" HEX "\"}},"
                                          "{\"digest\":{\"sha256\":\"" HEX "\"}}],"
                                          "\"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{\"a\":1}}");
    AUTO(bytes_release) struct bytes small = BYTES(40);
    assert_false(statement_write(&small, subjects, COUNT(subjects), PREDICATE_SPDX, SPAN("{}"), &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_known_is_told),
        cmocka_unit_test(a_statement_names_what_it_is_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
