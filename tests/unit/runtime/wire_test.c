/* The small client against sinks that say what they like, waiting and not waiting. */
#include "runtime/wire.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "tests/unit/runtime/peer.h"

#define OK_EMPTY "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
enum { BODY_MAX = 1024, PATIENCE_MS = 5000 };

/* A receiver that the test itself is: what it is sent and what it says come one after the other. */
struct hop {
    int listener, fd;
    char url[64];
    char got[PEER_TEXT];
};

static void hop_open(struct hop *hop)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    hop->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    hop->fd = -1;
    assert_int_equal(bind(hop->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(hop->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(hop->listener, 8), 0);
    snprintf(hop->url, sizeof hop->url, "http://127.0.0.1:%u/in?a=b", ntohs(address.sin_port));
}

static void hop_hang_up(struct hop *hop)
{
    if (hop->fd >= 0)
        close(hop->fd);
    hop->fd = -1;
}

static void hop_close(struct hop *hop)
{
    hop_hang_up(hop);
    if (hop->listener >= 0)
        close(hop->listener);
    hop->listener = -1;
}

static void hop_hear(struct hop *hop)
{
    if (hop->fd < 0)
        hop->fd = accept(hop->listener, NULL, NULL);
    assert_true(read_message(hop->fd, hop->got, sizeof hop->got));
}

static void hop_say(struct hop *hop, const char *text)
{
    assert_int_equal(write(hop->fd, text, strlen(text)), strlen(text));
}

static void await(const struct wire *wire, short events)
{
    struct pollfd waiting = { .fd = wire_fd(wire), .events = events };
    assert_int_equal(poll(&waiting, 1, PATIENCE_MS), 1);
}

/* Until the request is sent; a new connection lets nothing through before it stands. */
static enum wire_progress send_all(struct wire *wire, enum wire_progress progress)
{
    while (progress == WIRE_WRITES) {
        await(wire, POLLOUT);
        progress = wire_continue(wire);
    }
    return progress;
}

static enum wire_progress hear_all(struct wire *wire)
{
    enum wire_progress progress = WIRE_READS;
    while (progress == WIRE_READS) {
        await(wire, POLLIN);
        progress = wire_continue(wire);
    }
    return progress;
}

struct exchange_kit {
    struct hop hop;
    struct wire *wire;
    struct http_response response;
    struct error err;
};

static void kit_open(struct exchange_kit *kit)
{
    *kit = (struct exchange_kit){ 0 };
    hop_open(&kit->hop);
    kit->wire = wire_new(kit->hop.url, NULL, &kit->err);
    assert_non_null(kit->wire);
}

static void kit_close(struct exchange_kit *kit)
{
    wire_free(kit->wire);
    http_response_release(&kit->response);
    hop_close(&kit->hop);
}

static enum wire_progress kit_post(struct exchange_kit *kit)
{
    return send_all(kit->wire,
                    wire_begin(kit->wire, SPAN("X-Test: 1\r\n"), SPAN("body"), BODY_MAX, &kit->response, &kit->err));
}

static void a_post_that_nobody_waits_for(void **state)
{
    (void)state;
    struct exchange_kit kit;
    kit_open(&kit);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kit_post(&kit), WIRE_READS);
        hop_hear(&kit.hop);
        assert_int_equal(strncmp(kit.hop.got, "POST /in?a=b HTTP/1.1\r\n", 23), 0);
        assert_string_equal(header_in(kit.hop.got, "X-Test"), "1");
        assert_string_equal(header_in(kit.hop.got, "Content-Length"), "4");
        assert_string_equal(body_of(kit.hop.got), "body");
        hop_say(&kit.hop, OK_EMPTY);
        assert_int_equal(hear_all(kit.wire), WIRE_ANSWERED);
        assert_int_equal(kit.response.status, 202);
        assert_int_equal(kit.response.headers.len, 0);
    }
    assert_int_equal(wire_opened(kit.wire), 1);
    kit_close(&kit);
}

static const struct {
    const char *pieces[3]; /* said with a moment between them */
    bool hangs_up;
    enum wire_progress result;
    int status;       /* when it is answered */
    const char *body; /* of an answer that is no success */
    bool kept;
} answers[] = {
    { { "HTTP/1.1 100 Continue\r\n\r\n", OK_EMPTY }, false, WIRE_ANSWERED, 202, "", true },
    { { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n", "0\r\n\r\n" },
      false,
      WIRE_ANSWERED,
      200,
      "",
      true },
    { { "HTTP/1.1 200 OK\r\n\r\nas long", " as it stays open" }, true, WIRE_ANSWERED, 200, "", false },
    { { "HTTP/1.1 2", "04 No Content\r", "\n\r\n" }, false, WIRE_ANSWERED, 204, "", true },
    { { "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" },
      false,
      WIRE_ANSWERED,
      202,
      "",
      false },
    { { "HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n" }, false, WIRE_ANSWERED, 202, "", false },
    { { "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\n", "why?" },
      false,
      WIRE_ANSWERED,
      503,
      "why?",
      true },
    { { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf" }, true, WIRE_FAILED, 0, NULL, false },
    { { "HTTP/1.1 20" }, true, WIRE_FAILED, 0, NULL, false },
    { { "" }, true, WIRE_FAILED, 0, NULL, false },
    { { "SSH-2.0-OpenSSH\r\n" }, false, WIRE_FAILED, 0, NULL, false },
    { { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
      false,
      WIRE_FAILED,
      0,
      NULL,
      false },
};

static enum wire_progress hear_pieces(struct exchange_kit *kit, size_t row)
{
    enum wire_progress progress = WIRE_READS;
    for (size_t i = 0; i < 3 && answers[row].pieces[i] && progress == WIRE_READS; i++) {
        hop_say(&kit->hop, answers[row].pieces[i]);
        if (!*answers[row].pieces[i])
            continue;
        await(kit->wire, POLLIN);
        progress = wire_continue(kit->wire);
    }
    if (answers[row].hangs_up && progress == WIRE_READS) {
        hop_hang_up(&kit->hop);
        progress = hear_all(kit->wire);
    }
    return progress;
}

static void answers_of_every_kind_without_waiting(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct exchange_kit kit;
        kit_open(&kit);
        assert_int_equal(kit_post(&kit), WIRE_READS);
        hop_hear(&kit.hop);
        enum wire_progress result = hear_pieces(&kit, i);
        if (result != answers[i].result || (wire_fd(kit.wire) >= 0) != answers[i].kept)
            fail_msg("row %zu: %d %s", i, (int)result, kit.err.message);
        if (result == WIRE_ANSWERED) {
            assert_int_equal(kit.response.status, answers[i].status);
            assert_string_equal(bytes_text(&kit.response.body), answers[i].body);
            assert_int_equal(kit.response.retry_after_s, answers[i].status == 503 ? 7 : 0);
        } else {
            assert_int_equal(kit.err.kind, ERROR_UNCERTAIN);
            assert_non_null(strstr(kit.err.message, "POST 127.0.0.1:"));
        }
        kit_close(&kit);
    }
}

static void answers_of_every_kind_with_waiting(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        char text[1024], url[64];
        snprintf(text, sizeof text, "%s%s%s", answers[i].pieces[0], answers[i].pieces[1] ? answers[i].pieces[1] : "",
                 answers[i].pieces[1] && answers[i].pieces[2] ? answers[i].pieces[2] : "");
        const struct peer_words words = { text, 0, answers[i].hangs_up };
        static const int script[] = { 202 };
        struct peer *peer = peer_start(script, 1);
        peer->words = &words;
        peer->words_length = 1;
        snprintf(url, sizeof url, "http://127.0.0.1:%u/", peer->port);
        struct error err = { 0 };
        AUTO(wire_free) struct wire *wire = wire_new(url, NULL, &err);
        AUTO(http_response_release) struct http_response response = { 0 };
        const struct http_request request = {
            .method = "POST", .body = SPAN("{}"), .body_max = BODY_MAX, .timeout_ms = PATIENCE_MS
        };
        bool answered = wire_call(wire, &request, &response, &err);
        if (answered != (answers[i].result == WIRE_ANSWERED) || (answered && response.status != answers[i].status))
            fail_msg("row %zu: %d %s", i, response.status, err.message);
        if (!answered)
            assert_int_equal(err.kind, ERROR_UNCERTAIN);
        peer_stop(peer);
    }
}

static void a_connection_that_was_closed_is_opened_anew_once(void **state)
{
    (void)state;
    struct exchange_kit kit;
    kit_open(&kit);
    assert_int_equal(kit_post(&kit), WIRE_READS);
    hop_hear(&kit.hop);
    hop_say(&kit.hop, OK_EMPTY);
    assert_int_equal(hear_all(kit.wire), WIRE_ANSWERED);
    /* It reads the second request, and goes without a word. */
    assert_int_equal(kit_post(&kit), WIRE_READS);
    hop_hear(&kit.hop);
    hop_hang_up(&kit.hop);
    await(kit.wire, POLLIN);
    assert_int_equal(send_all(kit.wire, wire_continue(kit.wire)), WIRE_READS);
    assert_int_equal(wire_opened(kit.wire), 2);
    hop_hear(&kit.hop);
    assert_string_equal(body_of(kit.hop.got), "body");
    hop_hang_up(&kit.hop);
    assert_int_equal(hear_all(kit.wire), WIRE_FAILED);
    assert_int_equal(kit.err.kind, ERROR_UNCERTAIN);
    kit_close(&kit);
}

static void nobody_there_is_told_as_not_sent(void **state)
{
    (void)state;
    struct exchange_kit kit;
    kit_open(&kit);
    hop_close(&kit.hop);
    enum wire_progress progress = kit_post(&kit);
    assert_int_equal(progress, WIRE_FAILED);
    assert_int_equal(kit.err.kind, ERROR_UNAVAILABLE);
    assert_int_equal(wire_fd(kit.wire), -1);
    kit_close(&kit);
}

static void a_receiver_that_takes_little_at_a_time(void **state)
{
    (void)state;
    enum { LARGE = 8 * 1024 * 1024 };
    struct exchange_kit kit;
    kit_open(&kit);
    char *large = malloc(LARGE), *piece = malloc(LARGE);
    memset(large, 'x', LARGE);
    enum wire_progress progress =
        wire_begin(kit.wire, SPAN(""), (struct span){ large, LARGE }, BODY_MAX, &kit.response, &kit.err);
    kit.hop.fd = accept(kit.hop.listener, NULL, NULL);
    size_t total = 0;
    while (progress == WIRE_WRITES) {
        ssize_t n = recv(kit.hop.fd, piece, LARGE, MSG_DONTWAIT);
        total += n > 0 ? (size_t)n : 0;
        progress = wire_continue(kit.wire);
    }
    assert_int_equal(progress, WIRE_READS);
    while (total < LARGE || memcmp(piece, "x", 1) != 0) {
        ssize_t n = recv(kit.hop.fd, piece, LARGE, MSG_DONTWAIT);
        if (n <= 0)
            break;
        total += (size_t)n;
    }
    assert_true(total > LARGE);
    hop_say(&kit.hop, OK_EMPTY);
    assert_int_equal(hear_all(kit.wire), WIRE_ANSWERED);
    free(large);
    free(piece);
    kit_close(&kit);
}

static void what_is_given_up_may_have_arrived(void **state)
{
    (void)state;
    struct exchange_kit kit;
    kit_open(&kit);
    assert_int_equal(kit_post(&kit), WIRE_READS);
    wire_abandon(kit.wire, "no answer in time", &kit.err);
    assert_int_equal(kit.err.kind, ERROR_UNCERTAIN);
    assert_non_null(strstr(kit.err.message, "no answer in time"));
    assert_int_equal(wire_fd(kit.wire), -1);
    kit_close(&kit);
}

static void an_answer_has_a_ceiling(void **state)
{
    (void)state;
    struct exchange_kit kit;
    char body[BODY_MAX + 2];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    kit_open(&kit);
    assert_int_equal(kit_post(&kit), WIRE_READS);
    hop_hear(&kit.hop);
    hop_say(&kit.hop, "HTTP/1.1 500 No\r\nContent-Length: 1025\r\n\r\n");
    hop_say(&kit.hop, body);
    assert_int_equal(hear_all(kit.wire), WIRE_FAILED);
    assert_int_equal(kit.err.kind, ERROR_TOO_LARGE);
    kit_close(&kit);
}

static void numbers_and_sockets_need_no_name_server(void **state)
{
    (void)state;
    static const struct {
        const char *url, *unix_socket;
        bool known;
    } rows[] = {
        { "http://127.0.0.1:8080/", NULL, true }, { "http://[::1]:8080/", NULL, true },
        { "http://localhost/", NULL, false },     { "http://broker.knative-eventing.svc/x", NULL, false },
        { "http://localhost/", "/run/s", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        AUTO(wire_free) struct wire *wire = wire_new(rows[i].url, rows[i].unix_socket, &err);
        assert_non_null(wire);
        if ((wire_address(wire)->len > 0) != rows[i].known)
            fail_msg("%s", rows[i].url);
    }
}

static void a_name_is_known_once_it_was_asked_for(void **state)
{
    (void)state;
    static const int script[] = { 202 };
    struct peer *peer = peer_start(script, 1);
    char url[64];
    struct error err = { 0 };
    snprintf(url, sizeof url, "http://localhost:%u/", peer->port);
    AUTO(wire_free) struct wire *asked = wire_new(url, NULL, &err);
    AUTO(wire_free) struct wire *told = wire_new(url, NULL, &err);
    AUTO(http_response_release) struct http_response response = { 0 };
    const struct http_request request = {
        .method = "POST", .body = SPAN("{}"), .body_max = BODY_MAX, .timeout_ms = PATIENCE_MS
    };
    assert_true(wire_call(asked, &request, &response, &err));
    wire_set_address(told, wire_address(asked));
    assert_int_equal(
        send_all(told, wire_begin(told, SPAN("Host-Test: 1\r\n"), SPAN("body"), BODY_MAX, &response, &err)),
        WIRE_READS);
    assert_int_equal(hear_all(told), WIRE_ANSWERED);
    assert_string_equal(body_of(peer->requests[1]), "body");
    peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_post_that_nobody_waits_for),
        cmocka_unit_test(answers_of_every_kind_without_waiting),
        cmocka_unit_test(answers_of_every_kind_with_waiting),
        cmocka_unit_test(a_connection_that_was_closed_is_opened_anew_once),
        cmocka_unit_test(nobody_there_is_told_as_not_sent),
        cmocka_unit_test(a_receiver_that_takes_little_at_a_time),
        cmocka_unit_test(what_is_given_up_may_have_arrived),
        cmocka_unit_test(an_answer_has_a_ceiling),
        cmocka_unit_test(numbers_and_sockets_need_no_name_server),
        cmocka_unit_test(a_name_is_known_once_it_was_asked_for),
    };
    return cmocka_run_group_tests_name("runtime/wire", tests, NULL, NULL);
}
