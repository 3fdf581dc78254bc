#include "functions/deploy/request.h"

#include "tests/unit/functions/called.h"

#define DEPLOYED "dev.cdevents.service.deployed.0.3.0"
#define UPGRADED "dev.cdevents.service.upgraded.0.3.0"
#define ROLLEDBACK "dev.cdevents.service.rolledback.0.3.0"
#define INCIDENT "dev.cdevents.incident.detected.0.3.0"
#define MANIFEST "{\"name\":\"deploy\",\"out\":[\"" DEPLOYED "\",\"" UPGRADED "\",\"" ROLLEDBACK "\",\"" INCIDENT "\"]}"

#define DIGEST "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define BEFORE "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define NAME "registry.example/acme/web"
#define CONFIG                                                                                                         \
    "{\"triggers\":[{\"name\":\"live\",\"image\":\"" NAME "\",\"when\":{\"glob\":\"v*\"},\"deploy\":["                 \
    "{\"cluster\":\"local\",\"workload\":\"web\"},{\"cluster\":\"local\",\"namespace\":\"other\",\"workload\":"        \
    "\"shop\"}]}]}"
#define ASKING(target, image, more)                                                                                    \
    "{\"customData\":{\"trigger\":\"live\",\"target\":" target ",\"image\":\"" image "\"" more "}}"

static bool read_one(struct called *called, const char *data, struct request_facts *out, struct error *err)
{
    *err = (struct error){ 0 };
    *out = (struct request_facts){ 0 };
    called_begin(called, MANIFEST, data, CONFIG);
    return request_read(&called->call, called->config, out, err);
}

static void what_may_be_done_comes_from_the_configuration(void **state)
{
    (void)state;
    struct called called;
    struct error err;
    AUTO(request_release) struct request_facts got;
    assert_true(read_one(&called,
                         ASKING("1", NAME ":v1@" DIGEST, ",\"sequence\":\"000000000000042\",\"commit\":\"c0ffee\""),
                         &got, &err));
    assert_string_equal(got.trigger->name, "live");
    assert_string_equal(got.where->workload, "shop");
    assert_int_equal(got.index, 1);
    assert_string_equal(got.subject, "local/other/shop");
    assert_string_equal(got.digest, DIGEST);
    assert_string_equal(got.tag, "v1");
    assert_string_equal(got.sequence, "000000000000042");
    assert_string_equal(got.commit, "c0ffee");
    assert_string_equal(got.event_id, "event-1");
    called_end(&called);
}

/* 2026-09-01T12:00:00Z in the unit of a push's sequence. */
static void without_a_push_the_event_s_time_is_the_sequence(void **state)
{
    (void)state;
    struct called called;
    struct error err;
    AUTO(request_release) struct request_facts got;
    assert_true(read_one(&called, ASKING("0", NAME ":v1@" DIGEST, ""), &got, &err));
    assert_string_equal(got.sequence, "001788264000000");
    assert_null(got.commit);
    called_end(&called);
}

static void a_request_that_contradicts_the_configuration_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        enum error_kind kind;
        const char *says;
    } rows[] = {
        { "{}", ERROR_INVALID, "names no trigger" },
        { "{\"customData\":\"eHg=\"}", ERROR_INVALID, "names no trigger" },
        { "{\"customData\":{\"trigger\":\"live\"}}", ERROR_INVALID, "names no trigger and target" },
        { "{\"customData\":{\"trigger\":\"live\",\"target\":0}}", ERROR_INVALID, "names no image" },
        { "{\"customData\":{\"trigger\":\"soon\",\"target\":0}}", ERROR_CONFLICT, "no trigger 'soon'" },
        { ASKING("2", NAME ":v1@" DIGEST, ""), ERROR_CONFLICT, "target 2" },
        { ASKING("-1", NAME ":v1@" DIGEST, ""), ERROR_INVALID, "names no trigger and target" },
        { ASKING("0.5", NAME ":v1@" DIGEST, ""), ERROR_INVALID, "names no trigger and target" },
        { ASKING("0", NAME ":v1", ""), ERROR_INVALID, "needs a tag and a digest" },
        { ASKING("0", NAME "@" DIGEST, ""), ERROR_INVALID, "needs a tag and a digest" },
        { ASKING("0", NAME ":v1@sha256:11", ""), ERROR_INVALID, "image" },
        { ASKING("0", "registry.example/acme/other:v1@" DIGEST, ""), ERROR_INVALID, "not about" },
        { ASKING("0", NAME ":main@" DIGEST, ""), ERROR_INVALID, "does not want this" },
        { ASKING("0", NAME ":v1@" DIGEST, ",\"sequence\":\"-1\""), ERROR_INVALID, "sequence" },
        { ASKING("0", NAME ":v1@" DIGEST, ",\"sequence\":\"\""), ERROR_INVALID, "sequence" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct called called;
        struct error err;
        AUTO(request_release) struct request_facts got;
        if (read_one(&called, rows[i].data, &got, &err))
            fail_msg("%s was taken", rows[i].data);
        assert_error(err, rows[i].kind, rows[i].says);
        called_end(&called);
    }
}

struct told {
    const char *type, *artifact; /* the purl's digest, as it stands there */
};

/* The events about a workload in that state, in order. */
static void check_told(const struct workload *now, bool success, const struct told *wanted, size_t count)
{
    struct called called;
    struct error err;
    AUTO(request_release) struct request_facts request;
    assert_true(read_one(&called, ASKING("0", NAME ":v1@" DIGEST, ""), &request, &err));
    if (!(success ? tell_success(&called.call, &request, now, 12, &err)
                  : tell_failure(&called.call, &request, now, &err)))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++) {
        const struct event *event = NULL;
        const struct json *data = called_emitted(&called, i, &event);
        assert_non_null(data);
        assert_string_equal(event->type, wanted[i].type);
        assert_string_equal(event->subject, "local/default/web");
        assert_non_null(strstr(called_text(data, "subject", "content", "artifactId"), wanted[i].artifact));
    }
    const struct event *none = NULL;
    assert_null(called_emitted(&called, count, &none));
    called_end(&called);
}

static void what_came_of_it_is_told(void **state)
{
    (void)state;
    const struct workload first = { .rollout = ROLLOUT_RUNNING };
    const struct workload next = { .rollout = ROLLOUT_RUNNING,
                                   .marks = { .previous = BEFORE, .previous_image = NAME ":v0@" BEFORE } };
    const struct workload failed = { .rollout = ROLLOUT_FAILED, .reason = "exit 1" };
    const struct workload stays = { .rollout = ROLLOUT_FAILED, .running_image = NAME ":v0@" BEFORE };
    check_told(&first, true, &(struct told){ DEPLOYED, "sha256%3A11" }, 1);
    check_told(&next, true, &(struct told){ UPGRADED, "sha256%3A11" }, 1);
    check_told(&failed, false, &(struct told){ INCIDENT, "sha256%3A11" }, 1);
    check_told(&stays, false, (struct told[]){ { INCIDENT, "sha256%3A11" }, { ROLLEDBACK, "sha256%3A22" } }, 2);
}

static void sequences_compare_as_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
    } rows[] = {
        { "100", "100", 0 },
        { "99", "100", -1 },
        { "000000000000200", "100", 1 },
        { "0000100", "100", 0 },
        { "99999999999999999999998", "99999999999999999999999", -1 },
        { "1", NULL, 1 },
        { NULL, "1", -1 },
        { NULL, NULL, 0 },
        { "", "0", -1 },
        { "12x", "1", -1 },
        { "-5", "0", -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int order = sequence_compare(rows[i].a, rows[i].b);
        assert_int_equal((order > 0) - (order < 0), rows[i].order);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_done_comes_from_the_configuration),
        cmocka_unit_test(without_a_push_the_event_s_time_is_the_sequence),
        cmocka_unit_test(a_request_that_contradicts_the_configuration_is_refused),
        cmocka_unit_test(what_came_of_it_is_told),
        cmocka_unit_test(sequences_compare_as_numbers),
    };
    return cmocka_run_group_tests_name("functions/deploy/request", tests, NULL, NULL);
}
