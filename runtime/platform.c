#include "runtime/platform.h"

#include "shared/base/file.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

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
    { .name = "aws-lambda", .signal = "AWS_LAMBDA_RUNTIME_API", .ports = { "AWS_LWA_PORT", "PORT" }, .port = "8080" },
    { .name = "azure-functions",
      .signal = "FUNCTIONS_CUSTOMHANDLER_PORT",
      .ports = { "FUNCTIONS_CUSTOMHANDLER_PORT" },
      .port = "8080" },
    { .name = "knative", .signal = "K_SERVICE", .ports = { "PORT" }, .port = "8080" }, /* and Cloud Run */
    { .name = "alibaba-fc", .signal = "FC_FUNCTION_NAME", .ports = { "FC_CUSTOM_LISTEN_PORT" }, .port = "9000" },
    { .name = "tencent-scf", .signal = "TENCENTCLOUD_RUNENV", .port = "9000" },
    { .name = "container-apps", .signal = "CONTAINER_APP_NAME", .ports = { "PORT" }, .port = "8080" },
    { .name = "http", .ports = { "PORT", "port" }, .port = "8080" },
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
