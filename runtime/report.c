#include "runtime/report.h"

#include "runtime/log.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json.h"

#include <stdarg.h>

enum { MESSAGE_MAX = 2000, TRACE_ID_LENGTH = 32 };

/* What every line about a call says; trace_id is room for the text. */
static struct log_fields fields_of(struct call *call, char trace_id[static TRACE_ID_LENGTH + 1])
{
    const struct event *event = call->event;
    struct log_fields fields = { .logger = call->shim->manifest->name, .platform = call->shim->platform->name };
    if (event) {
        fields.ce_id = event->id;
        fields.ce_type = event->type;
        fields.ce_source = event->source;
        fields.ce_subject = event->subject;
    }
    /* A request that emitted nothing has no chain, and is not given one for the log. */
    if (event || call->chain_id)
        fields.chain_id = call_chain_id(call);
    if (call->traceparent) {
        snprintf(trace_id, TRACE_ID_LENGTH + 1, "%s", call->traceparent + 3);
        fields.trace_id = trace_id;
    }
    return fields;
}

static enum log_severity severity_of(const struct error *err)
{
    if (!err)
        return SEVERITY_INFO;
    return error_is_temporary(err) ? SEVERITY_WARNING : SEVERITY_ERROR;
}

/* Written here because no other line names a port. */
void report_listening(const struct shim *shim, const char *listen, unsigned port)
{
    struct error ignored = { 0 };
    char time[RFC3339_SIZE];
    rfc3339_format(time, clock_wall_ms());
    AUTO(bytes_release) struct bytes line = BYTES(LOG_LINE_MAX);
    struct json_writer w = json_writer_on(&line);
    json_open_object(&w, NULL);
    json_add_string(&w, "time", time);
    json_add_string(&w, "severity", "INFO");
    json_add_string(&w, "message", "listening");
    json_add_string(&w, "logger", shim->manifest->name);
    json_add_string(&w, "platform", shim->platform->name);
    json_add_span(&w, "listen", span_of(listen));
    json_add_integer(&w, "port", port);
    json_close_object(&w);
    if (json_writer_end(&w, &ignored) && bytes_append_char(&line, '\n', &ignored))
        file_write_all(STDOUT_FILENO, line.data, line.len, &ignored);
}

void report_skip(struct call *call, const char *rule, const char *reason)
{
    char trace_id[TRACE_ID_LENGTH + 1];
    struct log_fields fields = fields_of(call, trace_id);
    fields.rule = rule;
    fields.outcome = "skipped";
    log_event(SEVERITY_INFO, &fields, "%s", reason);
}

void report_outcome(struct call *call, int status, const struct error *err)
{
    char trace_id[TRACE_ID_LENGTH + 1];
    struct log_fields fields = fields_of(call, trace_id);
    fields.outcome = err ? "failed" : call_outcome(call);
    fields.error_type = err ? error_kind_name(err->kind) : NULL;
    fields.status = status;
    fields.duration_us = clock_monotonic_us() - call->started_us;
    if (call->event)
        metrics_received(call->shim->metrics, span_of(call->event->type), err ? fields.error_type : fields.outcome);
    if (err)
        log_event(severity_of(err), &fields, "%s", err->message);
    else
        log_event(SEVERITY_INFO, &fields, "%s, %zu event%s", fields.outcome, call->queued,
                  call->queued == 1 ? "" : "s");
}

void report_refusal(const struct shim *shim, int status, const struct error *err)
{
    const struct log_fields fields = { .logger = shim->manifest->name,
                                       .platform = shim->platform->name,
                                       .outcome = "failed",
                                       .error_type = error_kind_name(err->kind),
                                       .status = status };
    log_event(SEVERITY_WARNING, &fields, "%s", err->message);
}

void report_fatal(const char *name, const struct error *err)
{
    fprintf(stderr, "%s: %s\n", name, err->message);
    const struct log_fields fields = { .logger = name, .outcome = "failed", .error_type = error_kind_name(err->kind) };
    if (!isatty(STDOUT_FILENO))
        log_event(SEVERITY_CRITICAL, &fields, "%s", err->message);
}

void call_log(struct call *call, const char *format, ...)
{
    char message[MESSAGE_MAX], trace_id[TRACE_ID_LENGTH + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const struct log_fields fields = fields_of(call, trace_id);
    log_event(SEVERITY_INFO, &fields, "%s", message);
}
