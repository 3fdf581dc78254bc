/* Lines as a collector reads them. */
#include "runtime/log.h"

#include "shared/base/arena.h"
#include "shared/base/json.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void every_field_has_its_name(void **unused)
{
    (void)unused;
    const struct log_fields fields = {
        .logger = "webhook",
        .platform = "knative",
        .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
        .span_id = "00f067aa0ba902b7",
        .ce_id = "1",
        .ce_type = "t",
        .ce_source = "/s",
        .ce_subject = "sub",
        .chain_id = "c",
        .rule = "r",
        .outcome = "failed",
        .error_type = "unavailable",
        .status = 503,
        .duration_us = 12345,
    };
    char line[LOG_LINE_MAX];
    size_t len = log_format(line, 1788264000123, SEVERITY_ERROR, &fields, SPAN("no answer"));
    line[len] = '\0';
    assert_string_equal(
        line, "{\"time\":\"2026-09-01T12:00:00.123Z\",\"severity\":\"ERROR\",\"message\":\"no answer\","
              "\"logger\":\"webhook\",\"platform\":\"knative\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
              "\"span_id\":\"00f067aa0ba902b7\",\"ce_id\":\"1\",\"ce_type\":\"t\",\"ce_source\":\"/"
              "s\",\"ce_subject\":\"sub\","
              "\"chain_id\":\"c\",\"rule\":\"r\",\"outcome\":\"failed\",\"error_type\":\"unavailable\",\"status\":503,"
              "\"duration_ms\":12.345}\n");
}

static void what_is_absent_is_left_out(void **unused)
{
    (void)unused;
    static const char *const severities[] = { "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL" };
    for (int i = 0; i < SEVERITIES; i++) {
        char line[LOG_LINE_MAX], expected[128];
        size_t len = log_format(line, 0, (enum log_severity)i, i % 2 ? NULL : &(struct log_fields){ 0 }, SPAN(""));
        snprintf(expected, sizeof expected,
                 "{\"time\":\"1970-01-01T00:00:00Z\",\"severity\":\"%s\",\"message\":\"\"}\n", severities[i]);
        assert_int_equal(len, strlen(expected));
        assert_memory_equal(line, expected, len);
    }
}

static void nothing_in_a_text_can_break_the_line(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *written;
    } rows[] = {
        { "a\nb\r\t\x01\x1b[31m", "a\\u000ab\\u000d\\u0009\\u0001\\u001b[31m" },
        { "\"\\", "\\\"\\\\" },
        { "\x7f", "\\u007f" },
        { "\xc2\x9b", "\\u009b" },
        { "\xc2\xa0\xe2\x82\xac\xf0\x9f\x98\x80", "\xc2\xa0\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "a\xff"
          "b\xc3",
          "a\\ufffdb\\ufffd" },
        { "\xc0\xaf", "\\ufffd\\ufffd" },
        { "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[LOG_LINE_MAX], expected[256];
        size_t len =
            log_format(line, 0, SEVERITY_INFO, &(struct log_fields){ .ce_id = rows[i].text }, span_of(rows[i].text));
        line[len] = '\0';
        snprintf(expected, sizeof expected, "\"message\":\"%s\",\"ce_id\":\"%s\"}\n", rows[i].written, rows[i].written);
        assert_non_null(strstr(line, expected));
    }
    char line[LOG_LINE_MAX];
    size_t len = log_format(line, 0, SEVERITY_INFO, NULL, (struct span){ "a\0b", 3 });
    line[len] = '\0';
    assert_non_null(strstr(line, "\"message\":\"a\\u0000b\""));
}

/* Whatever stands in the fields, the line fits, is JSON, and says where it was cut. */
static void long_texts_are_cut_between_characters(void **unused)
{
    (void)unused;
    static const char *const units[] = { "x", "\x01", "\xe2\x82\xac", "\xff", "\"", "ab\xf0\x9f\x98\x80" };
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        AUTO(free) char *text = calloc(1, 40000);
        for (size_t n = 0; n < 20000; n += strlen(units[u]))
            strcat(text + n, units[u]);
        const struct log_fields fields = { text, text, text, text, text, text,      text,
                                           text, text, text, text, text, INT32_MIN, INT64_MAX };
        AUTO(free) char *line = malloc(LOG_LINE_MAX);
        size_t len = log_format(line, INT64_C(253402300799999), SEVERITY_CRITICAL, &fields, span_of(text));
        assert_true(len <= LOG_LINE_MAX);
        AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
        struct error err = { 0 };
        const struct json *parsed = json_parse(arena, (struct span){ line, len }, &err);
        if (!parsed)
            fail_msg("%s", err.message);
        const char *id = json_get_string(parsed, "ce_id");
        assert_true(strlen(id) <= LOG_FIELD_MAX);
        assert_string_equal(id + strlen(id) - 3, "...");
        assert_true(strlen(json_get_string(parsed, "message")) > 1000);
    }
}

static void texts_that_just_fit_are_not_cut(void **unused)
{
    (void)unused;
    for (size_t len = LOG_FIELD_MAX - 6; len <= LOG_FIELD_MAX; len++) {
        char id[LOG_FIELD_MAX + 1] = { 0 }, line[LOG_LINE_MAX + 1];
        memset(id, 'x', len);
        line[log_format(line, 0, SEVERITY_INFO, &(struct log_fields){ .ce_id = id }, SPAN(""))] = '\0';
        const char *written = strstr(line, "\"ce_id\":\"") + strlen("\"ce_id\":\"");
        size_t width = strcspn(written, "\"");
        bool fits = len <= LOG_FIELD_MAX - 2; /* the quotes are part of the limit */
        assert_int_equal(width, fits ? len : LOG_FIELD_MAX - 2);
        assert_int_equal(strstr(line, "...") != NULL, !fits);
    }
}

enum { THREADS = 4, LINES = 50 };

static void *write_many(void *letter)
{
    char text[6001] = { 0 };
    memset(text, *(const char *)letter, sizeof text - 1);
    for (int i = 0; i < LINES; i++)
        log_event(SEVERITY_INFO, NULL, "%s", text);
    return NULL;
}

/* Into a pipe that is read slowly, with lines over the size that a pipe takes at once. */
static void lines_of_several_threads_do_not_mix(void **unused)
{
    (void)unused;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    int before = dup(STDOUT_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    static const char letters[] = "abcd";
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, write_many, (void *)(uintptr_t)(letters + i));
    FILE *reader = fdopen(ends[0], "r");
    size_t torn = 0, lines = 0;
    AUTO(free) char *line = NULL;
    size_t room = 0;
    while (lines < THREADS * LINES && getline(&line, &room, reader) > 0) {
        const char *message = strstr(line, "\"message\":\"");
        lines++;
        torn += !message || strspn(message + 11, (char[]){ message[11], '\0' }) != 6000;
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    dup2(before, STDOUT_FILENO);
    close(before);
    fclose(reader);
    assert_int_equal(torn, 0);
    assert_int_equal(lines, THREADS * LINES);
}

/* Nobody reads; then somebody does. Every line is whole, and those that are not there were counted. */
static void who_does_not_read_is_not_waited_for(void **unused)
{
    enum { MANY = 100 };
    (void)unused;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    int before = dup(STDOUT_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    log_set_patience(1);
    static const char letter[] = "x";
    write_many((void *)(uintptr_t)letter);
    write_many((void *)(uintptr_t)letter);
    FILE *reader = fdopen(ends[0], "r");
    AUTO(free) char *line = NULL;
    size_t room = 0, whole = 0;
    unsigned long long left_out = 0;
    for (size_t i = 0; i < 3; i++) /* the pipe has room again */
        whole += getline(&line, &room, reader) > 6000;
    log_set_patience(LOG_PATIENCE_MS);
    log_event(SEVERITY_INFO, NULL, "the end");
    dup2(before, STDOUT_FILENO);
    close(before);
    while (getline(&line, &room, reader) > 0) {
        const char *message = strstr(line, "\"message\":\"");
        assert_non_null(message);
        if (message[11] == 'x')
            whole += strspn(message + 11, letter) == 6000;
        else
            sscanf(message, "\"message\":\"%llu lines were left out here", &left_out);
    }
    fclose(reader);
    assert_non_null(strstr(line, "the end"));
    assert_true(left_out > 0);
    assert_int_equal(whole + left_out, MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_has_its_name),
        cmocka_unit_test(what_is_absent_is_left_out),
        cmocka_unit_test(nothing_in_a_text_can_break_the_line),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(texts_that_just_fit_are_not_cut),
        cmocka_unit_test(lines_of_several_threads_do_not_mix),
        cmocka_unit_test(who_does_not_read_is_not_waited_for),
    };
    return cmocka_run_group_tests_name("runtime/log", tests, NULL, NULL);
}
