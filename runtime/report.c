#include "runtime/report.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json.h"

#include <stdarg.h>
#include <string.h>

/* Container runtimes split longer lines. */
enum { LINE_MAX = 16 * 1024 };

struct line {
    struct bytes text;
    struct json_writer w;
};

static void line_begin(struct line *line, const struct shim *shim, const char *severity, const char *message)
{
    char time[RFC3339_SIZE];
    rfc3339_format(time, clock_wall_ms());
    bytes_init(&line->text, LINE_MAX);
    line->w = json_writer_on(&line->text);
    json_open_object(&line->w, NULL);
    json_add_string(&line->w, "time", time);
    json_add_string(&line->w, "severity", severity);
    json_add_span(&line->w, "message", span_of(message));
    if (shim)
        json_add_string(&line->w, "fn", shim->manifest->name);
}

static void add_call(struct line *line, struct call *call)
{
    const struct event *event = call->event;
    if (event) {
        json_add_string(&line->w, "ce_id", event->id);
        json_add_string(&line->w, "ce_type", event->type);
        json_add_string(&line->w, "ce_source", event->source);
        json_add_string(&line->w, "ce_subject", event->subject);
    }
    if (event || call->chain_id)
        json_add_string(&line->w, "chain_id", call_chain_id(call));
    if (call->traceparent)
        json_add_span(&line->w, "trace_id", (struct span){ call->traceparent + 3, 32 });
}

static void line_end(struct line *line)
{
    struct error ignored = { 0 };
    json_close_object(&line->w);
    if (json_writer_end(&line->w, &ignored) && bytes_append_char(&line->text, '\n', &ignored))
        file_write_all(STDOUT_FILENO, line->text.data, line->text.len, &ignored);
    bytes_release(&line->text);
}

void report_listening(const struct shim *shim, const char *listen, unsigned port)
{
    struct line line;
    line_begin(&line, shim, "INFO", "listening");
    json_add_string(&line.w, "platform", shim->platform);
    json_add_string(&line.w, "listen", listen);
    if (port)
        json_add_integer(&line.w, "port", port);
    line_end(&line);
}

void report_skip(struct call *call, const char *rule, const char *reason)
{
    struct line line;
    line_begin(&line, call->shim, "INFO", reason);
    json_add_string(&line.w, "outcome", "skipped");
    json_add_string(&line.w, "rule", rule);
    add_call(&line, call);
    line_end(&line);
}

void report_outcome(struct call *call, int status, const struct error *err)
{
    struct line line;
    const char *outcome = err ? "failed" : call_outcome(call);
    line_begin(&line, call->shim, !err ? "INFO" : error_is_temporary(err) ? "WARNING" : "ERROR",
               err ? err->message : outcome);
    json_add_string(&line.w, "outcome", outcome);
    if (err)
        json_add_string(&line.w, "error_type", error_kind_name(err->kind));
    if (status)
        json_add_integer(&line.w, "status", status);
    json_add_integer(&line.w, "duration_ms", clock_monotonic_ms() - call->started_ms);
    json_add_integer(&line.w, "events", (int64_t)call->queued);
    add_call(&line, call);
    line_end(&line);
}

void report_refusal(const struct shim *shim, int status, const struct error *err)
{
    struct line line;
    line_begin(&line, shim, "WARNING", err->message);
    json_add_string(&line.w, "outcome", "failed");
    json_add_string(&line.w, "error_type", error_kind_name(err->kind));
    if (status)
        json_add_integer(&line.w, "status", status);
    line_end(&line);
}

void report_fatal(const char *name, const struct error *err)
{
    fprintf(stderr, "%s: %s\n", name, err->message);
}

void call_log(struct call *call, const char *format, ...)
{
    char message[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct line line;
    line_begin(&line, call->shim, "INFO", message);
    add_call(&line, call);
    line_end(&line);
}
