/* The small parts of the shim: manifests, keys, trace context, outcomes, CDEvents. */
#include "runtime/cdevents.h"
#include "runtime/keys.h"
#include "runtime/manifest.h"
#include "runtime/outcome.h"
#include "runtime/trace.h"
#include "shared/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- fn.json ---------------------------------------------------------------------------------------------------------------- */

static void manifest_has_defaults_and_takes_what_it_says(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(manifest_free) struct manifest *least = manifest_parse("{\"name\":\"a\"}", &err);
    assert_non_null(least);
    assert_int_equal(least->concurrency, 4);
    assert_int_equal(least->timeout_s, 60);
    assert_int_equal(least->body_max, EVENT_MAX);
    assert_int_equal(least->memory_max, 4 * EVENT_MAX);
    assert_false(least->is_signed);
    assert_false(least->serves_http);
    assert_string_equal(least->summary, "");
    assert_int_equal(least->in.count, 0);

    AUTO(manifest_free)
    struct manifest *all = manifest_parse(
        "{\"name\":\"a-1\",\"summary\":\"s\",\"in\":[\"x\",\"y\"],\"out\":[\"z\"],\"serves\":\"http\",\"signed\":true,"
        "\"concurrency\":7,\"timeoutSeconds\":8,\"bodyBytes\":9,\"memoryBytes\":10,\"secrets\":[\"chain\"],\"other\":{}"
        "}",
        &err);
    assert_non_null(all);
    assert_int_equal(all->concurrency, 7);
    assert_int_equal(all->timeout_s, 8);
    assert_int_equal(all->body_max, 9);
    assert_int_equal(all->memory_max, 10);
    assert_true(all->is_signed);
    assert_true(all->serves_http);
    assert_true(manifest_lists(&all->in, "y"));
    assert_false(manifest_lists(&all->in, "z"));
    assert_true(manifest_lists(&all->secrets, "chain"));
}

static void manifest_mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        { "{", "line 1" },
        { "[]", "object" },
        { "{}", "'name'" },
        { "{\"name\":\"A\"}", "'name'" },
        { "{\"name\":\"a\",\"in\":\"x\"}", "'in' must be an array" },
        { "{\"name\":\"a\",\"out\":[1]}", "'out'" },
        { "{\"name\":\"a\",\"out\":[\"\"]}", "'out'" },
        { "{\"name\":\"a\",\"serves\":\"grpc\"}", "'serves'" },
        { "{\"name\":\"a\",\"concurrency\":0}", "'concurrency'" },
        { "{\"name\":\"a\",\"timeoutSeconds\":1.5}", "'timeoutSeconds'" },
        { "{\"name\":\"a\",\"bodyBytes\":\"1\"}", "'bodyBytes'" },
        { "{\"name\":\"a\",\"bodyBytes\":9,\"memoryBytes\":8}", "'memoryBytes'" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        assert_null(manifest_parse(rows[i].text, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_int_equal(strncmp(err.message, "fn.json: ", 9), 0);
        assert_non_null(strstr(err.message, rows[i].error));
    }
}

/* --- keys ------------------------------------------------------------------------------------------------------------------- */

static int clear_keys(void **state)
{
    (void)state;
    unsetenv("PUSHWRIGHT_CHAIN_KEY");
    unsetenv("PUSHWRIGHT_CHAIN_KEY_FILE");
    unsetenv("PUSHWRIGHT_CONFIG");
    return 0;
}

static size_t keys_with(const char *variable, const char *value)
{
    struct error err = { 0 };
    clear_keys(NULL);
    setenv(variable, value, 1);
    AUTO(manifest_free) struct manifest *manifest = manifest_parse("{\"name\":\"a\",\"secrets\":[\"chain\"]}", &err);
    AUTO(keyring_free) struct keyring *keyring = keys_load(manifest, &err);
    if (!keyring)
        fail_msg("%s", err.message);
    return keyring_count(keyring);
}

static void keys_come_from_value_file_or_configuration(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(free) char *directory = directory_make_temporary("pushwright-keys", &err);
    char path[300], config[300];
    snprintf(path, sizeof path, "%s/keys", directory);
    snprintf(config, sizeof config, "%s/pushwright.json", directory);
    assert_true(file_write_atomic(path, SPAN("0123456789abcdef\r\n\nfedcba9876543210\n"), 0600, &err));
    AUTO(bytes_release) struct bytes text = BYTES(1000);
    assert_true(bytes_printf(&text, &err, "{\"chain\":{\"keys\":[{\"file\":\"%s\"}]}}", path));
    assert_true(file_write_atomic(config, bytes_span(&text), 0600, &err));
    assert_int_equal(keys_with("PUSHWRIGHT_CHAIN_KEY", "0123456789abcdef"), 1);
    assert_int_equal(keys_with("PUSHWRIGHT_CHAIN_KEY", "0123456789abcdef, fedcba9876543210,\n0123456789abcdeX"), 3);
    assert_int_equal(keys_with("PUSHWRIGHT_CHAIN_KEY_FILE", path), 2);
    assert_int_equal(keys_with("PUSHWRIGHT_CONFIG", config), 2);
    assert_int_equal(keys_with("PUSHWRIGHT_CHAIN_KEY", ""), 0);
    assert_true(directory_remove(directory, &err));
}

static void configuration_is_not_read_by_a_function_that_mounts_no_key(void **state)
{
    (void)state;
    struct error err = { 0 };
    setenv("PUSHWRIGHT_CONFIG", "/nowhere", 1);
    AUTO(manifest_free) struct manifest *without = manifest_parse("{\"name\":\"a\"}", &err);
    AUTO(keyring_free) struct keyring *keyring = keys_load(without, &err);
    assert_non_null(keyring);
    assert_int_equal(keyring_count(keyring), 0);
    AUTO(manifest_free) struct manifest *with = manifest_parse("{\"name\":\"a\",\"signed\":true}", &err);
    assert_null(keys_load(with, &err));
    assert_int_equal(strncmp(err.message, "chain key: ", 11), 0);
}

/* --- trace context ------------------------------------------------------------------------------------------------------------ */

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN_ID "b7ad6b7169203331"

static void traceparents_are_told_from_others(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        { "00-" TRACE "-" SPAN_ID "-01", true },       { "00-" TRACE "-" SPAN_ID "-00", true },
        { "01-" TRACE "-" SPAN_ID "-01", true },       { "01-" TRACE "-" SPAN_ID "-01-more", true },
        { "01-" TRACE "-" SPAN_ID "-01more", false },  { "00-" TRACE "-" SPAN_ID "-01-more", false },
        { "ff-" TRACE "-" SPAN_ID "-01", false },      { "00-00000000000000000000000000000000-" SPAN_ID "-01", false },
        { "00-" TRACE "-0000000000000000-01", false }, { "00-0AF7651916CD43DD8448EB211C80319C-" SPAN_ID "-01", false },
        { "00-" TRACE "_" SPAN_ID "-01", false },      { "00-" TRACE "-" SPAN_ID "-0", false },
        { "00-" TRACE "-" SPAN_ID "-0g", false },      { "", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(traceparent_is_valid(span_of(rows[i].text)), rows[i].valid);
    assert_false(traceparent_is_valid((struct span){ 0 }));
}

static void children_stay_in_the_trace_and_orphans_begin_one(void **state)
{
    (void)state;
    char one[TRACEPARENT_SIZE], two[TRACEPARENT_SIZE];
    traceparent_child(one, SPAN("00-" TRACE "-" SPAN_ID "-00"));
    traceparent_child(two, SPAN("cc-" TRACE "-" SPAN_ID "-01-future"));
    assert_int_equal(strncmp(one, "00-" TRACE "-", 36), 0);
    assert_int_equal(strncmp(two, "00-" TRACE "-", 36), 0);
    assert_string_equal(one + 52, "-00");
    assert_string_equal(two + 52, "-01");
    assert_int_not_equal(strncmp(one + 36, SPAN_ID, 16), 0);
    assert_int_not_equal(strncmp(one + 36, two + 36, 16), 0);
    traceparent_child(one, SPAN("garbage"));
    traceparent_child(two, (struct span){ 0 });
    assert_true(traceparent_is_valid(span_of(one)));
    assert_true(traceparent_is_valid(span_of(two)));
    assert_int_not_equal(strncmp(one + 3, two + 3, 32), 0);
}

/* --- outcomes ------------------------------------------------------------------------------------------------------------------ */

static void every_kind_has_its_status_and_exit_code(void **state)
{
    (void)state;
    static const struct {
        enum error_kind kind;
        int status, exit_code;
        unsigned asked, retry_after_s;
    } rows[] = {
        { ERROR_INVALID, 400, 42, 9, 0 },   { ERROR_DENIED, 403, 42, 9, 0 },      { ERROR_NOT_FOUND, 400, 42, 9, 0 },
        { ERROR_TOO_LARGE, 413, 42, 9, 0 }, { ERROR_UNSUPPORTED, 415, 42, 9, 0 }, { ERROR_CONFLICT, 409, 1, 0, 5 },
        { ERROR_BUSY, 429, 1, 17, 17 },     { ERROR_UNAVAILABLE, 503, 1, 0, 5 },  { ERROR_UNCERTAIN, 503, 1, 9, 9 },
        { ERROR_INTERNAL, 500, 1, 9, 0 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { .kind = rows[i].kind, .retry_after_s = rows[i].asked, .message = "why" };
        struct reply reply = { 0 };
        outcome_reply(&reply, &err);
        assert_int_equal(reply.status, rows[i].status);
        assert_int_equal(reply.retry_after_s, rows[i].retry_after_s);
        assert_int_equal(outcome_exit_code(&err), rows[i].exit_code);
        assert_string_equal(reply.content_type, "application/problem+json");
        assert_non_null(strstr(bytes_text(&reply.body), "\"detail\":\"why\""));
        assert_non_null(strstr(bytes_text(&reply.body), error_kind_name(rows[i].kind)));
        bytes_release(&reply.body);
    }
}

static void problem_stays_short_and_whole_json(void **state)
{
    (void)state;
    static const char *const units[] = { "x", "\x01", "\xe2\x82\xac", "\"" };
    for (size_t i = 0; i < COUNT(units); i++) {
        struct error err = { .kind = ERROR_INVALID };
        while (strlen(err.message) + strlen(units[i]) < sizeof err.message)
            strcat(err.message, units[i]);
        struct reply reply = { 0 };
        outcome_reply(&reply, &err);
        AUTO(arena_free) struct arena *arena = arena_new(64 * 1024);
        const struct json *problem = json_parse(arena, bytes_span(&reply.body), &err);
        assert_non_null(problem);
        assert_true(reply.body.len <= PROBLEM_MAX && reply.body.len > PROBLEM_MAX - 250);
        assert_int_equal(strncmp(json_get_string(problem, "detail"), err.message, strlen(units[i])), 0);
        assert_null(strstr(json_get_string(problem, "detail"), "\xef\xbf\xbd"));
        bytes_release(&reply.body);
    }
}

/* --- CDEvents ------------------------------------------------------------------------------------------------------------------ */

static void cdevent_is_written_as_the_specification_says(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes out = BYTES(4096);
    const struct cdevent full = { .id = "i",
                                  .source = "/s",
                                  .type = "t",
                                  .timestamp = "2026-09-01T12:00:00Z",
                                  .chain_id = "c",
                                  .parent_id = "p",
                                  .subject = "x",
                                  .subject_source = "/y",
                                  .content = SPAN("{\"n\": 1.0}"),
                                  .custom = SPAN("{}") };
    assert_true(cdevent_write(&out, &full, &err));
    assert_string_equal(
        bytes_text(&out),
        "{\"context\":{\"specversion\":\"0.5.1\",\"id\":\"i\",\"source\":\"/s\",\"type\":\"t\",\"timestamp\":"
        "\"2026-09-01T12:00:00Z\",\"chainId\":\"c\",\"links\":[{\"linkType\":\"RELATION\",\"linkKind\":\"TRIGGER\","
        "\"target\":{\"contextId\":\"p\"}}]},\"subject\":{\"id\":\"x\",\"source\":\"/y\",\"content\":{\"n\": 1.0}},"
        "\"customData\":{}}");
    AUTO(arena_free) struct arena *arena = arena_new(64 * 1024);
    assert_string_equal(cdevent_chain_id(arena, bytes_span(&out)), "c");
    bytes_clear(&out);
    const struct cdevent least = { .id = "i",
                                   .source = "/s",
                                   .type = "t",
                                   .timestamp = "2026-09-01T12:00:00Z",
                                   .chain_id = "c",
                                   .subject = "x",
                                   .content = SPAN("{}") };
    assert_true(cdevent_write(&out, &least, &err));
    assert_null(strstr(bytes_text(&out), "links"));
    assert_null(strstr(bytes_text(&out), "customData"));
}

static void data_without_a_chain_have_none(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "", "{", "{}", "[]", "{\"context\":{\"chainId\":5}}", "{\"context\":{\"chainId\":\"\"}}"
    };
    AUTO(arena_free) struct arena *arena = arena_new(64 * 1024);
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_null(cdevent_chain_id(arena, span_of(rows[i])));
    assert_null(cdevent_chain_id(arena, (struct span){ 0 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_has_defaults_and_takes_what_it_says),
        cmocka_unit_test(manifest_mistakes_are_named),
        cmocka_unit_test_setup_teardown(keys_come_from_value_file_or_configuration, clear_keys, clear_keys),
        cmocka_unit_test_setup_teardown(configuration_is_not_read_by_a_function_that_mounts_no_key, clear_keys,
                                        clear_keys),
        cmocka_unit_test(traceparents_are_told_from_others),
        cmocka_unit_test(children_stay_in_the_trace_and_orphans_begin_one),
        cmocka_unit_test(every_kind_has_its_status_and_exit_code),
        cmocka_unit_test(problem_stays_short_and_whole_json),
        cmocka_unit_test(cdevent_is_written_as_the_specification_says),
        cmocka_unit_test(data_without_a_chain_have_none),
    };
    return cmocka_run_group_tests_name("runtime/shim", tests, NULL, NULL);
}
