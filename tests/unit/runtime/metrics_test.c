/* Counts as a scraper reads them. */
#include "runtime/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct bytes rendered(const struct metrics *metrics, enum metrics_format format)
{
    struct bytes out = BYTES(METRICS_TEXT_MAX);
    struct error err = { 0 };
    if (!metrics_render(metrics, format, &out, &err))
        fail_msg("%s", err.message);
    return out;
}

static void has(const struct metrics *metrics, const char *line)
{
    AUTO(bytes_release) struct bytes out = rendered(metrics, METRICS_TEXT);
    if (!strstr(bytes_text(&out), line))
        fail_msg("no '%s' in:\n%s", line, bytes_text(&out));
}

static void a_new_process_has_counted_nothing(void **unused)
{
    (void)unused;
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    AUTO(bytes_release) struct bytes out = rendered(metrics, METRICS_TEXT);
    assert_true(span_starts(bytes_span(&out),
                            "# HELP http_requests_total HTTP requests answered.\n# TYPE http_requests_total counter\n"
                            "# HELP ce_events_received_total "));
    assert_non_null(strstr(bytes_text(&out),
                           "\nhttp_request_duration_seconds_sum 0.000000\nhttp_request_duration_seconds_count 0\n"));
    assert_true(span_ends(bytes_span(&out), "\nhttp_requests_in_flight 0\n"));
    assert_null(strstr(bytes_text(&out), "EOF"));
}

static void openmetrics_has_its_own_marks(void **unused)
{
    (void)unused;
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    metrics_request(metrics, SPAN("GET"), 200, 1);
    AUTO(bytes_release) struct bytes out = rendered(metrics, METRICS_OPENMETRICS);
    const char *text = bytes_text(&out);
    assert_non_null(strstr(text, "# TYPE http_requests counter\nhttp_requests_total{code=\"200\",method=\"GET\"} 1\n"));
    assert_non_null(strstr(text, "# UNIT http_request_duration_seconds seconds\n"));
    assert_non_null(strstr(text, "# TYPE http_requests_in_flight gauge\n"));
    assert_true(span_ends(bytes_span(&out), "\n# EOF\n"));
}

static void the_format_is_what_is_asked_for(void **unused)
{
    (void)unused;
    static const struct {
        const char *accept;
        enum metrics_format format;
    } rows[] = {
        { NULL, METRICS_TEXT },
        { "", METRICS_TEXT },
        { "*/*", METRICS_TEXT },
        { "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", METRICS_TEXT },
        { "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5", METRICS_OPENMETRICS },
        { "text/plain, Application/OpenMetrics-Text", METRICS_OPENMETRICS },
        { "application/openmetrics-text;q=0", METRICS_TEXT },
        { "application/openmetrics-text; q=0.000, text/plain", METRICS_TEXT },
        { "application/openmetrics-text;q=0.001", METRICS_OPENMETRICS },
        { "application/openmetrics-textual", METRICS_TEXT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(metrics_format_of(span_of(rows[i].accept)), rows[i].format);
    assert_string_equal(metrics_content_type(METRICS_TEXT), "text/plain; version=0.0.4; charset=utf-8");
    assert_string_equal(metrics_content_type(METRICS_OPENMETRICS),
                        "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

static void requests_are_counted_by_code_and_method(void **unused)
{
    (void)unused;
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    for (int i = 0; i < 3; i++)
        metrics_request(metrics, SPAN("POST"), 202, 1000);
    metrics_request(metrics, SPAN("GET"), 200, 1001);
    metrics_request(metrics, SPAN("PROPFIND"), 405, 700 * INT64_C(1000000));
    metrics_request(metrics, (struct span){ NULL, 0 }, 400, -5);
    metrics_request(metrics, SPAN("POST"), 0, 600 * INT64_C(1000000));
    metrics_request(metrics, SPAN("POST"), 9999, 0);
    has(metrics, "\nhttp_requests_total{code=\"202\",method=\"POST\"} 3\n");
    has(metrics, "\nhttp_requests_total{code=\"200\",method=\"GET\"} 1\n");
    has(metrics, "\nhttp_requests_total{code=\"405\",method=\"other\"} 1\n");
    has(metrics, "\nhttp_requests_total{code=\"400\",method=\"other\"} 1\n");
    has(metrics, "\nhttp_requests_total{code=\"499\",method=\"POST\"} 2\n");
    has(metrics, "\nhttp_request_duration_seconds_bucket{le=\"0.00025\"} 2\n");
    has(metrics, "\nhttp_request_duration_seconds_bucket{le=\"0.001\"} 5\n");
    has(metrics, "\nhttp_request_duration_seconds_bucket{le=\"0.0025\"} 6\n");
    has(metrics, "\nhttp_request_duration_seconds_bucket{le=\"300.0\"} 6\n");
    has(metrics, "\nhttp_request_duration_seconds_bucket{le=\"600.0\"} 7\n");
    has(metrics, "\nhttp_request_duration_seconds_bucket{le=\"+Inf\"} 8\n");
    has(metrics, "\nhttp_request_duration_seconds_sum 1300.004001\n");
    has(metrics, "\nhttp_request_duration_seconds_count 8\n");
}

static void events_handlers_and_the_gauge_are_counted(void **unused)
{
    (void)unused;
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    metrics_received(metrics, SPAN("dev.cdevents.artifact.published.0.3.0"), "done");
    metrics_received(metrics, SPAN("dev.cdevents.artifact.published.0.3.0"), "done");
    metrics_received(metrics, SPAN("dev.cdevents.artifact.published.0.3.0"), "denied");
    metrics_received(metrics, SPAN("quote\"newline\n"), "invalid");
    metrics_received(metrics, SPAN(""), "invalid");
    metrics_sent(metrics, SPAN("t"), 202);
    metrics_sent(metrics, SPAN("t"), 0);
    metrics_handler(metrics, 2000000);
    metrics_in_flight(metrics, 1);
    metrics_in_flight(metrics, 1);
    metrics_in_flight(metrics, -1);
    has(metrics, "\nce_events_received_total{type=\"dev.cdevents.artifact.published.0.3.0\",result=\"done\"} 2\n");
    has(metrics, "\nce_events_received_total{type=\"dev.cdevents.artifact.published.0.3.0\",result=\"denied\"} 1\n");
    has(metrics, "\nce_events_received_total{type=\"other\",result=\"invalid\"} 2\n");
    has(metrics, "\nce_events_sent_total{type=\"t\",code=\"202\"} 1\n");
    has(metrics, "\nce_events_sent_total{type=\"t\",code=\"none\"} 1\n");
    has(metrics, "\nfn_handler_duration_seconds_sum 2.000000\nfn_handler_duration_seconds_count 1\n");
    has(metrics, "\nhttp_requests_in_flight 1\n");
}

static size_t lines_with(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

/* A sender who makes up types, and codes, and methods: the table is full at some time, and nothing is lost from the
 * sums. */
static void inventive_senders_do_not_fill_the_memory(void **unused)
{
    (void)unused;
    enum { TYPES = 1000 };
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    for (int i = 0; i < TYPES; i++) {
        char type[METRICS_LABEL_MAX + 50];
        snprintf(type, sizeof type, "t.%0*d", i % 2 ? 80 : METRICS_LABEL_MAX + 40, i);
        metrics_received(metrics, span_of(type), "done");
        metrics_sent(metrics, span_of(type), 100 + i % 500);
        metrics_request(metrics, SPAN("GET"), 100 + i % 500, 1);
    }
    AUTO(bytes_release) struct bytes out = rendered(metrics, METRICS_OPENMETRICS);
    const char *text = bytes_text(&out);
    assert_int_equal(lines_with(text, "ce_events_received_total{"), METRICS_TYPES_MAX + 1);
    assert_int_equal(lines_with(text, "ce_events_sent_total{"), METRICS_SERIES_MAX + 1);
    assert_int_equal(lines_with(text, "http_requests_total{"), METRICS_SERIES_MAX + 1);
    char rest[128];
    snprintf(rest, sizeof rest, "ce_events_received_total{type=\"other\",result=\"done\"} %d\n",
             TYPES - METRICS_TYPES_MAX);
    assert_non_null(strstr(text, rest));
    snprintf(rest, sizeof rest, "http_requests_total{code=\"other\",method=\"other\"} %d\n",
             TYPES - 2 * METRICS_SERIES_MAX);
    assert_non_null(strstr(text, rest));
}

static void too_little_room_is_told(void **unused)
{
    (void)unused;
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    AUTO(bytes_release) struct bytes out = BYTES(100);
    struct error err = { 0 };
    assert_false(metrics_render(metrics, METRICS_TEXT, &out, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

enum { THREADS = 4, ROUNDS = 2000 };

static void *count_much(void *context)
{
    for (int i = 0; i < ROUNDS; i++) {
        char type[16];
        snprintf(type, sizeof type, "t%d", i % 8);
        metrics_received(context, span_of(type), "done");
        metrics_handler(context, 1000);
    }
    return NULL;
}

static void nothing_is_lost_between_threads(void **unused)
{
    (void)unused;
    AUTO(metrics_free) struct metrics *metrics = metrics_new();
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, count_much, metrics);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++) {
        char line[128];
        snprintf(line, sizeof line, "\nce_events_received_total{type=\"t%d\",result=\"done\"} %d\n", i,
                 THREADS * ROUNDS / 8);
        has(metrics, line);
    }
    has(metrics, "\nfn_handler_duration_seconds_count 8000\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_process_has_counted_nothing),
        cmocka_unit_test(openmetrics_has_its_own_marks),
        cmocka_unit_test(the_format_is_what_is_asked_for),
        cmocka_unit_test(requests_are_counted_by_code_and_method),
        cmocka_unit_test(events_handlers_and_the_gauge_are_counted),
        cmocka_unit_test(inventive_senders_do_not_fill_the_memory),
        cmocka_unit_test(too_little_room_is_told),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests_name("runtime/metrics", tests, NULL, NULL);
}
