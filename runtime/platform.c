#include "runtime/platform.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json_scan.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

static bool read_digits(struct span *text, int64_t *number)
{
    size_t n = 0;
    *number = 0;
    for (; n < text->len && text->data[n] >= '0' && text->data[n] <= '9'; n++)
        if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, text->data[n] - '0', number))
            return false;
    *text = (struct span){ text->data + n, text->len - n };
    return n > 0;
}

/* X-Scf-Timeout: the function's limit in milliseconds. */
static int64_t left_of_milliseconds(struct span value, int64_t wall_ms)
{
    int64_t ms;
    (void)wall_ms;
    return read_digits(&value, &ms) && value.len == 0 ? ms : -1;
}

/* X-Timeout of OpenFaaS: Go's durations, "1m30s", without fractions. */
static int64_t left_of_duration(struct span value, int64_t wall_ms)
{
    static const struct {
        struct span name;
        int64_t ms;
    } units[] = { { SPAN("ms"), 1 }, { SPAN("s"), 1000 }, { SPAN("m"), 60000 }, { SPAN("h"), 3600000 } };
    int64_t total = value.len > 0 ? 0 : -1, number;
    (void)wall_ms;
    while (value.len > 0) {
        size_t unit = 0;
        if (!read_digits(&value, &number))
            return -1;
        while (unit < sizeof units / sizeof units[0] && !span_starts(value, units[unit].name.data))
            unit++;
        if (unit == sizeof units / sizeof units[0] || __builtin_mul_overflow(number, units[unit].ms, &number) ||
            __builtin_add_overflow(total, number, &total))
            return -1;
        value = (struct span){ value.data + units[unit].name.len, value.len - units[unit].name.len };
    }
    return total;
}

static bool keep_deadline(void *context, int field, enum json_type type, struct span raw, size_t index,
                          struct error *err)
{
    int64_t deadline_ms;
    (void)field, (void)type, (void)index, (void)err;
    if (read_digits(&raw, &deadline_ms) && raw.len == 0)
        *(int64_t *)context = deadline_ms;
    return true;
}

/* What the Lambda Web Adapter sends along: the invocation's context as JSON, its deadline in milliseconds since 1970. */
static int64_t left_of_lambda_context(struct span value, int64_t wall_ms)
{
    static const struct json_path deadline = { "deadline", 0 };
    int64_t deadline_ms = -1;
    struct error ignored = { 0 };
    if (!json_scan(value, &deadline, 1, keep_deadline, &deadline_ms, &ignored) || deadline_ms < 0)
        return -1;
    return deadline_ms > wall_ms ? deadline_ms - wall_ms : 0;
}

/* First match wins. OpenFaaS, Fission and plain Kubernetes leave no mark: the last row is right for them. */
static const struct platform platforms[] = {
    { .name = "jobsink", .signal = "K_EVENT_PATH", .mode = PLATFORM_EVENT_FILE, .event = "K_EVENT_PATH" },
    { .name = "tencent-job",
      .signal = "SCF_CUSTOM_CONTAINER_EVENT",
      .mode = PLATFORM_EVENT_VALUE,
      .event = "SCF_CUSTOM_CONTAINER_EVENT" },
    { .name = "cloud-run-job", .signal = "CLOUD_RUN_JOB", .mode = PLATFORM_EVENT_VALUE, .event = "PUSHWRIGHT_EVENT" },
    { .name = "container-apps-job",
      .signal = "CONTAINER_APP_JOB_NAME",
      .mode = PLATFORM_EVENT_VALUE,
      .event = "PUSHWRIGHT_EVENT" },
    /* Behind the Lambda Web Adapter, which turns invocations into HTTP. */
    { .name = "aws-lambda",
      .signal = "AWS_LAMBDA_RUNTIME_API",
      .ports = { "AWS_LWA_PORT", "PORT" },
      .port = "8080",
      .deadline = { "x-amzn-lambda-context", left_of_lambda_context } },
    { .name = "azure-functions",
      .signal = "FUNCTIONS_CUSTOMHANDLER_PORT",
      .ports = { "FUNCTIONS_CUSTOMHANDLER_PORT" },
      .port = "8080" },
    { .name = "knative", .signal = "K_SERVICE", .ports = { "PORT" }, .port = "8080" }, /* and Cloud Run */
    { .name = "alibaba-fc", .signal = "FC_FUNCTION_NAME", .ports = { "FC_CUSTOM_LISTEN_PORT" }, .port = "9000" },
    { .name = "tencent-scf",
      .signal = "TENCENTCLOUD_RUNENV",
      .port = "9000",
      .deadline = { "X-Scf-Timeout", left_of_milliseconds } },
    { .name = "container-apps", .signal = "CONTAINER_APP_NAME", .ports = { "PORT" }, .port = "8080" },
    { .name = "http", .ports = { "PORT", "port" }, .port = "8080", .deadline = { "X-Timeout", left_of_duration } },
};
enum { PLATFORM_COUNT = sizeof platforms / sizeof platforms[0] };

static const char EVENT_FILE[] = "event";
static const char LOCK_FILE[] = "/tmp/.lock";

static const char *environment(const char *name)
{
    const char *value = name ? getenv(name) : NULL;
    return value && *value ? value : NULL;
}

const struct platform *platform_detect(struct error *err)
{
    const char *wanted = environment("PUSHWRIGHT_PLATFORM");
    for (size_t i = 0; i < PLATFORM_COUNT; i++) {
        const struct platform *row = &platforms[i];
        if (wanted ? strcmp(wanted, row->name) == 0 : !row->signal || environment(row->signal))
            return row;
    }
    error_set(err, ERROR_INVALID, "PUSHWRIGHT_PLATFORM '%.60s' is not a platform known here", wanted);
    return NULL;
}

const char *platform_listen(const struct platform *platform)
{
    const char *listen = environment("PUSHWRIGHT_LISTEN");
    for (size_t i = 0; !listen && i < sizeof platform->ports / sizeof platform->ports[0]; i++)
        listen = environment(platform->ports[i]);
    return listen ? listen : platform->port;
}

int64_t platform_allowance_ms(const struct platform *platform, const struct request *request)
{
    if (!platform->deadline.header)
        return INT64_MAX;
    struct span value = request_header(request, platform->deadline.header, NULL);
    int64_t left_ms = value.len > 0 ? platform->deadline.left_ms(value, clock_wall_ms()) : -1;
    return left_ms >= 0 ? left_ms : INT64_MAX;
}

bool platform_read_event(const struct platform *platform, struct bytes *out, struct error *err)
{
    const char *value = environment(platform->event);
    if (!value)
        return error_set(err, ERROR_INVALID, "%s is not set: it says where the event is", platform->event);
    if (platform->mode == PLATFORM_EVENT_VALUE)
        return bytes_append_text(out, value, err);
    AUTO(bytes_release) struct bytes path = BYTES(4096);
    return bytes_printf(&path, err, "%s/%s", value, EVENT_FILE) && file_read(out, bytes_text(&path), err);
}

bool platform_is_health_check(const struct request *request, bool *readiness)
{
    static const struct {
        const char *path;
        bool readiness;
    } paths[] = {
        { "/health/liveness", false }, { "/health/readiness", true }, /* Knative func */
        { "/healthz", false },         { "/readyz", true },
        { "/livez", false },                                 /* Kubernetes' custom, Fission */
        { "/_/health", false },        { "/_/ready", true }, /* OpenFaaS */
    };
    if (!span_is(request->method, "GET") && !span_is(request->method, "HEAD"))
        return false;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (span_is(request->path, paths[i].path)) {
            *readiness = paths[i].readiness;
            return true;
        }
    *readiness = false;
    return span_starts(request_header(request, "User-Agent", NULL), "kube-probe/");
}

bool platform_mark_ready(void)
{
    if (environment("PUSHWRIGHT_LISTEN"))
        return false;
    /* /tmp is everybody's: whatever stands there already, even a link, is left alone. */
    AUTO(close) int fd = open(LOCK_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd >= 0;
}

void platform_unmark_ready(void)
{
    unlink(LOCK_FILE);
}
