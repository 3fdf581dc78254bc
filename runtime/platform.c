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

/* Digits behind the point as millionths; what is smaller does not count. */
static int64_t read_millionths(struct span *text)
{
    int64_t millionths = 0, worth = 100000;
    size_t n = 1;
    if (text->len == 0 || text->data[0] != '.')
        return 0;
    for (; n < text->len && text->data[n] >= '0' && text->data[n] <= '9'; n++, worth /= 10)
        millionths += (text->data[n] - '0') * worth;
    *text = (struct span){ text->data + n, text->len - n };
    return millionths;
}

/* Go's durations, "1m30s" or "1.5h", and OpenFaaS' plain seconds. Negative: neither. */
static int64_t duration_ms(struct span value)
{
    static const struct {
        struct span name;
        int64_t us;
    } units[] = { { SPAN("us"), 1 },
                  { SPAN("ms"), 1000 },
                  { SPAN("s"), 1000000 },
                  { SPAN("m"), 60000000 },
                  { SPAN("h"), 3600000000 } };
    int64_t total_us = value.len > 0 ? 0 : -1, number;
    struct span whole = value;
    if (read_digits(&whole, &number) && whole.len == 0)
        return __builtin_mul_overflow(number, 1000, &number) ? -1 : number;
    while (value.len > 0) {
        size_t unit = 0;
        if (!read_digits(&value, &number))
            return -1;
        int64_t millionths = read_millionths(&value), us;
        while (unit < sizeof units / sizeof units[0] && !span_starts(value, units[unit].name.data))
            unit++;
        if (unit == sizeof units / sizeof units[0] || __builtin_mul_overflow(number, units[unit].us, &us) ||
            __builtin_add_overflow(us, millionths * (units[unit].us / 1000) / 1000, &us) ||
            __builtin_add_overflow(total_us, us, &total_us))
            return -1;
        value = (struct span){ value.data + units[unit].name.len, value.len - units[unit].name.len };
    }
    return total_us / 1000;
}

/* X-Timeout of OpenFaaS. */
static int64_t left_of_duration(struct span value, int64_t wall_ms)
{
    (void)wall_ms;
    return duration_ms(value);
}

/* Fn-Deadline: a time of RFC 3339. */
static int64_t left_of_time(struct span value, int64_t wall_ms)
{
    int64_t at_ms;
    if (!rfc3339_parse(value, &at_ms))
        return -1;
    return at_ms > wall_ms ? at_ms - wall_ms : 0;
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
    { .name = "jobsink", .signals = { "K_EVENT_PATH" }, .mode = PLATFORM_EVENT_FILE, .event = "K_EVENT_PATH" },
    { .name = "tencent-job",
      .signals = { "SCF_CUSTOM_CONTAINER_EVENT" },
      .mode = PLATFORM_EVENT_VALUE,
      .event = "SCF_CUSTOM_CONTAINER_EVENT" },
    { .name = "cloud-run-job",
      .signals = { "CLOUD_RUN_JOB" },
      .mode = PLATFORM_EVENT_VALUE,
      .event = "PUSHWRIGHT_EVENT" },
    { .name = "container-apps-job",
      .signals = { "CONTAINER_APP_JOB_NAME" },
      .mode = PLATFORM_EVENT_VALUE,
      .event = "PUSHWRIGHT_EVENT" },
    /* Behind the Lambda Web Adapter, which turns invocations into HTTP. */
    { .name = "aws-lambda",
      .signals = { "AWS_LAMBDA_RUNTIME_API" },
      .ports = { "AWS_LWA_PORT", "PORT" },
      .port = "8080",
      .deadline = { "x-amzn-lambda-context", left_of_lambda_context } },
    { .name = "fn", /* and Oracle Functions */
      .signals = { "FN_LISTENER", "FN_FORMAT" },
      .ports = { "FN_LISTENER" },
      .envelope = &envelope_fn,
      .socket_mode = 0666, /* fn-agent is another user */
      .is_patient = true,
      .deadline = { "Fn-Deadline", left_of_time } },
    { .name = "azure-functions",
      .signals = { "FUNCTIONS_CUSTOMHANDLER_PORT" },
      .ports = { "FUNCTIONS_CUSTOMHANDLER_PORT" },
      .port = "8080" },
    { .name = "knative", .signals = { "K_SERVICE" }, .ports = { "PORT" }, .port = "8080" }, /* and Cloud Run */
    { .name = "alibaba-fc",
      .signals = { "FC_FUNCTION_NAME", "FC_CUSTOM_LISTEN_PORT" },
      .ports = { "FC_CUSTOM_LISTEN_PORT" },
      .port = "9000",
      .envelope = &envelope_fc },
    { .name = "tencent-scf",
      .signals = { "TENCENTCLOUD_RUNENV", "SCF_NAMESPACE" },
      .port = "9000",
      .deadline = { "X-Scf-Timeout", left_of_milliseconds } },
    { .name = "container-apps", .signals = { "CONTAINER_APP_NAME" }, .ports = { "PORT" }, .port = "8080" },
    { .name = "http",
      .ports = { "PORT", "port" },
      .port = "8080",
      .limits = { "exec_timeout", "read_timeout", "write_timeout" },
      .deadline = { "X-Timeout", left_of_duration } },
};
enum { PLATFORM_COUNT = sizeof platforms / sizeof platforms[0] };

static const char EVENT_FILE[] = "event";
static const char LOCK_FILE[] = "/tmp/.lock";

static const char *environment(const char *name)
{
    const char *value = name ? getenv(name) : NULL;
    return value && *value ? value : NULL;
}

static bool is_here(const struct platform *row)
{
    return !row->signals[0] || environment(row->signals[0]) || environment(row->signals[1]);
}

static bool has_listener(const struct platform *row, struct error *err)
{
    const char *named = environment(row->ports[0]);
    return row->mode != PLATFORM_HTTP || row->port || environment("PUSHWRIGHT_LISTEN") ||
           (named && strncmp(named, "unix:/", 6) == 0) ||
           error_set(err, ERROR_INVALID, "%s '%.120s' names no socket, such as unix:/tmp/fn.sock", row->ports[0],
                     named ? named : "");
}

const struct platform *platform_detect(struct error *err)
{
    const char *wanted = environment("PUSHWRIGHT_PLATFORM");
    for (size_t i = 0; i < PLATFORM_COUNT; i++) {
        const struct platform *row = &platforms[i];
        if (wanted ? strcmp(wanted, row->name) == 0 : is_here(row))
            return has_listener(row, err) ? row : NULL;
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

bool platform_limits(const struct platform *platform, struct platform_limits *out, struct error *err)
{
    const struct {
        const char *variable;
        int64_t *ms;
    } rows[] = { { platform->limits.exec, &out->exec_ms },
                 { platform->limits.read, &out->read_ms },
                 { platform->limits.write, &out->write_ms } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *value = environment(rows[i].variable);
        *rows[i].ms = value ? duration_ms(span_of(value)) : 0;
        if (*rows[i].ms < 0)
            return error_set(err, ERROR_INVALID, "%s '%.40s' is not a duration, such as 1m30s", rows[i].variable,
                             value);
    }
    return true;
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
