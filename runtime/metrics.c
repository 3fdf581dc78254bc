#include "runtime/metrics.h"

#include "shared/base/encode.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { METRICS_WORD_MAX = 32 };

/* Upper bounds in microseconds, and as they are written. */
static const struct {
    int64_t us;
    const char *seconds;
} buckets[] = {
    { 250, "0.00025" },   { 500, "0.0005" },    { 1000, "0.001" },      { 2500, "0.0025" },     { 5000, "0.005" },
    { 10000, "0.01" },    { 25000, "0.025" },   { 50000, "0.05" },      { 100000, "0.1" },      { 250000, "0.25" },
    { 500000, "0.5" },    { 1000000, "1.0" },   { 2500000, "2.5" },     { 5000000, "5.0" },     { 10000000, "10.0" },
    { 30000000, "30.0" }, { 60000000, "60.0" }, { 300000000, "300.0" }, { 600000000, "600.0" },
};
enum { BUCKETS = sizeof buckets / sizeof buckets[0] };

struct histogram {
    atomic_uint_least64_t counts[BUCKETS + 1]; /* each for itself; the last one is beyond all bounds */
    atomic_uint_least64_t sum_us;
};

/* A counter's row: two labels. Rows are made when they are needed, since a function that has just started has none; added
 * under the lock and published by the count, they never change or go. */
struct series {
    char first[METRICS_LABEL_MAX], second[METRICS_WORD_MAX];
    atomic_uint_least64_t value;
};

enum counter_id { COUNTER_REQUESTS, COUNTER_RECEIVED, COUNTER_SENT, COUNTERS };

static const struct {
    const char *name, *help, *first, *second;
} counter_rows[COUNTERS] = {
    [COUNTER_REQUESTS] = { "http_requests", "HTTP requests answered", "code", "method" },
    [COUNTER_RECEIVED] = { "ce_events_received", "events taken, by what became of them", "type", "result" },
    [COUNTER_SENT] = { "ce_events_sent", "events given to the sink, by its answer", "type", "code" },
};

struct counter {
    atomic_uint count;
    struct series *series[METRICS_SERIES_MAX + 1];
    struct series other; /* the last row, of what has none of its own */
};

struct metrics {
    pthread_mutex_t lock; /* of adding rows and types */
    char types[METRICS_TYPES_MAX][METRICS_LABEL_MAX];
    atomic_uint type_count;
    struct counter counters[COUNTERS];
    struct histogram requests, handlers;
    atomic_int_least64_t in_flight;
};

struct metrics *metrics_new(void)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics)
        pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (int id = 0; id < COUNTERS; id++)
        for (unsigned i = 0; i < METRICS_SERIES_MAX; i++)
            free(metrics->counters[id].series[i]);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct series *find(struct counter *counter, unsigned from, unsigned to, const char *first, const char *second)
{
    for (unsigned i = from; i < to; i++)
        if (strcmp(counter->series[i]->first, first) == 0 && strcmp(counter->series[i]->second, second) == 0)
            return counter->series[i];
    return NULL;
}

/* Without memory for a row what it would count goes to the others, whose row is shown once there are as many as there may be. */
static struct series *add_locked(struct counter *counter, unsigned count, const char *first, const char *second)
{
    bool last = count == METRICS_SERIES_MAX;
    struct series *series = last ? &counter->other : calloc(1, sizeof *series);
    if (!series)
        return &counter->other;
    snprintf(series->first, sizeof series->first, "%s", last ? "other" : first);
    snprintf(series->second, sizeof series->second, "%s", last ? "other" : second);
    counter->series[count] = series;
    atomic_store_explicit(&counter->count, count + 1, memory_order_release);
    return series;
}

static void count(struct metrics *metrics, enum counter_id id, const char *first, const char *second)
{
    struct counter *counter = &metrics->counters[id];
    unsigned seen = atomic_load_explicit(&counter->count, memory_order_acquire);
    struct series *series = find(counter, 0, seen, first, second);
    if (!series) {
        pthread_mutex_lock(&metrics->lock);
        unsigned now = atomic_load_explicit(&counter->count, memory_order_relaxed);
        series = find(counter, seen, now, first, second);
        if (!series)
            series = now <= METRICS_SERIES_MAX ? add_locked(counter, now, first, second) : &counter->other;
        pthread_mutex_unlock(&metrics->lock);
    }
    atomic_fetch_add_explicit(&series->value, 1, memory_order_relaxed);
}

static void observe(struct histogram *histogram, int64_t duration_us)
{
    size_t i = 0;
    duration_us = duration_us < 0 ? 0 : duration_us;
    while (i < BUCKETS && duration_us > buckets[i].us)
        i++;
    atomic_fetch_add_explicit(&histogram->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)duration_us, memory_order_relaxed);
}

static const char *known_method(struct span method)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (span_is(method, methods[i]))
            return methods[i];
    return "other";
}

static void write_code(char out[static DECIMAL_SIZE], int code, const char *otherwise)
{
    if (code >= 100 && code <= 599)
        decimal_encode(out, (uint64_t)code);
    else
        snprintf(out, DECIMAL_SIZE, "%s", otherwise);
}

void metrics_request(struct metrics *metrics, struct span method, int status, int64_t duration_us)
{
    char code[DECIMAL_SIZE];
    write_code(code, status, "499");
    count(metrics, COUNTER_REQUESTS, code, known_method(method));
    observe(&metrics->requests, duration_us);
}

void metrics_in_flight(struct metrics *metrics, int change)
{
    atomic_fetch_add_explicit(&metrics->in_flight, change, memory_order_relaxed);
}

static bool is_type(struct span type)
{
    for (size_t i = 0; i < type.len; i++) {
        char c = type.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !(c && strchr(".-_/:", c)))
            return false;
    }
    return type.len > 0 && type.len < METRICS_LABEL_MAX;
}

static const char *find_type(const struct metrics *metrics, unsigned from, unsigned to, struct span type)
{
    for (unsigned i = from; i < to; i++)
        if (span_is(type, metrics->types[i]))
            return metrics->types[i];
    return NULL;
}

/* The type as a label. One that is no plain name, or new when the table is full, is "other": who invents types gains
 * nothing. */
static const char *known_type(struct metrics *metrics, struct span type)
{
    if (!is_type(type))
        return "other";
    unsigned seen = atomic_load_explicit(&metrics->type_count, memory_order_acquire);
    const char *known = find_type(metrics, 0, seen, type);
    if (known)
        return known;
    pthread_mutex_lock(&metrics->lock);
    unsigned now = atomic_load_explicit(&metrics->type_count, memory_order_relaxed);
    known = find_type(metrics, seen, now, type);
    if (!known && now < METRICS_TYPES_MAX) {
        memcpy(metrics->types[now], type.data, type.len);
        known = metrics->types[now];
        atomic_store_explicit(&metrics->type_count, now + 1, memory_order_release);
    }
    pthread_mutex_unlock(&metrics->lock);
    return known ? known : "other";
}

void metrics_received(struct metrics *metrics, struct span type, const char *result)
{
    count(metrics, COUNTER_RECEIVED, known_type(metrics, type), result);
}

void metrics_sent(struct metrics *metrics, struct span type, int code)
{
    char text[DECIMAL_SIZE];
    write_code(text, code, "none");
    count(metrics, COUNTER_SENT, known_type(metrics, type), text);
}

void metrics_handler(struct metrics *metrics, int64_t duration_us)
{
    observe(&metrics->handlers, duration_us);
}

/* --- exposition --- */

enum metrics_format metrics_format_of(struct span accept)
{
    while (accept.data) {
        struct span range = span_cut(&accept, ',');
        struct span type = span_trim(span_cut(&range, ';'));
        static const char wanted[] = "application/openmetrics-text";
        if (type.len != sizeof wanted - 1 || strncasecmp(type.data, wanted, type.len) != 0)
            continue;
        bool refused = false;
        while (range.data) {
            struct span parameter = span_trim(span_cut(&range, ';'));
            refused =
                refused || (span_starts(parameter, "q=0") && strspn(parameter.data + 3, ".0") >= parameter.len - 3);
        }
        if (!refused)
            return METRICS_OPENMETRICS;
    }
    return METRICS_TEXT;
}

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                         : "text/plain; version=0.0.4; charset=utf-8";
}

/* In OpenMetrics a counter's family is named without _total, and says its unit. */
static bool render_head(struct bytes *out, enum metrics_format format, const char *name, const char *type,
                        const char *help, const char *unit, struct error *err)
{
    const char *suffix = format == METRICS_TEXT && strcmp(type, "counter") == 0 ? "_total" : "";
    return bytes_printf(out, err, "# HELP %s%s %s.\n# TYPE %s%s %s\n", name, suffix, help, name, suffix, type) &&
           (!unit || format == METRICS_TEXT || bytes_printf(out, err, "# UNIT %s %s\n", name, unit));
}

static bool render_counter(const struct metrics *metrics, enum counter_id id, enum metrics_format format,
                           struct bytes *out, struct error *err)
{
    const struct counter *counter = &metrics->counters[id];
    unsigned rows = atomic_load_explicit(&counter->count, memory_order_acquire);
    if (!render_head(out, format, counter_rows[id].name, "counter", counter_rows[id].help, NULL, err))
        return false;
    for (unsigned i = 0; i < rows; i++) {
        const struct series *series = counter->series[i];
        if (!bytes_printf(out, err, "%s_total{%s=\"%s\",%s=\"%s\"} %llu\n", counter_rows[id].name,
                          counter_rows[id].first, series->first, counter_rows[id].second, series->second,
                          (unsigned long long)atomic_load_explicit(&series->value, memory_order_relaxed)))
            return false;
    }
    return true;
}

static bool render_histogram(const struct histogram *histogram, const char *name, const char *help,
                             enum metrics_format format, struct bytes *out, struct error *err)
{
    if (!render_head(out, format, name, "histogram", help, "seconds", err))
        return false;
    unsigned long long below = 0;
    uint64_t sum = atomic_load_explicit(&histogram->sum_us, memory_order_relaxed);
    for (size_t i = 0; i <= BUCKETS; i++) {
        below += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        if (!bytes_printf(out, err, "%s_bucket{le=\"%s\"} %llu\n", name, i < BUCKETS ? buckets[i].seconds : "+Inf",
                          below))
            return false;
    }
    return bytes_printf(out, err, "%s_sum %llu.%06llu\n%s_count %llu\n", name, (unsigned long long)(sum / 1000000),
                        (unsigned long long)(sum % 1000000), name, below);
}

static bool render_in_flight(const struct metrics *metrics, enum metrics_format format, struct bytes *out,
                             struct error *err)
{
    return render_head(out, format, "http_requests_in_flight", "gauge", "HTTP requests at work", NULL, err) &&
           bytes_printf(out, err, "http_requests_in_flight %lld\n",
                        (long long)atomic_load_explicit(&metrics->in_flight, memory_order_relaxed));
}

bool metrics_render(const struct metrics *metrics, enum metrics_format format, struct bytes *out, struct error *err)
{
    for (int id = 0; id < COUNTERS; id++)
        if (!render_counter(metrics, (enum counter_id)id, format, out, err))
            return false;
    return render_histogram(&metrics->requests, "http_request_duration_seconds",
                            "From a request's last header field to the end of its answer", format, out, err) &&
           render_histogram(&metrics->handlers, "fn_handler_duration_seconds", "Time in the function's handler", format,
                            out, err) &&
           render_in_flight(metrics, format, out, err) &&
           (format == METRICS_TEXT || bytes_append_text(out, "# EOF\n", err));
}
