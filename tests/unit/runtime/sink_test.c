#include "runtime/sink.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/span.h"
#include "tests/unit/runtime/peer.h"

#define SCRIPT(...) (const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)

static const struct attribute extensions[] = {
    { "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ATTRIBUTE_STRING },
    { "tracestate", "a=1", ATTRIBUTE_STRING },
    { "imagetag", "v 1", ATTRIBUTE_STRING },
};
static const struct event event = { .id = "e1",
                                    .source = "/pushwright/test",
                                    .type = "t",
                                    .subject = "s%3A",
                                    .datacontenttype = "application/json",
                                    .extensions = extensions,
                                    .extension_count = 3,
                                    .data = SPAN("{\"a\":1}") };

static struct sink *sink_to(const struct peer *peer, struct sink_options options)
{
    char url[100];
    struct error err = { 0 };
    snprintf(url, sizeof url, "http://127.0.0.1:%u/in?token=hidden", peer->port);
    if (!options.url)
        options.url = url;
    struct sink *sink = sink_new(&options, &err);
    if (!sink)
        fail_msg("%s", err.message);
    return sink;
}

static void event_arrives_in_binary_mode_over_one_connection(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(202));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ 0 });
    struct error err = { 0 };
    assert_true(sink_deliver(sink, &event, &err));
    assert_true(sink_deliver(sink, &event, &err));
    assert_int_equal(peer->count, 2);
    assert_int_equal(peer->connections, 1);
    const char *request = peer->requests[0];
    assert_int_equal(strncmp(request, "POST /in?token=hidden HTTP/1.1\r\n", 31), 0);
    assert_string_equal(header_in(request, "ce-specversion"), "1.0");
    assert_string_equal(header_in(request, "ce-id"), "e1");
    assert_string_equal(header_in(request, "ce-subject"), "s%253A");
    assert_string_equal(header_in(request, "ce-imagetag"), "v%201");
    assert_string_equal(header_in(request, "content-type"), "application/json");
    assert_string_equal(header_in(request, "tracestate"), "a=1");
    assert_string_equal(body_of(request), "{\"a\":1}");
    assert_null(strstr(sink_name(sink), "hidden"));
    peer_stop(peer);
}

static void each_request_is_a_span_of_its_own_in_the_events_trace(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(202));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ 0 });
    struct error err = { 0 };
    char first[4096];
    assert_true(sink_deliver(sink, &event, &err));
    assert_true(sink_deliver(sink, &event, &err));
    snprintf(first, sizeof first, "%s", header_in(peer->requests[0], "traceparent"));
    assert_int_equal(strncmp(first, extensions[0].value, 36), 0);
    assert_string_equal(first + 52, "-01");
    assert_string_not_equal(first, extensions[0].value);
    assert_string_not_equal(header_in(peer->requests[1], "traceparent"), first);
    assert_string_equal(header_in(peer->requests[1], "ce-traceparent"), extensions[0].value);
    peer_stop(peer);
}

static void temporary_refusals_are_tried_again(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(503, 429, 409, 408, 404, 500, 204));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ 0 });
    struct error err = { 0 };
    assert_true(sink_deliver(sink, &event, &err));
    assert_int_equal(err.kind, ERROR_NONE);
    assert_int_equal(peer->count, 7);
    assert_string_equal(header_in(peer->requests[6], "ce-id"), "e1");
    assert_string_equal(body_of(peer->requests[6]), "{\"a\":1}");
    peer_stop(peer);
}

static void final_refusals_are_not(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum error_kind kind;
    } rows[] = { { 400, ERROR_INVALID },   { 403, ERROR_DENIED },      { 410, ERROR_NOT_FOUND },
                 { 413, ERROR_TOO_LARGE }, { 415, ERROR_UNSUPPORTED }, { 301, ERROR_INVALID } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer *peer = peer_start(&rows[i].status, 1);
        AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ 0 });
        struct error err = { 0 };
        assert_false(sink_deliver(sink, &event, &err));
        assert_int_equal(err.kind, rows[i].kind);
        assert_int_equal(peer->count, 1);
        assert_non_null(strstr(err.message, "deliver event 'e1' to the sink: "));
        assert_null(strstr(err.message, "hidden"));
        peer_stop(peer);
    }
}

static void budget_ends_the_trying(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(503));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ .budget_ms = 400 });
    struct error err = { 0 };
    int64_t started = clock_monotonic_ms();
    assert_false(sink_deliver(sink, &event, &err));
    assert_int_in_range(clock_monotonic_ms() - started, 0, 1500);
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_int_in_range((int)peer->count, 2, 10);
    size_t before = peer->count;
    int status = 0;
    assert_false(sink_deliver_within(sink, &event, NULL, 1, &status, &err));
    assert_int_equal(status, 503);
    assert_int_equal(peer->count, before + 1);
    peer_stop(peer);
}

static void asked_for_more_patience_than_there_is_it_gives_up_at_once(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(429));
    peer->extra = "Retry-After: 60\r\n";
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ 0 });
    struct error err = { 0 };
    assert_false(sink_deliver(sink, &event, &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_int_equal(err.retry_after_s, 60);
    assert_int_equal(peer->count, 1);
    peer_stop(peer);
}

static void retry_after_is_waited_for(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(503, 200));
    peer->extra = "Retry-After: 1\r\n";
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ 0 });
    struct error err = { 0 };
    int64_t started = clock_monotonic_ms();
    assert_true(sink_deliver(sink, &event, &err));
    assert_int_in_range(clock_monotonic_ms() - started, 1000, 5000);
    peer_stop(peer);
}

static void no_answer_is_uncertain_even_when_a_later_attempt_is_refused(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(HANG_UP, 503));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ .budget_ms = 300 });
    struct error err = { 0 };
    assert_false(sink_deliver(sink, &event, &err));
    assert_int_equal(err.kind, ERROR_UNCERTAIN);
    assert_int_in_range((int)peer->count, 2, 10);
    peer_stop(peer);
}

static void no_answer_then_acceptance_is_delivered(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(HANG_UP, 202));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ 0 });
    struct error err = { 0 };
    assert_true(sink_deliver(sink, &event, &err));
    assert_int_equal(peer->count, 2);
    peer_stop(peer);
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(202));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ .budget_ms = 200 });
    peer_stop(peer);
    struct error err = { 0 };
    assert_false(sink_deliver(sink, &event, &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
}

static void unix_socket_is_a_sink(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(free) char *directory = directory_make_temporary("pushwright-sink", &err);
    char path[200], url[220];
    snprintf(path, sizeof path, "%s/s", directory);
    snprintf(url, sizeof url, "unix:%s", path);
    struct peer *peer = peer_start_unix(path, SCRIPT(202));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ .url = url });
    assert_true(sink_deliver(sink, &event, &err));
    assert_string_equal(header_in(peer->requests[0], "ce-id"), "e1");
    assert_string_equal(sink_name(sink), url);
    peer_stop(peer);
    directory_remove(directory, &err);
}

static void token_is_read_for_each_delivery_and_told_to_nobody_else(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(free) char *directory = directory_make_temporary("pushwright-sink", &err);
    char path[200];
    snprintf(path, sizeof path, "%s/token", directory);
    assert_true(file_write_atomic(path, SPAN("first-token\n"), 0600, &err));
    struct peer *peer = peer_start(SCRIPT(202, 202, 403));
    AUTO(sink_free) struct sink *sink = sink_to(peer, (struct sink_options){ .token_file = path });
    assert_true(sink_deliver(sink, &event, &err));
    assert_string_equal(header_in(peer->requests[0], "authorization"), "Bearer first-token");
    assert_true(file_write_atomic(path, SPAN("second-token"), 0600, &err));
    assert_true(sink_deliver(sink, &event, &err));
    assert_string_equal(header_in(peer->requests[1], "authorization"), "Bearer second-token");
    assert_false(sink_deliver(sink, &event, &err));
    assert_int_equal(err.kind, ERROR_DENIED);
    assert_null(strstr(err.message, "second-token"));
    peer_stop(peer);
    directory_remove(directory, &err);
}

static void overrides_are_set_on_events_before_signing(void **state)
{
    (void)state;
    struct peer *peer = peer_start(SCRIPT(202));
    AUTO(sink_free)
    struct sink *sink = sink_to(
        peer, (struct sink_options){ .overrides = "{\"extensions\":{\"imagetag\":\"v2\",\"extra\":\"x\",\"n\":5}}" });
    AUTO(arena_free) struct arena *arena = arena_new(64 * 1024);
    struct event changed = event;
    struct error err = { 0 };
    assert_true(sink_override(sink, arena, &changed, &err));
    assert_int_equal(changed.extension_count, 5);
    assert_string_equal(event_extension(&changed, "imagetag"), "v2");
    assert_string_equal(event_extension(&changed, "extra"), "x");
    assert_string_equal(event_extension(&changed, "n"), "5");
    assert_string_equal(event_extension(&changed, "tracestate"), "a=1");
    assert_string_equal(event_extension(&event, "imagetag"), "v 1");
    peer_stop(peer);
}

static void wrong_options_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        struct sink_options options;
        const char *error;
    } rows[] = {
        { { .url = "ftp://x/" }, "http" },
        { { .url = "not a url" }, "sink" },
        { { .url = "unix:relative" }, "unix:/path" },
        { { .url = "http://x/", .overrides = "{" }, "overrides of the sink" },
        { { .url = "http://x/", .overrides = "{\"extensions\":{\"Bad\":\"x\"}}" }, "Bad" },
        { { .url = "http://x/", .overrides = "{\"extensions\":{\"id\":\"x\"}}" }, "'id'" },
        { { .url = "http://x/", .overrides = "{\"extensions\":{\"a\":[]}}" }, "'a'" },
        { { .url = "http://x/", .overrides = "{\"extensions\":{\"a\":\"\\u0001\"}}" }, "'a'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        assert_null(sink_new(&rows[i].options, &err));
        if (!strstr(err.message, rows[i].error))
            fail_msg("row %zu: %s", i, err.message);
    }
}

static void environment_names_the_sink(void **state)
{
    (void)state;
    struct error err = { 0 };
    unsetenv("K_SINK");
    unsetenv("PUSHWRIGHT_SINK");
    assert_null(sink_from_environment(&err));
    assert_int_equal(err.kind, ERROR_NONE);
    setenv("PUSHWRIGHT_SINK", "http://second/", 1);
    AUTO(sink_free) struct sink *second = sink_from_environment(&err);
    assert_string_equal(sink_name(second), "http://second/");
    setenv("K_SINK", "http://user:secret@first/x", 1);
    setenv("K_CE_OVERRIDES", "", 1);
    AUTO(sink_free) struct sink *first = sink_from_environment(&err);
    assert_string_equal(sink_name(first), "http://first/x");
    setenv("K_SINK_TIMEOUT", "soon", 1);
    assert_null(sink_from_environment(&err));
    assert_non_null(strstr(err.message, "K_SINK_TIMEOUT"));
    unsetenv("K_SINK_TIMEOUT");
    unsetenv("K_SINK");
    unsetenv("PUSHWRIGHT_SINK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_arrives_in_binary_mode_over_one_connection),
        cmocka_unit_test(each_request_is_a_span_of_its_own_in_the_events_trace),
        cmocka_unit_test(temporary_refusals_are_tried_again),
        cmocka_unit_test(final_refusals_are_not),
        cmocka_unit_test(budget_ends_the_trying),
        cmocka_unit_test(asked_for_more_patience_than_there_is_it_gives_up_at_once),
        cmocka_unit_test(retry_after_is_waited_for),
        cmocka_unit_test(no_answer_is_uncertain_even_when_a_later_attempt_is_refused),
        cmocka_unit_test(no_answer_then_acceptance_is_delivered),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(unix_socket_is_a_sink),
        cmocka_unit_test(token_is_read_for_each_delivery_and_told_to_nobody_else),
        cmocka_unit_test(overrides_are_set_on_events_before_signing),
        cmocka_unit_test(wrong_options_are_refused_with_the_reason),
        cmocka_unit_test(environment_names_the_sink),
    };
    return cmocka_run_group_tests_name("runtime/sink", tests, NULL, NULL);
}
