/* The server as a client with a bare socket sees it. */
#include "runtime/server_internal.h"
#include "shared/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { PATIENCE_MS = 10000 };

/* --- a server with a handler that does what the path says --- */

struct fixture {
    struct server *server;
    pthread_t thread;
    bool ran;
    struct error err;
    sem_t entered, go; /* "/gate" tells that it is in, and waits */
    atomic_int finished, last_status, gone;
};

static void echo(const struct request *request, struct reply *reply)
{
    struct error err = { 0 };
    reply->content_type = "application/octet-stream";
    bytes_append_span(&reply->body, request->body, &err);
}

static void describe(const struct request *request, struct reply *reply)
{
    struct error err = { 0 };
    size_t count = 0;
    struct span x = request_header(request, "x-test", &count);
    bytes_printf(&reply->body, &err, "%.*s|%.*s|%.*s|%s|%.*s|%zu", SPAN_ARGS(request->method), SPAN_ARGS(request->path),
                 SPAN_ARGS(request->query), request->query.data ? "query" : "none", SPAN_ARGS(x), count);
    reply->content_type = "text/plain";
}

static void big(struct reply *reply)
{
    struct error err = { 0 };
    for (int i = 0; i < 8 * 1024; i++) {
        char block[1024];
        memset(block, 'a' + i % 26, sizeof block);
        bytes_append(&reply->body, block, sizeof block, &err);
    }
    reply->content_type = "text/plain";
}

static void handle(void *context, const struct request *request, struct reply *reply)
{
    struct fixture *fixture = context;
    struct error err = { 0 };
    if (span_is(request->path, "/echo"))
        echo(request, reply);
    else if (span_is(request->path, "/big"))
        big(reply);
    else if (span_is(request->path, "/nothing"))
        reply->status = 204;
    else if (span_is(request->path, "/busy")) {
        reply->status = 429;
        reply->retry_after_s = 7;
        reply->allow = "POST";
    } else if (span_is(request->path, "/extra"))
        bytes_append_span(&reply->headers, request->body, &err);
    else if (span_is(request->path, "/gate")) {
        sem_post(&fixture->entered);
        while (sem_wait(&fixture->go) != 0)
            ;
        echo(request, reply);
    } else
        describe(request, reply);
}

static bool answer(void *context, const struct request *request, struct reply *reply)
{
    (void)context;
    if (!span_is(request->path, "/health"))
        return false;
    struct error err = { 0 };
    bytes_append_text(&reply->body, "alive", &err);
    reply->content_type = "text/plain";
    return true;
}

static void finished(void *context, const struct request *request, int status, int64_t duration_us)
{
    struct fixture *fixture = context;
    (void)request;
    if (duration_us < 0)
        status = -1;
    if (status == 0)
        fixture->gone++;
    fixture->last_status = status;
    fixture->finished++;
}

static void *run(void *context)
{
    struct fixture *fixture = context;
    fixture->ran = server_run(fixture->server, &fixture->err);
    return NULL;
}

static struct fixture *start(struct server_options options)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    sem_init(&fixture->entered, 0, 0);
    sem_init(&fixture->go, 0, 0);
    options.listen = options.listen ? options.listen : "127.0.0.1:0";
    options.handle = handle;
    options.answer = answer;
    options.finished = finished;
    options.context = fixture;
    fixture->server = server_new(&options, &fixture->err);
    if (!fixture->server)
        fail_msg("%s", fixture->err.message);
    assert_int_equal(pthread_create(&fixture->thread, NULL, run, fixture), 0);
    return fixture;
}

static void wait_for_end(struct fixture *fixture)
{
    pthread_join(fixture->thread, NULL);
    if (!fixture->ran)
        fail_msg("%s", fixture->err.message);
    server_free(fixture->server);
    sem_destroy(&fixture->entered);
    sem_destroy(&fixture->go);
    free(fixture);
}

static void end(struct fixture *fixture)
{
    server_stop(fixture->server);
    wait_for_end(fixture);
}

/* --- a client --- */

static int dial_port(unsigned port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = -1;
    for (int tries = 0; tries < 500; tries++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
            break;
        close(fd); /* it listens a moment after it has bound */
        fd = -1;
        usleep(2000);
    }
    assert_true(fd >= 0);
    const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static int dial(struct fixture *fixture)
{
    return dial_port(server_port(fixture->server));
}

static void put(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server may have closed: the test sees that in the answer */
        data += n;
        len -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

struct answer {
    int status;
    char head[4096];
    struct bytes body;
};

/* One answer; a status of 0 means that the connection ended first. */
static struct answer hear_one(int fd, bool to_head)
{
    struct answer got = { .body = BYTES(64 * 1024 * 1024) };
    struct error err = { 0 };
    size_t len = 0;
    while (len < sizeof got.head - 1 && recv(fd, got.head + len, 1, 0) == 1) {
        got.head[++len] = '\0';
        if (len >= 4 && strcmp(got.head + len - 4, "\r\n\r\n") == 0)
            break;
    }
    if (strncmp(got.head, "HTTP/1.1 ", 9) != 0)
        return got;
    got.status = atoi(got.head + 9);
    const char *length = strstr(got.head, "Content-Length: ");
    size_t left = length && !to_head ? (size_t)atol(length + 16) : 0;
    while (left > 0) {
        char block[16384];
        ssize_t n = recv(fd, block, left < sizeof block ? left : sizeof block, 0);
        assert_true(n > 0);
        assert_true(bytes_append(&got.body, block, (size_t)n, &err));
        left -= (size_t)n;
    }
    return got;
}

static void expect(int fd, int status, const char *body)
{
    struct answer got = hear_one(fd, false);
    assert_int_equal(got.status, status);
    if (body)
        assert_string_equal(bytes_text(&got.body), body);
    bytes_release(&got.body);
}

static void expect_end(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

/* Sends raw bytes on a connection of their own and expects one answer and the end. */
static void refused(struct fixture *fixture, const char *raw, int status, const char *reason)
{
    AUTO(close) int fd = dial(fixture);
    say(fd, raw);
    struct answer got = hear_one(fd, false);
    if (got.status != status || !strstr(bytes_text(&got.body), reason))
        fail_msg("%s\n-> %d %s, expected %d %s", raw, got.status, bytes_text(&got.body), status, reason);
    assert_non_null(strstr(got.head, "Connection: close\r\n"));
    assert_non_null(strstr(got.head, "Content-Type: application/problem+json\r\n"));
    bytes_release(&got.body);
    expect_end(fd);
}

static void assert_took(int64_t begin_ms, int64_t at_least_ms, int64_t at_most_ms)
{
    int64_t took = clock_monotonic_ms() - begin_ms;
    if (took < at_least_ms || took > at_most_ms)
        fail_msg("%lld ms", (long long)took);
}

/* The client may have its answer a moment before the server has told of it. */
static void await_finished(struct fixture *fixture, int count)
{
    for (int i = 0; i < 1000 && fixture->finished < count; i++)
        usleep(5 * 1000);
    assert_int_equal(fixture->finished, count);
}

/* --- tests --- */

static void a_request_reaches_the_handler_and_the_answer_the_client(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /a%20b?x=1&y HTTP/1.1\r\nHost: localhost:80\r\nX-Test:  one \r\nx-TEST: two\r\n\r\n");
    expect(fd, 200, "GET|/a%20b|x=1&y|query|one|2");
    say(fd, "GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n");
    expect(fd, 200, "GET|/||none||0");
    say(fd, "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n");
    expect(fd, 200, "OPTIONS|*||none||0");
    say(fd, "POST /echo HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 5\r\n\r\nhello");
    expect(fd, 200, "hello");
    end(fixture);
}

static void answers_carry_what_the_reply_says(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /busy HTTP/1.1\r\nHost: a\r\n\r\n");
    struct answer got = hear_one(fd, false);
    assert_string_equal(got.head,
                        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 7\r\nAllow: POST\r\n\r\n");
    say(fd, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    got = hear_one(fd, false);
    assert_string_equal(got.head, "HTTP/1.1 204 No Content\r\n\r\n");
    say(fd, "HEAD /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    got = hear_one(fd, true);
    assert_string_equal(got.head,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\n");
    say(fd, "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    got = hear_one(fd, false);
    assert_string_equal(
        got.head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    assert_string_equal(bytes_text(&got.body), "alive");
    bytes_release(&got.body);
    expect_end(fd);
    end(fixture);
}

/* --- handlers that wait for nothing --- */

enum { PIPE_IN, PIPE_OUT };
enum { FORGOTTEN = 6 }; /* calls of "/forget" that are answered together */

static struct later {
    struct server *server;
    struct parked *parked;
    struct reply *reply;
    struct parked *all[FORGOTTEN];
    atomic_size_t count;
    int pipe[2], watch;
    pthread_t loop, worker;
} later;

static void say_it(struct reply *reply, const char *text)
{
    struct error err = { 0 };
    reply->content_type = "text/plain";
    bytes_append_text(&reply->body, text, &err);
}

static void on_pipe(void *context)
{
    struct later *l = context;
    char text[10] = "";
    assert_int_equal(read(l->pipe[PIPE_IN], text, sizeof text - 1), 1);
    server_unwatch(l->server, l->watch);
    say_it(l->reply, text);
    server_answer(l->server, l->parked);
}

static void on_alarm(void *context, int64_t now_ms)
{
    (void)context, (void)now_ms;
    if (later.count > 0) {
        while (later.count > 0)
            server_answer(later.server, later.all[--later.count]);
        return;
    }
    say_it(later.reply, "late");
    server_answer(later.server, later.parked);
}

static void on_resume(void *context, void *work, struct reply *reply)
{
    (void)context;
    later.worker = pthread_self();
    say_it(reply, work);
}

static enum begun on_begin(void *context, const struct request *request, struct reply *reply, struct parked *parked)
{
    (void)context;
    if (span_is(request->path, "/gate") || span_is(request->path, "/echo"))
        return BEGUN_NOT;
    later.parked = parked;
    later.reply = reply;
    later.loop = pthread_self();
    if (span_is(request->path, "/now")) {
        say_it(reply, "now");
        return BEGUN_DONE;
    }
    if (span_is(request->path, "/forget")) {
        later.all[later.count++] = parked;
        server_forget_body(later.server, parked);
        if (later.count == FORGOTTEN)
            server_set_alarm(later.server, clock_monotonic_ms());
    } else if (span_is(request->path, "/alarm"))
        server_set_alarm(later.server, clock_monotonic_ms() + 50);
    else if (span_is(request->path, "/pipe"))
        later.watch = server_watch(later.server, later.pipe[PIPE_IN], on_pipe, &later);
    else if (span_is(request->path, "/worker"))
        server_hand_over(later.server, parked, (void *)(uintptr_t)"by a worker");
    else {
        say_it(reply, "at once");
        server_answer(later.server, parked);
    }
    return BEGUN_WAITS;
}

static struct fixture *start_beginning_with(size_t body_max, size_t memory_max)
{
    assert_int_equal(pipe(later.pipe), 0);
    struct fixture *fixture = start((struct server_options){
        .begin = on_begin, .resume = on_resume, .alarm = on_alarm, .body_max = body_max, .memory_max = memory_max });
    later.server = fixture->server;
    return fixture;
}

static struct fixture *start_beginning(void)
{
    return start_beginning_with(0, 0);
}

static void end_beginning(struct fixture *fixture)
{
    end(fixture);
    close(later.pipe[PIPE_IN]);
    close(later.pipe[PIPE_OUT]);
}

static void what_is_begun_is_answered_at_once_later_or_by_a_worker(void **unused)
{
    (void)unused;
    struct fixture *fixture = start_beginning();
    AUTO(close) int fd = dial(fixture);
    for (int i = 0; i < 3; i++) {
        say(fd, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(fd, 200, "now");
        say(fd, "GET /at-once HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(fd, 200, "at once");
        int64_t began = clock_monotonic_ms();
        say(fd, "GET /alarm HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(fd, 200, "late");
        assert_took(began, 49, 5000);
        say(fd, "GET /worker HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(fd, 200, "by a worker");
        assert_false(pthread_equal(later.loop, later.worker));
        say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        expect(fd, 200, "hello");
    }
    await_finished(fixture, 15);
    end_beginning(fixture);
}

static void others_are_served_while_a_request_is_parked(void **unused)
{
    (void)unused;
    struct fixture *fixture = start_beginning();
    AUTO(close) int parked = dial(fixture);
    AUTO(close) int other = dial(fixture);
    say(parked, "GET /pipe HTTP/1.1\r\nHost: a\r\n\r\nGET /now HTTP/1.1\r\nHost: a\r\n\r\n");
    say(other, "GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /gate HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(other, 200, "alive");
    AUTO(close) int third = dial(fixture);
    say(third, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(third, 200, "alive"); /* the gate is shut in a worker */
    assert_int_equal(write(later.pipe[PIPE_OUT], "x", 1), 1);
    expect(parked, 200, "x");
    expect(parked, 200, "now");
    sem_post(&fixture->go);
    expect(other, 200, "");
    end_beginning(fixture);
}

static void a_parked_request_is_answered_before_the_end(void **unused)
{
    (void)unused;
    struct fixture *fixture = start_beginning();
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /pipe HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(50 * 1000);
    server_stop(fixture->server);
    usleep(50 * 1000);
    assert_int_equal(write(later.pipe[PIPE_OUT], "x", 1), 1);
    expect(fd, 200, "x");
    expect_end(fd);
    end_beginning(fixture);
}

static void old_clients_are_kept_only_when_they_ask(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    struct answer got = hear_one(fd, false);
    assert_non_null(strstr(got.head, "Connection: keep-alive\r\n"));
    bytes_release(&got.body);
    say(fd, "GET /health HTTP/1.0\r\n\r\n");
    expect(fd, 200, "alive");
    expect_end(fd);
    end(fixture);
}

static void pipelined_requests_are_answered_one_by_one_in_order(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
            "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n"
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nthree"
            "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, 200, "one");
    expect(fd, 200, "alive");
    expect(fd, 200, "two");
    expect(fd, 200, "three");
    expect(fd, 204, "");
    expect_end(fd);
    end(fixture);
}

static void hundreds_of_pipelined_requests_are_all_answered(void **unused)
{
    (void)unused;
    enum { COUNT = 800 };
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    AUTO(bytes_release) struct bytes all = BYTES(1024 * 1024);
    struct error err = { 0 };
    for (int i = 0; i < COUNT; i++)
        bytes_printf(&all, &err, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d", i);
    put(fd, all.data, all.len);
    for (int i = 0; i < COUNT; i++) {
        char number[16];
        snprintf(number, sizeof number, "%04d", i);
        expect(fd, 200, number);
    }
    end(fixture);
}

static void a_request_may_come_byte_by_byte(void **unused)
{
    (void)unused;
    static const char raw[] = "POST /echo?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Empty:\r\n\r\n"
                              "5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: t\r\n\r\n";
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    for (size_t i = 0; i < sizeof raw - 1; i++) {
        put(fd, raw + i, 1);
        if (i % 16 == 0)
            usleep(500);
    }
    expect(fd, 200, "hello!");
    say(fd, "\r\n"); /* a stray line end between requests is nobody's request */
    usleep(20 * 1000);
    say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, 200, "alive");
    end(fixture);
}

static void large_bodies_arrive_whole(void **unused)
{
    (void)unused;
    enum { SIZE = 5 * 1000 * 1000 };
    struct fixture *fixture = start((struct server_options){ .body_max = SIZE });
    AUTO(free) char *body = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)(i * 7 + i / 256);
    for (int chunked = 0; chunked < 2; chunked++) {
        AUTO(close) int fd = dial(fixture);
        say(fd, chunked ? "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4c4b40\r\n"
                        : "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n");
        put(fd, body, SIZE);
        say(fd, chunked ? "\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n"
                        : "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        struct answer got = hear_one(fd, false);
        assert_int_equal(got.status, 200);
        assert_int_equal(got.body.len, SIZE);
        assert_memory_equal(got.body.data, body, SIZE);
        bytes_release(&got.body);
        expect(fd, 200, "alive");
    }
    end(fixture);
}

/* Around every size at which memory is got in another way, on one connection, so that what is reused is seen. */
static void bodies_of_every_size_arrive_whole(void **unused)
{
    (void)unused;
    static const size_t sizes[] = { 0,      1,      15000,  16384,  16385,  32767,  32768, 65536,
                                    100000, 131072, 300000, 524288, 600000, 100000, 40000, 1 };
    struct fixture *fixture = start((struct server_options){ .body_max = 600000 });
    AUTO(close) int fd = dial(fixture);
    AUTO(free) char *body = malloc(600000);
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (size_t k = 0; k < sizes[i]; k++)
                body[k] = (char)(k * 31 + k / 251 + i + round);
            char head[128];
            snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
            say(fd, head);
            put(fd, body, sizes[i]);
            struct answer got = hear_one(fd, false);
            assert_int_equal(got.body.len, sizes[i]);
            assert_memory_equal(bytes_text(&got.body), body, sizes[i]);
            bytes_release(&got.body);
        }
    end(fixture);
}

static void an_answer_may_be_taken_slowly(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .workers = 1 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(50 * 1000);
    AUTO(close) int other = dial(fixture); /* the only worker is free again, although the answer is not taken yet */
    say(other, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    expect(other, 200, "hi");
    struct answer got = hear_one(fd, false);
    assert_int_equal(got.body.len, 8 * 1024 * 1024);
    for (size_t i = 0; i < got.body.len; i += 1024)
        assert_int_equal(got.body.data[i], 'a' + (i / 1024) % 26);
    bytes_release(&got.body);
    expect(fd, 200, "alive");
    end(fixture);
}

static void a_body_is_asked_for_when_its_sender_waits(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .body_max = 100 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n");
    struct answer got = hear_one(fd, true);
    assert_string_equal(got.head, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hello");
    expect(fd, 200, "hello");
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    expect(fd, 200, "hello"); /* it did not wait: no need to tell it */
    refused(fixture, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n", 413,
            "body is too large");
    refused(fixture, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 200-ok\r\n\r\n", 417,
            "expectation");
    end(fixture);
}

static void ambiguous_requests_are_refused_and_the_connection_closed(void **unused)
{
    (void)unused;
    static const struct {
        const char *raw;
        int status;
        const char *reason;
    } rows[] = {
        { "GET / HTTP/1.1\r\n\r\n", 400, "no Host" },
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "stands twice" },
        { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid Host" },
        { "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "invalid Host" },
        { "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "invalid Host" },
        { "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400, "invalid Host" },
        { "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400, "invalid Host" },
        { "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "invalid Host" },
        { "GET / HTTP/1.1\r\nHost: a%4\r\n\r\n", 400, "invalid Host" },
        { "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target" },
        { "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target" },
        { "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target" },
        { "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
        { "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target" },
        { "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target" },
        { "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
        { "GET http://a@b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
        { "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "proxy" },
        { "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown method" },
        { "get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "" },
        { "\x16\x03\x01\x02\x00\x01\x00", 400, "" },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2" },
        { "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "blank" },
        { "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "blank" },
        { "\r\nGET / HTTP/1.1\r\nHost: \"\r\n\r\n", 400, "invalid Host" },
        { "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version" },
        { "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "version" },
        { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "" },
        { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "" },
        { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "transfer coding" },
        { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          400, "" },
        { "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0" },
        { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "" },
        { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\x01\r\n\r\n", 400, "" },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01"
          "b\r\n\r\n",
          400, "" },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", 400, "" },
        { "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400, "" },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, "" },
        { "GET / HTTP/1.1\nHost: a\n\n", 400, "" },
    };
    struct fixture *fixture = start((struct server_options){ 0 });
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(fixture, rows[i].raw, rows[i].status, rows[i].reason);
    end(fixture);
}

static void an_offer_to_change_the_protocol_is_declined(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
            "AAMAAABk\r\n\r\n");
    expect(fd, 200, "GET|/x||none||0");
    say(fd,
        "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi");
    expect(fd, 200, "hi");
    say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, 200, "alive");
    end(fixture);
}

static void repeat(struct bytes *out, const char *text, size_t times)
{
    struct error err = { 0 };
    for (size_t i = 0; i < times; i++)
        assert_true(bytes_append_text(out, text, &err));
}

static void every_dimension_has_a_limit(void **unused)
{
    (void)unused;
    static const struct {
        const char *before, *filling, *after;
        size_t times;
        int status;
    } rows[] = {
        { "GET /", "a", " HTTP/1.1\r\nHost: a\r\n\r\n", SERVER_LINE_MAX - 16, 200 },
        { "GET /", "a", " HTTP/1.1\r\nHost: a\r\n\r\n", SERVER_LINE_MAX, 414 },
        { "GET /", "a", " HTTP/1.1\r\nHost: a\r\n\r\n", 1000 * 1000, 414 },
        { "GET /x HTTP/1.1\r\nHost: a\r\nX: ", "b", "\r\n\r\n", 30 * 1024, 200 },
        { "GET /x HTTP/1.1\r\nHost: a\r\nX: ", "b", "\r\n\r\n", 1000 * 1000, 431 },
        { "GET /x HTTP/1.1\r\nHost: a\r\nX:", " ", "\r\n\r\n", 1000 * 1000, 431 },
        { "GET /x HTTP/1.1\r\nHost: a\r\n", "X: b\r\n", "\r\n", SERVER_FIELDS_MAX - 1, 200 },
        { "GET /x HTTP/1.1\r\nHost: a\r\n", "X: b\r\n", "\r\n", SERVER_FIELDS_MAX, 431 },
        { "", "\r\n", "", 100 * 1000, 431 },
        { "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", "x", "\r\na\r\n0\r\n\r\n",
          1000 * 1000, 400 },
        { "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "0", "1\r\na\r\n0\r\n\r\n", 1000 * 1000,
          400 },
        { "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: b\r\n", "\r\n", 100 * 1000,
          400 },
        { "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", "0\r\n\r\n", 10 * 1000,
          200 },
        { "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", "0\r\n\r\n", 20 * 1000 + 1,
          413 },
        { "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20001\r\n\r\n", "a", "", 20 * 1000 + 1, 413 },
        { "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n", "a", "", 10, 413 },
    };
    struct fixture *fixture = start((struct server_options){ .body_max = 20 * 1000 });
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(bytes_release) struct bytes raw = BYTES(2 * 1024 * 1024);
        repeat(&raw, rows[i].before, 1);
        repeat(&raw, rows[i].filling, rows[i].times);
        repeat(&raw, rows[i].after, 1);
        AUTO(close) int fd = dial(fixture);
        put(fd, raw.data, raw.len);
        struct answer got = hear_one(fd, false);
        bytes_release(&got.body);
        if (got.status != rows[i].status)
            fail_msg("row %zu: %d, expected %d", i, got.status, rows[i].status);
    }
    end(fixture);
}

static void answers_cannot_be_split_by_a_handler(void **unused)
{
    (void)unused;
    static const struct {
        const char *lines;
        int status;
    } rows[] = {
        { "X-Good: yes\r\nX-Also: \xc3\xa9\r\n", 200 },
        { "X-Bad: a\nSet-Cookie: b\r\n", 500 },
        { "X-Bad: a\r\n\r\nbody\r\n", 500 },
        { "X-Bad: a\r\n Folded: b\r\n", 500 },
        { "X-Bad: a", 500 },
        { "X Bad: a\r\n", 500 },
        { "no colon\r\n", 500 },
        { ": nameless\r\n", 500 },
        { "X-Bad: a\rb\r\n", 500 },
        { "Content-Length: 3\r\n", 500 },
        { "transfer-encoding: chunked\r\n", 500 },
        { "Connection: close\r\n", 500 },
    };
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(bytes_release) struct bytes raw = BYTES(4096);
        struct error err = { 0 };
        bytes_printf(&raw, &err, "POST /extra HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(rows[i].lines), rows[i].lines);
        put(fd, raw.data, raw.len);
        struct answer got = hear_one(fd, false);
        bytes_release(&got.body);
        if (got.status != rows[i].status)
            fail_msg("row %zu: %d, expected %d", i, got.status, rows[i].status);
        assert_int_equal(strstr(got.head, rows[i].lines) != NULL, rows[i].status == 200);
    }
    AUTO(close) int nul = dial(fixture);
    static const char with_nul[] = "POST /extra HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nX: a\0b\r\n";
    put(nul, with_nul, sizeof with_nul - 1);
    expect(nul, 500, NULL);
    end(fixture);
}

static void slow_senders_are_told_and_closed(void **unused)
{
    (void)unused;
    struct fixture *fixture =
        start((struct server_options){ .header_timeout_ms = 150, .body_timeout_ms = 200, .idle_timeout_ms = 100 });
    int64_t begin = clock_monotonic_ms();
    refused(fixture, "GET / HTTP/1.1\r\nHost: a\r\n", 408, "header fields");
    assert_took(begin, 150, 2000);
    begin = clock_monotonic_ms();
    refused(fixture, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", 408, "body");
    assert_took(begin, 200, 2000);
    await_finished(fixture, 2);
    assert_int_equal(fixture->last_status, 408);
    begin = clock_monotonic_ms();
    AUTO(close) int idle = dial(fixture);
    expect_end(idle); /* without a word: nothing was asked */
    assert_took(begin, 100, 2000);
    AUTO(close) int kept = dial(fixture);
    say(kept, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(kept, 200, "alive");
    expect_end(kept);
    /* One byte now and then does not begin the time anew. */
    AUTO(close) int drip = dial(fixture);
    begin = clock_monotonic_ms();
    for (struct pollfd ready = { drip, POLLIN, 0 }; poll(&ready, 1, 20) == 0;)
        say(drip, "G");
    assert_took(begin, 0, 1000);
    end(fixture);
}

static void a_body_has_ten_seconds_and_then_a_kilobyte_for_each(void **unused)
{
    (void)unused;
    static const struct {
        size_t received;
        int64_t age_ms;
        bool slow;
    } rows[] = {
        { 0, 9999, false },
        { 0, 10000, true },
        { 10239, 10000, true },
        { 10240, 10000, false },
        { 20479, 20000, true },
        { 20480, 20000, false },
        { 80 * 1024 * 1024, 3600 * 1000, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(body_is_too_slow(rows[i].received, rows[i].age_ms), rows[i].slow);
}

static void a_peer_that_does_not_take_its_answer_is_dropped(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .body_timeout_ms = 100 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    await_finished(fixture, 1);
    assert_int_equal(fixture->gone, 1);
    end(fixture);
}

static void health_is_answered_while_every_worker_is_busy(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .workers = 2 });
    int busy[2];
    for (int i = 0; i < 2; i++) {
        busy[i] = dial(fixture);
        say(busy[i], "POST /gate HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndone");
        sem_wait(&fixture->entered);
    }
    AUTO(close) int waiting = dial(fixture);
    say(waiting, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nwaited");
    AUTO(close) int health = dial(fixture);
    say(health, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(health, 200, "alive");
    struct pollfd quiet = { waiting, POLLIN, 0 };
    assert_int_equal(poll(&quiet, 1, 50), 0);
    for (int i = 0; i < 2; i++)
        sem_post(&fixture->go);
    for (int i = 0; i < 2; i++) {
        expect(busy[i], 200, "done");
        close(busy[i]);
    }
    expect(waiting, 200, "waited");
    end(fixture);
}

static void stopping_finishes_what_has_begun(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int running = dial(fixture);
    say(running, "POST /gate HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndone"
                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnext");
    sem_wait(&fixture->entered);
    AUTO(close) int begun = dial(fixture);
    say(begun, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    AUTO(close) int idle = dial(fixture);
    say(idle, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(idle, 200, "alive");
    assert_false(server_stopping(fixture->server));

    unsigned port = server_port(fixture->server);
    server_stop(fixture->server);
    server_stop(fixture->server);
    assert_true(server_stopping(fixture->server));
    expect_end(idle);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_not_equal(connect(late, (struct sockaddr *)&to, sizeof to), 0);
    close(late);

    say(begun, "body");
    struct answer got = hear_one(begun, false);
    assert_string_equal(bytes_text(&got.body), "body");
    assert_non_null(strstr(got.head, "Connection: close\r\n"));
    bytes_release(&got.body);
    expect_end(begun);

    sem_post(&fixture->go);
    got = hear_one(running, false);
    assert_string_equal(bytes_text(&got.body), "done");
    assert_null(strstr(got.head, "Connection: close\r\n")); /* the next request is here already */
    bytes_release(&got.body);
    got = hear_one(running, false);
    assert_string_equal(bytes_text(&got.body), "next");
    assert_non_null(strstr(got.head, "Connection: close\r\n"));
    bytes_release(&got.body);
    wait_for_end(fixture);
}

static void a_request_sent_just_before_the_stop_is_served(void **unused)
{
    (void)unused;
    for (int round = 0; round < 20; round++) {
        struct fixture *fixture = start((struct server_options){ 0 });
        int fds[8];
        for (size_t i = 0; i < 8; i++) {
            fds[i] = dial(fixture);
            if (i % 2 == 0) {
                say(fds[i], "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
                expect(fds[i], 200, "alive");
            }
        }
        for (size_t i = 0; i < 8; i++)
            say(fds[i], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        server_stop(fixture->server);
        for (size_t i = 0; i < 8; i++) {
            expect(fds[i], 200, "hi");
            close(fds[i]);
        }
        wait_for_end(fixture);
    }
}

static void the_end_of_the_drain_time_is_told_as_busy(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .drain_timeout_ms = 100 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "POST /gate HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ndone");
    sem_wait(&fixture->entered);
    server_stop(fixture->server);
    pthread_join(fixture->thread, NULL);
    assert_false(fixture->ran);
    assert_int_equal(fixture->err.kind, ERROR_BUSY);
    assert_string_equal(fixture->err.message, "requests were still running 100 ms after the stop");
    sem_post(&fixture->go);
    server_free(fixture->server);
    free(fixture);
}

static void many_connections_at_once_are_served(void **unused)
{
    (void)unused;
    enum { COUNT = 64, ROUNDS = 20 };
    struct fixture *fixture = start((struct server_options){ 0 });
    int fds[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        fds[i] = dial(fixture);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++) {
            char raw[128];
            snprintf(raw, sizeof raw, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n%02d %03d", i, round);
            say(fds[i], raw);
        }
        for (int i = 0; i < COUNT; i++) {
            char body[32];
            snprintf(body, sizeof body, "%02d %03d", i, round);
            expect(fds[i], 200, body);
        }
    }
    await_finished(fixture, COUNT * ROUNDS);
    assert_int_equal(fixture->gone, 0);
    for (size_t i = 0; i < COUNT; i++)
        close(fds[i]);
    end(fixture);
}

static void over_the_cap_the_longest_idle_connection_goes(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .connections_max = 2 });
    int fds[3];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = dial(fixture);
        say(fds[i], "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(fds[i], 200, "alive");
    }
    expect_end(fds[0]);
    for (size_t i = 1; i < 3; i++) {
        say(fds[i], "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(fds[i], 200, "alive");
    }
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    end(fixture);
}

static void *upload(void *context)
{
    struct fixture *fixture = context;
    enum { SIZE = 4000 * 1000 };
    AUTO(close) int fd = dial(fixture);
    AUTO(free) char *body = calloc(1, SIZE);
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
    put(fd, body, SIZE);
    struct answer got = hear_one(fd, false);
    bool ok = got.status == 200 && got.body.len == SIZE;
    bytes_release(&got.body);
    return ok ? context : NULL;
}

/* Eight bodies, memory for two: all get through, one after the other. */
static void bodies_wait_for_memory_and_none_is_lost(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .body_max = 4000 * 1000, .memory_max = 8000 * 1000 });
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, upload, fixture), 0);
    for (size_t i = 0; i < 8; i++) {
        void *ok;
        pthread_join(threads[i], &ok);
        assert_non_null(ok);
    }
    end(fixture);
}

static int begin_upload(struct fixture *fixture, const char *announced, size_t size)
{
    AUTO(free) char *body = calloc(1, size);
    int fd = dial(fixture);
    assert_non_null(body);
    say(fd, announced);
    put(fd, body, size);
    return fd;
}

/* Memory for two bodies; six requests wait for their answers at the same time, and none keeps its body. */
static void a_body_that_is_forgotten_makes_room_for_others(void **unused)
{
    (void)unused;
    struct fixture *fixture = start_beginning_with(300 * 1000, 600 * 1000);
    for (int round = 0; round < 3; round++) {
        int fds[FORGOTTEN];
        for (size_t i = 0; i < FORGOTTEN; i++) {
            fds[i] =
                begin_upload(fixture, "POST /forget HTTP/1.1\r\nHost: a\r\nContent-Length: 250000\r\n\r\n", 250 * 1000);
            for (int64_t until = clock_monotonic_ms() + 5000; i + 1 < FORGOTTEN && later.count <= i;)
                assert_true(clock_monotonic_ms() < until);
        }
        for (size_t i = 0; i < FORGOTTEN; i++) {
            expect(fds[i], 200, "");
            say(fds[i], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
            expect(fds[i], 200, "hello");
            close(fds[i]);
        }
    }
    end_beginning(fixture);
}

/* Who holds the memory and does not get on is told so after a moment, and the others get through. */
static void whoever_stops_in_a_large_body_makes_room_for_others(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ .body_max = 4000 * 1000, .memory_max = 12000 * 1000 });
    int stopped[3];
    for (size_t i = 0; i < 3; i++)
        stopped[i] =
            begin_upload(fixture, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n", 3800 * 1000);
    /* What lies in the kernel's buffers holds no memory yet: one may get through before anybody has to be told. */
    bool told = false;
    for (int64_t until = clock_monotonic_ms() + 10000; !told;) {
        assert_true(clock_monotonic_ms() < until);
        assert_non_null(upload(fixture));
        for (size_t i = 0; i < 3; i++)
            told = told || poll(&(struct pollfd){ .fd = stopped[i], .events = POLLIN }, 1, 0) == 1;
    }
    for (size_t i = 0; i < 3; i++) {
        if (poll(&(struct pollfd){ .fd = stopped[i], .events = POLLIN }, 1, 0) == 1)
            expect(stopped[i], 503, NULL);
        close(stopped[i]);
    }
    end(fixture);
}

static void connections_that_only_come_and_go_are_no_exchange(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    for (int i = 0; i < 50; i++) {
        int fd = dial(fixture);
        if (i % 3 == 1)
            say(fd, "GET /");
        if (i % 3 == 2) {
            const struct linger reset = { 1, 0 };
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        close(fd);
    }
    AUTO(close) int fd = dial(fixture);
    say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, 200, "alive");
    await_finished(fixture, 1);
    end(fixture);
}

static void a_peer_that_leaves_during_its_body_is_told_as_gone(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    int fd = dial(fixture);
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal");
    close(fd);
    await_finished(fixture, 1);
    assert_int_equal(fixture->gone, 1);
    end(fixture);
}

static void a_client_may_close_its_sending_side_first(void **unused)
{
    (void)unused;
    struct fixture *fixture = start((struct server_options){ 0 });
    AUTO(close) int fd = dial(fixture);
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    shutdown(fd, SHUT_WR);
    expect(fd, 200, "hi");
    expect_end(fd);
    end(fixture);
}

static void it_listens_where_it_is_told(void **unused)
{
    (void)unused;
    static const char *const places[] = { "0", "127.0.0.1:0", "0.0.0.0:0" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct fixture *fixture = start((struct server_options){ .listen = places[i] });
        assert_int_not_equal(server_port(fixture->server), 0);
        AUTO(close) int fd = dial(fixture);
        say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        expect(fd, 200, "alive");
        end(fixture);
    }
}

static void it_listens_on_a_local_socket_and_clears_it_away(void **unused)
{
    (void)unused;
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof to.sun_path, "/tmp/server_test.%ld.sock", (long)getpid());
    char where[sizeof to.sun_path + 8];
    snprintf(where, sizeof where, "unix:%s", to.sun_path);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0); /* left over from a process that was killed, and is still ending */
    assert_int_equal(bind(stale, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(stale, 8), 0);
    pid_t ending = fork();
    if (ending == 0) {
        usleep(100000);
        _exit(0);
    }
    close(stale);

    struct fixture *fixture = start((struct server_options){ .listen = where });
    AUTO(close) int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int connected = -1;
    for (int i = 0; i < 500 && (connected = connect(fd, (struct sockaddr *)&to, sizeof to)) != 0; i++)
        usleep(2000);
    assert_int_equal(connected, 0);
    say(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, 200, "alive");
    end(fixture);
    assert_int_equal(access(to.sun_path, F_OK), -1);
    assert_int_equal(waitpid(ending, NULL, 0), ending);
}

static void bad_addresses_are_named(void **unused)
{
    (void)unused;
    static const char *const places[] = { "",           "x",       "70000",   "127.0.0.1", "localhost:80",
                                          "127.0.0.1:", "[::1:80", "::1:80x", "unix:",     ":80" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct error err = { 0 };
        struct server *server = server_new(&(struct server_options){ .listen = places[i], .handle = handle }, &err);
        if (server)
            fail_msg("'%s' was taken", places[i]);
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_non_null(strstr(err.message, "not PORT, ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH"));
    }
    struct fixture *fixture = start((struct server_options){ 0 });
    close(dial(fixture));
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", server_port(fixture->server));
    struct error err = { 0 };
    assert_null(server_new(&(struct server_options){ .listen = taken, .handle = handle }, &err));
    assert_non_null(strstr(err.message, "Address"));
    end(fixture);
}

/* --- a server for tests in other languages: "server_test serve BODY" listens on 127.0.0.1:$PORT until SIGTERM and
 * takes that body only --- */

static struct server *served;

static void on_signal(int number)
{
    (void)number;
    server_stop(served);
}

static void take_the_body(void *context, const struct request *request, struct reply *reply)
{
    reply->status = span_is(request->body, context) ? 202 : 401;
}

static int serve(const char *port, const char *body)
{
    struct error err = { 0 };
    char place[64];
    snprintf(place, sizeof place, "127.0.0.1:%s", port ? port : "0");
    served = server_new(
        &(struct server_options){ .listen = place, .handle = take_the_body, .context = (void *)(uintptr_t)body }, &err);
    signal(SIGTERM, on_signal);
    bool good = served && server_run(served, &err);
    if (!good)
        fprintf(stderr, "%s\n", err.message);
    server_free(served);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(getenv("PORT"), argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_reaches_the_handler_and_the_answer_the_client),
        cmocka_unit_test(answers_carry_what_the_reply_says),
        cmocka_unit_test(what_is_begun_is_answered_at_once_later_or_by_a_worker),
        cmocka_unit_test(others_are_served_while_a_request_is_parked),
        cmocka_unit_test(a_parked_request_is_answered_before_the_end),
        cmocka_unit_test(a_body_that_is_forgotten_makes_room_for_others),
        cmocka_unit_test(old_clients_are_kept_only_when_they_ask),
        cmocka_unit_test(pipelined_requests_are_answered_one_by_one_in_order),
        cmocka_unit_test(hundreds_of_pipelined_requests_are_all_answered),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(large_bodies_arrive_whole),
        cmocka_unit_test(bodies_of_every_size_arrive_whole),
        cmocka_unit_test(an_answer_may_be_taken_slowly),
        cmocka_unit_test(a_body_is_asked_for_when_its_sender_waits),
        cmocka_unit_test(ambiguous_requests_are_refused_and_the_connection_closed),
        cmocka_unit_test(an_offer_to_change_the_protocol_is_declined),
        cmocka_unit_test(every_dimension_has_a_limit),
        cmocka_unit_test(answers_cannot_be_split_by_a_handler),
        cmocka_unit_test(slow_senders_are_told_and_closed),
        cmocka_unit_test(a_body_has_ten_seconds_and_then_a_kilobyte_for_each),
        cmocka_unit_test(a_peer_that_does_not_take_its_answer_is_dropped),
        cmocka_unit_test(health_is_answered_while_every_worker_is_busy),
        cmocka_unit_test(stopping_finishes_what_has_begun),
        cmocka_unit_test(a_request_sent_just_before_the_stop_is_served),
        cmocka_unit_test(the_end_of_the_drain_time_is_told_as_busy),
        cmocka_unit_test(many_connections_at_once_are_served),
        cmocka_unit_test(over_the_cap_the_longest_idle_connection_goes),
        cmocka_unit_test(bodies_wait_for_memory_and_none_is_lost),
        cmocka_unit_test(whoever_stops_in_a_large_body_makes_room_for_others),
        cmocka_unit_test(connections_that_only_come_and_go_are_no_exchange),
        cmocka_unit_test(a_peer_that_leaves_during_its_body_is_told_as_gone),
        cmocka_unit_test(a_client_may_close_its_sending_side_first),
        cmocka_unit_test(it_listens_where_it_is_told),
        cmocka_unit_test(it_listens_on_a_local_socket_and_clears_it_away),
        cmocka_unit_test(bad_addresses_are_named),
    };
    return cmocka_run_group_tests_name("runtime/server", tests, NULL, NULL);
}
