#include "shared/base/json_scan.h"

#include <pthread.h>

#include "tests/unit/shared/base/test.h"

/* What was picked, one "field:type:index:raw" a line. */
static bool note(void *context, int field, enum json_type type, struct span raw, size_t index, struct error *err)
{
    return bytes_printf(context, err, "%d:%d:%zu:%.*s\n", field, (int)type, index, SPAN_ARGS(raw));
}

static const char document[] =
    "{\n"
    "  \"ref\": \"refs/heads/main\",\n"
    "  \"repository\": {\"full_name\":\"acme/web\", \"id\": 12345678901234567890, \"ref\": \"no\"},\n"
    "  \"commits\": [\n"
    "    {\"id\":\"a1\",\"added\":[\"x\",\"y\"],\"n\":{\"added\":[\"no\"]}},\n"
    "    {\"id\":\"b2\",\"added\":[]},\n"
    "    7\n"
    "  ],\n"
    "  \"matrix\": [[1,2],[3]],\n"
    "  \"a.b[c\": null, \"caf\\u00e9\": true\n"
    "}\n";

static const struct {
    const char *path, *picked;
} rows[] = {
    { "ref", "1:3:0:\"refs/heads/main\"\n" },
    { "repository.full_name", "1:3:0:\"acme/web\"\n" },
    { "repository.id", "1:2:0:12345678901234567890\n" },
    { "repository", "1:5:0:{\"full_name\":\"acme/web\", \"id\": 12345678901234567890, \"ref\": \"no\"}\n" },
    { "commits[].id", "1:3:0:\"a1\"\n1:3:1:\"b2\"\n" },
    { "commits[].added[]", "1:3:0:\"x\"\n1:3:1:\"y\"\n" },
    { "commits[].added", "1:4:0:[\"x\",\"y\"]\n1:4:1:[]\n" },
    { "commits[]", "1:5:0:{\"id\":\"a1\",\"added\":[\"x\",\"y\"],\"n\":{\"added\":[\"no\"]}}\n1:5:1:{\"id\":\"b2\","
                   "\"added\":[]}\n1:2:2:7\n" },
    { "matrix[][]", "1:2:0:1\n1:2:1:2\n1:2:0:3\n" },
    { "a\\.b\\[c", "1:0:0:null\n" },
    { "caf\xc3\xa9", "1:1:0:true\n" },
    { "missing", "" },
    { "ref.deeper", "" },
    { "ref[]", "" },
    { "repository[]", "" },
    { "commits.id", "" },
};

static void paths_pick_their_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes picked = BYTES(10000);
        struct error err = { 0 };
        const struct json_path path = { rows[i].path, 1 };
        if (!json_scan(span_of(document), &path, 1, note, &picked, &err))
            fail_msg("%s: %s", rows[i].path, err.message);
        assert_string_equal(bytes_text(&picked), rows[i].picked);
    }
}

static void the_document_itself_can_be_picked(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes picked = BYTES(1000);
    struct error err = { 0 };
    const struct json_path path = { "", 9 };
    assert_true(json_scan(SPAN(" [1] "), &path, 1, note, &picked, &err));
    assert_true(json_scan(SPAN("true"), &path, 1, note, &picked, &err));
    assert_string_equal(bytes_text(&picked), "9:4:0:[1]\n9:1:0:true\n");
}

static void many_paths_in_one_pass_in_the_order_of_the_text(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes picked = BYTES(1000);
    struct error err = { 0 };
    const struct json_path paths[] = { { "o", 1 },     { "o.b", 2 }, { "o.a", 3 }, { "l[]", 4 },
                                       { "l[].a", 5 }, { "l", 6 },   { "o.a", 7 } };
    assert_true(
        json_scan(SPAN("{\"o\":{\"a\":1,\"b\":2},\"l\":[{\"a\":3},{}]}"), paths, COUNT(paths), note, &picked, &err));
    assert_string_equal(bytes_text(&picked),
                        "3:2:0:1\n7:2:0:1\n2:2:0:2\n1:5:0:{\"a\":1,\"b\":2}\n5:2:0:3\n4:5:0:{\"a\":3}\n4:5:1:{}\n"
                        "6:4:0:[{\"a\":3},{}]\n");
}

static void an_escaped_key_is_the_same_key(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes picked = BYTES(1000);
    struct error err = { 0 };
    const struct json_path path = { "ref", 1 };
    assert_true(json_scan(SPAN("{\"\\u0072ef\":1}"), &path, 1, note, &picked, &err));
    assert_string_equal(bytes_text(&picked), "1:2:0:1\n");
}

static void a_member_of_interest_may_not_stand_twice(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool taken;
    } twins[] = {
        { "{\"a\":{\"b\":1,\"b\":2}}", false },    { "{\"a\":{\"b\":1,\"\\u0062\":2}}", false },
        { "{\"a\":{\"b\":1},\n\"a\":{}}", false }, { "{\"a\":{\"b\":1,\"c\":1,\"c\":2}}", true },
        { "[{\"a\":1},{\"a\":2}]", true },
    };
    for (size_t i = 0; i < COUNT(twins); i++) {
        AUTO(bytes_release) struct bytes picked = BYTES(1000);
        struct error err = { 0 };
        const struct json_path paths[] = { { "a.b", 1 }, { "[].a", 2 } };
        assert_int_equal(json_scan(span_of(twins[i].text), paths, 2, note, &picked, &err), twins[i].taken);
        if (!twins[i].taken)
            assert_error(err, ERROR_INVALID, "stands twice");
    }
}

static bool refuse(void *context, int field, enum json_type type, struct span raw, size_t index, struct error *err)
{
    (void)field, (void)type, (void)raw, (void)index;
    ++*(int *)context;
    return error_set(err, ERROR_DENIED, "enough");
}

static void the_callback_stops_the_scan(void **state)
{
    (void)state;
    int calls = 0;
    struct error err = { 0 };
    const struct json_path path = { "[]", 1 };
    assert_false(json_scan(SPAN("[1,2,bad"), &path, 1, refuse, &calls, &err));
    assert_error(err, ERROR_DENIED, "enough");
    assert_int_equal(calls, 1);
}

static void text_behind_the_last_pick_is_checked(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes picked = BYTES(1000);
    struct error err = { 0 };
    const struct json_path path = { "a", 1 };
    assert_false(json_scan(SPAN("{\"a\":1,\"b\":[\"\xff\"]}"), &path, 1, note, &picked, &err));
    assert_error(err, ERROR_INVALID, "line 1 column 14: not UTF-8");
}

/* Long strings go eight bytes at a time: the odd byte is found wherever it stands. */
static void every_alignment_of_a_bad_byte_is_found(void **state)
{
    (void)state;
    static const char bad[] = { '\n', '\x01', '\xff', '\x80' };
    for (size_t length = 1; length < 40; length++) {
        for (size_t at = 0; at < length; at++) {
            char text[64];
            memset(text, 'x', sizeof text);
            text[0] = text[length + 1] = '"';
            struct error err = { 0 };
            assert_true(json_scan((struct span){ text, length + 2 }, NULL, 0, note, NULL, &err));
            text[at + 1] = bad[(length + at) % COUNT(bad)];
            assert_false(json_scan((struct span){ text, length + 2 }, NULL, 0, note, NULL, &err));
        }
    }
}

static void *scan_deep(void *taken)
{
    char text[2 * JSON_SCAN_DEPTH_MAX];
    memset(text, '[', JSON_SCAN_DEPTH_MAX);
    memset(text + JSON_SCAN_DEPTH_MAX, ']', JSON_SCAN_DEPTH_MAX);
    struct error err = { 0 };
    const struct json_path path = { "[][][][][][][][][][][][][][][][]", 1 };
    AUTO(bytes_release) struct bytes picked = BYTES(10000);
    *(bool *)taken = json_scan((struct span){ text, sizeof text }, &path, 1, note, &picked, &err) && picked.len > 900;
    return NULL;
}

static void the_deepest_document_fits_a_small_stack(void **state)
{
    (void)state;
    bool taken = false;
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    assert_int_equal(pthread_create(&thread, &attributes, scan_deep, &taken), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_true(taken);
}

static void strings_are_unquoted(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *text;
    } good[] = {
        { "\"\"", "" },
        { "\"plain\"", "plain" },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
        { "\"a\\u0041\\u00e9\\u20ac\\ud83d\\ude00z\"", "aA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z" },
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        AUTO(bytes_release) struct bytes out = BYTES(100);
        struct error err = { 0 };
        assert_true(json_unquote(&out, span_of(good[i].raw), &err));
        assert_string_equal(bytes_text(&out), good[i].text);
    }
    static const struct {
        const char *raw, *says;
    } bad[] = {
        { "1", "not a string" },        { "null", "not a string" },           { "\"", "not a string" },
        { "", "not a string" },         { "\"x\\u0000\"", "an escaped NUL" }, { "\"\\ud800\"", "surrogate" },
        { "\"\\udc00\"", "surrogate" },
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTO(bytes_release) struct bytes out = BYTES(100);
        struct error err = { 0 };
        assert_true(bytes_append_text(&out, "kept", &err));
        assert_false(json_unquote(&out, span_of(bad[i].raw), &err));
        assert_error(err, ERROR_INVALID, bad[i].says);
        assert_string_equal(bytes_text(&out), "kept");
    }
    AUTO(bytes_release) struct bytes small = BYTES(3);
    struct error err = { 0 };
    assert_false(json_unquote(&small, SPAN("\"abcd\""), &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

static void values_are_located(void **state)
{
    (void)state;
    static const char text[] =
        "{ \"builds\" : [ {\"on\":{\"tags\":[\"a\",\"b{\\\"\",\"c\"]}}, {\"x.y\": 1} ],\n\"z\": {} , \"last\" :3}";
    static const struct {
        const char *path, *value, *key;
    } places[] = {
        { "", "{ \"builds\"", "{ \"builds\"" },
        { "builds", "[ {", "\"builds\"" },
        { "builds[0]", "{\"on\"", "{\"on\"" },
        { "builds[0].on.tags[1]", "\"b{", "\"b{" },
        { "builds[0].on.tags[2]", "\"c\"", "\"c\"" },
        { "builds[1].x\\.y", "1}", "\"x.y\"" },
        { "z", "{} ,", "\"z\"" },
        { "last", "3}", "\"last\"" },
        { "builds[2]", "[ {", "\"builds\"" }, /* absent: the nearest that encloses it */
        { "builds[0].on.missing[3].x", "{\"tags\"", "\"on\"" },
        { "builds.on", "[ {", "\"builds\"" },
        { "last[0]", "3}", "\"last\"" },
    };
    for (size_t i = 0; i < COUNT(places); i++) {
        size_t value = json_locate(span_of(text), places[i].path), key = json_locate_key(span_of(text), places[i].path);
        if (strncmp(text + value, places[i].value, strlen(places[i].value)) != 0)
            fail_msg("%s: value at '%.20s'", places[i].path, text + value);
        if (strncmp(text + key, places[i].key, strlen(places[i].key)) != 0)
            fail_msg("%s: key at '%.20s'", places[i].path, text + key);
    }
}

static void positions_count_lines_and_bytes(void **state)
{
    (void)state;
    static const struct {
        size_t offset, line, column;
    } places[] = { { 0, 1, 1 }, { 2, 1, 3 }, { 3, 2, 1 }, { 4, 3, 1 }, { 6, 3, 3 }, { 99, 3, 3 } };
    for (size_t i = 0; i < COUNT(places); i++) {
        size_t line, column;
        json_position(SPAN("ab\n\ncd"), places[i].offset, &line, &column);
        assert_int_equal(line, places[i].line);
        assert_int_equal(column, places[i].column);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_pick_their_members),
        cmocka_unit_test(the_document_itself_can_be_picked),
        cmocka_unit_test(many_paths_in_one_pass_in_the_order_of_the_text),
        cmocka_unit_test(an_escaped_key_is_the_same_key),
        cmocka_unit_test(a_member_of_interest_may_not_stand_twice),
        cmocka_unit_test(the_callback_stops_the_scan),
        cmocka_unit_test(text_behind_the_last_pick_is_checked),
        cmocka_unit_test(every_alignment_of_a_bad_byte_is_found),
        cmocka_unit_test(the_deepest_document_fits_a_small_stack),
        cmocka_unit_test(strings_are_unquoted),
        cmocka_unit_test(values_are_located),
        cmocka_unit_test(positions_count_lines_and_bytes),
    };
    return cmocka_run_group_tests_name("base/json_scan", tests, NULL, NULL);
}
