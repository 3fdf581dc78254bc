#include "shared/builder/imageconfig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *const ids[] = { "sha256:a", "sha256:b", "sha256:c" };

static char *written(const struct imageconfig *config, size_t layers)
{
    struct imageconfig_result result = {
        .platform = "linux/arm/v6", .diff_ids = ids, .diff_id_count = layers, .time_s = 1700000000
    };
    struct bytes out = BYTES(100000);
    struct error err = { 0 };

    if (!imageconfig_write(config, &result, &out, &err))
        fail_msg("%s", err.message);
    return bytes_take(&out);
}

static struct imageconfig *on_base(struct arena *arena, const char *base, size_t layers)
{
    struct error err = { 0 };
    const struct json *json = base ? json_parse(arena, span_of(base), &err) : NULL;
    struct imageconfig *config = imageconfig_new(arena, json, layers, &err);

    if (!config)
        fail_msg("%s", err.message);
    return config;
}

static void check(char *text, const char *wanted)
{
    assert_string_equal(text, wanted);
    free(text);
}

static void scratch_has_next_to_nothing(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);

    (void)state;
    check(written(on_base(arena, NULL, 0), 0),
          "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v6\",\"config\":{\"WorkingDir\":\"/\"},"
          "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"history\":[]}");
}

static void what_is_not_known_is_kept_and_what_is_about_the_base_is_not(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);

    (void)state;
    check(written(
              on_base(arena,
                      "{\"created\":\"2020-01-01T00:00:00Z\",\"id\":\"x\",\"container_config\":{},\"os.version\":\"1\","
                      "\"moby.buildkit.cache.v0\":\"x\",\"config\":{\"Cmd\":[\"a\"],\"Own\":{\"k\":1},\"Env\":null}}",
                      0),
              0),
          "{\"created\":\"2020-01-01T00:00:00Z\",\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v6\",\"os."
          "version\":\"1\","
          "\"config\":{\"Cmd\":[\"a\"],\"Own\":{\"k\":1}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"history\":"
          "[]}");
}

static void members_are_set_merged_and_taken_away(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct imageconfig *config =
        on_base(arena, "{\"config\":{\"Labels\":{\"m\":\"1\",\"z\":\"1\"},\"Cmd\":[\"a\"]}}", 0);
    struct error err = { 0 };
    struct dockerfile_words words;

    (void)state;
    assert_true(imageconfig_put_text(config, "Labels", "m", "2\"", &err));
    assert_true(imageconfig_put_text(config, "Labels", "a", "x", &err));
    assert_true(imageconfig_put(config, "Volumes", "/v", SPAN("{}"), &err));
    assert_true(imageconfig_set(config, "Cmd", (struct span){ 0 }, &err));
    assert_true(imageconfig_append_word(config, "OnBuild", "COPY . .", &err));
    assert_true(imageconfig_append_word(config, "OnBuild", "USER x", &err));
    assert_true(imageconfig_words(config, "OnBuild", &words, &err));
    assert_int_equal(words.count, 2);
    assert_string_equal(words.items[1], "USER x");
    assert_false(imageconfig_has(config, "Cmd"));
    check(written(config, 0), "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v6\",\"config\":{\"Labels\":{"
                              "\"a\":\"x\",\"m\":\"2\\\"\",\"z\":\"1\"},"
                              "\"Volumes\":{\"/v\":{}},\"OnBuild\":[\"COPY . .\",\"USER "
                              "x\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},"
                              "\"history\":[]}");
}

static void a_clone_does_not_change_its_origin(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct imageconfig *config = on_base(arena, "{\"config\":{\"User\":\"a\"}}", 0);
    struct error err = { 0 };
    struct imageconfig *clone = imageconfig_clone(arena, config, &err);

    (void)state;
    assert_true(imageconfig_set_text(clone, "User", "b", &err));
    assert_true(imageconfig_add_history(clone, "USER b", true, &err));
    assert_string_equal(imageconfig_text(config, "User"), "a");
    assert_string_equal(imageconfig_text(clone, "User"), "b");
    AUTO(free) char *text = written(config, 0);
    assert_non_null(strstr(text, "\"history\":[]"));
}

static void history_is_made_to_fit_the_layers(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    static const char base[] = "{\"history\":[{\"created\":\"2020-01-01T00:00:00Z\",\"created_by\":\"one\"},"
                               "{\"created_by\":\"two\",\"empty_layer\":true}]}";
    struct imageconfig *more = on_base(arena, base, 2), *fewer = on_base(arena, base, 0);
    struct error err = { 0 };

    (void)state;
    assert_true(imageconfig_add_history(more, "COPY a b # buildkit", false, &err));
    AUTO(free) char *text = written(more, 3);
    assert_non_null(strstr(text, "\"created\":\"2023-11-14T22:13:20Z\""));
    assert_non_null(strstr(
        text,
        "[{\"created\":\"2020-01-01T00:00:00Z\",\"created_by\":\"one\"},{\"created_by\":\"two\",\"empty_layer\":true},"
        "{\"comment\":\"unknown layer of the base image\"},"
        "{\"created\":\"2023-11-14T22:13:20Z\",\"created_by\":\"COPY a b # buildkit\","
        "\"comment\":\"buildkit.dockerfile.v0\"}]"));
    AUTO(free) char *other = written(fewer, 0);
    assert_non_null(strstr(other, "\"created_by\":\"one\",\"empty_layer\":true}"));
}

static void lists_of_the_base_are_checked(void **state)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct imageconfig *config = on_base(arena, "{\"config\":{\"Env\":[1]}}", 0);
    struct dockerfile_words words;
    struct error err = { 0 };

    (void)state;
    assert_false(imageconfig_words(config, "Env", &words, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_non_null(strstr(err.message, "'Env'"));
}

static void the_platform_is_the_one_asked_for_or_the_base_s(void **state)
{
    static const struct {
        const char *base, *platform;
        bool implicit;
        const char *wanted;
    } rows[] = {
        { NULL, "linux/amd64", true, "{\"architecture\":\"amd64\",\"os\":\"linux\"," },
        { "{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v8\"}", "linux/amd64", true,
          "{\"architecture\":\"arm64\",\"os\":\"linux\",\"config\"" },
        { "{\"architecture\":\"arm\",\"os\":\"linux\"}", "linux/amd64", true,
          "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v7\"," },
        { "{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v9\"}", "linux/amd64", false,
          "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\"" },
        { "{\"architecture\":\"amd64\",\"os\":\"linux\",\"variant\":\"v2\"}", "linux/amd64", false,
          "{\"architecture\":\"amd64\",\"os\":\"linux\",\"variant\":\"v2\"," },
        { "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v6\"}", "linux/arm/v7", false,
          "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v7\"," },
        { "{\"os\":\"linux\"}", "linux/amd64", true, "{\"architecture\":\"amd64\",\"os\":\"linux\"," },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
        const struct imageconfig_result result = { .platform = rows[i].platform, .implicit = rows[i].implicit };
        AUTO(bytes_release) struct bytes out = BYTES(100000);
        struct error err = { 0 };

        assert_true(imageconfig_write(on_base(arena, rows[i].base, 0), &result, &out, &err));
        if (!span_starts(bytes_span(&out), rows[i].wanted))
            fail_msg("row %zu: %s", i, bytes_text(&out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scratch_has_next_to_nothing),
        cmocka_unit_test(what_is_not_known_is_kept_and_what_is_about_the_base_is_not),
        cmocka_unit_test(members_are_set_merged_and_taken_away),
        cmocka_unit_test(a_clone_does_not_change_its_origin),
        cmocka_unit_test(history_is_made_to_fit_the_layers),
        cmocka_unit_test(lists_of_the_base_are_checked),
        cmocka_unit_test(the_platform_is_the_one_asked_for_or_the_base_s),
    };

    return cmocka_run_group_tests_name("shared/builder/imageconfig", tests, NULL, NULL);
}
