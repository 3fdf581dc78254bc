#include "functions/webhook/sender.h"

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "tests/unit/functions/test.h"

#include <stdlib.h>

#define SECRET "It's a Secret to Everybody"
#define BODY "Hello, World!"
/* GitHub's documentation, "Validating webhook deliveries". */
#define MAC "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define OTHER_MAC "857107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

enum { HEADERS_MAX = 8 };

/* Header lines as "Name: value", NULL at the end. */
static struct request request_of(struct request_header headers[static HEADERS_MAX], const char *const *lines)
{
    struct request request = { .method = SPAN("POST"), .path = SPAN("/"), .headers = headers, .body = SPAN(BODY) };
    for (; *lines; lines++) {
        struct span value = span_of(*lines);
        struct span name = span_cut(&value, ':');
        headers[request.header_count++] = (struct request_header){ name, { value.data + 1, value.len - 1 } };
    }
    return request;
}

static struct sender loaded(const struct config_source *source)
{
    struct error err = { 0 };
    struct sender sender;
    setenv("WEBHOOK_TEST_SECRET", SECRET, 1);
    if (!sender_load(&sender, source, &err))
        fail_msg("%s", err.message);
    return sender;
}

static const struct config_source sources[SOURCE_KINDS] = {
    [SOURCE_GITHUB] = { .name = "s", .kind = SOURCE_GITHUB, .secret = { .env = "WEBHOOK_TEST_SECRET" } },
    [SOURCE_GITLAB] = { .name = "s", .kind = SOURCE_GITLAB, .secret = { .env = "WEBHOOK_TEST_SECRET" } },
    [SOURCE_GITEA] = { .name = "s", .kind = SOURCE_GITEA, .secret = { .env = "WEBHOOK_TEST_SECRET" } },
    [SOURCE_FORGEJO] = { .name = "s", .kind = SOURCE_FORGEJO, .secret = { .env = "WEBHOOK_TEST_SECRET" } },
    [SOURCE_REGISTRY] = { .name = "s", .kind = SOURCE_REGISTRY, .secret = { .env = "WEBHOOK_TEST_SECRET" } },
};

static void signatures_are_taken_or_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        enum source_kind kind;
        const char *lines[4];
        const char *refusal; /* NULL: taken */
    } rows[] = {
        { SOURCE_GITHUB, { "X-Hub-Signature-256: sha256=" MAC }, NULL },
        { SOURCE_GITHUB, { "x-hub-signature-256: sha256=" MAC }, NULL },
        { SOURCE_GITHUB,
          { "X-Hub-Signature-256: sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17" },
          NULL },
        { SOURCE_GITHUB, { NULL }, "X-Hub-Signature-256 is missing" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: " }, "X-Hub-Signature-256 is missing" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: sha256=" }, "is not 'sha256=' and 64" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: sha" }, "is not 'sha256=' and 64" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: " MAC }, "is not 'sha256=' and 64" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: sha1=" MAC }, "is not 'sha256=' and 64" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: sha256=" MAC "0" }, "is not 'sha256=' and 64" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: sha256=" MAC " " }, "is not 'sha256=' and 64" },
        { SOURCE_GITHUB, { "X-Hub-Signature-256: sha256=" OTHER_MAC }, "does not fit the body" },
        { SOURCE_GITHUB,
          { "X-Hub-Signature-256: sha256=" MAC, "X-Hub-Signature-256: sha256=" MAC },
          "stands there 2 times" },
        { SOURCE_GITHUB, { "X-Hub-Signature: sha256=" MAC }, "X-Hub-Signature-256 is missing" },
        { SOURCE_GITLAB, { "X-Gitlab-Token: " SECRET }, NULL },
        { SOURCE_GITLAB, { "X-Gitlab-Token: " SECRET "x" }, "is not the hook's secret" },
        { SOURCE_GITLAB, { "X-Gitlab-Token: It's a Secret to Everybod" }, "is not the hook's secret" },
        { SOURCE_GITLAB, { "X-Gitlab-Token: " }, "X-Gitlab-Token is missing" },
        { SOURCE_GITEA, { "X-Gitea-Signature: " MAC }, NULL },
        { SOURCE_GITEA, { "X-Gitea-Signature: sha256=" MAC }, "is not '' and 64" },
        { SOURCE_GITEA, { "X-Hub-Signature-256: sha256=" MAC }, "X-Gitea-Signature is missing" },
        { SOURCE_GITEA, { "X-Gitea-Signature: " OTHER_MAC, "X-Hub-Signature-256: sha256=" MAC }, "does not fit" },
        { SOURCE_FORGEJO, { "X-Forgejo-Signature: " MAC }, NULL },
        { SOURCE_FORGEJO, { "X-Gitea-Signature: " MAC }, NULL },
        { SOURCE_FORGEJO,
          { "X-Forgejo-Signature: " OTHER_MAC, "X-Gitea-Signature: " MAC },
          "X-Forgejo-Signature does not fit" },
        { SOURCE_FORGEJO, { "X-Forgejo-Signature: ", "X-Gitea-Signature: " MAC }, "X-Forgejo-Signature is missing" },
        { SOURCE_REGISTRY, { "Authorization: " SECRET }, NULL },
        { SOURCE_REGISTRY, { "Authorization: Bearer " SECRET }, NULL },
        { SOURCE_REGISTRY, { "Authorization: bearer " SECRET }, NULL },
        { SOURCE_REGISTRY, { "Authorization: Basic " SECRET }, "is not the secret" },
        { SOURCE_REGISTRY, { "Authorization: Bearer " }, "is not the secret" },
        { SOURCE_REGISTRY, { NULL }, "Authorization is missing" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_header headers[HEADERS_MAX];
        const struct request request = request_of(headers, rows[i].lines);
        struct sender sender = loaded(&sources[rows[i].kind]);
        struct error err = { 0 };
        bool taken = sender_verify(&sender, &request, request.body, &err);
        if (taken != !rows[i].refusal)
            fail_msg("row %zu: %s", i, taken ? "taken" : err.message);
        if (!taken) {
            assert_error(err, ERROR_DENIED, rows[i].refusal);
            assert_error(err, ERROR_DENIED, "source 's': ");
            assert_null(strstr(err.message, MAC));
            assert_null(strstr(err.message, SECRET));
        }
        sender_release(&sender);
    }
}

static void github_signs_the_form_and_gitea_what_is_in_it(void **state)
{
    (void)state;
    static const char *const lines[] = { "X-Hub-Signature-256: sha256=" MAC, "X-Gitea-Signature: " MAC, NULL };
    struct request_header headers[HEADERS_MAX];
    struct request request = request_of(headers, lines);
    struct sender github = loaded(&sources[SOURCE_GITHUB]), gitea = loaded(&sources[SOURCE_GITEA]);
    struct error err = { 0 };
    assert_true(sender_verify(&github, &request, SPAN("what is in it"), &err));
    assert_false(sender_verify(&gitea, &request, SPAN("what is in it"), &err));
    request.body = SPAN("payload=...");
    assert_false(sender_verify(&github, &request, SPAN(BODY), &err));
    assert_true(sender_verify(&gitea, &request, SPAN(BODY), &err));
    sender_release(&github);
    sender_release(&gitea);
}

static void without_a_secret_nothing_is_taken(void **state)
{
    (void)state;
    static const char *const lines[] = { "X-Hub-Signature-256: sha256=" MAC,
                                         "X-Gitlab-Token: ", "Authorization: ", "X-Gitea-Signature: " MAC, NULL };
    for (int kind = 0; kind < SOURCE_KINDS; kind++) {
        const struct config_source source = { .name = "s", .kind = (enum source_kind)kind };
        struct request_header headers[HEADERS_MAX];
        const struct request request = request_of(headers, lines);
        struct sender sender = loaded(&source);
        struct error err = { 0 };
        assert_false(sender_verify(&sender, &request, request.body, &err));
        assert_error(err, ERROR_DENIED, "source 's' has no secret");
        sender_release(&sender);
    }
}

/* --- GitLab's signing token --------------------------------------------------------------------------------------- */

static const struct config_source signing_source = { .name = "s",
                                                     .kind = SOURCE_GITLAB,
                                                     .secret = { .env = "WEBHOOK_TEST_SECRET" },
                                                     .signing_secret = { .env = "WEBHOOK_TEST_SIGNING" } };

/* What a sender with the key would send now. */
static void sign(char out[static 64], const char *key, const char *id, const char *timestamp, const char *body)
{
    struct error err = { 0 };
    uint8_t mac[SHA256_SIZE];
    char text[500];
    struct hmac_sha256 hmac;
    AUTO(bytes_release) struct bytes base64 = BYTES(64);
    snprintf(text, sizeof text, "%s.%s.%s", id, timestamp, body);
    hmac_sha256_init(&hmac, span_of(key));
    hmac_sha256_update(&hmac, text, strlen(text));
    hmac_sha256_final(&hmac, mac);
    assert_true(base64_encode(&base64, (struct span){ (const char *)mac, sizeof mac }, &err));
    snprintf(out, 64, "v1,%s", bytes_text(&base64));
}

/* The specification's own key, message id, time, body and signature: what the tests sign with does as it says. */
static void the_published_vector_is_signed_as_it_says(void **state)
{
    (void)state;
    static const char *const lines[] = { "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp: 1614265330",
                                         "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", NULL };
    static const char body[] = "{\"test\": 2432232314}";
    AUTO(bytes_release) struct bytes key = BYTES(64);
    struct error err = { 0 };
    char signature[64];
    assert_true(base64_decode(&key, SPAN("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &err));
    sign(signature, bytes_text(&key), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
    assert_string_equal(signature, lines[2] + strlen("webhook-signature: "));

    setenv("WEBHOOK_TEST_SIGNING", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1);
    struct request_header headers[HEADERS_MAX];
    struct request request = request_of(headers, lines);
    request.body = span_of(body);
    struct sender sender = loaded(&signing_source);
    assert_false(sender_verify(&sender, &request, request.body, &err));
    assert_error(err, ERROR_DENIED, "seconds off"); /* it is from 2021 */
    sender_release(&sender);
}

static void signing_tokens_are_taken_or_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        int off_s;
        const char *id, *time, *signature, *more; /* NULL: as signed; "%s" in signature: the right one */
        const char *refusal;
    } rows[] = {
        { 0, NULL, NULL, NULL, NULL, NULL },
        { 299, NULL, NULL, NULL, NULL, NULL },
        { -299, NULL, NULL, NULL, NULL, NULL },
        { 302, NULL, NULL, NULL, NULL, "seconds off" },
        { -302, NULL, NULL, NULL, NULL, "seconds off" },
        { 0, NULL, NULL, "v1,AAAA %s", NULL, NULL },
        { 0, NULL, NULL, "v2,x %s v1,bm9wZQ==", NULL, NULL },
        { 0, NULL, NULL, "%s%s", NULL, "does not fit" },
        { 0, NULL, NULL, "v1,", NULL, "does not fit" },
        { 0, NULL, NULL, "", NULL, "webhook-signature is missing" },
        { 0, NULL, NULL, "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", NULL, "does not fit" },
        { 0, "msg_2", NULL, NULL, NULL, "does not fit" },
        { 0, "", NULL, NULL, NULL, "webhook-id is missing" },
        { 0, NULL, "", NULL, NULL, "webhook-timestamp is missing" },
        { 0, NULL, "soon", NULL, NULL, "not a number" },
        { 0, NULL, "-1", NULL, NULL, "not a number" },
        { 0, NULL, "9999999999999999", NULL, NULL, "not a number" },
        { 0, NULL, NULL, NULL, "webhook-signature: v1,x", "stands there 2 times" },
        { 0, NULL, NULL, NULL, "webhook-id: x", "stands there 2 times" },
    };
    setenv("WEBHOOK_TEST_SIGNING", "whsec_a2V5IG9mIHNpZ25pbmc=", 1);
    struct sender sender = loaded(&signing_source);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char signature[64], now[32], lines[3][300], value[200];
        snprintf(now, sizeof now, "%lld", (long long)(clock_wall_ms() / 1000 - rows[i].off_s));
        sign(signature, "key of signing", "msg_1", now, BODY);
        const char *form = rows[i].signature ? rows[i].signature : "%s";
        const char *place = strstr(form, "%s");
        bool twice = place && strstr(place + 2, "%s");
        snprintf(value, sizeof value, "%.*s%s%s%s", place ? (int)(place - form) : (int)strlen(form), form,
                 place ? signature : "", twice ? signature : "", place && !twice ? place + 2 : "");
        snprintf(lines[0], sizeof lines[0], "webhook-id: %s", rows[i].id ? rows[i].id : "msg_1");
        snprintf(lines[1], sizeof lines[1], "webhook-timestamp: %s", rows[i].time ? rows[i].time : now);
        snprintf(lines[2], sizeof lines[2], "webhook-signature: %s", value);
        const char *const all[] = { lines[0], lines[1], lines[2], "X-Gitlab-Token: " SECRET, rows[i].more, NULL };
        struct request_header headers[HEADERS_MAX];
        const struct request request = request_of(headers, all);
        struct error err = { 0 };
        bool taken = sender_verify(&sender, &request, request.body, &err);
        if (taken != !rows[i].refusal)
            fail_msg("row %zu: %s", i, taken ? "taken" : err.message);
        if (!taken)
            assert_error(err, ERROR_DENIED, rows[i].refusal);
        if (!taken && rows[i].time == NULL && rows[i].signature == NULL)
            assert_null(strstr(err.message, signature));
    }
    sender_release(&sender);
}

static void secrets_that_cannot_be_loaded_are_named(void **state)
{
    (void)state;
    struct sender sender;
    struct error err = { 0 };
    const struct config_source absent = { .name = "hub",
                                          .kind = SOURCE_GITHUB,
                                          .secret = { .env = "WEBHOOK_TEST_ABSENT" } };
    assert_false(sender_load(&sender, &absent, &err));
    assert_error(err, ERROR_NOT_FOUND, "secret of source 'hub'");
    assert_error(err, ERROR_NOT_FOUND, "WEBHOOK_TEST_ABSENT");
    static const char *const wrong[] = { "plain", "whsec_", "whsec_!!!!", "whsec_YWJj=" };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        setenv("WEBHOOK_TEST_SIGNING", wrong[i], 1);
        setenv("WEBHOOK_TEST_SECRET", SECRET, 1);
        err = (struct error){ 0 };
        assert_false(sender_load(&sender, &signing_source, &err));
        assert_error(err, ERROR_INVALID, "signing secret of source 's'");
        assert_null(strstr(err.message, "!!!!"));
        sender_release(&sender);
    }
}

/* --- who and what ------------------------------------------------------------------------------------------------- */

static void kinds_are_told_by_headers_in_the_right_order(void **state)
{
    (void)state;
    static const struct {
        const char *lines[5];
        enum source_kind kind;
    } rows[] = {
        { { "X-GitHub-Event: push" }, SOURCE_GITHUB },
        { { "X-GitHub-Event: push", "X-Gogs-Event: push", "X-Gitea-Event: push" }, SOURCE_GITEA },
        { { "X-GitHub-Event: push", "X-Gitea-Event: push", "X-Forgejo-Event: push" }, SOURCE_FORGEJO },
        { { "X-Gitlab-Event: Push Hook" }, SOURCE_GITLAB },
        { { "Content-Type: application/vnd.docker.distribution.events.v1+json" }, SOURCE_REGISTRY },
        { { "Content-Type: Application/vnd.docker.distribution.events.v2+json; charset=utf-8" }, SOURCE_REGISTRY },
        { { "Content-Type: application/json" }, SOURCE_KINDS },
        { { NULL }, SOURCE_KINDS },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_header headers[HEADERS_MAX];
        const struct request request = request_of(headers, rows[i].lines);
        if (sender_detect(&request) != rows[i].kind)
            fail_msg("row %zu", i);
    }
}

static void events_and_deliveries_stand_in_the_hosts_own_headers(void **state)
{
    (void)state;
    static const char *const lines[] = { "X-GitHub-Event: a", "X-GitHub-Delivery: 1",
                                         "X-Gitea-Event: b",  "X-Gitea-Delivery: 2",
                                         "X-Gitlab-Event: c", "Idempotency-Key: 3",
                                         "webhook-id: 4",     NULL };
    static const struct {
        enum source_kind kind;
        const char *event, *delivery;
    } rows[] = { { SOURCE_GITHUB, "a", "1" },
                 { SOURCE_GITEA, "b", "2" },
                 { SOURCE_FORGEJO, "b", "2" },
                 { SOURCE_GITLAB, "c", "3" } };
    struct request_header headers[HEADERS_MAX];
    const struct request request = request_of(headers, lines);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sender sender = loaded(&sources[rows[i].kind]);
        assert_true(span_is(sender_event(&sender, &request), rows[i].event));
        assert_true(span_is(sender_delivery(&sender, &request), rows[i].delivery));
        sender_release(&sender);
    }
    struct sender registry = loaded(&sources[SOURCE_REGISTRY]);
    assert_null(sender_event(&registry, &request).data);
    assert_null(sender_delivery(&registry, &request).data);
    sender_release(&registry);
    setenv("WEBHOOK_TEST_SIGNING", "whsec_a2V5", 1);
    struct sender signing = loaded(&signing_source);
    assert_true(span_is(sender_delivery(&signing, &request), "4")); /* the one that is signed */
    sender_release(&signing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_taken_or_refused_with_the_reason),
        cmocka_unit_test(github_signs_the_form_and_gitea_what_is_in_it),
        cmocka_unit_test(without_a_secret_nothing_is_taken),
        cmocka_unit_test(the_published_vector_is_signed_as_it_says),
        cmocka_unit_test(signing_tokens_are_taken_or_refused_with_the_reason),
        cmocka_unit_test(secrets_that_cannot_be_loaded_are_named),
        cmocka_unit_test(kinds_are_told_by_headers_in_the_right_order),
        cmocka_unit_test(events_and_deliveries_stand_in_the_hosts_own_headers),
    };
    return cmocka_run_group_tests_name("functions/webhook/sender", tests, NULL, NULL);
}
