/* The vectors that AWS publishes: its documentation's example and two of its test suite. */
#include "shared/oci/sigv4.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KEY_ID "AKIDEXAMPLE"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define SCOPE "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/"

static void published_requests_have_their_signatures(void **state)
{
    (void)state;
    static const struct http_header vanilla[] = { { "host", "example.amazonaws.com" },
                                                  { "x-amz-date", "20150830T123600Z" } };
    static const struct http_header iam[] = { { "content-type", "application/x-www-form-urlencoded; charset=utf-8" },
                                              { "host", "iam.amazonaws.com" },
                                              { "x-amz-date", "20150830T123600Z" } };
    static const struct {
        const char *method, *query, *service;
        const struct http_header *headers;
        size_t count;
        const char *want;
    } rows[] = {
        { "GET", "", "service", vanilla, 2,
          SCOPE "service/aws4_request, SignedHeaders=host;x-amz-date, "
                "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
        { "POST", "", "service", vanilla, 2,
          SCOPE "service/aws4_request, SignedHeaders=host;x-amz-date, "
                "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
        { "GET", "Action=ListUsers&Version=2010-05-08", "iam", iam, 3,
          SCOPE "iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
                "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        AUTO(bytes_release) struct bytes out = BYTES(4096);
        const struct sigv4_request request = {
            .method = rows[i].method,
            .path = "/",
            .query = rows[i].query,
            .headers = rows[i].headers,
            .header_count = rows[i].count,
            .body = SPAN(""),
            .time = "20150830T123600Z",
            .region = "us-east-1",
            .service = rows[i].service,
            .key_id = KEY_ID,
            .secret_key = SECRET_KEY,
        };
        assert_true(sigv4_authorization(&request, &out, &err));
        assert_string_equal(bytes_text(&out), rows[i].want);
    }
}

static void times_are_written_basic(void **state)
{
    (void)state;
    char text[SIGV4_TIME_SIZE];
    sigv4_time(INT64_C(1440938160123), text);
    assert_string_equal(text, "20150830T123600Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_requests_have_their_signatures),
        cmocka_unit_test(times_are_written_basic),
    };
    return cmocka_run_group_tests_name("shared/oci/sigv4", tests, NULL, NULL);
}
