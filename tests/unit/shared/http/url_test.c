#include "shared/http/url.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static void assert_part(struct span have, const char *want)
{
    if (!want)
        assert_null(have.data);
    else
        assert_true(span_is(have, want));
}

static void urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme, *userinfo, *host, *path, *query, *fragment, *redacted;
        unsigned port;
    } rows[] = {
        { "https://h.example/p/q?a=1#f", "https", NULL, "h.example", "/p/q", "a=1", "f", "https://h.example/p/q", 0 },
        { "http://h", "http", NULL, "h", NULL, NULL, NULL, "http://h", 0 },
        { "http://h?x", "http", NULL, "h", NULL, "x", NULL, "http://h", 0 },
        { "http://user:pa%40ss@h:8080/", "http", "user:pa%40ss", "h", "/", NULL, NULL, "http://h:8080/", 8080 },
        { "http://[2001:db8::1]:81/x", "http", NULL, "2001:db8::1", "/x", NULL, NULL, "http://[2001:db8::1]:81/x", 81 },
        { "http://[::ffff:1.2.3.4]", "http", NULL, "::ffff:1.2.3.4", NULL, NULL, NULL, "http://[::ffff:1.2.3.4]", 0 },
        { "http://127.0.0.1:65535/", "http", NULL, "127.0.0.1", "/", NULL, NULL, "http://127.0.0.1:65535/", 65535 },
        { "file:///a/b", "file", NULL, NULL, "/a/b", NULL, NULL, "file:///a/b", 0 },
        { "git+ssh://h/x", "git+ssh", NULL, "h", "/x", NULL, NULL, "git+ssh://h/x", 0 },
        { "http://h/a@b:c", "http", NULL, "h", "/a@b:c", NULL, NULL, "http://h/a@b:c", 0 },
        { "http://1e100.example/", "http", NULL, "1e100.example", "/", NULL, NULL, "http://1e100.example/", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        struct url url;
        AUTO(bytes_release) struct bytes redacted = BYTES(200);
        assert_true(url_parse(span_of(rows[i].text), &url, &err));
        assert_part(url.scheme, rows[i].scheme);
        assert_part(url.userinfo, rows[i].userinfo);
        assert_part(url.host, rows[i].host);
        assert_part(url.path, rows[i].path);
        assert_part(url.query, rows[i].query);
        assert_part(url.fragment, rows[i].fragment);
        assert_int_equal(url.port, rows[i].port);
        assert_true(url_redacted(&redacted, span_of(rows[i].text), &err));
        assert_string_equal(bytes_text(&redacted), rows[i].redacted);
    }
}

static void what_two_readers_could_disagree_about_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "", "does not start with a scheme" },
        { "h.example/x", "does not start with a scheme" },
        { "://h", "does not start with a scheme" },
        { "1http://h", "does not start with a scheme" },
        { "http:/h", "does not start with a scheme" },
        { "http://", "no host" },
        { "http:///x", "no host" },
        { "http://:80/", "no host" },
        { "http://user@/", "no host" },
        { "http://a@b@c/", "malformed host" },
        { "http://h\\@evil/", "backslash" },
        { "http://h /", "blank or control" },
        { "http://h/\r\nX: 1", "blank or control" },
        { "http://h\x7f/", "blank or control" },
        { "http://\xc3\xa4.example/", "beyond ASCII" },
        { "http://h%2eexample/", "malformed host" },
        { "http://h:0/", "bad port" },
        { "http://h:65536/", "bad port" },
        { "http://h:8a/", "bad port" },
        { "http://h:/", "bad port" },
        { "http://[::1", "malformed IPv6" },
        { "http://[::1]x/", "malformed IPv6" },
        { "http://[]/", "malformed IPv6" },
        { "http://[::1%25eth0]/", "malformed IPv6" },
        { "http://2130706433/", "malformed host" },
        { "http://0x7f.0.0.1/", "malformed host" },
        { "http://127.1/", "malformed host" },
        { "http://0x7f000001/", "malformed host" },
        { "file://", "no path" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        struct url url;
        if (url_parse(span_of(rows[i].text), &url, &err))
            fail_msg("taken: %s", rows[i].text);
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_non_null(strstr(err.message, rows[i].want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(what_two_readers_could_disagree_about_is_refused),
    };
    return cmocka_run_group_tests_name("shared/http/url", tests, NULL, NULL);
}
