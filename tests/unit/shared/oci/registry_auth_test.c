#include "shared/oci/registry_auth.h"
#include "shared/oci/store_backend.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* YTpi is a:b, YzpkOmU= is c:d:e */
static const char config[] = "{\"auths\":{"
                             "\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"},"
                             "\"r.example\":{\"username\":\"u\",\"password\":\"p\"},"
                             "\"r.example/team\":{\"auth\":\"YzpkOmU=\"},"
                             "\"http://plain.example:5000/v2/\":{\"auth\":\"YTpi\"},"
                             "\"token.example\":{\"auth\":\"YTpi\",\"identitytoken\":\"refresh\"},"
                             "\"odd.example\":{\"auth\":\"!!\"},"
                             "\"no-colon.example\":{\"auth\":\"YWI=\"},"
                             "\"kept.example\":{}},"
                             "\"credHelpers\":{\"helped.example\":\"ecr-login\"},\"credsStore\":\"desktop\"}";

static void docker_configurations_are_searched_by_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *registry, *repository, *basic, *identity, *want;
        enum error_kind kind;
    } rows[] = {
        { "docker.io", "library/nginx", "a:b", NULL, NULL, ERROR_NONE },
        { "r.example", "other/web", "u:p", NULL, NULL, ERROR_NONE },
        { "r.example", "team/web", "c:d:e", NULL, NULL, ERROR_NONE },
        { "r.example", "teammate/web", "u:p", NULL, NULL, ERROR_NONE },
        { "plain.example:5000", "x", "a:b", NULL, NULL, ERROR_NONE },
        { "plain.example", "x", NULL, NULL, NULL, ERROR_NONE },
        { "token.example", "x", NULL, "refresh", NULL, ERROR_NONE },
        { "unknown.example", "x", NULL, NULL, NULL, ERROR_NONE },
        { "r.example.evil", "x", NULL, NULL, NULL, ERROR_NONE },
        { "odd.example", "x", NULL, NULL, "'auth' is not the base64 of USER:PASSWORD", ERROR_INVALID },
        { "no-colon.example", "x", NULL, NULL, "'auth' is not the base64 of USER:PASSWORD", ERROR_INVALID },
        { "helped.example", "x", NULL, NULL, "leaves 'helped.example' to the credential helper 'ecr-login'",
          ERROR_UNSUPPORTED },
        { "kept.example", "x", NULL, NULL, "leaves 'kept.example' to the credential helper 'desktop'",
          ERROR_UNSUPPORTED },
    };
    struct error err = { 0 };
    AUTO(secret_free) struct secret *secret = secret_new(span_of(config), &err);
    const struct registry_login login = { .host = "x", .docker_config = secret };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(credentials_release) struct credentials found = { .basic = NULL };
        err = (struct error){ 0 };
        bool ok = credentials_for(&login, rows[i].registry, rows[i].repository, &found, &err);
        if (ok != (rows[i].kind == ERROR_NONE) || err.kind != rows[i].kind ||
            (rows[i].want && !strstr(err.message, rows[i].want)))
            fail_msg("%s: %s", rows[i].registry, err.message);
        assert_int_equal(found.basic != NULL, rows[i].basic != NULL);
        assert_int_equal(found.identity != NULL, rows[i].identity != NULL);
        if (rows[i].basic)
            assert_true(secret_equal(found.basic, span_of(rows[i].basic)));
        if (rows[i].identity)
            assert_true(secret_equal(found.identity, span_of(rows[i].identity)));
    }
}

static void logins_without_a_docker_configuration(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(credentials_release) struct credentials found = { .basic = NULL };
    AUTO(secret_free) struct secret *password = secret_new(SPAN("pass:word"), &err);
    AUTO(secret_free) struct secret *broken = secret_new(SPAN("{\"auths\": s3cret"), &err);
    const struct registry_login named = { .host = "r", .username = "ann", .password = password };
    const struct registry_login bad = { .host = "r", .docker_config = broken };
    assert_true(credentials_for(NULL, "r", "x", &found, &err));
    assert_null(found.basic);
    assert_true(credentials_for(&named, "r", "x", &found, &err));
    assert_true(secret_equal(found.basic, SPAN("ann:pass:word")));
    AUTO(secret_free) struct secret *value = basic_authorization(&found, &err);
    assert_true(secret_equal(value, SPAN("Basic YW5uOnBhc3M6d29yZA==")));
    credentials_release(&found);
    assert_false(credentials_for(&bad, "r", "x", &found, &err));
    assert_string_equal(err.message, "docker configuration is not valid JSON");
}

/* A host that looks like another gets nothing of it. */
static void logins_are_for_their_exact_host(void **state)
{
    (void)state;
    static const struct registry_login logins[] = { { .host = "team.azurecr.io", .cloud = CLOUD_ACR },
                                                    { .host = "r.example:5000" },
                                                    { .host = "docker.io" } };
    static const struct {
        const char *host;
        int login; /* -1: none */
    } rows[] = {
        { "team.azurecr.io", 0 },
        { "team.azurecr.io.evil.example", -1 },
        { "evil-team.azurecr.io", -1 },
        { "team.azurecr.io:443", -1 },
        { "TEAM.azurecr.io.", -1 },
        { "r.example:5000", 1 },
        { "r.example", -1 },
        { "r.example:50000", -1 },
        { "index.docker.io", 2 },
        { "docker.io", 2 },
        { "docker.io.example", -1 },
    };
    const struct registry_options options = { .logins = logins, .login_count = 3 };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_ptr_equal(login_for(&options, rows[i].host), rows[i].login < 0 ? NULL : &logins[rows[i].login]);
}

static bool parse(const char *headers, struct challenge *out, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { .headers = BYTES(4096) };
    assert_true(bytes_append_text(&response.headers, headers, err));
    return challenge_parse(&response, out, err);
}

static void challenges_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        bool basic, bearer;
        const char *realm, *service, *scope;
    } rows[] = {
        { "WWW-Authenticate: Bearer "
          "realm=\"https://a/token\",service=\"s\",scope=\"repository:x:pull,push\",error=\"e\"\r\n",
          false, true, "https://a/token", "s", "repository:x:pull,push" },
        { "www-authenticate: bearer Realm=word , SERVICE = \"q\\\"uoted\"\r\n", false, true, "word", "q\"uoted", "" },
        { "WWW-Authenticate: Basic realm=\"not, Bearer realm=x\"\r\n", true, false, "", "", "" },
        { "WWW-Authenticate: Basic realm=\"b\", Bearer realm=\"r\"\r\n", true, true, "r", "", "" },
        { "X: 1\r\nWWW-Authenticate: Basic\r\nWWW-Authenticate: Bearer realm=\"r\"\r\n", true, true, "r", "", "" },
        { "WWW-Authenticate: Negotiate abc==, Basic\r\n", true, false, "", "", "" },
        { "WWW-Authenticate: Bearer realm=\"first\",realm=\"second\"\r\n", false, true, "first", "", "" },
        { "Content-Type: x\r\n", false, false, "", "", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        AUTO(challenge_release) struct challenge c = { .basic = false };
        assert_true(parse(rows[i].headers, &c, &err));
        assert_int_equal(c.basic, rows[i].basic);
        assert_int_equal(c.bearer, rows[i].bearer);
        assert_string_equal(bytes_text(&c.realm), rows[i].realm);
        assert_string_equal(bytes_text(&c.service), rows[i].service);
        assert_string_equal(bytes_text(&c.scope), rows[i].scope);
    }
    struct error err = { 0 };
    AUTO(challenge_release) struct challenge c = { .basic = false };
    assert_false(parse("WWW-Authenticate: Bearer realm=\"open\r\n", &c, &err));
    assert_string_equal(err.message, "challenge with an open quote");
}

static void scopes_are_asked_for_once_each(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *mount;
        bool push, is_body;
        const char *want;
    } rows[] = {
        { "", NULL, false, false, "service=s%26t&scope=repository:a/b:pull" },
        { "", NULL, true, false, "service=s%26t&scope=repository:a/b:pull,push" },
        { "repository:a/b:pull", NULL, false, false, "service=s%26t&scope=repository:a/b:pull" },
        { "repository:c:pull", "c\n", true, false,
          "service=s%26t&scope=repository:a/b:pull,push&scope=repository:c:pull" },
        { "repository:a/b:pull,push", "c\nd\n", true, true,
          "service=s%26t&scope=repository:a/b:pull,push%20repository:c:pull%20repository:d:pull" },
        { "repository:a/b:pull", NULL, false, true, "service=s%26t&scope=repository:a/b:pull" },
        { "registry:catalog:*", NULL, false, false,
          "service=s%26t&scope=repository:a/b:pull&scope=registry:catalog:%2A" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        AUTO(bytes_release) struct bytes out = BYTES(1000);
        AUTO(challenge_release) struct challenge c = { .service = BYTES(100), .scope = BYTES(100) };
        assert_true(bytes_append_text(&c.service, "s&t", &err) && bytes_append_text(&c.scope, rows[i].asked, &err));
        assert_true(token_query(&out, &c, "a/b", rows[i].push, span_of(rows[i].mount), rows[i].is_body, &err));
        assert_string_equal(bytes_text(&out), rows[i].want);
    }
}

static void tokens_go_by_two_names(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *want;
        int64_t lifetime_s;
    } rows[] = {
        { "{\"token\":\"t\",\"access_token\":\"a\"}", "Bearer t", 60 },
        { "{\"token\":\"\",\"access_token\":\"a\",\"expires_in\":300}", "Bearer a", 300 },
        { "{\"access_token\":\"a\",\"expires_in\":-1}", "Bearer a", 60 },
        { "{\"token\":1}", NULL, 0 },
        { "[]", NULL, 0 },
        { "", NULL, 0 },
        { "<html>", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        int64_t lifetime_s = 0;
        AUTO(secret_free) struct secret *value = bearer_authorization(span_of(rows[i].answer), &lifetime_s, &err);
        assert_int_equal(value != NULL, rows[i].want != NULL);
        assert_int_equal(lifetime_s, rows[i].lifetime_s);
        if (rows[i].want)
            assert_true(secret_equal(value, span_of(rows[i].want)));
        else
            assert_string_equal(err.message, "the token service's answer holds no token");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docker_configurations_are_searched_by_prefix),
        cmocka_unit_test(logins_without_a_docker_configuration),
        cmocka_unit_test(logins_are_for_their_exact_host),
        cmocka_unit_test(challenges_are_read),
        cmocka_unit_test(scopes_are_asked_for_once_each),
        cmocka_unit_test(tokens_go_by_two_names),
    };
    return cmocka_run_group_tests_name("shared/oci/registry_auth", tests, NULL, NULL);
}
