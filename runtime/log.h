/* One JSON object a line on standard output, in the words of Cloud Logging's structured logs. Never a secret: headers
 * and query values of requests do not belong here. Source: Cloud Logging LogEntry (severity, message, time); field
 * names as in OpenTelemetry's log model. */
#ifndef PUSHWRIGHT_RUNTIME_LOG_H
#define PUSHWRIGHT_RUNTIME_LOG_H

#include "shared/base/span.h"

#include <stdint.h>

/* Container runtimes split longer lines. A field's text takes at most LOG_FIELD_MAX bytes as it is written; "..."
 * tells that it was cut. */
enum { LOG_LINE_MAX = 16 * 1024, LOG_FIELD_MAX = 512 };

enum log_severity {
    SEVERITY_DEBUG,
    SEVERITY_INFO,
    SEVERITY_NOTICE,
    SEVERITY_WARNING,
    SEVERITY_ERROR,
    SEVERITY_CRITICAL,
    SEVERITIES
};

/* What is NULL or 0 is left out. */
struct log_fields {
    const char *logger; /* the function's name */
    const char *platform;
    const char *trace_id, *span_id;
    const char *ce_id, *ce_type, *ce_source, *ce_subject, *chain_id;
    const char *rule, *outcome, *error_type;
    int status;
    int64_t duration_us; /* written as duration_ms with three decimals */
};

/* Write one line, whole; lines of several threads do not mix. Who reads standard output is waited for until the patience is over, and from then
 * on not at all, until he reads again: the first line is then how many were left out. fields NULL: none. */
__attribute__((format(printf, 3, 4))) void log_event(enum log_severity severity, const struct log_fields *fields,
                                                     const char *format, ...);

/* How long a line may wait; LOG_PATIENCE_MS unless set. A thread that others wait for has little. */
enum { LOG_PATIENCE_MS = 5000 };
void log_set_patience(int ms);

/* The line that log_event would write at that time, its end of line included; returns its length. Control characters
 * are escaped and invalid UTF-8 becomes U+FFFD. */
size_t log_format(char out[static LOG_LINE_MAX], int64_t wall_ms, enum log_severity severity,
                  const struct log_fields *fields, struct span message);

#endif
