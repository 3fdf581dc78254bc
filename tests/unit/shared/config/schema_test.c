/* The schema for editors and the tables that judge must not drift apart: every row of a table stands in the schema with its
 * type, its limits and whether it is required, and everything in the schema has its row. */
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/config/settings.h"
#include "tests/unit/shared/base/test.h"

static struct arena *arena;
static const struct json *schema;

static int set_up(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(1 << 20);
    struct error err = { 0 };
    arena = arena_new(16 << 20);
    if (file_read(&text, "templates/config/pushwright.schema.json", &err))
        schema = json_parse(arena, bytes_span(&text), &err);
    if (!schema)
        print_error("%s\n", err.message);
    return schema ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* What "#/$defs/name" leads to; the node itself where it has no reference. */
static const struct json *resolve(const struct json *node)
{
    static const char prefix[] = "#/$defs/";
    const char *reference = json_get_string(node, "$ref");
    if (!reference)
        return node;
    assert_memory_equal(reference, prefix, sizeof prefix - 1);
    const struct json *target = json_get(json_get(schema, "$defs"), reference + sizeof prefix - 1);
    if (!target)
        fail_msg("'%s' leads nowhere", reference);
    return target;
}

static bool lists(const struct json *list, const char *word)
{
    for (const struct json *item = json_first(list); item; item = json_next(item))
        if (json_string(item) && strcmp(json_string(item), word) == 0)
            return true;
    return false;
}

static const char *type_of(const struct setting *setting)
{
    static const char *const names[] = {
        [JSON_BOOLEAN] = "boolean", [JSON_NUMBER] = "integer", [JSON_STRING] = "string",
        [JSON_ARRAY] = "array",     [JSON_OBJECT] = "object",
    };
    return names[setting->type];
}

static void check_type(const struct setting *setting, const struct json *node)
{
    const struct json *type = json_get(node, "type");
    const char *one = json_string(type);
    bool fits = one ? strcmp(one, type_of(setting)) == 0 : lists(type, type_of(setting));
    if (!fits || (!one && !(setting->flags & OR_NUMBER)))
        fail_msg("'%s' is %s in the tables, not in the schema", setting->name, type_of(setting));
}

static void check_limits(const struct setting *setting, const struct json *node)
{
    int64_t min, max;
    if (setting->type != JSON_NUMBER)
        return;
    if (!json_integer(json_get(node, "minimum"), &min) || !json_integer(json_get(node, "maximum"), &max) ||
        min != setting->min || max != setting->max)
        fail_msg("'%s' has other limits in the schema", setting->name);
}

static void check_shape(const struct shape *shape, const struct json *node);

static void check_setting(const struct setting *setting, const struct json *node)
{
    const struct json *resolved = resolve(node);
    const char *description = json_get_string(node, "description");
    if (!description || description[strlen(description) - 1] != '.')
        fail_msg("'%s' has no description that is a sentence", setting->name);
    check_type(setting, resolved);
    check_limits(setting, resolved);
    if (setting->shape)
        check_shape(setting->shape, resolve(setting->type == JSON_ARRAY ? json_get(resolved, "items") : resolved));
}

static void check_shape(const struct shape *shape, const struct json *node)
{
    const struct json *properties = json_get(node, "properties"), *required = json_get(node, "required");
    assert_true(json_get(node, "additionalProperties") && !json_boolean(json_get(node, "additionalProperties"), true));
    if (json_count(properties) != shape->count)
        fail_msg("%s has %zu members in the tables, %zu in the schema", shape->what, shape->count,
                 json_count(properties));
    size_t required_count = 0;
    for (size_t i = 0; i < shape->count; i++) {
        const struct setting *setting = &shape->settings[i];
        const struct json *property = json_get(properties, setting->name);
        if (!property)
            fail_msg("'%s' of %s is not in the schema", setting->name, shape->what);
        bool is_required = setting->flags & REQUIRED;
        required_count += is_required;
        if (lists(required, setting->name) != is_required)
            fail_msg("'%s' of %s is required in one of them only", setting->name, shape->what);
        check_setting(setting, property);
    }
    assert_int_equal(json_count(required), required_count);
}

static void the_schema_and_the_tables_say_the_same(void **state)
{
    (void)state;
    check_shape(&root_shape, schema);
}

static void the_schema_names_every_kind_of_source(void **state)
{
    (void)state;
    const struct json *kind =
        json_get(json_get(json_get(json_get(json_get(schema, "$defs"), "source"), "properties"), "kind"), "enum");
    assert_int_equal(json_count(kind), SOURCE_KINDS);
    for (size_t i = 0; i < SOURCE_KINDS; i++)
        assert_true(lists(kind, source_kind_name((enum source_kind)i)));
}

static const struct json *defaults_of(const char *definition, const char *member)
{
    const struct json *properties = json_get(json_get(json_get(schema, "$defs"), definition), "properties");
    return json_get(json_get(properties, member), "default");
}

static void the_schemas_defaults_are_those_of_the_program(void **state)
{
    (void)state;
    struct config_mistakes mistakes = { 0 };
    struct error err = { 0 };
    AUTO(config_free)
    struct config *config =
        config_parse(SPAN("{\"sources\":[{\"name\":\"s\",\"kind\":\"github\",\"secret\":{\"file\":\"/"
                          "s\"}}],\"builds\":[{\"name\":\"b\",\"source\":\"s\","
                          "\"repository\":\"a/b\",\"clone\":\"https://h/a/b\",\"image\":\"r.io/"
                          "b\"}],\"triggers\":[{\"name\":\"t\",\"image\":\"r.io/b\","
                          "\"when\":{\"tags\":\"all\"},\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]}]}"),
                     &mistakes, &err);
    assert_non_null(config);
    const struct config_build *build = &config->builds[0];
    int64_t seconds = 0;
    assert_string_equal(json_string(defaults_of("build", "dockerfile")), build->dockerfile);
    assert_string_equal(json_string(defaults_of("build", "context")), build->context);
    assert_string_equal(json_string(defaults_of("build", "tag")), build->tag);
    assert_int_equal(json_boolean(defaults_of("build", "enabled"), false), build->enabled);
    assert_int_equal(json_boolean(defaults_of("build", "reconcile"), false), build->reconcile);
    assert_int_equal(json_boolean(defaults_of("build", "skipCi"), false), build->honour_skip);
    assert_true(json_integer(defaults_of("build", "timeoutSeconds"), &seconds));
    assert_int_equal(seconds, build->timeout_s);
    assert_int_equal(json_boolean(defaults_of("trigger", "enabled"), false), config->triggers[0].enabled);
    assert_string_equal(json_string(defaults_of("target", "namespace")), config->triggers[0].targets[0].namespace);
    assert_string_equal(json_string(defaults_of("target", "write")), "tag@digest");
    assert_int_equal(config->triggers[0].targets[0].write, IMAGE_TAG_DIGEST);
    assert_int_equal(json_boolean(defaults_of("target", "force"), true), config->triggers[0].targets[0].force);
    assert_string_equal(json_string(defaults_of("trigger", "strategy")), "parallel");
    assert_int_equal(config->triggers[0].strategy, STRATEGY_PARALLEL);
    assert_true(json_integer(defaults_of("target", "readyTimeoutSeconds"), &seconds));
    assert_int_equal(seconds, config->triggers[0].targets[0].ready_timeout_s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schema_and_the_tables_say_the_same),
        cmocka_unit_test(the_schema_names_every_kind_of_source),
        cmocka_unit_test(the_schemas_defaults_are_those_of_the_program),
    };
    return cmocka_run_group_tests_name("config/schema", tests, set_up, tear_down);
}
