#include "shared/http/address.h"
#include "shared/http/proxy.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/un.h>

static void networks_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool private;
    } rows[] = {
        { "0.0.0.0", true },
        { "0.1.2.3", true },
        { "10.0.0.1", true },
        { "11.0.0.1", false },
        { "100.64.0.1", true },
        { "100.128.0.1", false },
        { "127.8.9.1", true },
        { "169.254.169.254", true },
        { "172.15.255.255", false },
        { "172.16.0.1", true },
        { "172.31.255.255", true },
        { "172.32.0.0", false },
        { "192.168.3.4", true },
        { "192.169.0.1", false },
        { "198.19.0.1", true },
        { "224.0.0.1", true },
        { "255.255.255.255", true },
        { "8.8.8.8", false },
        { "::", true },
        { "::1", true },
        { "::ffff:10.0.0.1", true },
        { "::ffff:8.8.8.8", false },
        { "::7f00:1", true },
        { "64:ff9b::a00:1", true },
        { "64:ff9b::808:808", false },
        { "2002:a00:1::", true },
        { "2002:808:808::", false },
        { "fc00::1", true },
        { "fdff::1", true },
        { "fe80::1", true },
        { "fec0::1", true },
        { "ff02::1", true },
        { "2001:4860:4860::8888", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_storage address;
        assert_true(address_parse(span_of(rows[i].address), &address));
        if (address_is_private((const struct sockaddr *)&address) != rows[i].private)
            fail_msg("%s", rows[i].address);
    }
    const struct sockaddr_un local = { .sun_family = AF_UNIX };
    assert_true(address_is_private((const struct sockaddr *)&local));
    struct sockaddr_storage address;
    assert_false(address_parse(SPAN("localhost"), &address));
    assert_false(address_parse(SPAN("127.1"), &address));
}

static void networks_are_matched_to_the_bit(void **state)
{
    (void)state;
    static const struct {
        const char *address, *network;
        bool inside;
    } rows[] = {
        { "10.1.2.3", "10.1.2.0/24", true },  { "10.1.3.3", "10.1.2.0/23", true }, { "10.1.4.3", "10.1.2.0/23", false },
        { "10.1.2.3", "10.1.2.3", true },     { "10.1.2.4", "10.1.2.3", false },   { "1.2.3.4", "0.0.0.0/0", true },
        { "10.1.2.3", "10.0.0.0/33", false }, { "10.1.2.3", "10.0.0.0/", false },  { "10.1.2.3", "10.0.0.0/x", false },
        { "10.1.2.3", "::/0", false },        { "fd00::1", "fd00::/8", true },     { "fe00::1", "fd00::/8", false },
        { "10.1.2.3", "example.com", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_storage address;
        assert_true(address_parse(span_of(rows[i].address), &address));
        if (address_in_network((const struct sockaddr *)&address, span_of(rows[i].network)) != rows[i].inside)
            fail_msg("%s in %s", rows[i].address, rows[i].network);
    }
}

static void loopback_goes_by_several_names(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool loopback;
    } rows[] = {
        { "localhost", true }, { "LOCALHOST", true },    { "a.localhost", true }, { "notlocalhost", false },
        { "127.0.0.1", true }, { "127.1.2.3", true },    { "::1", true },         { "::ffff:127.0.0.1", true },
        { "10.0.0.1", false }, { "localhost.x", false }, { "", false },           { "128.0.0.1", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (host_is_loopback(span_of(rows[i].host)) != rows[i].loopback)
            fail_msg("%s", rows[i].host);
    assert_true(host_resolves_to_private("127.0.0.1"));
    assert_false(host_resolves_to_private("no-such-host.invalid"));
}

static void no_proxy_is_read_as_others_read_it(void **state)
{
    (void)state;
    static const struct {
        const char *list, *host;
        unsigned port;
        bool bypassed;
    } rows[] = {
        { "*", "h.example", 80, true },
        { "example.com", "example.com", 80, true },
        { "example.com", "a.Example.com", 80, true },
        { ".example.com", "a.example.com", 80, true },
        { "*.example.com", "a.example.com", 80, true },
        { "example.com", "notexample.com", 80, false },
        { "a, b ,c", "b", 80, true },
        { "h:81", "h", 80, false },
        { "h:81", "h", 81, true },
        { "10.0.0.0/8", "10.2.3.4", 80, true },
        { "10.0.0.0/8", "11.2.3.4", 80, false },
        { "fd00::/8", "fd12::1", 80, true },
        { "", "h", 80, false },
        { ",.,", "h", 80, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (proxy_is_bypassed(span_of(rows[i].list), span_of(rows[i].host), rows[i].port) != rows[i].bypassed)
            fail_msg("%s for %s:%u", rows[i].list, rows[i].host, rows[i].port);
}

static const char *proxy_of(const char *text)
{
    struct error err = { 0 };
    struct url url;
    assert_true(url_parse(span_of(text), &url, &err));
    return proxy_for(&url);
}

static void the_environment_names_proxies_by_scheme(void **state)
{
    (void)state;
    static const char *const names[] = { "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                         "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    setenv("HTTP_PROXY", "http://from-a-request-header", 1);
    assert_null(proxy_of("http://h.example/"));
    setenv("HTTPS_PROXY", "http://p", 1);
    assert_string_equal(proxy_of("https://h.example/"), "http://p");
    assert_null(proxy_of("https://127.0.0.1/"));
    assert_null(proxy_of("https://localhost:5000/"));
    setenv("ALL_PROXY", "http://all", 1);
    assert_string_equal(proxy_of("http://h.example/"), "http://all");
    setenv("NO_PROXY", "h.example:443", 1);
    assert_null(proxy_of("https://h.example/"));
    assert_non_null(proxy_of("http://h.example/"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_known),
        cmocka_unit_test(networks_are_matched_to_the_bit),
        cmocka_unit_test(loopback_goes_by_several_names),
        cmocka_unit_test(no_proxy_is_read_as_others_read_it),
        cmocka_unit_test(the_environment_names_proxies_by_scheme),
    };
    return cmocka_run_group_tests_name("shared/http/address", tests, NULL, NULL);
}
