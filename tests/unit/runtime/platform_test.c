#include "runtime/platform.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const all_variables[] = { "PUSHWRIGHT_PLATFORM",
                                             "PUSHWRIGHT_LISTEN",
                                             "K_EVENT_PATH",
                                             "SCF_CUSTOM_CONTAINER_EVENT",
                                             "CLOUD_RUN_JOB",
                                             "CONTAINER_APP_JOB_NAME",
                                             "AWS_LAMBDA_RUNTIME_API",
                                             "AWS_LWA_PORT",
                                             "FN_LISTENER",
                                             "FN_FORMAT",
                                             "exec_timeout",
                                             "read_timeout",
                                             "write_timeout",
                                             "SCF_NAMESPACE",
                                             "FUNCTIONS_CUSTOMHANDLER_PORT",
                                             "K_SERVICE",
                                             "FC_FUNCTION_NAME",
                                             "FC_CUSTOM_LISTEN_PORT",
                                             "TENCENTCLOUD_RUNENV",
                                             "CONTAINER_APP_NAME",
                                             "PORT",
                                             "port",
                                             "PUSHWRIGHT_EVENT" };

static int clear_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(all_variables); i++)
        unsetenv(all_variables[i]);
    return 0;
}

struct setting {
    const char *name, *value;
};

static void environment_shows_platform_mode_and_port(void **state)
{
    static const struct {
        struct setting settings[3];
        const char *name;
        enum platform_mode mode;
        const char *listen;
    } rows[] = {
        { { { NULL, NULL } }, "http", PLATFORM_HTTP, "8080" },
        { { { "PORT", "" } }, "http", PLATFORM_HTTP, "8080" },
        { { { "PORT", "9999" } }, "http", PLATFORM_HTTP, "9999" },
        { { { "port", "9998" } }, "http", PLATFORM_HTTP, "9998" },
        { { { "K_SERVICE", "s" }, { "PORT", "8081" } }, "knative", PLATFORM_HTTP, "8081" },
        { { { "K_SERVICE", "s" }, { "K_EVENT_PATH", "/e" } }, "jobsink", PLATFORM_EVENT_FILE, NULL },
        { { { "SCF_CUSTOM_CONTAINER_EVENT", "{}" } }, "tencent-job", PLATFORM_EVENT_VALUE, NULL },
        { { { "CLOUD_RUN_JOB", "j" } }, "cloud-run-job", PLATFORM_EVENT_VALUE, NULL },
        { { { "CONTAINER_APP_JOB_NAME", "j" } }, "container-apps-job", PLATFORM_EVENT_VALUE, NULL },
        { { { "AWS_LAMBDA_RUNTIME_API", "x" }, { "PORT", "1" } }, "aws-lambda", PLATFORM_HTTP, "1" },
        { { { "AWS_LAMBDA_RUNTIME_API", "x" }, { "PORT", "1" }, { "AWS_LWA_PORT", "2" } },
          "aws-lambda",
          PLATFORM_HTTP,
          "2" },
        { { { "FUNCTIONS_CUSTOMHANDLER_PORT", "3" } }, "azure-functions", PLATFORM_HTTP, "3" },
        { { { "FN_LISTENER", "unix:/x" }, { "FN_FORMAT", "http-stream" } }, "fn", PLATFORM_HTTP, "unix:/x" },
        { { { "FC_CUSTOM_LISTEN_PORT", "9" } }, "alibaba-fc", PLATFORM_HTTP, "9" },
        { { { "SCF_NAMESPACE", "default" } }, "tencent-scf", PLATFORM_HTTP, "9000" },
        { { { "FC_FUNCTION_NAME", "f" } }, "alibaba-fc", PLATFORM_HTTP, "9000" },
        { { { "FC_FUNCTION_NAME", "f" }, { "FC_CUSTOM_LISTEN_PORT", "4" } }, "alibaba-fc", PLATFORM_HTTP, "4" },
        { { { "TENCENTCLOUD_RUNENV", "SCF" }, { "PORT", "5" } }, "tencent-scf", PLATFORM_HTTP, "9000" },
        { { { "CONTAINER_APP_NAME", "a" }, { "PORT", "6" } }, "container-apps", PLATFORM_HTTP, "6" },
        { { { "K_SERVICE", "s" }, { "PUSHWRIGHT_PLATFORM", "http" } }, "http", PLATFORM_HTTP, "8080" },
        { { { "K_SERVICE", "s" }, { "PUSHWRIGHT_LISTEN", "unix:/x" } }, "knative", PLATFORM_HTTP, "unix:/x" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        clear_environment(state);
        for (size_t s = 0; s < COUNT(rows[i].settings) && rows[i].settings[s].name; s++)
            setenv(rows[i].settings[s].name, rows[i].settings[s].value, 1);
        const struct platform *platform = platform_detect(&err);
        assert_non_null(platform);
        assert_string_equal(platform->name, rows[i].name);
        assert_int_equal(platform->mode, rows[i].mode);
        if (rows[i].listen)
            assert_string_equal(platform_listen(platform), rows[i].listen);
    }
}

static void unknown_name_is_an_error(void **state)
{
    (void)state;
    struct error err = { 0 };
    setenv("PUSHWRIGHT_PLATFORM", "mars", 1);
    assert_null(platform_detect(&err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_non_null(strstr(err.message, "'mars'"));
}

static void fn_needs_a_socket(void **state)
{
    (void)state;
    static const char *const listeners[] = { "", "8080", "unix:", "unix:relative", "/x" };
    for (size_t i = 0; i < COUNT(listeners); i++) {
        struct error err = { 0 };
        setenv("FN_FORMAT", "http-stream", 1);
        setenv("FN_LISTENER", listeners[i], 1);
        assert_null(platform_detect(&err));
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_non_null(strstr(err.message, "FN_LISTENER"));
    }
}

static void limits_are_durations_of_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = { { "", 0 },           { "90", 90000 }, { "1m30s", 90000 }, { "1.5h", 5400000 }, { "0.0015s", 1 },
                 { "500us", 0 },      { "2500us", 2 }, { "x", -1 },        { "1.5", -1 },       { "-1s", -1 },
                 { "5 seconds", -1 }, { "9e9s", -1 },  { "1..5s", -1 } };
    struct platform_limits limits;
    struct error err = { 0 };
    for (size_t i = 0; i < COUNT(rows); i++) {
        setenv("write_timeout", rows[i].text, 1);
        bool good = platform_limits(platform_detect(&err), &limits, &err);
        if (good != (rows[i].ms >= 0) || (good && limits.write_ms != rows[i].ms))
            fail_msg("'%s': %lld", rows[i].text, (long long)limits.write_ms);
    }
    assert_non_null(strstr(err.message, "write_timeout '1..5s' is not a duration"));
    setenv("K_SERVICE", "s", 1); /* whose own variables they are not */
    assert_true(platform_limits(platform_detect(&err), &limits, &err));
    assert_int_equal(limits.write_ms, 0);
}

static void events_of_jobs_are_read(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(free) char *directory = directory_make_temporary("pushwright-platform", &err);
    char path[300];
    snprintf(path, sizeof path, "%s/event", directory);
    setenv("K_EVENT_PATH", directory, 1);
    AUTO(bytes_release) struct bytes text = BYTES(100);
    assert_false(platform_read_event(platform_detect(&err), &text, &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_true(file_write_atomic(path, SPAN("{\"a\":1}"), 0600, &err));
    assert_true(platform_read_event(platform_detect(&err), &text, &err));
    assert_string_equal(bytes_text(&text), "{\"a\":1}");
    assert_true(directory_remove(directory, &err));

    unsetenv("K_EVENT_PATH");
    setenv("CLOUD_RUN_JOB", "j", 1);
    bytes_clear(&text);
    assert_false(platform_read_event(platform_detect(&err), &text, &err));
    assert_non_null(strstr(err.message, "PUSHWRIGHT_EVENT"));
    setenv("PUSHWRIGHT_EVENT", "{}", 1);
    assert_true(platform_read_event(platform_detect(&err), &text, &err));
    assert_string_equal(bytes_text(&text), "{}");
}

static void health_checks_are_known_by_path_or_prober(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *agent;
        bool health, readiness;
    } rows[] = {
        { "GET", "/health/liveness", "", true, false },
        { "GET", "/health/readiness", "", true, true },
        { "HEAD", "/healthz", "", true, false },
        { "GET", "/readyz", "", true, true },
        { "GET", "/livez", "", true, false },
        { "GET", "/_/health", "", true, false },
        { "GET", "/_/ready", "", true, true },
        { "POST", "/healthz", "", false, false },
        { "GET", "/", "kube-probe/1.33", true, false },
        { "POST", "/", "kube-probe/1.33", false, false },
        { "GET", "/", "not kube-probe/", false, false },
        { "GET", "/healthz/x", "", false, false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct request_header agent = { SPAN("user-agent"), span_of(rows[i].agent) };
        const struct request request = {
            .method = span_of(rows[i].method), .path = span_of(rows[i].path), .headers = &agent, .header_count = 1
        };
        bool readiness = false;
        assert_int_equal(platform_is_health_check(&request, &readiness), rows[i].health);
        assert_int_equal(readiness, rows[i].readiness);
    }
}

static void deadlines_are_read_where_the_platform_tells_them(void **state)
{
    (void)state;
    static const char lambda[] = "x-amzn-lambda-context", scf[] = "x-scf-timeout", openfaas[] = "X-Timeout";
    static const struct {
        const char *platform, *header, *value;
        int64_t left_ms;
    } rows[] = {
        { "http", openfaas, "30s", 30000 },
        { "http", openfaas, "1h2m3s4ms", 3723004 },
        { "http", openfaas, "0s", 0 },
        { "http", openfaas, "30", 30000 },
        { "http", openfaas, "1.25s", 1250 },
        { "http", openfaas, "", INT64_MAX },
        { "http", openfaas, "-1s", INT64_MAX },
        { "http", openfaas, "1s ", INT64_MAX },
        { "http", openfaas, "99999999999999999999s", INT64_MAX },
        { "http", openfaas, "9223372036854775807h", INT64_MAX },
        { "http", openfaas, "9223372036854775807ms1s", INT64_MAX },
        { "http", scf, "5000", INT64_MAX },
        { "tencent-scf", scf, "5000", 5000 },
        { "tencent-scf", scf, "5s", INT64_MAX },
        { "aws-lambda", lambda, "{\"request_id\":\"r\",\"deadline\":1}", 0 },
        { "aws-lambda", lambda, "{\"deadline\":\"x\"}", INT64_MAX },
        { "aws-lambda", lambda, "{\"deadline\":-5}", INT64_MAX },
        { "aws-lambda", lambda, "{\"deadline\":1", INT64_MAX },
        { "aws-lambda", openfaas, "1s", INT64_MAX },
        { "knative", openfaas, "1s", INT64_MAX },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        setenv("PUSHWRIGHT_PLATFORM", rows[i].platform, 1);
        const struct request_header header = { span_of(rows[i].header), span_of(rows[i].value) };
        const struct request request = { .headers = &header, .header_count = 1 };
        int64_t left_ms = platform_allowance_ms(platform_detect(&err), &request);
        if (left_ms != rows[i].left_ms)
            fail_msg("%s %s: %lld", rows[i].platform, rows[i].value, (long long)left_ms);
    }
}

static void a_deadline_in_the_future_is_the_time_until_then(void **state)
{
    (void)state;
    struct error err = { 0 };
    char value[100];
    setenv("PUSHWRIGHT_PLATFORM", "aws-lambda", 1);
    snprintf(value, sizeof value, "{\"env_config\":{\"memory\":128},\"deadline\":%lld}",
             (long long)clock_wall_ms() + 60000);
    const struct request_header header = { SPAN("X-Amzn-Lambda-Context"), span_of(value) };
    const struct request request = { .headers = &header, .header_count = 1 };
    assert_int_in_range(platform_allowance_ms(platform_detect(&err), &request), 50000, 60000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, clear_environment, clear_environment)
    const struct CMUnitTest tests[] = {
        T(environment_shows_platform_mode_and_port),
        T(unknown_name_is_an_error),
        T(fn_needs_a_socket),
        T(limits_are_durations_of_go),
        T(events_of_jobs_are_read),
        T(health_checks_are_known_by_path_or_prober),
        T(deadlines_are_read_where_the_platform_tells_them),
        T(a_deadline_in_the_future_is_the_time_until_then),
    };
    return cmocka_run_group_tests_name("runtime/platform", tests, NULL, NULL);
}
