#include "runtime/local/services_record.h"
#include "shared/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DIGEST "sha256:0123456789012345678901234567890123456789012345678901234567890123"

static void names_are_dns_labels(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool legal;
    } rows[] = {
        { "web", true },
        { "a-b-9", true },
        { "9", true },
        { "", false },
        { "-a", false },
        { "a-", false },
        { "Web", false },
        { "a.b", false },
        { "..", false },
        { "a/b", false },
        { "a_b", false },
        { NULL, false },
        { "0123456789012345678901234567890123456789012345678901234567890123", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(service_name_is_legal(span_of(rows[i].name)), rows[i].legal);
}

static void ports_are_read_with_and_without_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *text, *address;
        unsigned port;
    } rows[] = {
        { NULL, "127.0.0.1", 0 },
        { "8080", "127.0.0.1", 8080 },
        { "0.0.0.0:80", "0.0.0.0", 80 },
        { "127.0.0.1:0", "127.0.0.1", 0 },
        { "", NULL, 0 },
        { "65536", NULL, 0 },
        { "web:80", NULL, 0 },
        { "127.0.0.1:", NULL, 0 },
        { ":80", NULL, 0 },
        { "[::1]:80", NULL, 0 },
        { "80 ", NULL, 0 },
        { "1.2.3.4.5.6.7.8.9.10:80", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char address[16] = "untouched";
        unsigned port = 7;
        struct error err = { 0 };
        bool read = service_port_parse(rows[i].text, address, &port, &err);
        assert_int_equal(read, rows[i].address != NULL);
        assert_string_equal(address, rows[i].address ? rows[i].address : "untouched");
        assert_int_equal(port, rows[i].address ? rows[i].port : 7);
        if (!read)
            assert_int_equal(err.kind, ERROR_INVALID);
    }
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct error err = { 0 };
    char *directory = directory_make_temporary("record-test", &err), path[300];
    AUTO(service_record_release)
    struct service_record record = {
        .namespace = "default",
        .name = "web",
        .generation = 12,
        .state = SERVICE_FAILED,
        .reason = "it \"died\"\n",
        .previous_digest = DIGEST,
        .address = "127.0.0.1",
        .port = 8080,
    };
    AUTO(service_record_release) struct service_record back = { .generation = 0 };
    assert_true(service_spec_parse(SPAN("{\"image\":\"web:1@" DIGEST "\",\"containerPort\":81,\"servicePort\":\"8080\","
                                        "\"readyTimeoutSeconds\":5,\"annotations\":{\"a\":\"b\"}}"),
                                   &record.wanted, &err));
    assert_true(service_spec_copy(&record.running, &record.wanted, &err));
    assert_true(service_record_write(&record, directory, &err));
    snprintf(path, sizeof path, "%s/default.web.json", directory);
    if (!service_record_read(path, &back, &err))
        fail_msg("%s", err.message);
    assert_int_equal(back.generation, 12);
    assert_int_equal(back.state, SERVICE_FAILED);
    assert_string_equal(back.reason, record.reason);
    assert_string_equal(back.previous_digest, DIGEST);
    assert_string_equal(back.address, "127.0.0.1");
    assert_int_equal(back.port, 8080);
    assert_string_equal(back.wanted.image, "web:1@" DIGEST);
    assert_string_equal(back.running.annotations, "{\"a\":\"b\"}");
    assert_string_equal(back.running.service_port, "8080");
    assert_int_equal(back.running.container_port, 81);
    assert_int_equal(back.running.ready_timeout_s, 5);
    assert_true(service_record_remove(&record, directory, &err));
    assert_int_equal(access(path, F_OK), -1);
    assert_true(directory_remove(directory, &err));
    free(directory);
}

static void annotations_are_added_to_what_is_wanted(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(service_spec_release) struct service_spec spec = { 0 };
    assert_true(service_spec_parse(
        SPAN("{\"image\":\"r.io/a:1@" DIGEST "\",\"annotations\":{\"a\":\"1\",\"b\":\"2\"}}"), &spec, &err));
    assert_true(service_spec_annotate(&spec, SPAN("{\"annotations\":{\"b\":\"\\\"new\",\"c\":3}}"), &err));
    assert_string_equal(spec.annotations, "{\"a\":\"1\",\"b\":\"\\\"new\",\"c\":3}");
    static const char *const refused[] = { "", "[]", "{}", "{\"annotations\":\"x\"}",
                                           "{\"annotations\":{\"a\":1,\"a\":2}}" };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(service_spec_annotate(&spec, span_of(refused[i]), &err));
        assert_int_equal(err.kind, ERROR_INVALID);
    }
    assert_string_equal(spec.annotations, "{\"a\":\"1\",\"b\":\"\\\"new\",\"c\":3}");
}

static void a_file_that_is_no_record_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"namespace\":\"..\",\"name\":\"web\",\"generation\":1,\"state\":\"running\"}",
        "{\"namespace\":\"default\",\"name\":\"web\",\"generation\":0,\"state\":\"running\"}",
        "{\"namespace\":\"default\",\"name\":\"web\",\"generation\":1,\"state\":\"odd\"}",
        "{\"namespace\":\"default\",\"name\":\"web\",\"generation\":1,\"state\":\"running\",\"address\":\"a name that "
        "is far too long\"}",
        "{\"namespace\":\"default\",\"name\":\"web\",\"generation\":1,\"state\":\"running\",\"wanted\":{\"image\":"
        "\"web:1\"}}",
    };
    struct error err = { 0 };
    char *directory = directory_make_temporary("record-test", &err), path[300];
    snprintf(path, sizeof path, "%s/bad.json", directory);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct service_record record = { .generation = 99 };
        err = (struct error){ 0 };
        assert_true(file_write_atomic(path, span_of(texts[i]), 0600, &err));
        assert_false(service_record_read(path, &record, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_int_equal(record.generation, 99);
    }
    assert_true(directory_remove(directory, &err));
    free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_dns_labels),
        cmocka_unit_test(ports_are_read_with_and_without_an_address),
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(annotations_are_added_to_what_is_wanted),
        cmocka_unit_test(a_file_that_is_no_record_is_refused),
    };
    return cmocka_run_group_tests_name("runtime/local/services_record", tests, NULL, NULL);
}
