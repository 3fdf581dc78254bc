#include "functions/trigger/request.h"

#include "tests/unit/functions/called.h"

#define MATCHED "dev.cdeventsx.pushwright-trigger.matched.0.1.0"
#define REQUESTED "dev.cdeventsx.pushwright-deploy.requested.0.1.0"
#define MANIFEST "{\"name\":\"trigger\",\"out\":[\"" MATCHED "\",\"" REQUESTED "\"]}"

#define ONE "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define TWO "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define WEB "pkg:oci/web?repository_url=registry.example%2Facme%2Fweb"

#define CONFIG                                                                                                         \
    "{\"triggers\":[{\"name\":\"live\",\"image\":\"registry.example/acme/"                                             \
    "web\",\"when\":{\"tags\":\"all\"},\"deploy\":["                                                                   \
    "{\"cluster\":\"local\",\"workload\":\"web\"},{\"cluster\":\"local\",\"namespace\":\"other\",\"workload\":"        \
    "\"shop\"}]}]}"

static bool read_one(struct called *called, const char *data, struct publication *out, struct error *err)
{
    *err = (struct error){ 0 };
    *out = (struct publication){ 0 };
    called_begin(called, MANIFEST, data, CONFIG);
    return publication_read(&called->call, out, err);
}

static void an_event_names_image_digest_tags_and_what_it_was_built_from(void **state)
{
    (void)state;
    struct called called;
    struct error err;
    AUTO(publication_release) struct publication got;
    assert_true(read_one(&called,
                         "{\"subject\":{\"id\":\"pkg:oci/web@sha256%3A"
                         "1111111111111111111111111111111111111111111111111111111111111111"
                         "?repository_url=registry.example%2Facme%2Fweb&tag=v1\"},"
                         "\"customData\":{\"tags\":[\"v1\",\"latest\",\"v1\"],\"sequence\":\"000000000000007\","
                         "\"commit\":\"c0ffee\",\"ref\":\"refs/heads/main\",\"build\":\"web\"}}",
                         &got, &err));
    assert_string_equal(got.name, "registry.example/acme/web");
    assert_string_equal(got.digest, ONE);
    assert_int_equal(got.tag_count, 2);
    assert_string_equal(got.tags[0], "v1");
    assert_string_equal(got.tags[1], "latest");
    assert_string_equal(got.sequence, "000000000000007");
    assert_string_equal(got.commit, "c0ffee");
    assert_string_equal(got.ref, "refs/heads/main");
    assert_string_equal(got.build, "web");
    called_end(&called);
}

static void what_was_uploaded_by_hand_has_neither_build_nor_sequence(void **state)
{
    (void)state;
    struct called called;
    struct error err;
    AUTO(publication_release) struct publication got;
    assert_true(read_one(&called, "{\"subject\":{\"id\":\"" WEB "\"}}", &got, &err));
    assert_null(got.digest);
    assert_null(got.sequence);
    assert_null(got.build);
    assert_int_equal(got.tag_count, 0);
    called_end(&called);
}

static void what_names_no_image_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *data, *says;
    } rows[] = {
        { "{}", "no subject.id" },
        { "[]", "no subject.id" },
        { "null", "no subject.id" },
        { "{\"subject\":\"" WEB "\"}", "no subject.id" },
        { "{\"subject\":{\"id\":7}}", "no subject.id" },
        { "{\"subject\":{\"id\":\"registry.example/acme/web:v1\"}}", "subject.id" },
        { "{\"subject\":{\"id\":\"pkg:npm/web\"}}", "subject.id" },
        { "{\"subject\":{\"id\":\"" WEB "&tag=no/tag\"}}", "tag" },
        { "{\"subject\":{\"id\":\"" WEB "\"},\"customData\":{\"tags\":[\"..\"]}}",
          "customData.tags: '..' is not a tag" },
        { "{\"subject\":{\"id\":\"" WEB "\"},\"customData\":{\"tags\":[7]}}", "customData.tags: '' is not a tag" },
        { "{\"subject\"", "data" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct called called;
        struct error err;
        AUTO(publication_release) struct publication got;
        if (read_one(&called, rows[i].data, &got, &err))
            fail_msg("%s was taken", rows[i].data);
        assert_error(err, ERROR_INVALID, rows[i].says);
        called_end(&called);
    }
}

static void an_event_has_so_many_tags_and_no_more(void **state)
{
    (void)state;
    for (int count = TAGS_MAX; count <= TAGS_MAX + 1; count++) {
        struct called called;
        struct error err = { 0 };
        AUTO(publication_release) struct publication got;
        AUTO(bytes_release) struct bytes data = BYTES(64 * 1024);
        bytes_append_text(&data, "{\"subject\":{\"id\":\"" WEB "\"},\"customData\":{\"tags\":[", &err);
        for (int i = 0; i < count; i++)
            bytes_printf(&data, &err, "%s\"t%d\"", i ? "," : "", i);
        bytes_append_text(&data, "]}}", &err);
        assert_int_equal(read_one(&called, bytes_text(&data), &got, &err), count == TAGS_MAX);
        if (count > TAGS_MAX)
            assert_error(err, ERROR_INVALID, "more than 64 tags");
        called_end(&called);
    }
}

/* Asks for the deployments of tag v1; gives the call that holds the events. */
static void request(struct called *called, const char *digest)
{
    struct error err;
    AUTO(publication_release) struct publication image;
    struct descriptor now = { 0 };
    snprintf(now.digest, sizeof now.digest, "%s", digest);
    assert_true(read_one(called,
                         "{\"subject\":{\"id\":\"" WEB "\"},\"customData\":{\"tags\":[\"v1\"],\"sequence\":\"7\"}}",
                         &image, &err));
    if (!request_deployments(&called->call, &called->config->triggers[0], &image, "v1", &now, "tag 'v1' is wanted",
                             &err))
        fail_msg("%s", err.message);
}

static void each_target_is_asked_for_with_what_the_registry_says(void **state)
{
    (void)state;
    static const char *const subjects[] = { "live", "local/default/web", "local/other/shop" };
    struct called called;
    request(&called, ONE);
    for (size_t i = 0; i < COUNT(subjects); i++) {
        const struct event *event = NULL;
        const struct json *data = called_emitted(&called, i, &event);
        assert_non_null(data);
        assert_string_equal(event->type, i == 0 ? MATCHED : REQUESTED);
        assert_string_equal(event->subject, subjects[i]);
        assert_text(called_text(data, "customData", "trigger", NULL), "live", "trigger");
        assert_text(called_text(data, "customData", "image", NULL), "registry.example/acme/web:v1@" ONE, "image");
        assert_text(called_text(data, "customData", "digest", NULL), ONE, "digest");
        assert_text(called_text(data, "customData", "sequence", NULL), "7", "sequence");
        assert_text(called_text(data, "customData", "reason", NULL), "tag 'v1' is wanted", "reason");
        if (i == 0)
            continue;
        int64_t target = -1;
        assert_true(json_integer(json_get(json_get(data, "customData"), "target"), &target));
        assert_int_equal(target, i - 1);
        assert_string_equal(event_extension(event, "imagedigest"), ONE);
        assert_string_equal(event_extension(event, "envname"), "local");
    }
    const struct event *none = NULL;
    assert_null(called_emitted(&called, COUNT(subjects), &none));
    called_end(&called);
}

/* The same publication asks with the same ids, so that a redelivery changes nothing; another image behind the tag asks anew. */
static void ids_tell_a_repetition_from_a_new_request(void **state)
{
    (void)state;
    struct called first, again, other;
    request(&first, ONE);
    request(&again, ONE);
    request(&other, TWO);
    for (size_t i = 0; i < 3; i++) {
        const struct event *a = NULL, *b = NULL, *c = NULL;
        called_emitted(&first, i, &a);
        called_emitted(&again, i, &b);
        called_emitted(&other, i, &c);
        assert_string_equal(a->id, b->id);
        assert_string_not_equal(a->id, c->id);
    }
    called_end(&first);
    called_end(&again);
    called_end(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_names_image_digest_tags_and_what_it_was_built_from),
        cmocka_unit_test(what_was_uploaded_by_hand_has_neither_build_nor_sequence),
        cmocka_unit_test(what_names_no_image_is_refused),
        cmocka_unit_test(an_event_has_so_many_tags_and_no_more),
        cmocka_unit_test(each_target_is_asked_for_with_what_the_registry_says),
        cmocka_unit_test(ids_tell_a_repetition_from_a_new_request),
    };
    return cmocka_run_group_tests_name("functions/trigger/request", tests, NULL, NULL);
}
