#include "shared/http/client.h"

#include "peer.h"

#include <cmocka.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "shared/base/file.h"

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Name:  a value \r\n\r\nhello"

struct fixture {
    struct peer peer;
    struct http_client *client;
    char url[128];
    struct http_response response;
    struct error err;
};

static void begin(struct fixture *f, const char *const *replies, size_t count,
                  const struct http_client_options *options)
{
    *f = (struct fixture){ .url = "" };
    peer_start(&f->peer, replies, count);
    f->client = http_client_new(options, &f->err);
    assert_non_null(f->client);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u/a/path?secret=1", f->peer.port);
}

static void end(struct fixture *f)
{
    http_client_free(f->client);
    peer_stop(&f->peer);
    http_response_release(&f->response);
}

static bool call(struct fixture *f, struct http_request request)
{
    if (!request.method)
        request.method = "GET";
    if (!request.url)
        request.url = f->url;
    return http_call(f->client, &request, &f->response, &f->err);
}

static void get_collects_status_headers_and_body(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    assert_true(call(&f, (struct http_request){ .body_max = 5 }));
    assert_int_equal(f.response.status, 200);
    assert_string_equal(bytes_text(&f.response.body), "hello");
    assert_true(span_is(http_response_header(&f.response, "x-NAME"), "a value"));
    assert_null(http_response_header(&f.response, "absent").data);
    assert_non_null(strstr(f.peer.received.data, "User-Agent: pushwright\r\n"));
    end(&f);
}

static void connection_is_kept_between_calls(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    for (int i = 0; i < 5; i++)
        assert_true(call(&f, (struct http_request){ .method = "GET" }));
    assert_int_equal(f.peer.requests, 5);
    assert_int_equal(f.peer.connections, 1);
    end(&f);
}

static void body_is_sent_without_expect_or_invented_type(void **state)
{
    (void)state;
    static const char *const replies[] = { "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n" };
    static const struct http_header headers[] = { { "X-Empty", "" }, { "X-One", "1" } };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    AUTO(bytes_release) struct bytes body = BYTES(4 * 1024 * 1024);
    for (int i = 0; i < 200000; i++)
        assert_true(bytes_append_text(&body, "0123456789", &f.err));
    assert_true(call(&f, (struct http_request){
                             .method = "PUT", .headers = headers, .header_count = 2, .body = bytes_span(&body) }));
    assert_int_equal(f.response.status, 202);
    assert_non_null(strstr(f.peer.received.data, "PUT /a/path?secret=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(f.peer.received.data, "Content-Length: 2000000\r\n"));
    assert_non_null(strstr(f.peer.received.data, "X-Empty:\r\n"));
    assert_non_null(strstr(f.peer.received.data, "X-One: 1\r\n"));
    assert_null(strcasestr(f.peer.received.data, "Expect:"));
    assert_null(strcasestr(f.peer.received.data, "Content-Type:"));
    end(&f);
}

static void post_without_body_says_length_zero(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    assert_true(call(&f, (struct http_request){ .method = "POST" }));
    assert_non_null(strstr(f.peer.received.data, "Content-Length: 0\r\n"));
    end(&f);
}

struct countdown {
    size_t left;
    bool fail;
};

static bool give_x(void *context, void *data, size_t *len, struct error *err)
{
    struct countdown *c = context;
    if (c->fail)
        return error_set(err, ERROR_INTERNAL, "disk is gone");
    *len = *len < c->left ? *len : c->left;
    memset(data, 'x', *len);
    c->left -= *len;
    return true;
}

static void streamed_bodies(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    struct countdown c = { .left = 300000 };
    assert_true(call(
        &f, (struct http_request){ .method = "PUT", .source = give_x, .source_context = &c, .source_length = 300000 }));
    assert_non_null(strstr(f.peer.received.data, "Content-Length: 300000\r\n"));
    assert_true(f.peer.received.len > 300000);
    c.left = 10;
    assert_true(call(
        &f, (struct http_request){ .method = "POST", .source = give_x, .source_context = &c, .source_length = -1 }));
    assert_non_null(strstr(f.peer.received.data, "Transfer-Encoding: chunked\r\n"));
    c.fail = true;
    assert_false(
        call(&f, (struct http_request){ .method = "PUT", .source = give_x, .source_context = &c, .source_length = 1 }));
    assert_int_equal(f.err.kind, ERROR_INTERNAL);
    assert_non_null(strstr(f.err.message, "/a/path: disk is gone"));
    end(&f);
}

static bool take_all(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static void success_is_streamed_and_explanations_are_collected(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO, "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nwhy" };
    struct fixture f;
    begin(&f, replies, 2, NULL);
    AUTO(bytes_release) struct bytes got = BYTES(100);
    assert_true(call(&f, (struct http_request){ .on_body = take_all, .body_context = &got }));
    assert_string_equal(bytes_text(&got), "hello");
    assert_int_equal(f.response.body.len, 0);
    assert_true(call(&f, (struct http_request){ .on_body = take_all, .body_context = &got }));
    assert_int_equal(f.response.status, 404);
    assert_string_equal(bytes_text(&got), "hello");
    assert_string_equal(bytes_text(&f.response.body), "why");
    end(&f);
}

static void ceilings_hold(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes large = BYTES(1024 * 1024);
    struct error err = { 0 };
    assert_true(bytes_append_text(&large, "HTTP/1.1 500 No\r\nContent-Length: 200000\r\n\r\n", &err));
    for (int i = 0; i < 20000; i++)
        assert_true(bytes_append_text(&large, "0123456789", &err));
    AUTO(bytes_release) struct bytes headers = BYTES(1024 * 1024);
    assert_true(bytes_append_text(&headers, "HTTP/1.1 200 OK\r\n", &err));
    for (int i = 0; i < 2000; i++)
        assert_true(bytes_append_text(&headers, "X-Long: 01234567890123456789012345678901234567890\r\n", &err));
    assert_true(bytes_append_text(&headers, "Content-Length: 0\r\n\r\n", &err));
    const char *const replies[] = { OK_HELLO, bytes_text(&large), bytes_text(&headers) };
    struct fixture f;
    begin(&f, replies, 3, NULL);
    f.peer.close_after = true;
    assert_false(call(&f, (struct http_request){ .body_max = 4 }));
    assert_int_equal(f.err.kind, ERROR_TOO_LARGE);
    assert_non_null(strstr(f.err.message, "body exceeds 4 bytes"));
    assert_true(call(&f, (struct http_request){ .method = "GET" }));
    assert_int_equal(f.response.status, 500);
    assert_int_equal(f.response.body.len, 64 * 1024);
    assert_false(call(&f, (struct http_request){ .method = "GET" }));
    assert_int_equal(f.err.kind, ERROR_TOO_LARGE);
    assert_non_null(strstr(f.err.message, "headers exceed"));
    end(&f);
}

static void what_is_malformed_is_not_sent(void **state)
{
    (void)state;
    static const struct {
        const char *method, *url, *name, *value, *want;
    } rows[] = {
        { "GET", NULL, "X-A", "1\r\nX-B: 2", "request header 'X-A' holds a line break" },
        { "GET", NULL, "X A", "1", "a request header's name is malformed" },
        { "GET /x HTTP/1.1\r\nA:", NULL, "X-A", "1", "HTTP method is malformed" },
        { "GET", "ftp://127.0.0.1/", "X-A", "1", "'ftp' URLs are not called" },
        { "GET", "file:///etc/passwd", "X-A", "1", "'file' URLs are not called" },
        { "GET", "http://127.0.0.1/a b", "X-A", "1", "blank or control character" },
        { "GET", "http://a\\@b/", "X-A", "1", "backslash" },
    };
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct http_header header = { rows[i].name, rows[i].value };
        assert_false(
            call(&f, (struct http_request){
                         .method = rows[i].method, .url = rows[i].url, .headers = &header, .header_count = 1 }));
        assert_int_equal(f.err.kind, ERROR_INVALID);
        assert_non_null(strstr(f.err.message, rows[i].want));
    }
    assert_int_equal(f.peer.connections, 0);
    end(&f);
}

static void nothing_sent_is_unavailable(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    int unused = socket(AF_INET, SOCK_STREAM, 0); /* bound, not listening: refuses */
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    assert_int_equal(bind(unused, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(unused, (struct sockaddr *)&address, &len), 0);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/x", ntohs(address.sin_port));
    assert_false(call(&f, (struct http_request){ .url = url }));
    assert_int_equal(f.err.kind, ERROR_UNAVAILABLE);
    assert_non_null(strstr(f.err.message, "/x: cannot connect"));
    assert_false(call(&f, (struct http_request){ .url = "http://no-such-host.invalid/" }));
    assert_int_equal(f.err.kind, ERROR_UNAVAILABLE);
    assert_non_null(strstr(f.err.message, "GET no-such-host.invalid/: cannot resolve the host's name"));
    close(unused);
    end(&f);
}

static void sent_without_whole_answer_is_uncertain(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *want;
    } rows[] = {
        { "", "connection closed without an answer" },
        { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "in the middle of the answer" },
        { "SSH-2.0-OpenSSH\r\n", "not HTTP" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const replies[] = { rows[i].reply };
        struct fixture f;
        begin(&f, replies, 1, NULL);
        f.peer.close_after = true;
        assert_false(call(&f, (struct http_request){ .method = "GET" }));
        assert_int_equal(f.err.kind, ERROR_UNCERTAIN);
        assert_non_null(strstr(f.err.message, rows[i].want));
        assert_null(strstr(f.err.message, "secret"));
        end(&f);
    }
}

static void silence_is_cut(void **state)
{
    (void)state;
    static const char *const replies[] = { NULL };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    assert_false(call(&f, (struct http_request){ .timeout_ms = 150 }));
    assert_int_equal(f.err.kind, ERROR_UNCERTAIN);
    assert_non_null(strstr(f.err.message, "timed out"));
    assert_false(call(&f, (struct http_request){ .stall_timeout_ms = 1000 }));
    assert_int_equal(f.err.kind, ERROR_UNCERTAIN);
    assert_non_null(strstr(f.err.message, "timed out"));
    end(&f);
}

static void private_addresses_are_refused_where_told_so(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    static const char *const urls[] = { NULL,
                                        "http://169.254.169.254/latest/meta-data/",
                                        "http://[::1]/",
                                        "http://[::ffff:127.0.0.1]/",
                                        "http://10.1.2.3/",
                                        "http://0.0.0.0/" };
    struct fixture f;
    begin(&f, replies, 1, &(struct http_client_options){ .refuse_private = true });
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_false(call(&f, (struct http_request){ .url = urls[i] }));
        assert_int_equal(f.err.kind, ERROR_DENIED);
        assert_non_null(strstr(f.err.message, "leads to a private address"));
    }
    assert_int_equal(f.peer.connections, 0);
    end(&f);
}

static void redirects_are_shown_not_followed(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 307 Go\r\nLocation: http://elsewhere.invalid/x\r\nContent-Length: 0\r\n\r\n"
    };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    assert_true(call(&f, (struct http_request){ .method = "GET" }));
    assert_int_equal(f.response.status, 307);
    assert_true(span_is(http_response_header(&f.response, "location"), "http://elsewhere.invalid/x"));
    end(&f);
}

static void informational_answers_and_trailers_leave_no_trace(void **state)
{
    (void)state;
    static const char *const replies[] = { "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
                                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Real: 1\r\n\r\n"
                                           "2\r\nok\r\n0\r\nX-Real-Too: 2\r\n\r\n" };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    assert_true(call(&f, (struct http_request){ .method = "GET" }));
    assert_int_equal(f.response.status, 200);
    assert_string_equal(bytes_text(&f.response.body), "ok");
    assert_null(http_response_header(&f.response, "X-Early").data);
    assert_null(http_response_header(&f.response, "X-Real-Too").data);
    assert_true(span_is(http_response_header(&f.response, "X-Real"), "1"));
    end(&f);
}

static void head_has_no_body(void **state)
{
    (void)state;
    static const char *const replies[] = { "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    assert_true(call(&f, (struct http_request){ .method = "HEAD" }));
    assert_true(span_is(http_response_header(&f.response, "Content-Length"), "1000"));
    assert_int_equal(f.response.body.len, 0);
    end(&f);
}

static void unix_sockets_are_spoken_to(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct error err = { 0 };
    AUTO(free) char *dir = directory_make_temporary("client-test", &err);
    assert_non_null(dir);
    char path[100];
    snprintf(path, sizeof path, "%s/peer.sock", dir);
    struct peer peer;
    peer_start_unix(&peer, path, replies, 1);
    struct http_client *client = http_client_new(&(struct http_client_options){ .refuse_private = true }, &err);
    AUTO(http_response_release) struct http_response response = { 0 };
    const struct http_request request = { .method = "GET", .url = "http://localhost/v1", .unix_socket = path };
    assert_true(http_call(client, &request, &response, &err));
    assert_string_equal(bytes_text(&response.body), "hello");
    http_client_free(client);
    peer_stop(&peer);
    assert_true(directory_remove(dir, &err));
}

static void proxies_of_the_environment_are_used_but_not_for_loopback(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, NULL);
    struct peer proxy;
    peer_start(&proxy, replies, 1);
    char value[64];
    snprintf(value, sizeof value, "http://127.0.0.1:%u", proxy.port);
    setenv("http_proxy", value, 1);
    assert_true(call(&f, (struct http_request){ .url = "http://registry.invalid/v2/" }));
    assert_true(call(&f, (struct http_request){ .method = "GET" }));
    setenv("no_proxy", "other.example,.invalid", 1);
    assert_false(call(&f, (struct http_request){ .url = "http://registry.invalid/v2/" }));
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    assert_int_equal(f.peer.requests, 1);
    assert_int_equal(proxy.requests, 1);
    assert_non_null(strstr(proxy.received.data, "GET http://registry.invalid/v2/ HTTP/1.1\r\n"));
    http_client_free(TAKE(f.client));
    peer_stop(&proxy);
    end(&f);
}

static void a_bundle_that_is_missing_is_named(void **state)
{
    (void)state;
    static const char *const replies[] = { OK_HELLO };
    struct fixture f;
    begin(&f, replies, 1, &(struct http_client_options){ .ca_file = "/no/such/bundle.pem" });
    assert_true(call(&f, (struct http_request){ .method = "GET" })); /* not looked for before it is needed */
    assert_false(call(&f, (struct http_request){ .url = "https://127.0.0.1:1/" }));
    assert_int_equal(f.err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(f.err.message, "certificates of '/no/such/bundle.pem'"));
    end(&f);
}

static void a_peer_without_tls_is_unavailable(void **state)
{
    (void)state;
    static const char *const replies[] = { "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" };
    struct error err = { 0 };
    AUTO(free) char *dir = directory_make_temporary("client-test", &err);
    char path[100], url[64];
    snprintf(path, sizeof path, "%s/bundle.pem", dir);
    assert_true(file_write_atomic(path, SPAN("\n"), 0644, &err));
    struct fixture f;
    begin(&f, replies, 1, &(struct http_client_options){ .ca_file = path });
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", f.peer.port);
    assert_false(call(&f, (struct http_request){ .url = url, .timeout_ms = 500 }));
    assert_true(f.err.kind == ERROR_UNAVAILABLE || f.err.kind == ERROR_DENIED); /* DENIED: no certificate to trust */
    end(&f);
    assert_true(directory_remove(dir, &err));
}

static void statuses_become_kinds(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum error_kind kind;
        const char *text;
    } rows[] = {
        { 307, ERROR_INVALID, "PUT h.example:81/p: 307 temporary redirect" },
        { 400, ERROR_INVALID, "PUT h.example:81/p: 400 bad request" },
        { 401, ERROR_DENIED, "PUT h.example:81/p: 401 unauthorized" },
        { 403, ERROR_DENIED, "PUT h.example:81/p: 403 forbidden" },
        { 404, ERROR_NOT_FOUND, "PUT h.example:81/p: 404 not found" },
        { 408, ERROR_UNAVAILABLE, "PUT h.example:81/p: 408 request timeout" },
        { 409, ERROR_CONFLICT, "PUT h.example:81/p: 409 conflict" },
        { 410, ERROR_NOT_FOUND, "PUT h.example:81/p: 410 gone" },
        { 413, ERROR_TOO_LARGE, "PUT h.example:81/p: 413 content too large" },
        { 415, ERROR_UNSUPPORTED, "PUT h.example:81/p: 415 unsupported media type" },
        { 422, ERROR_INVALID, "PUT h.example:81/p: 422 unprocessable content" },
        { 429, ERROR_BUSY, "PUT h.example:81/p: 429 too many requests" },
        { 503, ERROR_UNAVAILABLE, "PUT h.example:81/p: 503 service unavailable" },
        { 599, ERROR_UNAVAILABLE, "PUT h.example:81/p: 599 unexpected status" },
    };
    const struct http_request request = { .method = "PUT", .url = "https://user:pass@h.example:81/p?token=x" };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct http_response response = { .status = rows[i].status, .retry_after_s = 7 };
        struct error err = { 0 };
        assert_false(http_status_error(&request, &response, &err));
        assert_int_equal(err.kind, rows[i].kind);
        assert_string_equal(err.message, rows[i].text);
        assert_int_equal(err.retry_after_s, 7);
    }
}

static void retry_after_is_read(void **state)
{
    (void)state;
    static const char *const replies[] = { "HTTP/1.1 429 Slow\r\nRetry-After: 12\r\nContent-Length: 0\r\n\r\n",
                                           "HTTP/1.1 503 Slow\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n" };
    struct fixture f;
    begin(&f, replies, 2, NULL);
    assert_true(call(&f, (struct http_request){ .method = "GET" }));
    assert_int_equal(f.response.retry_after_s, 12);
    assert_true(call(&f, (struct http_request){ .method = "GET" }));
    assert_int_equal(f.response.retry_after_s, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_collects_status_headers_and_body),
        cmocka_unit_test(connection_is_kept_between_calls),
        cmocka_unit_test(body_is_sent_without_expect_or_invented_type),
        cmocka_unit_test(post_without_body_says_length_zero),
        cmocka_unit_test(streamed_bodies),
        cmocka_unit_test(success_is_streamed_and_explanations_are_collected),
        cmocka_unit_test(ceilings_hold),
        cmocka_unit_test(what_is_malformed_is_not_sent),
        cmocka_unit_test(nothing_sent_is_unavailable),
        cmocka_unit_test(sent_without_whole_answer_is_uncertain),
        cmocka_unit_test(silence_is_cut),
        cmocka_unit_test(private_addresses_are_refused_where_told_so),
        cmocka_unit_test(redirects_are_shown_not_followed),
        cmocka_unit_test(informational_answers_and_trailers_leave_no_trace),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(unix_sockets_are_spoken_to),
        cmocka_unit_test(proxies_of_the_environment_are_used_but_not_for_loopback),
        cmocka_unit_test(a_bundle_that_is_missing_is_named),
        cmocka_unit_test(a_peer_without_tls_is_unavailable),
        cmocka_unit_test(statuses_become_kinds),
        cmocka_unit_test(retry_after_is_read),
    };
    return cmocka_run_group_tests_name("shared/http/client", tests, NULL, NULL);
}
