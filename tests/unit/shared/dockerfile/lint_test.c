#include "shared/dockerfile/lint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

enum { MEMORY = 16 << 20 };

static bool find_image(void *context, const char *image, const char *platform, struct dockerfile_image *out,
                       struct error *err)
{
    static const char *const env[] = { "PATH=/bin", "FROMBASE=yes" };
    (void)context;
    (void)platform;
    (void)err;
    *out = (struct dockerfile_image){ .base = { .env = { env, 2 } },
                                      .platform = strcmp(image, "arm") != 0 ? "linux/amd64" : "linux/arm64" };
    return true;
}

/* "rule line-last: message" of each warning, and the error behind them. */
static void lint_into(const char *text, const struct dockerfile_lint_options *options, struct bytes *out)
{
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
    struct error err = { 0 }, full = { 0 };
    struct dockerfile_warnings warnings = { 0 };
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(span_of(text), &err);
    bool ok = dockerfile && dockerfile_lint(dockerfile, options, arena, &warnings, &err);
    for (size_t i = 0; i < warnings.count; i++) {
        const struct dockerfile_warning *w = &warnings.items[i];
        assert_non_null(dockerfile_rule_find(w->rule));
        bytes_printf(out, &full, "%s %u-%u: %s\n", w->rule, w->line, w->last_line, w->message);
    }
    if (!ok)
        bytes_printf(out, &full, "%s\n", err.message);
}

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "FROM a AS Base\n", "StageNameCasing 1-1: Stage name 'Base' should be lowercase\n" },
        { "FROM a as base\n", "FromAsCasing 1-1: 'as' and 'FROM' keywords' casing do not match\n" },
        { "FROM a\nRUN a \\\n\n b\n", "NoEmptyContinuation 4-4: Empty continuation line\n" },
        { "FROM a\nrun b\nRUN c\n", "ConsistentInstructionCasing 2-2: Command 'run' should match the case of the "
                                    "command majority (uppercase)\n" },
        { "FROM a AS b\nFROM a AS b\n",
          "DuplicateStageName 2-2: Duplicate stage name \"b\", stage names should be unique\n" },
        { "FROM a AS context\n",
          "ReservedStageName 1-1: Stage name should not use the same name as reserved stage \"context\"\n" },
        { "FROM a\nCMD x\n", "JSONArgsRecommended 2-2: JSON arguments recommended for CMD to prevent unintended "
                             "behavior related to OS signals\n" },
        { "FROM a\nSHELL [\"/s\"]\nCMD x\n", "" },
        { "FROM a\nMAINTAINER x\n",
          "MaintainerDeprecated 2-2: Maintainer instruction is deprecated in favor of using label\n" },
        { "ARG VERSION=1\nFROM a:1$VERSON\n",
          "UndefinedArgInFrom 2-2: FROM argument 'VERSON' is not declared (did you mean VERSION?)\n" },
        { "FROM a\nWORKDIR b\nWORKDIR c\n", "WorkdirRelativePath 2-2: Relative workdir \"b\" can have unexpected "
                                            "results if the base image changes\n" },
        { "FROM a\nARG FOO=1 BAR\nCOPY $FO $FROMBASE $FOO $BAR /\n",
          "UndefinedVar 3-3: Usage of undefined variable '$FO' (did you mean $FOO?)\n" },
        { "FROM a\nCMD [\"a\"]\nCMD [\"b\"]\n",
          "MultipleInstructionsDisallowed 2-2: Multiple CMD instructions should not be used in the same stage because "
          "only the last one will be used\n" },
        { "FROM a\nENV A b\n", "LegacyKeyValueFormat 2-2: \"ENV key=value\" should be used instead of legacy \"ENV key "
                               "value\" format\n" },
        { "FROM arm\n", "InvalidBaseImagePlatform 1-1: Base image arm was pulled with platform \"linux/arm64\", "
                        "expected \"linux/amd64\" for current build\n" },
        { "FROM --platform=$TARGETPLATFORM a\n",
          "RedundantTargetPlatform 1-1: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is "
          "the default behavior\n" },
        { "FROM a\nARG API_TOKEN\nENV PUBLIC_KEY=1 Auth=2\n",
          "SecretsUsedInArgOrEnv 2-2: Do not use ARG or ENV instructions for sensitive data (ARG \"API_TOKEN\")\n"
          "SecretsUsedInArgOrEnv 3-3: Do not use ARG or ENV instructions for sensitive data (ENV \"Auth\")\n" },
        { "ARG V\nFROM a:$V\n",
          "InvalidDefaultArgInFrom 2-2: Default value for ARG a:$V results in empty or invalid base image name\n"
          "dockerfile line 2: failed to parse stage name \"a:\": invalid reference format\n" },
        { "FROM --platform=linux/arm64 arm\n",
          "FromPlatformFlagConstDisallowed 1-1: FROM --platform flag should not use constant value \"linux/arm64\"\n" },
        { "# check=experimental=all\n# base what it is\nFROM a AS base\n# other\nARG x\n",
          "InvalidDefinitionDescription 5-5: Comment for ARG should follow the format: `# x <description>`\n" },
        { "FROM a\nEXPOSE 80/TCP 127.0.0.1:81:82\n",
          "ExposeInvalidFormat 2-2: EXPOSE instruction should not define an IP address or host-port mapping, found "
          "'127.0.0.1:81:82'\n"
          "ExposeProtoCasing 2-2: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase\n" },
    };
    const struct dockerfile_lint_options options = { .find = find_image };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes have = BYTES(1 << 16);
        lint_into(rows[i].text, &options, &have);
        assert_string_equal(bytes_text(&have), rows[i].want);
    }
}

static void test_settings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "# check=skip=all\nFROM a as B\n", "" },
        { "# check=skip=FromAsCasing,StageNameCasing\nFROM a as B\n", "" },
        { "# check=skip=FromAsCasing;error=true\nFROM a as B\n",
          "StageNameCasing 1-1: Stage name 'B' should be lowercase\n"
          "lint violation found for rules: StageNameCasing\n" },
        { "# check=error=true\nFROM a\n", "" },
        { "FROM a\n# check=skip=JSONArgsRecommended\nCMD a\n", "" },
        { "FROM a\n# check=skip=JSONArgsRecommended\nRUN a\nCMD a\n",
          "JSONArgsRecommended 4-4: JSON arguments recommended for CMD to prevent unintended behavior related to OS "
          "signals\n" },
        { "# check=foo\nFROM a\n", "failed to parse check options: invalid check option \"foo\"\n" },
        { "# check=error=maybe\nFROM a\n",
          "failed to parse check options: failed to parse check option \"error=maybe\": strconv.ParseBool: parsing "
          "\"maybe\": invalid syntax\n" },
    };
    const struct dockerfile_lint_options options = { .find = find_image };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes have = BYTES(1 << 16);
        lint_into(rows[i].text, &options, &have);
        const char *want = rows[i].want, *lines = strstr(want, "1-1");
        /* directives move the instructions down by a line */
        if (lines && *rows[i].text == '#') {
            char moved[600];
            snprintf(moved, sizeof moved, "%.*s2-2%s", (int)(lines - want), want, lines + 3);
            assert_string_equal(bytes_text(&have), moved);
            continue;
        }
        assert_string_equal(bytes_text(&have), want);
    }
}

static void test_build_argument_over_directive(void **state)
{
    (void)state;
    static const struct dockerfile_pair args[] = { { "BUILDKIT_DOCKERFILE_CHECK", "skip=all" } };
    const struct dockerfile_lint_options options = { .build = { .args = { args, 1 } }, .find = find_image };
    AUTO(bytes_release) struct bytes have = BYTES(1 << 16);
    lint_into("# check=error=true\nFROM a as B\n", &options, &have);
    assert_string_equal(bytes_text(&have), "");
}

static void test_unknown_images_define_anything(void **state)
{
    (void)state;
    const struct dockerfile_lint_options options = { 0 };
    AUTO(bytes_release) struct bytes have = BYTES(1 << 16);
    lint_into("FROM a\nENV B=$JAVA_HOME\nFROM scratch\nENV B=$JAVA_HOME\n", &options, &have);
    assert_string_equal(bytes_text(&have), "UndefinedVar 4-4: Usage of undefined variable '$JAVA_HOME'\n");
}

static void test_ignored_sources(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(ignore_free) struct ignore *ignore = ignore_parse(SPAN("secret\n*.log\n"), &err);
    AUTO(ignore_free) struct ignore *all = ignore_parse(SPAN("*\n"), &err);
    AUTO(ignore_free) struct ignore *taken_back = ignore_parse(SPAN("*\n!a\n"), &err);
    const struct {
        const struct ignore *ignore;
        const char *text, *want;
    } rows[] = {
        { ignore, "FROM scratch\nCOPY ./secret/x a.log b /\n",
          "CopyIgnoredFile 2-2: Attempting to Copy file \"secret/x\" that is excluded by .dockerignore\n"
          "CopyIgnoredFile 2-2: Attempting to Copy file \"a.log\" that is excluded by .dockerignore\n" },
        { ignore, "FROM scratch\nADD https://h/secret . /\n", "" },
        { ignore, "FROM scratch AS a\nFROM scratch\nCOPY --from=a secret /\n", "" },
        { all, "FROM scratch\nCOPY . /\n",
          "CopyIgnoredFile 2-2: Attempting to Copy file \".\" that is excluded by .dockerignore\n" },
        { taken_back, "FROM scratch\nCOPY b /\n", "" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct dockerfile_lint_options options = { .ignore = rows[i].ignore };
        AUTO(bytes_release) struct bytes have = BYTES(1 << 16);
        lint_into(rows[i].text, &options, &have);
        assert_string_equal(bytes_text(&have), rows[i].want);
    }
}

static void test_warnings_are_bounded(void **state)
{
    (void)state;
    const struct dockerfile_lint_options options = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(1 << 20);
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
    struct error err = { 0 };
    struct dockerfile_warnings warnings = { 0 };
    bytes_append_text(&text, "FROM scratch\n", &err);
    for (size_t i = 0; i < 2 * DOCKERFILE_WARNINGS_MAX; i++)
        bytes_printf(&text, &err, "LABEL x=$v%zu\n", i);
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(bytes_span(&text), &err);
    assert_true(dockerfile_lint(dockerfile, &options, arena, &warnings, &err));
    assert_int_equal(warnings.count, DOCKERFILE_WARNINGS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_build_argument_over_directive),
        cmocka_unit_test(test_unknown_images_define_anything),
        cmocka_unit_test(test_ignored_sources),
        cmocka_unit_test(test_warnings_are_bounded),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/lint", tests, NULL, NULL);
}
