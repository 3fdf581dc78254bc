#include "runtime/event.h"

#include "runtime/event_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEADER(n, v) { SPAN(n), SPAN(v) }
#define BASE HEADER("ce-specversion", "1.0"), HEADER("ce-id", "1"), HEADER("ce-source", "/s"), HEADER("ce-type", "t")
#define JSON_BASE "\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\""

static int make_arena(void **state)
{
    *state = arena_new(4 * 1024 * 1024);
    return *state ? 0 : -1;
}

static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static void assert_span(struct span s, const char *text)
{
    assert_non_null(s.data);
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.data, text, s.len);
}

/* --- mode ----------------------------------------------------------------------------------------------------------------- */

static void mode_is_told_by_content_type_then_headers(void **state)
{
    (void)state;
    static const struct event_header binary[] = { HEADER("CE-Id", "1") };
    static const struct event_header foreign[] = { HEADER("X-GitHub-Event", "push"), HEADER("ce-custom", "1") };
    static const struct {
        const char *content_type;
        const struct event_header *headers;
        enum event_mode mode;
    } rows[] = {
        { "application/cloudevents+json", NULL, EVENT_STRUCTURED },
        { "Application/CloudEvents+JSON; charset=UTF-8", binary, EVENT_STRUCTURED },
        { "application/cloudevents-batch+json", binary, EVENT_BATCHED },
        { "application/cloudevents+avro", NULL, EVENT_STRUCTURED },
        { "application/json", binary, EVENT_BINARY },
        { "", binary, EVENT_BINARY },
        { "application/json", NULL, EVENT_NONE },
        { "application/cloudevent", foreign, EVENT_NONE },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t count = rows[i].headers == foreign ? 2 : rows[i].headers ? 1 : 0;
        assert_int_equal(event_mode_of(span_of(rows[i].content_type), rows[i].headers, count), rows[i].mode);
    }
}

static void message_without_event_and_unknown_format_are_unsupported(void **state)
{
    static const struct event_header none[] = { HEADER("Content-Type", "text/plain") };
    static const struct event_header avro[] = { HEADER("content-type", "application/cloudevents+avro; x=1") };
    struct event *events = NULL;
    size_t count = 7;
    struct error err = { 0 };
    assert_false(event_decode(*state, none, 1, SPAN("hi"), &events, &count, &err));
    assert_int_equal(err.kind, ERROR_UNSUPPORTED);
    assert_false(event_decode(*state, avro, 1, SPAN("{}"), &events, &count, &err));
    assert_int_equal(err.kind, ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "application/cloudevents+avro"));
    assert_null(events);
    assert_int_equal(count, 7);
}

/* --- binary --------------------------------------------------------------------------------------------------------------- */

static void binary_event_is_decoded_and_data_are_the_body_itself(void **state)
{
    static const struct event_header headers[] = {
        BASE,
        HEADER("Ce-Subject", "pkg:oci/x@sha256%253Aab"),
        HEADER("ce-time", "2026-09-01T12:00:00Z"),
        HEADER("Content-Type", "application/json; charset=utf-8"),
        HEADER("ce-imageTag", "v1"),
        HEADER("X-Other", "%zz"),
    };
    struct span body = SPAN(" {\"n\": 12345678901234567890} ");
    struct event *event = NULL;
    size_t count = 0;
    struct error err = { 0 };
    assert_true(event_decode(*state, headers, COUNT(headers), body, &event, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(event->id, "1");
    assert_string_equal(event->source, "/s");
    assert_string_equal(event->type, "t");
    assert_string_equal(event->subject, "pkg:oci/x@sha256%3Aab");
    assert_string_equal(event->time, "2026-09-01T12:00:00Z");
    assert_string_equal(event->datacontenttype, "application/json; charset=utf-8");
    assert_null(event->dataschema);
    assert_int_equal(event->extension_count, 1);
    assert_string_equal(event_extension(event, "imagetag"), "v1");
    assert_null(event_extension(event, "imageTag"));
    assert_ptr_equal(event->data.data, body.data);
    assert_int_equal(event->data.len, body.len);
}

static void header_values_are_decoded_as_the_binding_says(void **state)
{
    static const struct {
        const char *raw, *value; /* value NULL: refused with */
        const char *error;
    } rows[] = {
        { "Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro \xe2\x82\xac \xf0\x9f\x98\x80", NULL },
        { "%e2%82%ac", "\xe2\x82\xac", NULL },
        { "%41%2541", "A%41", NULL },
        { "\"quoted \\\"text\\\" %20x\"", "quoted \"text\"  x", NULL },
        { "  trimmed\t", "trimmed", NULL },
        { "\xe2\x82\xac", "\xe2\x82\xac", NULL },
        { "a\"b", "a\"b", NULL },
        { "\"open", NULL, "quotes" },
        { "\"a\"b", NULL, "quotes" },
        { "100%", NULL, "hexadecimal" },
        { "%4", NULL, "hexadecimal" },
        { "%zz", NULL, "hexadecimal" },
        { "%C0%A0", NULL, "UTF-8" },
        { "%ED%A0%80", NULL, "UTF-8" },
        { "\xff", NULL, "UTF-8" },
        { "a%00b", NULL, "NUL" },
        { "a%0Db", NULL, "U+000D" },
        { "%7F", NULL, "U+007F" },
        { "%C2%85", NULL, "U+0085" },
        { "%EF%BF%BE", NULL, "U+FFFE" },
        { "%EF%B7%90", NULL, "U+FDD0" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct event_header headers[] = { BASE, { SPAN("ce-foo"), span_of(rows[i].raw) } };
        struct event event = { .id = "untouched" };
        struct error err = { 0 };
        bool good = event_decode_binary(*state, headers, COUNT(headers), (struct span){ 0 }, &event, &err);
        if (rows[i].value) {
            assert_true(good);
            assert_string_equal(event_extension(&event, "foo"), rows[i].value);
            continue;
        }
        assert_false(good);
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_non_null(strstr(err.message, "foo"));
        assert_non_null(strstr(err.message, rows[i].error));
        assert_string_equal(event.id, "untouched");
    }
}

static void bad_binary_messages_are_refused_by_name(void **state)
{
    static const struct {
        struct event_header extra[2];
        const char *error;
    } rows[] = {
        { { HEADER("ce-datacontenttype", "text/plain") }, "ce-datacontenttype" },
        { { HEADER("ce-id", "2") }, "'id' stands twice" },
        { { HEADER("CE-ID", "1") }, "'id' stands twice" },
        { { HEADER("ce-a", "1"), HEADER("Ce-A", "1") }, "'a' stands twice" },
        { { HEADER("ce-my_ext", "1") }, "my_ext" },
        { { HEADER("ce-", "1") }, "lower-case letters and digits" },
        { { HEADER("ce-data", "1") }, "'data'" },
        { { HEADER("ce-specversion", "1.0") }, "'specversion' stands twice" },
        { { HEADER("ce-subject", "") }, "'subject' is empty" },
        { { HEADER("ce-time", "lunchtime") }, "'time'" },
        { { HEADER("ce-dataschema", "not-absolute") }, "'dataschema'" },
        { { HEADER("Content-Type", "xyz") }, "'datacontenttype' is not a media type" },
        { { HEADER("Content-Type", "a/b"), HEADER("content-type", "a/b") }, "'datacontenttype' stands twice" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct event_header headers[] = { BASE, rows[i].extra[0], rows[i].extra[1] };
        size_t count = 5 + (rows[i].extra[1].name.data != NULL);
        struct event event;
        struct error err = { 0 };
        assert_false(event_decode_binary(*state, headers, count, SPAN("x"), &event, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        if (!strstr(err.message, rows[i].error))
            fail_msg("row %zu: %s", i, err.message);
    }
}

static void missing_required_attribute_is_named(void **state)
{
    static const struct event_header all[] = { BASE };
    static const char *const names[] = { "specversion", "id", "source", "type" };
    for (size_t left_out = 0; left_out < COUNT(all); left_out++) {
        struct event_header headers[COUNT(all) - 1];
        size_t count = 0;
        for (size_t i = 0; i < COUNT(all); i++)
            if (i != left_out)
                headers[count++] = all[i];
        struct event event;
        struct error err = { 0 };
        assert_false(event_decode_binary(*state, headers, count, (struct span){ 0 }, &event, &err));
        assert_non_null(strstr(err.message, names[left_out]));
        assert_non_null(strstr(err.message, "missing"));
    }
    struct event_header wrong[] = { HEADER("ce-specversion", "0.3"), all[1], all[2], all[3] };
    struct event event;
    struct error err = { 0 };
    assert_false(event_decode_binary(*state, wrong, 4, (struct span){ 0 }, &event, &err));
    assert_non_null(strstr(err.message, "1.0"));
}

static void empty_body_is_no_data_and_too_many_attributes_are_refused(void **state)
{
    static const struct event_header headers[] = { BASE };
    struct event event;
    struct error err = { 0 };
    assert_true(event_decode_binary(*state, headers, 4, SPAN(""), &event, &err));
    assert_null(event.data.data);

    struct event_header many[4 + EVENT_ATTRIBUTES_MAX + 1] = { BASE };
    for (size_t i = 0; i <= EVENT_ATTRIBUTES_MAX; i++) {
        const char *name = arena_printf(*state, "ce-x%zu", i);
        many[4 + i] = (struct event_header){ span_of(name), SPAN("v") };
    }
    assert_true(event_decode_binary(*state, many, 4 + EVENT_ATTRIBUTES_MAX, SPAN(""), &event, &err));
    assert_string_equal(event_extension(&event, "x63"), "v");
    assert_false(event_decode_binary(*state, many, COUNT(many), SPAN(""), &event, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

static void headers_are_encoded_as_the_binding_says(void **state)
{
    (void)state;
    static const struct attribute extensions[] = {
        { "foo", "Euro \xe2\x82\xac \xf0\x9f\x98\x80 \"%\"~!", ATTRIBUTE_STRING }, { "n", "-5", ATTRIBUTE_INTEGER }
    };
    const struct event event = { .id = "1",
                                 .source = "/s?a=b&c",
                                 .type = "t",
                                 .subject = "x%3Ay",
                                 .time = "2026-09-01T12:00:00Z",
                                 .datacontenttype = "application/json",
                                 .dataschema = "https://x/y",
                                 .extensions = extensions,
                                 .extension_count = 2 };
    AUTO(bytes_release) struct bytes out = BYTES(4096);
    struct error err = { 0 };
    assert_true(event_encode_headers(&out, &event, &err));
    assert_string_equal(bytes_text(&out), "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s?a=b&c\r\nce-type: t\r\n"
                                          "ce-subject: x%253Ay\r\nce-time: 2026-09-01T12:00:00Z\r\n"
                                          "ce-dataschema: https://x/y\r\n"
                                          "ce-foo: Euro%20%E2%82%AC%20%F0%9F%98%80%20%22%25%22~!\r\nce-n: -5\r\n"
                                          "Content-Type: application/json\r\n");
}

static void event_made_by_hand_is_checked_before_it_is_written(void **state)
{
    (void)state;
    static const struct {
        struct attribute extension;
        const char *id, *subject, *datacontenttype, *error;
    } rows[] = {
        { { "a", "x\r\nEvil: 1", 0 }, "1", NULL, NULL, "U+000D" },
        { { "a", "x", 0 }, "1", NULL, "text/plain\r\nEvil: 1", "datacontenttype" },
        { { "a", "x", 0 }, "1", "a\nb", NULL, "subject" },
        { { "A", "x", 0 }, "1", NULL, NULL, "'A'" },
        { { "subject", "x", 0 }, "1", NULL, NULL, "cannot be an extension" },
        { { "specversion", "x", 0 }, "1", NULL, NULL, "cannot be an extension" },
        { { "a", "x", 0 }, NULL, NULL, NULL, "'id' is missing" },
        { { "a", "x", 0 }, "", NULL, NULL, "'id' is empty" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct event event = { .id = rows[i].id,
                                     .source = "/",
                                     .type = "t",
                                     .subject = rows[i].subject,
                                     .datacontenttype = rows[i].datacontenttype,
                                     .extensions = &rows[i].extension,
                                     .extension_count = 1 };
        AUTO(bytes_release) struct bytes out = BYTES(4096);
        struct error err = { 0 };
        assert_false(event_encode_headers(&out, &event, &err));
        assert_false(event_encode_structured(&out, &event, &err));
        assert_int_equal(out.len, 0);
        assert_non_null(strstr(err.message, rows[i].error));
    }
}

/* --- structured ------------------------------------------------------------------------------------------------------------ */

static void structured_data_keep_their_bytes(void **state)
{
    static const struct {
        const char *members, *data, *type;
    } rows[] = {
        { ",\"data\": {\"n\": 12345678901234567890.10, \"a\":\"\\u0041\"} ",
          "{\"n\": 12345678901234567890.10, \"a\":\"\\u0041\"}", "application/json" },
        { ",\"data\":null", "null", "application/json" },
        { ",\"data\":\"text\"", "\"text\"", "application/json" },
        { ",\"datacontenttype\":\"application/vnd.x+json\",\"data\":[1,{\"]\":2}]", "[1,{\"]\":2}]",
          "application/vnd.x+json" },
        { ",\"data\":\"a\\n\\u20ac\",\"datacontenttype\":\"text/plain\"", "a\n\xe2\x82\xac", "text/plain" },
        { ",\"data_base64\":\"AAH/\"", NULL, NULL },
        { ",\"data\":false,\"data_base64\":null", "false", "application/json" },
        { "", NULL, NULL },
        { ",\"datacontenttype\":\"text/plain\",\"subject\":null", NULL, "text/plain" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *text = arena_printf(*state, "{" JSON_BASE "%s}", rows[i].members);
        struct event event;
        struct error err = { 0 };
        if (!event_decode_structured(*state, span_of(text), &event, &err))
            fail_msg("row %zu: %s", i, err.message);
        if (rows[i].data)
            assert_span(event.data, rows[i].data);
        else if (!strstr(text, "base64"))
            assert_null(event.data.data);
        else
            assert_memory_equal(event.data.data, "\0\1\xff", 3);
        if (rows[i].type)
            assert_string_equal(event.datacontenttype, rows[i].type);
        else
            assert_null(event.datacontenttype);
    }
}

static void structured_extensions_keep_their_types(void **state)
{
    struct event event;
    struct error err = { 0 };
    assert_true(event_decode_structured(
        *state, SPAN("{" JSON_BASE ",\"i\":-2147483648,\"b\":true,\"s\":\"true\",\"n\":null,\"z\":-0}"), &event, &err));
    assert_int_equal(event.extension_count, 4);
    assert_string_equal(event_extension(&event, "i"), "-2147483648");
    assert_string_equal(event_extension(&event, "z"), "0");
    assert_int_equal(event.extensions[0].type, ATTRIBUTE_INTEGER);
    assert_int_equal(event.extensions[1].type, ATTRIBUTE_BOOLEAN);
    assert_int_equal(event.extensions[2].type, ATTRIBUTE_STRING);
    AUTO(bytes_release) struct bytes out = BYTES(4096);
    assert_true(event_encode_structured(&out, &event, &err));
    assert_string_equal(bytes_text(&out), "{" JSON_BASE ",\"i\":-2147483648,\"b\":true,\"s\":\"true\",\"z\":0}");
}

static void bad_structured_events_are_refused_with_the_reason(void **state)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        { "", "" },
        { "[]", "not a JSON object" },
        { "\"x\"", "not a JSON object" },
        { "{" JSON_BASE "", "line 1" },
        { "{" JSON_BASE "} x", "line 1" },
        { "{" JSON_BASE ",\"id\":\"2\"}", "'id' stands twice" },
        { "{" JSON_BASE ",\"\\u0069d\":\"2\"}", "'id' stands twice" },
        { "{" JSON_BASE ",\"a\":1,\"a\":1}", "'a' stands twice" },
        { "{" JSON_BASE ",\"data\":1,\"data\":1}", "'data' stands twice" },
        { "{" JSON_BASE ",\"data\":1,\"data_base64\":\"\"}", "exclude each other" },
        { "{" JSON_BASE ",\"data_base64\":1}", "data_base64" },
        { "{" JSON_BASE ",\"data_base64\":\"AA\"}", "data_base64" },
        { "{" JSON_BASE ",\"datacontenttype\":\"text/plain\",\"data\":{}}", "text/plain" },
        { "{" JSON_BASE ",\"x\":1.5}", "whole number" },
        { "{" JSON_BASE ",\"x\":1e3}", "whole number" },
        { "{" JSON_BASE ",\"x\":2147483648}", "whole number" },
        { "{" JSON_BASE ",\"x\":12345678901234567890123}", "whole number" },
        { "{" JSON_BASE ",\"x\":[]}", "not a string, number or boolean" },
        { "{" JSON_BASE ",\"X\":\"\"}", "'X'" },
        { "{" JSON_BASE ",\"a.b\":null}", "'a.b'" },
        { "{" JSON_BASE ",\"x\":\"\\u0000\"}", "'x'" },
        { "{" JSON_BASE ",\"x\":\"\\ud800\"}", "'x'" },
        { "{" JSON_BASE ",\"x\":\"\\u0001\"}", "U+0001" },
        { "{\"specversion\":1.0,\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}", "specversion" },
        { "{\"specversion\":\"1.0\",\"id\":25,\"source\":\"/s\",\"type\":\"t\"}", "'id' is not a string" },
        { "{\"specversion\":\"1.0\",\"id\":null,\"source\":\"/s\",\"type\":\"t\"}", "'id' is missing" },
        { "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"a b\",\"type\":\"t\"}", "'source'" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct event event = { .id = "untouched" };
        struct error err = { 0 };
        assert_false(event_decode_structured(*state, span_of(rows[i].text), &event, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        if (!strstr(err.message, rows[i].error))
            fail_msg("row %zu: %s", i, err.message);
        assert_string_equal(event.id, "untouched");
    }
}

static void data_find_their_form_by_type_and_content(void **state)
{
    static const struct {
        const char *type;
        struct span data;
        const char *written;
    } rows[] = {
        { "application/json", SPAN(" {\"a\" : 1.0} "),
          ",\"datacontenttype\":\"application/json\",\"data\": {\"a\" : 1.0} }" },
        { "application/json", SPAN("{broken"),
          ",\"datacontenttype\":\"application/json\",\"data_base64\":\"e2Jyb2tlbg==\"}" },
        { "text/plain", SPAN("a\"b"), ",\"datacontenttype\":\"text/plain\",\"data\":\"a\\\"b\"}" },
        { "text/plain", SPAN(""), ",\"datacontenttype\":\"text/plain\",\"data\":\"\"}" },
        { "text/plain", SPAN("\xff"), ",\"datacontenttype\":\"text/plain\",\"data_base64\":\"/w==\"}" },
        { "text/plain", SPAN("a\0b"), ",\"datacontenttype\":\"text/plain\",\"data_base64\":\"YQBi\"}" },
        { NULL, SPAN("{}"), ",\"data_base64\":\"e30=\"}" },
        { NULL, { NULL, 0 }, "}" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct event event = {
            .id = "1", .source = "/s", .type = "t", .datacontenttype = rows[i].type, .data = rows[i].data
        };
        AUTO(bytes_release) struct bytes out = BYTES(4096);
        struct error err = { 0 };
        assert_true(event_encode_structured(&out, &event, &err));
        assert_string_equal(bytes_text(&out), arena_printf(*state, "{" JSON_BASE "%s", rows[i].written));
        struct event again;
        assert_true(event_decode_structured(*state, bytes_span(&out), &again, &err));
        struct span wanted = rows[i].data;
        if (rows[i].type && event_type_is_json(rows[i].type))
            wanted = span_trim(wanted);
        assert_int_equal(again.data.len, wanted.len);
        if (wanted.len > 0)
            assert_memory_equal(again.data.data, wanted.data, wanted.len);
    }
}

static void wrongly_typed_extension_is_not_written_as_json(void **state)
{
    (void)state;
    static const struct attribute bad[] = { { "a", "1,\"b\":2", ATTRIBUTE_INTEGER },
                                            { "a", "yes", ATTRIBUTE_BOOLEAN } };
    for (size_t i = 0; i < COUNT(bad); i++) {
        const struct event event = {
            .id = "1", .source = "/", .type = "t", .extensions = &bad[i], .extension_count = 1
        };
        AUTO(bytes_release) struct bytes out = BYTES(4096);
        struct error err = { 0 };
        assert_false(event_encode_structured(&out, &event, &err));
        assert_non_null(strstr(err.message, "'a'"));
    }
}

/* --- batch ---------------------------------------------------------------------------------------------------------------- */

static void batches_are_decoded_whole_or_not_at_all(void **state)
{
    struct event *events = NULL;
    size_t count = 99;
    struct error err = { 0 };
    assert_true(event_decode_batch(*state, SPAN(" [ ] "), &events, &count, &err));
    assert_int_equal(count, 0);
    assert_true(event_decode_batch(*state, SPAN("[{" JSON_BASE ",\"data\":[1]} , {" JSON_BASE ",\"x\":\"]\"}]"),
                                   &events, &count, &err));
    assert_int_equal(count, 2);
    assert_span(events[0].data, "[1]");
    assert_string_equal(event_extension(&events[1], "x"), "]");
    assert_false(
        event_decode_batch(*state, SPAN("[{" JSON_BASE "},{\"specversion\":\"1.0\"}]"), &events, &count, &err));
    assert_non_null(strstr(err.message, "event 2 of the batch"));
    assert_false(event_decode_batch(*state, SPAN("[\"x\"]"), &events, &count, &err));
    assert_non_null(strstr(err.message, "event 1 of the batch"));
    assert_false(event_decode_batch(*state, SPAN("{}"), &events, &count, &err));
    assert_non_null(strstr(err.message, "array"));
    assert_int_equal(count, 2);
}

static void batch_has_a_ceiling(void **state)
{
    AUTO(bytes_release) struct bytes text = BYTES(1024 * 1024);
    struct error err = { 0 };
    bytes_append_char(&text, '[', &err);
    for (size_t i = 0; i <= EVENT_BATCH_MAX; i++)
        bytes_printf(&text, &err, "%s{" JSON_BASE "}", i ? "," : "");
    bytes_append_char(&text, ']', &err);
    struct event *events;
    size_t count;
    assert_false(event_decode_batch(*state, bytes_span(&text), &events, &count, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

static void full_arena_is_an_error_and_no_crash(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(64);
    static const struct event_header headers[] = { BASE, HEADER("ce-a", "0123456789012345678901234567890123456789") };
    struct event event;
    struct error err = { 0 };
    assert_false(event_decode_binary(arena, headers, 5, SPAN("x"), &event, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_false(event_decode_structured(
        arena, SPAN("{" JSON_BASE ",\"data_base64\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"), &event, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        T(mode_is_told_by_content_type_then_headers),
        T(message_without_event_and_unknown_format_are_unsupported),
        T(binary_event_is_decoded_and_data_are_the_body_itself),
        T(header_values_are_decoded_as_the_binding_says),
        T(bad_binary_messages_are_refused_by_name),
        T(missing_required_attribute_is_named),
        T(empty_body_is_no_data_and_too_many_attributes_are_refused),
        T(headers_are_encoded_as_the_binding_says),
        T(event_made_by_hand_is_checked_before_it_is_written),
        T(structured_data_keep_their_bytes),
        T(structured_extensions_keep_their_types),
        T(bad_structured_events_are_refused_with_the_reason),
        T(data_find_their_form_by_type_and_content),
        T(wrongly_typed_extension_is_not_written_as_json),
        T(batches_are_decoded_whole_or_not_at_all),
        T(batch_has_a_ceiling),
        T(full_arena_is_an_error_and_no_crash),
    };
    return cmocka_run_group_tests_name("runtime/event", tests, NULL, NULL);
}
