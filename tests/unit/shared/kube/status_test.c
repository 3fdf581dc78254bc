#include "shared/kube/status.h"

#include "shared/kube/line.h"
#include "tests/unit/shared/base/test.h"

#define STATUS(members) "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\"," members "}"

/* What the API server answers, and what is made of it. */
static const struct {
    int code;
    const char *body;
    enum error_kind kind;
    const char *reason, *says;
} rows[] = {
    { 403,
      STATUS("\"message\":\"deployments.apps \\\"web\\\" is forbidden: User \\\"u\\\" cannot patch resource "
             "\\\"deployments\\\"\",\"reason\":\"Forbidden\",\"code\":403"),
      ERROR_DENIED, "Forbidden",
      "403 Forbidden: deployments.apps \"web\" is forbidden: User \"u\" cannot patch resource "
      "\"deployments\" (a Role or ClusterRole must allow it: 'pushwright rbac' prints what is needed)" },
    { 403, STATUS("\"message\":\"admission webhook \\\"policy\\\" denied the request: no latest\",\"code\":403"),
      ERROR_DENIED, "", "403 Forbidden: admission webhook \"policy\" denied the request: no latest" },
    { 401, STATUS("\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401"), ERROR_DENIED,
      "Unauthorized", "has it expired" },
    { 404, STATUS("\"message\":\"deployments.apps \\\"web\\\" not found\",\"reason\":\"NotFound\",\"code\":404"),
      ERROR_NOT_FOUND, "NotFound", "do cluster, namespace and name stand for what is meant?" },
    { 404, "404 page not found\n", ERROR_NOT_FOUND, "",
      "404 Not Found: 404 page not found (is this kind of object installed" },
    { 409, STATUS("\"message\":\"the object has been modified\",\"reason\":\"Conflict\",\"code\":409"), ERROR_CONFLICT,
      "Conflict", "409 Conflict" },
    { 422,
      STATUS("\"message\":\"the server rejected our request due to an error in our "
             "request\",\"reason\":\"Invalid\",\"code\":422"),
      ERROR_CONFLICT, "Invalid", "422" },
    { 422,
      STATUS(
          "\"message\":\"spec is invalid\",\"reason\":\"Invalid\",\"code\":422,\"details\":{\"causes\":[{\"message\":"
          "\"Required value\",\"field\":\"spec.image\"},{\"message\":\"spec is invalid\"}]}"),
      ERROR_INVALID, "Invalid", "422 Invalid: spec is invalid; spec.image: Required value" },
    { 415, "", ERROR_UNSUPPORTED, "", "415 Unsupported Media Type (this kind of object does not take" },
    { 500, STATUS("\"message\":\"failed calling webhook\",\"reason\":\"InternalError\",\"code\":500"),
      ERROR_UNAVAILABLE, "InternalError", "500 InternalError: failed calling webhook" },
    { 502, "<html>\r\n<h1>Bad\x01 Gateway</h1>", ERROR_UNAVAILABLE, "",
      "502 Server Error: <html> <h1>Bad Gateway</h1>" },
    { 302, "", ERROR_UNAVAILABLE, "", "302" },
};

static void refusals_say_what_and_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct kube_refusal refusal;
        struct error err = { 0 };
        assert_false(kube_status_error(rows[i].code, span_of(rows[i].body), 0, &refusal, &err));
        assert_error(err, rows[i].kind, rows[i].says);
        assert_int_equal(refusal.code, rows[i].code);
        assert_string_equal(refusal.reason, rows[i].reason);
    }
}

static void how_long_to_wait_comes_from_the_header_or_the_status(void **state)
{
    (void)state;
    static const char body[] = STATUS("\"message\":\"later\",\"reason\":\"TooManyRequests\",\"code\":429,\"details\":"
                                      "{\"retryAfterSeconds\":7}");
    struct kube_refusal refusal;
    struct error err = { 0 };
    assert_false(kube_status_error(429, span_of(body), 0, &refusal, &err));
    assert_int_equal(err.kind, ERROR_BUSY);
    assert_int_equal(err.retry_after_s, 7);
    assert_false(kube_status_error(429, span_of(body), 3, &refusal, &err));
    assert_int_equal(err.retry_after_s, 3);
}

static void words_without_an_end_lose_their_middle(void **state)
{
    (void)state;
    static char body[32 * 1024] = "{\"kind\":\"Status\",\"message\":\"x";
    struct kube_refusal refusal;
    struct error err = { 0 };
    size_t len = strlen(body);
    while (len < sizeof body - 8)
        len += (size_t)snprintf(body + len, sizeof body - len, "\xc3\xa4");
    snprintf(body + len, sizeof body - len, "end\"}");
    assert_false(kube_status_error(400, span_of(body), 0, &refusal, &err));
    assert_true(span_starts(span_of(refusal.message), "x\xc3\xa4") &&
                span_ends(span_of(refusal.message), "\xc3\xa4\x65nd"));
    assert_non_null(strstr(refusal.message, " ... "));
    assert_true(span_is_utf8(span_of(refusal.message)));
    assert_true(strlen(refusal.message) > 400);
}

static void lines_of_a_watch_are_changes(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct kube_line line;
    struct error err = { 0 };
    assert_true(kube_line_read(
        arena, SPAN("{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}"), &line, &err));
    assert_int_equal(line.kind, KUBE_LINE_MODIFIED);
    assert_string_equal(line.resource_version, "9");
    assert_true(
        kube_line_read(arena, SPAN("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}"), &line, &err));
    assert_int_equal(line.kind, KUBE_LINE_ERROR);
    assert_int_equal(line.code, 410);
    assert_true(kube_line_read(arena, SPAN("{\"type\":\"ERROR\",\"object\":{\"code\":7}}"), &line, &err));
    assert_int_equal(line.code, 500);
    static const char *const others[] = {
        "",
        "<html>",
        "{\"type\":\"ADDED\"",
        "{\"type\":\"ADDED\"}",
        "{\"type\":\"ADDED\",\"object\":[]}",
        "{\"type\":\"ADDED\",\"object\":{}}",
        "{\"type\":\"RENAMED\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}",
        "[1]"
    };
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(kube_line_read(arena, span_of(others[i]), &line, &err));
        assert_error(err, ERROR_UNAVAILABLE, "a watch with");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_say_what_and_what_to_do),
        cmocka_unit_test(how_long_to_wait_comes_from_the_header_or_the_status),
        cmocka_unit_test(words_without_an_end_lose_their_middle),
        cmocka_unit_test(lines_of_a_watch_are_changes),
    };
    return cmocka_run_group_tests_name("kube/status", tests, NULL, NULL);
}
