/* What the process counts, for Prometheus: counters, one gauge and two histograms, in memory that does not grow. Safe
 * for several threads.
 *
 * Labels have few values by construction: methods and statuses are those of HTTP, results are words of the program,
 * and event types beyond the first METRICS_TYPES_MAX different ones are counted as "other". Ids, hashes and names
 * never become labels. */
#ifndef PUSHWRIGHT_RUNTIME_METRICS_H
#define PUSHWRIGHT_RUNTIME_METRICS_H

#include "shared/base/bytes.h"

#include <stdint.h>

enum { METRICS_TYPES_MAX = 32, METRICS_SERIES_MAX = 96, METRICS_LABEL_MAX = 96, METRICS_TEXT_MAX = 64 * 1024 };

struct metrics;

struct metrics *metrics_new(void); /* NULL when memory is out */
void metrics_free(struct metrics *metrics);
AUTO_FREE(struct metrics, metrics_free)

/* http_requests_total{code,method} and http_request_duration_seconds. Fits server_options.finished; status 0 (the peer
 * went away) is code "499". */
void metrics_request(struct metrics *metrics, struct span method, int status, int64_t duration_us);

/* http_requests_in_flight: +1 and -1. */
void metrics_in_flight(struct metrics *metrics, int change);

/* ce_events_received_total{type,result}: result is one of a few words ("done", "skipped", error_kind_name ...). */
void metrics_received(struct metrics *metrics, struct span type, const char *result);

/* ce_events_sent_total{type,code}: code is what the sink said, 0 when it said nothing ("none"). */
void metrics_sent(struct metrics *metrics, struct span type, int code);

/* fn_handler_duration_seconds. */
void metrics_handler(struct metrics *metrics, int64_t duration_us);

enum metrics_format { METRICS_TEXT, METRICS_OPENMETRICS };

/* OpenMetrics when the Accept field names it (and does not refuse it by q=0), else the text format 0.0.4. */
enum metrics_format metrics_format_of(struct span accept);
const char *metrics_content_type(enum metrics_format format);

/* Append everything. ERROR_TOO_LARGE over the ceiling of *out; METRICS_TEXT_MAX always suffices. Source: Prometheus
 * exposition format 0.0.4, OpenMetrics 1.0. */
bool metrics_render(const struct metrics *metrics, enum metrics_format format, struct bytes *out, struct error *err);

#endif
