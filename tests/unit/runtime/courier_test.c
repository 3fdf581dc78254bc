/* A function that waits for nothing and gives two events, as its sender and its sink see it when the sink does what sinks do. */
#include "runtime/courier.h"

#include "shared/base/clock.h"
#include "tests/unit/runtime/running.h"

#define SCRIPT(...) (const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)
#define FIRST "dev.cdeventsx.pushwright-test.first.0.1.0"
#define MILESTONE "dev.cdeventsx.pushwright-test.milestone.0.1.0"
#define ACCEPTED "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"

static bool emit(struct call *call, const char *type, struct error *err)
{
    return call_emit(call, &(struct draft){ .type = type, .subject = "s", .content = SPAN("{}") }, err);
}

static bool serve(struct call *call, const struct request *request, struct reply *reply, struct error *err)
{
    if (span_is(request->path, "/refuse"))
        return error_set(err, ERROR_DENIED, "no signature");
    if (span_is(request->path, "/nothing")) {
        reply->status = 200;
        return true;
    }
    reply->status = 202;
    reply->content_type = "text/plain";
    struct span id = request_header(request, "X-Delivery", NULL);
    const char *delivery = id.data ? arena_dup(call_arena(call), id) : "d-1";
    return call_set_parent(call, "/test", delivery, err) && emit(call, FIRST, err) && emit(call, MILESTONE, err) &&
           bytes_append_text(&reply->body, "taken", err);
}

static int run_function(void *context)
{
    static const struct function function = { .serve = serve,
                                              .manifest = "{\"name\":\"tester\",\"serves\":\"http\",\"blocking\":false,"
                                                          "\"out\":[\"" FIRST "\",\"" MILESTONE "\"],"
                                                          "\"concurrency\":4,\"timeoutSeconds\":8,"
                                                          "\"bodyBytes\":1048576}" };
    char *argv[] = { (char *)(uintptr_t)"tester", NULL };
    (void)context;
    return function_main(1, argv, &function);
}

static unsigned metrics_port;

static unsigned free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static struct running start_with(const struct peer *peer, const char *more)
{
    static char sink[100], metrics[100];
    metrics_port = free_port();
    snprintf(sink, sizeof sink, "PUSHWRIGHT_SINK=http://127.0.0.1:%u/", peer->port);
    snprintf(metrics, sizeof metrics, "PUSHWRIGHT_METRICS_LISTEN=127.0.0.1:%u", metrics_port);
    return start_running(
        run_function, NULL,
        (const char *[]){ "PUSHWRIGHT_LISTEN=127.0.0.1:0", sink, metrics, more ? more : "TEST=1", NULL });
}

static void read_metrics(char answer[static PEER_TEXT])
{
    assert_int_equal(ask(metrics_port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", answer), 200);
}

static int post(const struct running *running, char answer[static PEER_TEXT])
{
    return ask(running->port, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", answer);
}

static void expect_type(const struct peer *peer, size_t request, const char *type)
{
    assert_true(request < peer->count);
    assert_string_equal(header_in(peer->requests[request], "ce-type"), type);
}

static void expect_same_event(const struct peer *peer, size_t a, size_t b)
{
    char id[4096];
    snprintf(id, sizeof id, "%s", header_in(peer->requests[a], "ce-id"));
    assert_string_equal(header_in(peer->requests[b], "ce-id"), id);
}

static void both_are_accepted_in_order_before_the_answer(void **state)
{
    (void)state;
    static char answer[PEER_TEXT], log[16 * 1024];
    struct peer *peer = peer_start(SCRIPT(202));
    struct running running = start_with(peer, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(post(&running, answer), 202);
        assert_string_equal(body_of(answer), "taken");
        assert_int_equal(peer->count, 2 * (i + 1));
        expect_type(peer, (size_t)(2 * i), FIRST);
        expect_type(peer, (size_t)(2 * i + 1), MILESTONE);
    }
    assert_int_equal(peer->connections, 1);
    assert_int_equal(ask(running.port, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", answer), 200);
    assert_int_equal(ask(running.port, "GET /refuse HTTP/1.1\r\nHost: x\r\n\r\n", answer), 403);
    read_metrics(answer);
    assert_non_null(strstr(answer, "ce_events_sent_total{type=\"" MILESTONE "\",code=\"202\"} 3\n"));
    assert_non_null(strstr(answer, "http_requests_in_flight 0\n"));
    stop_running(&running, log, sizeof log);
    assert_non_null(strstr(log, "\"message\":\"done, 2 events\""));
    peer_stop(peer);
}

static void what_the_sink_does_not_take_at_once_is_tried_again_from_there(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(503, 429, 202, 202, 202, 500, HANG_UP, 202));
    struct running running = start_with(peer, NULL);
    assert_int_equal(post(&running, answer), 202);
    assert_int_equal(peer->count, 4);
    expect_same_event(peer, 0, 1);
    expect_same_event(peer, 0, 2);
    expect_type(peer, 3, MILESTONE);
    assert_int_equal(post(&running, answer), 202);
    assert_int_equal(peer->count, 8);
    expect_type(peer, 4, FIRST);
    expect_same_event(peer, 5, 6);
    expect_same_event(peer, 5, 7);
    read_metrics(answer);
    assert_non_null(strstr(answer, "http_requests_in_flight 0\n"));
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void the_pause_that_the_sink_asks_for_is_kept(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    static const struct peer_words words[] = {
        { "HTTP/1.1 503 Later\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nlater", 0, false },
        { ACCEPTED, 0, false },
    };
    struct peer *peer = peer_start(SCRIPT(202));
    peer->words = words;
    peer->words_length = 2;
    struct running running = start_with(peer, NULL);
    int64_t began = clock_monotonic_ms();
    assert_int_equal(post(&running, answer), 202);
    assert_true(clock_monotonic_ms() - began >= 1000);
    assert_int_equal(peer->count, 3);
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void a_refusal_for_good_is_told_as_503_and_nothing_follows_it(void **state)
{
    (void)state;
    static char answer[PEER_TEXT], log[16 * 1024];
    struct peer *peer = peer_start(SCRIPT(202, 400, 202));
    struct running running = start_with(peer, NULL);
    assert_int_equal(post(&running, answer), 503);
    assert_non_null(strstr(answer, "400"));
    assert_int_equal(peer->count, 2);
    assert_int_equal(post(&running, answer), 202);
    expect_same_event(peer, 0, 2);
    expect_same_event(peer, 1, 3);
    stop_running(&running, log, sizeof log);
    assert_non_null(strstr(log, "\"outcome\":\"failed\""));
    peer_stop(peer);
}

/* Each is said to the first event, and then it is accepted. */
static void sinks_that_answer_in_every_way_are_understood(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    static const struct {
        struct peer_words words;
        size_t requests; /* for both events */
    } rows[] = {
        { { "HTTP/1.1 204 No Content\r\n\r\n", 0, false }, 2 },
        { { "HTTP/1.1 100 Continue\r\n\r\n" ACCEPTED, 0, false }, 2 },
        { { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0, false }, 2 },
        { { "HTTP/1.1 200 OK\r\n\r\nuntil the end", 0, true }, 2 },
        { { "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 0, true }, 2 },
        { { ACCEPTED, 0, true }, 2 }, /* says that it stays, and goes */
        { { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 0, true }, 3 },
        { { "HTTP/1.1 20", 0, true }, 3 },
        { { "no HTTP at all\r\n\r\n", 0, false }, 3 },
        { { NULL, 0, true }, 3 },
        { { "HTTP/1.1 503 No\r\n\r\nuntil the end", 0, true }, 3 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct peer_words words[] = { rows[i].words, { ACCEPTED, 0, false } };
        struct peer *peer = peer_start(SCRIPT(202));
        peer->words = words;
        peer->words_length = 2;
        struct running running = start_with(peer, NULL);
        int status = post(&running, answer);
        if (status != 202 || peer->count != rows[i].requests)
            fail_msg("row %zu: %d after %zu requests", i, status, peer->count);
        expect_same_event(peer, 0, rows[i].requests - 2);
        expect_type(peer, rows[i].requests - 1, MILESTONE);
        stop_running(&running, NULL, 0);
        peer_stop(peer);
    }
}

static void a_kept_connection_that_was_closed_costs_nothing(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    static const struct peer_words words[] = { { ACCEPTED, 0, false }, { ACCEPTED, 0, true } };
    struct peer *peer = peer_start(SCRIPT(202));
    peer->words = words;
    peer->words_length = 2;
    struct running running = start_with(peer, NULL);
    for (size_t i = 1; i <= 5; i++) {
        assert_int_equal(post(&running, answer), 202);
        assert_int_equal(peer->count, 2 * i);
    }
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void silence_ends_with_the_attempts_time(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    static const struct peer_words words[] = { { NULL, 0, false }, { ACCEPTED, 0, false } };
    struct peer *peer = peer_start(SCRIPT(202));
    peer->words = words;
    peer->words_length = 2;
    struct running running = start_with(peer, "K_SINK_TIMEOUT=1");
    int64_t began = clock_monotonic_ms();
    assert_int_equal(post(&running, answer), 202);
    assert_int_in_range(clock_monotonic_ms() - began, 1000, 4000);
    assert_int_equal(peer->count, 3);
    expect_same_event(peer, 0, 1);
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void a_sink_that_is_not_there_is_503(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(202));
    struct running running = start_with(peer, NULL);
    peer_stop(peer);
    assert_int_equal(post(&running, answer), 503);
    assert_non_null(header_in(answer, "Retry-After"));
    stop_running(&running, NULL, 0);
}

struct sender {
    const struct running *running;
    pthread_t thread;
    int number, status;
    char answer[PEER_TEXT];
};

static void *send_one(void *context)
{
    struct sender *sender = context;
    char request[200];
    snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: x\r\nX-Delivery: d-%d\r\nContent-Length: 2\r\n\r\n{}",
             sender->number);
    sender->status = ask(sender->running->port, request, sender->answer);
    return NULL;
}

static void start_senders(struct sender *senders, int count, const struct running *running)
{
    for (int i = 0; i < count; i++) {
        senders[i].running = running;
        senders[i].number = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_one, &senders[i]), 0);
    }
}

static void expect_accepted(struct sender *senders, int count)
{
    for (int i = 0; i < count; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].status, 202);
    }
}

static void more_calls_than_connections_are_all_served(void **state)
{
    (void)state;
    enum { SENDERS = COURIER_CALLS_MAX + 24 };
    static struct sender senders[SENDERS];
    static const struct peer_words words[] = { { ACCEPTED, 3, false } };
    struct peer *peer = peer_start(SCRIPT(202));
    peer->words = words;
    peer->words_length = 1;
    struct running running = start_with(peer, NULL);
    start_senders(senders, SENDERS, &running);
    expect_accepted(senders, SENDERS);
    assert_int_equal(peer->count, 2 * SENDERS);
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void what_is_under_way_is_finished_after_sigterm(void **state)
{
    (void)state;
    enum { SENDERS = 6 };
    static struct sender senders[SENDERS];
    static char answer[PEER_TEXT];
    static const struct peer_words words[] = { { "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 500, false },
                                               { ACCEPTED, 50, false } };
    struct peer *peer = peer_start(SCRIPT(202));
    peer->words = words;
    peer->words_length = 2;
    struct running running = start_with(peer, NULL);
    start_senders(senders, SENDERS, &running);
    do
        read_metrics(answer);
    while (!strstr(answer, "http_requests_in_flight 6\n"));
    stop_running(&running, NULL, 0);
    expect_accepted(senders, SENDERS);
    assert_int_equal(peer->count, 2 * SENDERS + 1);
    peer_stop(peer);
}

static void health_is_told_while_the_sink_says_nothing(void **state)
{
    (void)state;
    static struct sender sender;
    static char answer[PEER_TEXT];
    static const struct peer_words words[] = { { ACCEPTED, 700, false } };
    struct peer *peer = peer_start(SCRIPT(202));
    peer->words = words;
    peer->words_length = 1;
    struct running running = start_with(peer, NULL);
    start_senders(&sender, 1, &running);
    usleep(100 * 1000);
    int64_t began = clock_monotonic_ms();
    assert_int_equal(ask(running.port, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer), 200);
    assert_true(clock_monotonic_ms() - began < 500);
    expect_accepted(&sender, 1);
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void large_bodies_take_the_way_through_a_worker(void **state)
{
    (void)state;
    enum { LARGE = 600 * 1024 };
    static char request[LARGE + 200], answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(503, 202));
    struct running running = start_with(peer, NULL);
    int head = snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", LARGE);
    memset(request + head, ' ', LARGE);
    assert_int_equal(ask(running.port, request, answer), 202);
    assert_int_equal(peer->count, 3);
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_are_accepted_in_order_before_the_answer),
        cmocka_unit_test(what_the_sink_does_not_take_at_once_is_tried_again_from_there),
        cmocka_unit_test(the_pause_that_the_sink_asks_for_is_kept),
        cmocka_unit_test(a_refusal_for_good_is_told_as_503_and_nothing_follows_it),
        cmocka_unit_test(sinks_that_answer_in_every_way_are_understood),
        cmocka_unit_test(a_kept_connection_that_was_closed_costs_nothing),
        cmocka_unit_test(silence_ends_with_the_attempts_time),
        cmocka_unit_test(a_sink_that_is_not_there_is_503),
        cmocka_unit_test(more_calls_than_connections_are_all_served),
        cmocka_unit_test(what_is_under_way_is_finished_after_sigterm),
        cmocka_unit_test(health_is_told_while_the_sink_says_nothing),
        cmocka_unit_test(large_bodies_take_the_way_through_a_worker),
    };
    return cmocka_run_group_tests_name("runtime/courier", tests, NULL, NULL);
}
