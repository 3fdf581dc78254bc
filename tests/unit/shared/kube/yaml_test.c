#include "shared/kube/yaml.h"

#include "tests/unit/shared/base/test.h"

enum { MEMORY_MAX = 64 << 20 };

static void check_json(const char *yaml, const char *json)
{
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    AUTO(bytes_release) struct bytes printed = BYTES(1 << 20);
    struct error err = { 0 };
    const struct json *tree = yaml_parse(arena, span_of(yaml), &err);
    if (!tree)
        fail_msg("%s: %s", yaml, err.message);
    assert_true(json_print(&printed, tree, &err));
    assert_string_equal(bytes_text(&printed), json);
}

static struct error check_refused(struct span yaml)
{
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    struct error err = { 0 };
    assert_null(yaml_parse(arena, yaml, &err));
    return err;
}

static void documents_are_what_kubernetes_reads_in_them(void **state)
{
    (void)state;
    check_json("a: 1\nb: [x, 'y', \"z\\n\"]\nc: {d: true, e: ~, f: }\n",
               "{\"a\":\"1\",\"b\":[\"x\",\"y\",\"z\\n\"],\"c\":{\"d\":true,\"e\":null,\"f\":null}}");
    check_json("{\"a\": [1, null, false, \"true\"]}", "{\"a\":[\"1\",null,false,\"true\"]}");
    check_json("a: |\n  one\n  two\nb: >-\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\"}");
    check_json("a: !!str true\nb: ! x\n", "{\"a\":\"true\",\"b\":\"x\"}");
    check_json("---\na: b\n---\nc: d\n", "{\"a\":\"b\"}");
    check_json("plain", "\"plain\"");
    check_json("\xef\xbb\xbf"
               "a: b\n",
               "{\"a\":\"b\"}");
    check_json("a: {}\nb: []\n", "{\"a\":{},\"b\":[]}");
}

static void aliases_stand_for_what_they_name(void **state)
{
    (void)state;
    check_json("a: &x {k: v}\nb: *x\nc: [*x, &y z, *y]\n",
               "{\"a\":{\"k\":\"v\"},\"b\":{\"k\":\"v\"},\"c\":[{\"k\":\"v\"},\"z\",\"z\"]}");
    check_json("a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":\"1\",\"b\":\"2\",\"c\":\"2\"}");

    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    struct error err = { 0 };
    const struct json *tree =
        yaml_parse(arena, SPAN("d: &d {a: 1, b: 2}\ne: {<<: *d, b: 3}\nf: {<<: [{c: 4}, *d]}\n"), &err);
    const struct json *e = json_get(tree, "e"), *f = json_get(tree, "f");
    assert_string_equal(json_string(yaml_member(e, "a")), "1");
    assert_string_equal(json_string(yaml_member(e, "b")), "3");
    assert_string_equal(json_string(yaml_member(f, "c")), "4");
    assert_string_equal(json_string(yaml_member(f, "b")), "2");
    assert_null(yaml_member(f, "x"));
    assert_null(yaml_member(NULL, "x"));
}

static void what_is_no_configuration_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "a: b\na: c\n", "twice" },
        { "a: *x\n", "line 1 column 4: an alias of nothing" },
        { "a: &x [*x]\n", "an alias of nothing" },
        { "[a]: b\n", "a key must be a scalar" },
        { "? {a: b}\n: c\n", "a key must be a scalar" },
        { "x: &x y\n*x : z\n", "an alias as a key" },
        { "a: !ruby/object:Gem {}\n", "a tag of its own" },
        { "a: !!binary Q0E=\n", "a tag of its own" },
        { "a: b\n c: d\n", "line 2 column 3" },
        { "a: \"\n", "line 2 column 1" },
        { "\t- a\n", "line 1" },
        { "", "there is nothing in it" },
        { "# only words\n", "there is nothing in it" },
        { "a: \"\\0\"\n", "NUL" },
        { "a: \xff\n", "byte 3" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = check_refused(span_of(rows[i].yaml));
        assert_error(err, ERROR_INVALID, rows[i].says);
    }
}

/* Each of these would take all memory, or the stack, of a reader without bounds. */
static void hostile_documents_end_at_the_bounds(void **state)
{
    (void)state;
    static char deep[20000], wide[64 * 1024];
    memset(deep, '[', sizeof deep);
    struct error err = check_refused((struct span){ deep, sizeof deep });
    assert_error(err, ERROR_INVALID, "nested too deep");

    size_t len = (size_t)snprintf(wide, sizeof wide,
                                  "a0: &a0 [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n");
    for (int i = 1; i < 30; i++)
        len += (size_t)snprintf(wide + len, sizeof wide - len, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1,
                                i - 1, i - 1, i - 1);
    err = check_refused((struct span){ wide, len });
    assert_int_equal(err.kind, ERROR_TOO_LARGE);

    len = 0;
    for (int i = 0; i <= YAML_ANCHORS_MAX; i++)
        len += (size_t)snprintf(wide + len, sizeof wide - len, "a%d: &a%d x\n", i, i);
    err = check_refused((struct span){ wide, len });
    assert_error(err, ERROR_INVALID, "too many anchors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_what_kubernetes_reads_in_them),
        cmocka_unit_test(aliases_stand_for_what_they_name),
        cmocka_unit_test(what_is_no_configuration_is_refused_with_its_place),
        cmocka_unit_test(hostile_documents_end_at_the_bounds),
    };
    return cmocka_run_group_tests_name("kube/yaml", tests, NULL, NULL);
}
