#include "shared/dockerfile/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

enum { MEMORY = 16 << 20 };

static void test_refused_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "", "dockerfile parse error on line 0: file with no instructions" },
        { "# only\n", "dockerfile parse error on line 1: file with no instructions" },
        { "ARG A=1\n", "dockerfile contains no stages to build" },
        { "ARG A\nRUN x\n", "dockerfile parse error on line 2: no build stage in current context" },
        { "FROM a\nCOPPY x y\n", "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)" },
        { "FROM a\ncoppy x y\n", "dockerfile parse error on line 2: unknown instruction: coppy (did you mean copy?)" },
        { "# escape=x\nFROM a\n", "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\" },
        { "# escape=`\n# escape=`\nFROM a\n",
          "dockerfile parse error on line 2: only one escape parser directive can be used" },
        { "FROM a b\n", "dockerfile parse error on line 1: FROM requires either one or three arguments" },
        { "FROM a AS 1x\n",
          "dockerfile parse error on line 1: invalid name for build stage: \"1x\", name can't start with "
          "a number or contain symbols" },
        { "FROM a\n\nENV A\n", "dockerfile parse error on line 3: ENV must have two arguments" },
        { "FROM a\nENV A=1 B\n",
          "dockerfile parse error on line 2: Syntax error - can't find = in \"B\". Must be of the "
          "form: name=value" },
        { "FROM a\nENV =1\n", "dockerfile parse error on line 2: ENV names can not be blank" },
        { "FROM a\nCOPY x\n",
          "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was "
          "provided. Destination could not be determined" },
        { "FROM a\nCOPY --form=b x y\n",
          "dockerfile parse error on line 2: unknown flag: --form (did you mean from?)" },
        { "FROM a\nCOPY --chown=1 --chown=2 x y\n",
          "dockerfile parse error on line 2: duplicate flag specified: --chown" },
        { "FROM a\nCOPY --chown x y\n", "dockerfile parse error on line 2: missing a value on flag: --chown" },
        { "FROM a\nCOPY --link=maybe x y\n",
          "dockerfile parse error on line 2: expecting boolean value for flag --link, not: maybe" },
        { "FROM a\nCOPY x <<EOF\nEOF\n",
          "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination" },
        { "FROM a\nCOPY <<EOF y\nx\nEOF \n", "dockerfile parse error on line 2: unterminated heredoc" },
        { "FROM a\nSHELL x\n", "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form" },
        { "FROM a\nSHELL []\n", "dockerfile parse error on line 2: SHELL requires at least one argument" },
        { "FROM a\nCMD [1]\n",
          "dockerfile parse error on line 2: when using JSON array syntax, arrays must be comprised of "
          "strings only" },
        { "FROM a\nCMD [\"\\u0000\"]\n", "dockerfile parse error on line 2: a NUL byte in a JSON string" },
        { "FROM a\nHEALTHCHECK --interval=1d CMD x\n",
          "dockerfile parse error on line 2: time: unknown unit \"d\" in duration \"1d\"" },
        { "FROM a\nHEALTHCHECK --interval=5 CMD x\n",
          "dockerfile parse error on line 2: time: missing unit in duration \"5\"" },
        { "FROM a\nHEALTHCHECK --interval=1us CMD x\n",
          "dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms" },
        { "FROM a\nHEALTHCHECK --retries=2147483648 CMD x\n",
          "dockerfile parse error on line 2: strconv.ParseInt: parsing \"2147483648\": value out of range" },
        { "FROM a\nHEALTHCHECK NONE x\n", "dockerfile parse error on line 2: HEALTHCHECK NONE takes no arguments" },
        { "FROM a\nHEALTHCHECK FOO x\n",
          "dockerfile parse error on line 2: Unknown type \"FOO\" in HEALTHCHECK (try CMD)" },
        { "FROM a\nONBUILD ONBUILD RUN x\n",
          "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed" },
        { "FROM a\nONBUILD FROM x\n", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger" },
        { "FROM a\nVOLUME [\"\"]\n", "dockerfile parse error on line 2: VOLUME specified can not be an empty string" },
        { "FROM a\nRUN --network=x y\n", "dockerfile parse error on line 2: invalid network mode \"x\"" },
        { "FROM a\nRUN --mount=from=$x,target=/y y\n",
          "dockerfile parse error on line 2: 'from' doesn't support variable "
          "expansion, define alias stage instead" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(span_of(rows[i].text), &err);
        assert_null(dockerfile);
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_string_equal(err.message, rows[i].message);
    }
}

static void test_refused_bytes(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_null(dockerfile_parse((struct span){ "FROM a\n\0", 8 }, &err));
    assert_string_equal(err.message, "dockerfile parse error on line 2: a NUL byte");
}

static const struct dockerfile_instruction *first(const struct dockerfile *dockerfile)
{
    return &dockerfile->stages[0].instructions[0];
}

static void test_size_limits(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(8 << 20);
    assert_true(bytes_append_text(&text, "FROM a\nRUN ", &err));
    for (int i = 0; i < DOCKERFILE_LINE_MAX - 4; i++)
        assert_true(bytes_append_char(&text, 'x', &err));
    AUTO(dockerfile_free) struct dockerfile *longest = dockerfile_parse(bytes_span(&text), &err);
    assert_non_null(longest);
    assert_true(bytes_append_char(&text, 'x', &err));
    assert_null(dockerfile_parse(bytes_span(&text), &err));
    assert_string_equal(err.message,
                        "dockerfile parse error on line 2: dockerfile line greater than max allowed size of 65535");
    err = (struct error){ 0 };
    while (text.len <= DOCKERFILE_SIZE_MAX)
        assert_true(bytes_append_text(&text, "\nRUN something long enough", &err));
    assert_null(dockerfile_parse(bytes_span(&text), &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

static void test_copy(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse(
        SPAN(
            "FROM a\nCOPY --from=B --chown=1:2 --chmod=755 --link --parents --exclude=*.o --exclude='a b' -- --x y \\\n"
            "  # a comment\n\n <<-\"EOF\" /z/\n\t$A\n\t\tB\n\tEOF\n"),
        &err);
    assert_non_null(dockerfile);
    const struct dockerfile_copy *copy = &first(dockerfile)->copy;
    assert_int_equal(first(dockerfile)->op, DOCKERFILE_COPY);
    assert_int_equal(first(dockerfile)->line, 2);
    assert_int_equal(first(dockerfile)->last_line, 8);
    assert_string_equal(copy->from, "B");
    assert_string_equal(copy->chown, "1:2");
    assert_string_equal(copy->chmod, "755");
    assert_null(copy->checksum);
    assert_true(copy->link && copy->parents);
    assert_int_equal(copy->excludes.count, 2);
    assert_string_equal(copy->excludes.items[1], "a b");
    assert_int_equal(copy->sources.count, 2);
    assert_string_equal(copy->sources.items[0], "--x");
    assert_string_equal(copy->dest, "/z/");
    assert_int_equal(copy->heredocs.count, 1);
    assert_string_equal(copy->heredocs.items[0].name, "EOF");
    assert_string_equal(copy->heredocs.items[0].body, "$A\nB\n");
    assert_false(copy->heredocs.items[0].expand);
}

static void test_add_unpack(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile =
        dockerfile_parse(SPAN("FROM a\nADD --unpack=false --keep-git-dir x y\nADD [\"x y\", \"z\"]\n"), &err);
    assert_non_null(dockerfile);
    assert_true(first(dockerfile)->copy.unpack_set && !first(dockerfile)->copy.unpack);
    assert_true(first(dockerfile)->copy.keep_git_dir);
    assert_false(first(dockerfile)[1].copy.unpack_set);
    assert_string_equal(first(dockerfile)[1].copy.sources.items[0], "x y");
}

static void test_health(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse(
        SPAN("FROM a\nHEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=2h --start-interval=5ms --retries=7 "
             "CMD [\"a\", \"b\"]\nHEALTHCHECK cmd x y\nHEALTHCHECK none\n"),
        &err);
    assert_non_null(dockerfile);
    const struct dockerfile_health *health = &first(dockerfile)->health;
    assert_int_equal(health->interval_ns, 90 * INT64_C(1000000000));
    assert_int_equal(health->timeout_ns, INT64_C(1500000000));
    assert_int_equal(health->start_period_ns, INT64_C(7200) * 1000000000);
    assert_int_equal(health->start_interval_ns, 5000000);
    assert_int_equal(health->retries, 7);
    assert_false(health->command.shell);
    assert_int_equal(health->command.args.count, 2);
    assert_true(first(dockerfile)[1].health.command.shell);
    assert_string_equal(first(dockerfile)[1].health.command.args.items[0], "x y");
    assert_true(first(dockerfile)[2].health.none);
}

static void test_syntax_and_escape(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse(
        SPAN("\xEF\xBB\xBF# syntax = docker/dockerfile:1 \r\n#ESCAPE=`\r\nfrom a as B\r\ncmd x `\r\n  y\r\n"), &err);
    assert_non_null(dockerfile);
    assert_string_equal(dockerfile->syntax, "docker/dockerfile:1");
    assert_int_equal(dockerfile->escape, '`');
    assert_string_equal(dockerfile->stages[0].from.name, "b");
    assert_string_equal(first(dockerfile)->command.args.items[0], "x   y");
}

/* One stage on an image with PATH=/bin and A=base; what the last instruction's history says. */
static bool history_of(const char *text, struct dockerfile_pairs args, char *out, size_t size, struct error *err)
{
    static const char *const env[] = { "PATH=/bin", "A=base" };
    const struct dockerfile_base base = { .env = { env, 2 }, .workdir = "/work" };
    const struct dockerfile_options options = { .args = args };
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(span_of(text), err);
    if (!dockerfile)
        return false;
    AUTO(dockerfile_scope_free) struct dockerfile_scope *global = dockerfile_scope_global(dockerfile, &options, err);
    if (!global)
        return false;
    AUTO(dockerfile_scope_free) struct dockerfile_scope *scope = dockerfile_scope_on_image(global, &base, err);
    AUTO(bytes_release) struct bytes history = BYTES(1 << 20);
    for (size_t i = 0; i < dockerfile->stages[0].count; i++) {
        struct dockerfile_instruction expanded;
        bytes_clear(&history);
        if (!dockerfile_expand(scope, &dockerfile->stages[0].instructions[i], arena, &expanded, err) ||
            !dockerfile_created_by(scope, &expanded, &history, err))
            return false;
    }
    snprintf(out, size, "%s", bytes_text(&history));
    return true;
}

static void test_expansion(void **state)
{
    (void)state;
    static const struct dockerfile_pair given[] = { { "G", "given" }, { "UNKNOWN", "x" } };
    static const struct {
        const char *text, *history;
    } rows[] = {
        { "FROM a\nENV B=$A C=$B\n", "ENV B=base C=" },
        { "FROM a\nENV B=1\nENV B=2 C=$B\n", "ENV B=2 C=1" },
        { "FROM a\nARG B=1 C=$B\n", "ARG B=1 C=1" },
        { "FROM a\nARG A=arg\nENV R=$A\n", "ENV R=arg" },
        { "FROM a\nARG G=default\nENV R=$G$UNKNOWN\n", "ENV R=given" },
        { "ARG D=1\nFROM a\nENV R=$D.\n", "ENV R=." },
        { "ARG D=1\nFROM a\nARG D\nENV R=$D.\n", "ENV R=1." },
        { "FROM a\nARG TARGETARCH\nENV R=$TARGETARCH\n", "ENV R=amd64" },
        { "FROM a\nARG TARGETSTAGE\n", "ARG TARGETSTAGE=default" },
        { "FROM a AS last\nARG TARGETSTAGE\n", "ARG TARGETSTAGE=last" },
        { "FROM a\nARG NONE\n", "ARG NONE" },
        { "FROM a\nLABEL $A='$A' \"x y\"=\"$A\"\n", "LABEL base=$A x y=base" },
        { "FROM a\nENV A some  text \"q\"\n", "ENV A=some  text q" },
        { "FROM a\nWORKDIR sub/../$A\n", "WORKDIR /work/base" },
        { "FROM a\nWORKDIR ../..\nWORKDIR x\n", "WORKDIR /x" },
        { "FROM a\nWORKDIR /a/b///\n", "WORKDIR /a/b///" },
        { "FROM a\nUSER ${A:-no}:${B:-yes}\n", "USER base:yes" },
        { "FROM a\nADD https://ann:hunter2@a/x@y http://token@a?q=u@v ssh://git@a/b.git c@d /e/\n",
          "ADD https://a/x@y http://a?q=u@v ssh://git@a/b.git c@d /e/ # buildkit" },
        { "FROM a\nEXPOSE 80 9/UDP 80/tcp 20-22 $A0\n", "EXPOSE [20/tcp 21/tcp 22/tcp 80/tcp 80/tcp 9/udp]" },
        { "FROM a\nVOLUME /x $A\n", "VOLUME [/x base]" },
        { "FROM a\nSTOPSIGNAL sigterm\n", "STOPSIGNAL sigterm" },
        { "FROM a\nMAINTAINER  $A \"B\"\n", "MAINTAINER $A \"B\"" },
        { "FROM a\nCMD $A\n", "CMD [\"/bin/sh\" \"-c\" \"$A\"]" },
        { "FROM a\nCMD\n", "CMD [\"/bin/sh\" \"-c\" \"\"]" },
        { "FROM a\nSHELL [\"/x\", \"-y\"]\nENTRYPOINT a b\n", "ENTRYPOINT [\"/x\" \"-y\" \"a b\"]" },
        { "FROM a\nCMD ['a']\n", "CMD [\"/bin/sh\" \"-c\" \"['a']\"]" },
        { "FROM a\nADD --chmod=u=rwX --chown=$A:x a $A/ <<F /d\nF\n",
          "ADD --chown=base:x --chmod=u=rwX a base/ <<F /d # buildkit" },
        { "FROM a\nONBUILD RUN x\n", "" },
        { "FROM a\nRUN echo $A\n", "RUN /bin/sh -c echo $A # buildkit" },
        { "FROM a\nARG B=1\nARG G\nRUN [\"x\", \"y\"]\n", "RUN |2 B=1 G=given x y # buildkit" },
        { "FROM a\nRUN <<-E\n\ta\n\tE\n", "RUN /bin/sh -c a\n # buildkit" },
        { "FROM a\nRUN <<E\n#!/bin/x\nE\n", "RUN /bin/sh -c /dev/pipes/E # buildkit" },
        { "FROM a\nRUN cat <<E <<F\n1\nE\n2\nF\n", "RUN /bin/sh -c cat <<E <<F\n1\nE\n2\nF # buildkit" },
        { "FROM a\nHEALTHCHECK --interval=90s CMD x\n", "HEALTHCHECK {Test:[CMD-SHELL x] Interval:1m30s Timeout:0s "
                                                        "StartPeriod:0s StartInterval:0s Retries:0}" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char history[1000] = "";
        struct error err = { 0 };
        bool ok = history_of(rows[i].text, (struct dockerfile_pairs){ given, 2 }, history, sizeof history, &err);
        assert_string_equal(ok ? history : err.message, rows[i].history);
    }
}

static void test_refused_expansions(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } rows[] = {
        { "ENV B=${A", "failed to process \"${A\": unsupported modifier (\xEF\xBF\xBD) in substitution" },
        { "ENV B=${A:=x}", "failed to process \"${A:=x}\": unsupported modifier (:=) in substitution" },
        { "ENV B=${A:#x", "failed to process \"${A:#x\": unsupported modifier (:#) in substitution" },
        { "ENV B=${}", "failed to process \"${}\": syntax error: bad substitution" },
        { "ENV B=${A:-x", "failed to process \"${A:-x\": syntax error: missing '}'" },
        { "ENV B=${A/x}", "failed to process \"${A/x}\": syntax error: missing '/' in ${}" },
        { "ENV B=${X?}", "failed to process \"${X?}\": X: is not allowed to be unset" },
        { "ENV B=${X:?no}", "failed to process \"${X:?no}\": X: no" },
        { "USER \"x",
          "failed to process \"\\\"x\": unexpected end of statement while looking for matching double-quote" },
        { "EXPOSE 70000", "invalid containerPort: 70000" },
        { "EXPOSE 90-80", "invalid containerPort: 90-80" },
        { "EXPOSE 80/foo", "invalid port: \"80/foo\": invalid proto: foo" },
        { "STOPSIGNAL FOO", "invalid signal: FOO" },
        { "STOPSIGNAL 0", "invalid signal: 0" },
        { "COPY --chmod=8 a b", "invalid chmod parameter: '8'. it should be octal string and between 0 and 07777" },
        { "COPY https://x/y /z", "source can't be a URL for COPY" },
        { "COPY git@host:x/y /z", "source can't be a git ref for COPY" },
        { "ADD --checksum=sha256:0 a b", "checksum requires HTTP(S) or Git sources" },
        { "ADD --checksum=sha256:0 http://a http://b /c", "checksum can't be specified for multiple sources" },
        { "VOLUME $X", "VOLUME specified can not be an empty string" },
        { "RUN []", "arguments are required" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[200], history[100], want[300];
        struct error err = { 0 };
        snprintf(text, sizeof text, "FROM a\n%s\n", rows[i].line);
        snprintf(want, sizeof want, "dockerfile line 2: %s", rows[i].message);
        assert_false(history_of(text, (struct dockerfile_pairs){ 0 }, history, sizeof history, &err));
        assert_string_equal(err.message, want);
        assert_int_equal(err.kind, ERROR_INVALID);
    }
}

static void test_growth_is_bounded(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(1 << 20);
    struct error err = { 0 };
    char history[100];
    assert_true(bytes_append_text(&text, "FROM a\nENV B=0123456789\n", &err));
    for (int i = 0; i < 40; i++)
        assert_true(bytes_append_text(&text, "ENV B=$B$B\n", &err));
    assert_false(history_of(bytes_text(&text), (struct dockerfile_pairs){ 0 }, history, sizeof history, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);

    err = (struct error){ 0 };
    bytes_clear(&text);
    assert_true(bytes_append_text(&text, "FROM a\nENV B=", &err));
    for (int i = 0; i < 10000; i++)
        assert_true(bytes_append_text(&text, "${X:-", &err));
    assert_false(history_of(bytes_text(&text), (struct dockerfile_pairs){ 0 }, history, sizeof history, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

/* Work grows with the number of variables times that of instructions; both have a ceiling. */
static void test_numbers_are_bounded(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(1 << 20);
    struct error err = { 0 };
    char history[100];
    assert_true(bytes_append_text(&text, "FROM a\n", &err));
    for (int i = 0; i < DOCKERFILE_VARIABLES_MAX; i++)
        assert_true(bytes_printf(&text, &err, "ENV A%d=x\n", i));
    assert_false(history_of(bytes_text(&text), (struct dockerfile_pairs){ 0 }, history, sizeof history, &err));
    assert_string_equal(err.message, "dockerfile line 1000: more than 1000 variables in a stage");
    assert_int_equal(err.kind, ERROR_TOO_LARGE);

    err = (struct error){ 0 };
    for (int i = 0; i < DOCKERFILE_INSTRUCTIONS_MAX; i++)
        assert_true(bytes_append_text(&text, "RUN x\n", &err));
    assert_null(dockerfile_parse(bytes_span(&text), &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);

    err = (struct error){ 0 };
    bytes_clear(&text);
    for (int i = 0; i <= DOCKERFILE_STAGES_MAX; i++)
        assert_true(bytes_append_text(&text, "FROM a\n", &err));
    assert_null(dockerfile_parse(bytes_span(&text), &err));
    assert_string_equal(err.message, "the dockerfile has more than 1000 stages");
}

struct planned {
    struct dockerfile *dockerfile;
    struct dockerfile_scope *global;
    struct dockerfile_plan *plan;
};

static void planned_release(struct planned *planned)
{
    dockerfile_plan_free(planned->plan);
    dockerfile_scope_free(planned->global);
    dockerfile_free(planned->dockerfile);
}
AUTO_RELEASE(struct planned, planned_release)

static struct planned plan_of(const char *text, const char *target, struct error *err)
{
    const struct dockerfile_options options = { .target = target };
    struct planned made = { .dockerfile = dockerfile_parse(span_of(text), err) };
    assert_non_null(made.dockerfile);
    made.global = dockerfile_scope_global(made.dockerfile, &options, err);
    assert_non_null(made.global);
    made.plan = dockerfile_plan_new(made.dockerfile, made.global, &options, err);
    return made;
}

static void test_plan(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(planned_release)
    struct planned planned =
        plan_of("ARG V=9\nFROM x:$V AS Tools\nFROM scratch AS unused\nFROM --platform=linux/aarch64 y AS mid\n"
                "RUN --mount=from=tools,target=/t x\nFROM mid\nCOPY --from=MID /a /b\nCOPY --from=other:1 /a /b\n",
                NULL, &err);
    assert_non_null(planned.plan);
    assert_int_equal(dockerfile_plan_target(planned.plan), 3);
    const struct dockerfile_plan_stage *tools = dockerfile_plan_stage(planned.plan, 0);
    assert_int_equal(tools->base.kind, DOCKERFILE_IMAGE);
    assert_string_equal(tools->base.image, "x:9");
    assert_true(tools->needed);
    assert_false(dockerfile_plan_stage(planned.plan, 1)->needed);
    assert_int_equal(dockerfile_plan_stage(planned.plan, 1)->base.kind, DOCKERFILE_SCRATCH);
    assert_string_equal(dockerfile_plan_stage(planned.plan, 2)->platform, "linux/arm64");
    assert_int_equal(dockerfile_plan_stage(planned.plan, 3)->base.kind, DOCKERFILE_STAGE);
    assert_int_equal(dockerfile_plan_stage(planned.plan, 3)->base.stage, 2);
    struct dockerfile_source source;
    assert_true(dockerfile_plan_source(planned.plan, 3, "MID", &source, &err));
    assert_int_equal(source.stage, 2);
    assert_true(dockerfile_plan_source(planned.plan, 3, "1", &source, &err));
    assert_int_equal(source.stage, 1);
    assert_true(dockerfile_plan_source(planned.plan, 3, "other:1", &source, &err));
    assert_string_equal(source.image, "other:1");
    assert_true(dockerfile_plan_source(planned.plan, 3, NULL, &source, &err));
    assert_int_equal(source.kind, DOCKERFILE_CONTEXT);
}

static void test_triggers_reach_stages(void **state)
{
    (void)state;
    static const char *const onbuild[] = { "COPY --from=early /a /b", "RUN <<E\nx\nE" };
    struct error err = { 0 };
    AUTO(planned_release) struct planned planned = plan_of("FROM a AS early\nFROM b\n", NULL, &err);
    assert_non_null(planned.plan);
    assert_false(dockerfile_plan_stage(planned.plan, 0)->needed);
    assert_true(dockerfile_plan_triggers(planned.plan, 1, (struct dockerfile_words){ onbuild, 2 }, &err));
    assert_true(dockerfile_plan_stage(planned.plan, 0)->needed);
    assert_int_equal(dockerfile_plan_stage(planned.plan, 1)->trigger_count, 2);
    assert_int_equal(dockerfile_plan_stage(planned.plan, 1)->triggers[1].op, DOCKERFILE_RUN);
    assert_string_equal(dockerfile_plan_stage(planned.plan, 1)->triggers[1].run.heredocs.items[0].body, "x\n");
}

static void test_refused_plans(void **state)
{
    (void)state;
    static const struct {
        const char *text, *target, *message;
    } rows[] = {
        { "FROM $V\n", NULL, "dockerfile line 1: base name ($V) should not be blank" },
        { "FROM x AS a\n", "zz", "target stage \"zz\" could not be found (did you mean a?)" },
        { "FROM x\n", "0", "target stage \"0\" could not be found" },
        { "FROM x\nCOPY --from=7 a b\n", NULL, "dockerfile line 2: invalid stage index 7" },
        { "FROM x AS a\nRUN --mount=from=b,target=t c\nFROM x AS b\nFROM a\n", NULL,
          "cannot mount from stage \"b\" to \"t\", stage needs to be defined before current command" },
        { "FROM x AS a\nCOPY --from=b c d\nFROM x AS b\nFROM a\n", NULL,
          "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"" },
        { "FROM x AS a\nCOPY --from=a c d\n", NULL, "circular dependency detected on stage: a" },
        { "FROM x\nCOPY --from=1 a b\nFROM x\nCOPY --from=0 a b\n", NULL,
          "circular dependency detected on stage: stage-0" },
        { "FROM --platform=$N x\n", NULL, "dockerfile line 1: empty platform value from expression $N" },
        { "FROM --platform=$TARGETPLATFROM x\n", NULL,
          "dockerfile line 1: empty platform value from expression $TARGETPLATFROM (did you mean TARGETPLATFORM?)" },
        { "FROM --platform=a/b/c/d x\n", NULL,
          "dockerfile line 1: failed to parse platform a/b/c/d: \"a/b/c/d\": cannot "
          "parse platform specifier: invalid argument" },
        { "FROM x\nCOPY --from=$X a b\n", NULL,
          "dockerfile line 2: variable expansion is not supported for --from, define "
          "a new stage with FROM using ARG from global scope as a workaround" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(planned_release) struct planned planned = plan_of(rows[i].text, rows[i].target, &err);
        assert_null(planned.plan);
        assert_string_equal(err.message, rows[i].message);
    }
}

/* The config keeps what ENV said although ARG hides it, and a stage built on this one sees it again. */
static void test_stage_on_stage(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
    AUTO(planned_release)
    struct planned planned =
        plan_of("FROM scratch AS a\nENV A=env\nARG A=arg B=2\nSHELL [\"/s\"]\nWORKDIR /w\nFROM a\n", NULL, &err);
    AUTO(dockerfile_scope_free)
    struct dockerfile_scope *parent = dockerfile_scope_on_image(planned.global, &(struct dockerfile_base){ 0 }, &err);
    for (size_t i = 0; i < planned.dockerfile->stages[0].count; i++) {
        struct dockerfile_instruction expanded;
        assert_true(dockerfile_expand(parent, &planned.dockerfile->stages[0].instructions[i], arena, &expanded, &err));
    }
    assert_string_equal(dockerfile_scope_get(parent, "A"), "arg");
    AUTO(dockerfile_scope_free) struct dockerfile_scope *child = dockerfile_scope_on_stage(parent, &err);
    assert_string_equal(dockerfile_scope_get(child, "A"), "env");
    assert_string_equal(dockerfile_scope_get(child, "B"), "2");
    assert_string_equal(dockerfile_scope_workdir(child), "/w");
    assert_string_equal(dockerfile_scope_shell(child).items[0], "/s");
    struct dockerfile_words config = dockerfile_scope_config_env(child);
    assert_int_equal(config.count, 2);
    assert_string_equal(config.items[0], "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_string_equal(config.items[1], "A=env");
}

static void test_chmod(void **state)
{
    (void)state;
    static const struct {
        const char *chmod;
        unsigned from, file, directory;
    } rows[] = {
        { "0", 0644, 0, 0 },
        { "4755", 0600, 04755, 04755 },
        { "u=rwX,go=rX", 0600, 0644, 0755 },
        { "u=rwX,go=rX", 0700, 0755, 0755 },
        { "go-rwx", 0755, 0700, 0700 },
        { "+x", 0600, 0711, 0711 },
        { "g=u", 0600, 0660, 0660 },
        { "u+s", 0644, 04644, 04644 },
        { "+t", 0644, 01644, 01644 },
        { "a=", 0777, 0, 0 },
        { "u+x-w", 0644, 0544, 0544 },
    };
    static const char *const refused[] = { "8", "10000", "64a", "", "x", "u", "u=q", "u=r,", ",", "a+rz" };
    struct error err = { 0 };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(dockerfile_chmod_check(rows[i].chmod, &err));
        assert_int_equal(dockerfile_chmod_apply(rows[i].chmod, rows[i].from, false), rows[i].file);
        assert_int_equal(dockerfile_chmod_apply(rows[i].chmod, rows[i].from, true), rows[i].directory);
    }
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_false(dockerfile_chmod_check(refused[i], &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_texts),
        cmocka_unit_test(test_refused_bytes),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_add_unpack),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_syntax_and_escape),
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_refused_expansions),
        cmocka_unit_test(test_growth_is_bounded),
        cmocka_unit_test(test_numbers_are_bounded),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_triggers_reach_stages),
        cmocka_unit_test(test_refused_plans),
        cmocka_unit_test(test_stage_on_stage),
        cmocka_unit_test(test_chmod),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/dockerfile", tests, NULL, NULL);
}
