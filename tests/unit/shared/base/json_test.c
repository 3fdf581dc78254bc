#include "shared/base/json.h"

#include <pthread.h>

#include "shared/base/json_scan.h"
#include "tests/unit/shared/base/test.h"

enum { ARENA_MAX = 1 << 20 };

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(ARENA_MAX);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static const struct json *parse(const char *text)
{
    struct error err = { 0 };
    const struct json *value = json_parse(arena, span_of(text), &err);
    if (!value)
        fail_msg("'%s': %s", text, err.message);
    return value;
}

/* What both readers take. */
static const char *const accepted[] = {
    "0",
    "-0",
    "1.5e+3",
    "1E400",
    "\"\"",
    " \t\r\n{ } ",
    "[[],[{}]]",
    "null",
    "true",
    "false",
    "\"\\u00e9\\ud83d\\ude00\\/\\b\\f\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\"",
    "{\"a\":{\"a\":1},\"b\":[1,2,3]}",
    "\"\x7f\"",
    "123456789012345678901234567890",
};

/* What neither takes, and a piece of what they say. */
static const struct {
    const char *text, *says;
} refused[] = {
    { "", "line 1 column 1: the text ends" },
    { " \n ", "line 2 column 2: the text ends" },
    { "{", "column 2: a key in quotes" },
    { "[", "column 2: the text ends" },
    { "[1", "column 3: a comma or ']'" },
    { "[1,]", "column 4: a value is missing" },
    { "[,1]", "column 2: a value is missing" },
    { "[1}", "column 3: a comma or ']'" },
    { "{\"a\":1]", "column 7: a comma or '}'" },
    { "{\"a\"}", "column 5: a colon" },
    { "{\"a\":}", "column 6: a value is missing" },
    { "{\"a\":1,}", "column 8: a key in quotes" },
    { "{a:1}", "column 2: a key in quotes" },
    { "{1:1}", "column 2: a key in quotes" },
    { "1 2", "column 3: something stands behind" },
    { "{}\n x", "line 2 column 2: something stands behind" },
    { "nul", "column 1: a value is missing" },
    { "nulls", "column 5: something stands behind" },
    { "True", "column 1: a value is missing" },
    { "NaN", "a value is missing" },
    { "'a'", "a value is missing" },
    { "// c\n1", "a value is missing" },
    { "01", "leading zero" },
    { "-", "minus without a number" },
    { "+1", "a value is missing" },
    { ".5", "a value is missing" },
    { "1.", "behind its point" },
    { "1.e1", "behind its point" },
    { "1e", "exponent" },
    { "1e+", "exponent" },
    { "-01", "leading zero" },
    { "0x10", "something stands behind" },
    { "\"", "closing quote" },
    { "\"abc", "column 1: a string without its closing quote" },
    { "\"\\", "unknown escape" },
    { "\"\\x\"", "column 2: unknown escape" },
    { "\"\\u12g4\"", "unknown escape" },
    { "\"\\u123", "unknown escape" },
    { "\"a\nb\"", "column 3: a control character" },
    { "\"\x1f\"", "a control character" },
    { "\"\xff\"", "column 2: not UTF-8" },
    { "\"\xc0\xaf\"", "not UTF-8" },
    { "\"\xed\xa0\x80\"", "not UTF-8" },
    { "\"\xf4\x90\x80\x80\"", "not UTF-8" },
    { "\"\xc3\"", "not UTF-8" },
    { "\"\xc3", "not UTF-8" },
    { "\xef\xbb\xbf{}", "byte order mark" },
    { "\xa0", "a value is missing" },
    { "{\"a\":1 \"b\":2}", "a comma or '}'" },
    { "]", "a value is missing" },
    { "[\"a\":1]", "a comma or ']'" },
};

static bool picks_nothing(void *context, int field, enum json_type type, struct span raw, size_t index,
                          struct error *err)
{
    (void)context, (void)field, (void)type, (void)raw, (void)index;
    return error_set(err, ERROR_INTERNAL, "nothing is picked");
}

static void both_readers_take_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(accepted); i++) {
        struct error err = { 0 };
        if (!json_scan(span_of(accepted[i]), NULL, 0, picks_nothing, NULL, &err))
            fail_msg("'%s': %s", accepted[i], err.message);
        parse(accepted[i]);
    }
}

static void both_readers_refuse_the_rest_and_say_where(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct error err = { 0 };
        if (json_parse(arena, span_of(refused[i].text), &err))
            fail_msg("'%s' was parsed", refused[i].text);
        assert_error(err, ERROR_INVALID, refused[i].says);
        err = (struct error){ 0 };
        if (json_scan(span_of(refused[i].text), NULL, 0, picks_nothing, NULL, &err))
            fail_msg("'%s' was scanned", refused[i].text);
        assert_error(err, ERROR_INVALID, refused[i].says);
    }
}

static void an_absent_text_is_no_value(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_null(json_parse(arena, (struct span){ NULL, 0 }, &err));
    assert_error(err, ERROR_INVALID, "line 1 column 1");
}

static void a_nul_byte_ends_nothing(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_null(json_parse(arena, (struct span){ "{}\0", 3 }, &err));
    assert_error(err, ERROR_INVALID, "column 3: something stands behind");
    assert_null(json_parse(arena, (struct span){ "\"\0\"", 3 }, &err));
    assert_error(err, ERROR_INVALID, "control character");
}

static void trees_refuse_what_they_cannot_hold(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "[\"a\\u0000b\"]", "line 1 column 4: an escaped NUL" },
        { "\"\\ud800\"", "half of a surrogate pair" },
        { "\"\\ud800\\u0041\"", "half of a surrogate pair" },
        { "\"\\udc00\\ud800\"", "half of a surrogate pair" },
        { "1000000000000000000000000000000000000000000000000000000000000000", "more characters than are read" },
        { "{\"a\":1,\n \"a\":2}", "line 2 column 2: the key 'a' stands twice" },
        { "[0,{\"x\":{\"b\":1,\"\\u0062\":2}}]", "line 1 column 16: the key 'b' stands twice" },
        { "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\n\"b\":2}",
          "line 2 column 1: the key 'b'" },
        { "{\"\":1,\"\":2}", "the key '' stands twice" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        if (json_parse(arena, span_of(rows[i].text), &err))
            fail_msg("'%s' was parsed", rows[i].text);
        assert_error(err, ERROR_INVALID, rows[i].says);
    }
}

static void nested(char *text, size_t depth)
{
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
}

static void depth_has_its_limits(void **state)
{
    (void)state;
    char text[2 * JSON_SCAN_DEPTH_MAX + 3];
    struct error err = { 0 };
    nested(text, JSON_DEPTH_MAX);
    assert_non_null(json_parse(arena, span_of(text), &err));
    nested(text, JSON_DEPTH_MAX + 1);
    assert_null(json_parse(arena, span_of(text), &err));
    assert_error(err, ERROR_INVALID, "column 65: nested deeper than 64");
    nested(text, JSON_SCAN_DEPTH_MAX);
    assert_true(json_scan(span_of(text), NULL, 0, picks_nothing, NULL, &err));
    nested(text, JSON_SCAN_DEPTH_MAX + 1);
    assert_false(json_scan(span_of(text), NULL, 0, picks_nothing, NULL, &err));
    assert_error(err, ERROR_INVALID, "nested deeper than 512");
}

static void the_arenas_ceiling_is_kept(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *small = arena_new(1000);
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(1 << 16);
    assert_true(bytes_append_char(&text, '[', &err));
    for (int i = 0; i < 100; i++)
        assert_true(bytes_append_text(&text, "0,", &err));
    assert_true(bytes_append_text(&text, "0]", &err));
    assert_null(json_parse(small, bytes_span(&text), &err));
    assert_error(err, ERROR_TOO_LARGE, "more memory than allowed");
}

static void values_are_read_by_their_type(void **state)
{
    (void)state;
    const struct json *root =
        parse("{\"s\":\"\\u00e9\",\"n\":42,\"t\":true,\"z\":null,\"a\":[1,\"x\"],\"o\":{\"k\":1}}");
    static const struct {
        const char *key;
        enum json_type type;
        const char *name;
        size_t count;
    } rows[] = {
        { "s", JSON_STRING, "a string", 0 },       { "n", JSON_NUMBER, "a number", 0 },
        { "t", JSON_BOOLEAN, "true or false", 0 }, { "z", JSON_NULL, "null", 0 },
        { "a", JSON_ARRAY, "a list", 2 },          { "o", JSON_OBJECT, "an object", 1 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct json *value = json_get(root, rows[i].key);
        assert_non_null(value);
        assert_int_equal(json_type(value), rows[i].type);
        assert_string_equal(json_type_name(rows[i].type), rows[i].name);
        assert_int_equal(json_count(value), rows[i].count);
    }
    assert_string_equal(json_get_string(root, "s"), "\xc3\xa9");
    assert_null(json_get_string(root, "n"));
    assert_null(json_get_string(root, "S")); /* keys compare with case */
    assert_true(json_boolean(json_get(root, "t"), false));
    assert_true(json_boolean(json_get(root, "n"), true));
    const struct json *array = json_get(root, "a");
    assert_string_equal(json_string(json_next(json_first(array))), "x");
    assert_null(json_key(json_first(array)));
    assert_string_equal(json_key(json_first(json_get(root, "o"))), "k");
}

static void absent_values_can_be_chained(void **state)
{
    (void)state;
    int64_t number = 7;
    assert_null(json_get(json_get(parse("{}"), "a"), "b"));
    assert_null(json_get(parse("[1]"), "a"));
    assert_null(json_string(NULL));
    assert_null(json_first(NULL));
    assert_null(json_key(NULL));
    assert_null(json_get_string(NULL, "a"));
    assert_int_equal(json_count(NULL), 0);
    assert_true(json_boolean(NULL, true));
    assert_false(json_integer(NULL, &number));
    assert_int_equal(number, 7);
}

static void integers_are_whole_and_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool whole;
        int64_t value;
    } rows[] = {
        { "0", true, 0 },      { "-0", true, 0 },
        { "-12", true, -12 },  { "1e3", true, 1000 },
        { "2.0", true, 2 },    { "9007199254740992", true, 9007199254740992 },
        { "2.5", false, 0 },   { "9007199254740994", false, 0 },
        { "1e400", false, 0 }, { "-1e400", false, 0 },
        { "\"1\"", false, 0 }, { "true", false, 0 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t value = 0;
        assert_int_equal(json_integer(parse(rows[i].text), &value), rows[i].whole);
        assert_int_equal(value, rows[i].value);
    }
}

static void trees_are_printed_compactly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } rows[] = {
        { " { \"a\" : [ 1 , 2.5, -0, true , null ], \"b\" : { } , \"c\":[] } ",
          "{\"a\":[1,2.5,-0,true,null],\"b\":{},\"c\":[]}" },
        { "\"\\u0041\\n\\u001f\\/\\\"\\\\\xc3\xa9\"", "\"A\\n\\u001f/\\\"\\\\\xc3\xa9\"" },
        { "[0.1,1e-7,9007199254740992,1e300,1e999,-1e999]", "[0.1,1e-07,9007199254740992,1e+300,1e999,-1e999]" },
        { "{\"\\n\":false}", "{\"\\n\":false}" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes out = BYTES(1000);
        struct error err = { 0 };
        assert_true(json_print(&out, parse(rows[i].text), &err));
        assert_string_equal(bytes_text(&out), rows[i].printed);
        parse(bytes_text(&out));
    }
}

static void printing_keeps_the_ceiling(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes out = BYTES(5);
    struct error err = { 0 };
    assert_false(json_print(&out, parse("[1,2,3]"), &err));
    assert_error(err, ERROR_TOO_LARGE, "5 bytes");
}

static void the_writer_sets_commas_and_escapes(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes out = BYTES(1000);
    struct error err = { 0 };
    struct json_writer w = json_writer_on(&out);
    json_open_object(&w, NULL);
    json_add_string(&w, "name", "a\"b\\c\n\x01\x7f");
    json_add_string(&w, "absent", NULL);
    json_add_raw(&w, "absent too", (struct span){ NULL, 0 });
    json_add_span(&w, "bytes", (struct span){ "\0\xff\xc3\xa9\xed\xa0\x80", 7 });
    json_open_array(&w, "list");
    json_add_integer(&w, NULL, INT64_MIN);
    json_add_boolean(&w, NULL, false);
    json_open_object(&w, NULL);
    json_close_object(&w);
    json_add_raw(&w, NULL, SPAN("1e400"));
    json_close_array(&w);
    json_add_boolean(&w, "k\t", true);
    json_close_object(&w);
    assert_true(json_writer_end(&w, &err));
    assert_string_equal(bytes_text(&out), "{\"name\":\"a\\\"b\\\\c\\n\\u0001\x7f\",\"bytes\":"
                                          "\"\\u0000\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
                                          "\"list\":[-9223372036854775808,false,{},1e400],\"k\\t\":true}");
    assert_true(json_scan(bytes_span(&out), NULL, 0, picks_nothing, NULL, &err));
}

static void the_writers_first_failure_sticks(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes out = BYTES(10);
    struct error err = { 0 };
    struct json_writer w = json_writer_on(&out);
    json_open_array(&w, NULL);
    json_add_string(&w, NULL, "much too long for it");
    json_close_array(&w);
    assert_false(json_writer_end(&w, &err));
    assert_error(err, ERROR_TOO_LARGE, "10 bytes");
}

static void *parse_often(void *wrong)
{
    AUTO(arena_free) struct arena *own = arena_new(ARENA_MAX);
    struct error err = { 0 };
    for (int i = 0; i < 500; i++) {
        arena_reset(own);
        const struct json *value = json_parse(own, SPAN("{\"a\":[1,2,3],\"b\":{\"c\":\"text\"}}"), &err);
        const char *text = json_get_string(json_get(value, "b"), "c");
        if (json_count(json_get(value, "a")) != 3 || !text || strcmp(text, "text") != 0)
            *(bool *)wrong = true;
    }
    return NULL;
}

static void threads_parse_into_arenas_of_their_own(void **state)
{
    (void)state;
    pthread_t threads[4];
    bool wrong[COUNT(threads)] = { false };
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, parse_often, &wrong[i]), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_false(wrong[i]);
    }
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(both_readers_take_json),
        FRESH(both_readers_refuse_the_rest_and_say_where),
        FRESH(an_absent_text_is_no_value),
        FRESH(a_nul_byte_ends_nothing),
        FRESH(trees_refuse_what_they_cannot_hold),
        FRESH(depth_has_its_limits),
        FRESH(the_arenas_ceiling_is_kept),
        FRESH(values_are_read_by_their_type),
        FRESH(absent_values_can_be_chained),
        FRESH(integers_are_whole_and_exact),
        FRESH(trees_are_printed_compactly),
        FRESH(printing_keeps_the_ceiling),
        FRESH(the_writer_sets_commas_and_escapes),
        FRESH(the_writers_first_failure_sticks),
        FRESH(threads_parse_into_arenas_of_their_own),
    };
    return cmocka_run_group_tests_name("base/json", tests, NULL, NULL);
}
