/* Against the recorded answers of BuildKit and patternmatcher in $CONFORMANCE_DATA (default ../shared/conformance);
 * skipped, and said so, where they are not. Every difference is printed with its case. */
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/dockerfile/ignore.h"
#include "shared/dockerfile/lex.h"
#include "shared/dockerfile/plan.h"
#include "shared/dockerfile/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

/* True when the case came out as recorded; otherwise *reason says how it differs. */
typedef bool case_fn(struct arena *arena, const struct json *row, struct bytes *reason);

enum { FILE_MAX = 64 << 20, REASON_MAX = 1 << 16, ARENA_MAX = 64 << 20 };

static struct error ignored;

static bool differs(struct bytes *reason, const char *what, const char *want, const char *got)
{
    bytes_printf(reason, &ignored, "%s: want «%s» have «%s»", what, want ? want : "(none)", got ? got : "(none)");
    return false;
}

static bool load(const char *name, struct bytes *out)
{
    const char *root = getenv("CONFORMANCE_DATA");
    char path[4096];
    struct error err = { 0 };
    snprintf(path, sizeof path, "%s/dockerfile/%s", root ? root : "../shared/conformance", name);
    return file_read(out, path, &err);
}

struct tally {
    size_t cases, passed, unreadable;
};

static void judge_line(struct arena *arena, const char *file, size_t number, struct span line, case_fn *judge,
                       struct tally *tally)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes reason = BYTES(REASON_MAX);
    arena_reset(arena);
    const struct json *row = json_parse(arena, line, &err);
    if (!row) { /* a NUL in a string, which neither our JSON nor a Dockerfile may hold */
        tally->unreadable++;
        print_message("# %s line %zu: skipped: %s\n", file, number, err.message);
        return;
    }
    const char *id = json_get_string(row, "id");
    tally->cases++;
    if (judge(arena, row, &reason))
        tally->passed++;
    else
        print_message("# %s line %zu (%s): %s\n", file, number, id ? id : "", bytes_text(&reason));
}

static bool judge_all(const char *file, case_fn *judge, struct tally *tally)
{
    AUTO(bytes_release) struct bytes text = BYTES(FILE_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    if (!load(file, &text))
        return false;
    size_t number = 0;
    for (struct span rest = bytes_span(&text); rest.data;) {
        struct span line = span_cut(&rest, '\n');
        number++;
        if (line.len)
            judge_line(arena, file, number, line, judge, tally);
    }
    return true;
}

/* One case a line. */
static void compare(const char *file, case_fn *judge)
{
    struct tally tally = { 0 };
    if (!judge_all(file, judge, &tally)) {
        print_message("# %s: skipped, it is not there\n", file);
        skip();
    }
    print_message("# %s: %zu of %zu, %zu skipped\n", file, tally.passed, tally.cases, tally.unreadable);
    assert_true(tally.cases > 0);
    assert_int_equal(tally.passed, tally.cases);
}

/* Words */

static struct dockerfile_words strings_of(struct arena *arena, const struct json *array)
{
    struct word_list words = { 0 };
    for (const struct json *v = json_first(array); v; v = json_next(v))
        word_add(arena, &words, json_string(v), &ignored);
    return words_of(&words);
}

static const char *lookup(const void *context, struct span name)
{
    for (const struct json *v = json_first(context); v; v = json_next(v)) {
        const char *text = json_string(v), *equals = strchr(text, '=');
        if (equals && span_equal(name, (struct span){ text, (size_t)(equals - text) }))
            return equals + 1;
    }
    return NULL;
}

static bool same_words(const struct json *want, const struct word_list *have, struct bytes *reason)
{
    bool same = json_count(want) == have->count;
    size_t i = 0;
    for (const struct json *v = json_first(want); same && v; v = json_next(v), i++)
        same = !strcmp(json_string(v), have->items[i]);
    for (i = 0; !same && i < have->count; i++)
        bytes_printf(reason, &ignored, "«%s» ", have->items[i]);
    return same;
}

static bool judge_word(struct arena *arena, const struct json *row, struct bytes *reason)
{
    const char *in = json_get_string(row, "in"), *op = json_get_string(row, "op");
    bool body = !strcmp(op, "heredoc-body");
    const struct word_rules rules = { .escape = json_get_string(row, "escape")[0], .skip_quotes = body };
    const struct word_env env = { lookup, json_get(row, "env") };
    struct bytes out = BYTES(1 << 20);
    struct word_list words = { 0 };
    struct error err = { 0 };
    const char *message = json_get_string(row, "message");
    bool ok = word_expand(span_of(in), &rules, &env, &out, arena, &words, &err);
    char *text = arena_dup(arena, bytes_span(&out));
    bytes_release(&out);
    if (!ok || message)
        return (!ok && message && !strcmp(message, err.message)) ||
               differs(reason, in, message, ok ? text : err.message);
    if (!strcmp(op, "words"))
        return same_words(json_get(row, "words"), &words, reason) || differs(reason, in, "other words", text);
    return !strcmp(text, json_get_string(row, "out")) || differs(reason, in, json_get_string(row, "out"), text);
}

static void test_words(void **state)
{
    (void)state;
    compare("oracle-frontend/shell-expansion.jsonl", judge_word);
}

/* Heredocs */

static bool judge_heredoc(struct arena *arena, const struct json *row, struct bytes *reason)
{
    const char *in = json_get_string(row, "in"), *message = json_get_string(row, "error");
    const struct json *want = json_get(row, "heredoc");
    struct dockerfile_heredoc have = { 0 };
    bool found = false;
    int64_t descriptor = 0;
    struct error err = { 0 };
    if (!heredoc_parse(arena, span_of(in), &have, &found, &err))
        return (message && !strcmp(message, err.message)) || differs(reason, in, message, err.message);
    if (message || found != (json_type(want) == JSON_OBJECT))
        return differs(reason, in, message ? message : "the opposite", found ? have.name : "no heredoc");
    json_integer(json_get(want, "FileDescriptor"), &descriptor);
    return !found ||
           (!strcmp(have.name, json_get_string(want, "Name")) &&
            have.expand == json_boolean(json_get(want, "Expand"), false) &&
            have.chomp == json_boolean(json_get(want, "Chomp"), false) && have.descriptor == descriptor) ||
           differs(reason, in, json_get_string(want, "Name"), have.name);
}

static void test_heredocs(void **state)
{
    (void)state;
    compare("oracle-frontend/heredoc-words.jsonl", judge_heredoc);
}

/* Ignore files */

static struct ignore *ignore_of(struct arena *arena, const struct json *row, struct error *err)
{
    const char *file = json_get_string(row, "ignorefile");
    struct word_list patterns = { 0 };
    if (file)
        return ignore_parse(span_of(file), err);
    for (const struct json *v = json_first(json_get(row, "patterns")); v; v = json_next(v))
        word_add(arena, &patterns, json_string(v), err);
    return ignore_new(patterns.items, patterns.count, err);
}

static bool judge_ignore(struct arena *arena, const struct json *row, struct bytes *reason)
{
    const char *message = json_get_string(row, "error");
    struct error err = { 0 };
    AUTO(ignore_free) struct ignore *ignore = ignore_of(arena, row, &err);
    if (!ignore || message)
        return (!ignore && message && !strcmp(message, err.message)) || differs(reason, "error", message, err.message);
    bool same = true;
    for (const struct json *v = json_first(json_get(row, "excluded")); v; v = json_next(v)) {
        bool want = json_boolean(v, false), have = ignore_excludes(ignore, span_of(json_key(v)));
        if (want != have)
            same = differs(reason, json_key(v), want ? "left out" : "let in", have ? "left out" : "let in");
    }
    for (const struct json *v = json_first(json_get(row, "patterns")); !same && v; v = json_next(v))
        bytes_printf(reason, &ignored, " «%s»", json_string(v));
    return same;
}

static void test_ignore(void **state)
{
    (void)state;
    compare("oracle-frontend/ignore-patterns.jsonl", judge_ignore);
}

static bool judge_pattern(struct arena *arena, const struct json *row, struct bytes *reason)
{
    const struct json *pattern = json_first(json_get(row, "case")), *path = json_next(pattern), *want = json_next(path);
    const char *one[] = { json_string(pattern) };
    struct dockerfile_words patterns = one[0] ? (struct dockerfile_words){ one, 1 } : strings_of(arena, pattern);
    struct error err = { 0 };
    AUTO(ignore_free) struct ignore *ignore = ignore_new(patterns.items, patterns.count, &err);
    if (!ignore)
        return differs(reason, patterns.items[0], "a pattern", err.message);
    bool have = ignore_excludes(ignore, span_of(json_string(path)));
    return have == json_boolean(want, false) ||
           differs(reason, patterns.items[0], json_string(path), have ? "matches" : "does not");
}

static void test_patternmatcher(void **state)
{
    (void)state;
    compare("patternmatcher/cases.jsonl", judge_pattern);
}

/* Whole files */

/* Without the words that only one side puts before its sentence. */
static const char *bare(const char *message)
{
    static const char *const prefixes[] = { "dockerfile parse error on line ", "dockerfile line " };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp(message, prefixes[i], strlen(prefixes[i]))) {
            const char *colon = strstr(message, ": ");
            return colon ? colon + 2 : message;
        }
    return message;
}

static const char *recorded_error(const struct json *row)
{
    static const char *const keys[] = { "parse_error", "instr_error", "convert_error", "marshal_error" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_get_string(row, keys[i]))
            return json_get_string(row, keys[i]);
    return NULL;
}

/* What is not this library's to find: it needs git, images or linting. */
static bool is_foreign(const char *message)
{
    static const char *const parts[] = { "lint violation", "failed to parse stage name", "SOURCE_DATE_EPOCH" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(message, parts[i]))
            return true;
    return false;
}

struct build {
    struct arena *arena;
    const struct dockerfile *dockerfile;
    struct dockerfile_scope *global;
    struct dockerfile_plan *plan;
    struct dockerfile_scope **scopes;
    struct word_list history; /* of the target */
    struct word_list runs;    /* the environment of each RUN, in lines */
};

/* Without what a mount adds, which is the sandbox's. */
static const char *lines_of(struct arena *arena, struct dockerfile_words words)
{
    const char *lines = "";
    for (size_t i = 0; lines && i < words.count; i++)
        if (strncmp(words.items[i], "SSH_AUTH_SOCK=", 14) != 0)
            lines = arena_printf(arena, "%s%s\n", lines, words.items[i]);
    return lines;
}

static bool run_instruction(struct build *build, size_t index, const struct dockerfile_instruction *it,
                            struct word_list *history, struct error *err)
{
    struct dockerfile_instruction expanded;
    struct bytes text = BYTES(1 << 20);
    if (!dockerfile_expand(build->scopes[index], it, build->arena, &expanded, err))
        return false;
    if (it->op == DOCKERFILE_RUN)
        word_add(build->arena, &build->runs, lines_of(build->arena, dockerfile_scope_env(build->scopes[index])), err);
    bool ok = dockerfile_created_by(build->scopes[index], &expanded, &text, err);
    if (ok && text.len)
        ok = word_add(build->arena, history, arena_dup(build->arena, bytes_span(&text)), err);
    bytes_release(&text);
    return ok;
}

static bool run_stage(struct build *build, size_t index, struct word_list *histories, struct error *err)
{
    static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                       "FROMBASE=yes" };
    const struct dockerfile_plan_stage *planned = dockerfile_plan_stage(build->plan, index);
    struct dockerfile_base base = { 0 };
    if (planned->base.kind == DOCKERFILE_IMAGE) {
        base.env = (struct dockerfile_words){ env, 2 };
        word_add(build->arena, &histories[index], "base", err);
    }
    if (planned->base.kind == DOCKERFILE_STAGE) {
        const struct word_list *parent = &histories[planned->base.stage];
        for (size_t i = 0; i < parent->count; i++)
            word_add(build->arena, &histories[index], parent->items[i], err);
        build->scopes[index] = dockerfile_scope_on_stage(build->scopes[planned->base.stage], err);
    } else {
        build->scopes[index] = dockerfile_scope_on_image(build->global, &base, err);
    }
    const struct dockerfile_stage *stage = &build->dockerfile->stages[index];
    bool ok = build->scopes[index] != NULL;
    for (size_t i = 0; ok && i < planned->trigger_count; i++)
        ok = run_instruction(build, index, &planned->triggers[i], &histories[index], err);
    for (size_t i = 0; ok && i < stage->count; i++)
        ok = run_instruction(build, index, &stage->instructions[i], &histories[index], err);
    return ok;
}

/* ONBUILD of a stage runs in the stage that is built on it. */
static bool stage_triggers(struct build *build, size_t index, struct error *err)
{
    const struct dockerfile_plan_stage *planned = dockerfile_plan_stage(build->plan, index);
    struct word_list onbuild = { 0 };
    if (planned->base.kind != DOCKERFILE_STAGE)
        return true;
    const struct dockerfile_stage *base = &build->dockerfile->stages[planned->base.stage];
    for (size_t i = 0; i < base->count; i++)
        if (base->instructions[i].op == DOCKERFILE_ONBUILD)
            word_add(build->arena, &onbuild, base->instructions[i].value, err);
    return dockerfile_plan_triggers(build->plan, index, words_of(&onbuild), err);
}

static bool run_build(struct build *build, const struct dockerfile_options *options, struct error *err)
{
    size_t count = build->dockerfile->stage_count;
    struct word_list *histories = arena_take(build->arena, count * sizeof *histories);
    build->scopes = arena_take(build->arena, count * sizeof *build->scopes);
    build->global = dockerfile_scope_global(build->dockerfile, options, err);
    build->plan = build->global ? dockerfile_plan_new(build->dockerfile, build->global, options, err) : NULL;
    bool ok = build->plan != NULL;
    for (size_t i = count; ok && i > 0; i--)
        if (dockerfile_plan_stage(build->plan, i - 1)->needed)
            ok = stage_triggers(build, i - 1, err);
    for (size_t i = 0; ok && i < count; i++)
        if (dockerfile_plan_stage(build->plan, i)->needed)
            ok = run_stage(build, i, histories, err);
    if (ok)
        build->history = histories[dockerfile_plan_target(build->plan)];
    return ok;
}

static bool same_history(const struct json *image, const struct build *build, struct bytes *reason)
{
    size_t i = 0;
    for (const struct json *v = json_first(json_get(image, "history")); v; v = json_next(v), i++) {
        const char *want = json_get_string(v, "created_by"),
                   *have = i < build->history.count ? build->history.items[i] : NULL;
        if (!have || strcmp(want, have) != 0)
            return differs(reason, "history", want, have);
    }
    if (i < build->history.count)
        return differs(reason, "history", "the end", build->history.items[i]);
    size_t target = dockerfile_plan_target(build->plan);
    struct dockerfile_words env = dockerfile_scope_config_env(build->scopes[target]);
    struct dockerfile_words want = strings_of(build->arena, json_get(json_get(image, "config"), "Env"));
    for (i = 0; i < env.count || i < want.count; i++)
        if (i >= env.count || i >= want.count || strcmp(env.items[i], want.items[i]) != 0)
            return differs(reason, "env", i < want.count ? want.items[i] : NULL, i < env.count ? env.items[i] : NULL);
    const char *workdir = json_get_string(json_get(image, "config"), "WorkingDir");
    const char *have = dockerfile_scope_workdir(build->scopes[target]);
    return !workdir || !strcmp(workdir, have) || differs(reason, "workdir", workdir, have);
}

/* Every command that BuildKit would start has an environment that one of our RUNs has. */
static bool same_environments(const struct json *ops, const struct build *build, struct bytes *reason)
{
    for (const struct json *op = json_first(ops); op; op = json_next(op)) {
        const struct json *env = json_get(json_get(op, "exec"), "env");
        const char *want = env ? lines_of(build->arena, strings_of(build->arena, env)) : NULL;
        size_t i = 0;
        while (want && i < build->runs.count && strcmp(build->runs.items[i], want) != 0)
            i++;
        if (want && i == build->runs.count)
            return differs(reason, "environment", want, i ? build->runs.items[i - 1] : NULL);
    }
    return true;
}

static bool judge_build(struct build *build, const struct json *row, struct error *err, struct bytes *reason)
{
    const struct json *image = json_get(row, "image");
    const char *os = json_get_string(image, "os"), *arch = json_get_string(image, "architecture"),
               *variant = json_get_string(image, "variant");
    struct dockerfile_options options = { .target = json_get_string(row, "target") };
    if (arch)
        options.target_platform =
            arena_printf(build->arena, "%s/%s%s%s", os, arch, variant ? "/" : "", variant ? variant : "");
    struct dockerfile_pair pairs[64];
    size_t count = 0;
    for (const struct json *v = json_first(json_get(row, "args")); v && count < 64; v = json_next(v))
        pairs[count++] = (struct dockerfile_pair){ json_key(v), json_string(v) };
    options.args = (struct dockerfile_pairs){ pairs, count };
    if (!run_build(build, &options, err))
        return false;
    return recorded_error(row) || !json_get(row, "image") ||
           (same_history(json_get(row, "image"), build, reason) &&
            same_environments(json_get(row, "ops"), build, reason));
}

/* The typed view of each instruction against BuildKit's, as far as it is written in the file. */
static bool same_text(const struct json *command, const char *key, const char *have, struct bytes *reason)
{
    const char *want = json_get_string(command, key);
    return !strcmp(want ? want : "", have ? have : "") || differs(reason, key, want, have);
}

static bool same_list(const struct json *want, struct dockerfile_words have, struct bytes *reason)
{
    const struct word_list list = { .items = (const char **)(uintptr_t)have.items, .count = have.count };
    return same_words(want, &list, reason) || differs(reason, "words", "other ones", "these");
}

static bool same_pairs(const struct json *want, struct dockerfile_pairs have, struct bytes *reason)
{
    size_t i = 0;
    for (const struct json *v = json_first(want); v; v = json_next(v), i++) {
        if (i >= have.count)
            return differs(reason, "pair", json_get_string(v, "Key"), NULL);
        const char *value = json_get_string(v, "Value");
        if (strcmp(json_get_string(v, "Key"), have.items[i].key) != 0 || !value != !have.items[i].value ||
            (value && strcmp(value, have.items[i].value) != 0))
            return differs(reason, json_get_string(v, "Key"), value, have.items[i].value);
    }
    return i == have.count || differs(reason, "pair", NULL, have.items[i].key);
}

static bool same_copy(const struct json *want, const struct dockerfile_copy *have, struct bytes *reason)
{
    size_t i = 0;
    if (!same_text(want, "DestPath", have->dest, reason) || !same_text(want, "Chown", have->chown, reason) ||
        !same_text(want, "Chmod", have->chmod, reason) || !same_text(want, "From", have->from, reason) ||
        !same_text(want, "Checksum", have->checksum, reason) ||
        !same_list(json_get(want, "SourcePaths"), have->sources, reason) ||
        !same_list(json_get(want, "ExcludePatterns"), have->excludes, reason))
        return false;
    if (have->link != json_boolean(json_get(want, "Link"), false) ||
        have->parents != json_boolean(json_get(want, "Parents"), false))
        return differs(reason, "link or parents", "the opposite", NULL);
    for (const struct json *v = json_first(json_get(want, "SourceContents")); v; v = json_next(v), i++)
        if (i >= have->heredocs.count || !same_text(v, "Data", have->heredocs.items[i].body, reason) ||
            !same_text(v, "Path", have->heredocs.items[i].name, reason) ||
            json_boolean(json_get(v, "Expand"), false) != have->heredocs.items[i].expand)
            return differs(reason, "heredoc", json_get_string(v, "Path"), NULL);
    return i == have->heredocs.count || differs(reason, "heredoc", NULL, have->heredocs.items[i].name);
}

static bool same_command(const struct json *want, const struct dockerfile_command *have, struct bytes *reason)
{
    return same_list(json_get(want, "CmdLine"), have->args, reason) &&
           (have->shell == json_boolean(json_get(want, "PrependShell"), false) ||
            differs(reason, "form", "the other", NULL));
}

static bool same_run(const struct json *want, const struct dockerfile_run *have, struct bytes *reason)
{
    size_t i = 0;
    for (const struct json *v = json_first(json_get(want, "Files")); v; v = json_next(v), i++)
        if (i >= have->heredocs.count || !same_text(v, "Data", have->heredocs.items[i].body, reason) ||
            !same_text(v, "Name", have->heredocs.items[i].name, reason) ||
            json_boolean(json_get(v, "Chomp"), false) != have->heredocs.items[i].chomp)
            return differs(reason, "heredoc", json_get_string(v, "Name"), NULL);
    return same_command(want, &have->command, reason) && same_text(want, "network", have->network, reason) &&
           same_text(want, "security", have->security, reason) && i == have->heredocs.count;
}

static bool same_instruction(const struct json *want, const struct dockerfile_instruction *have, struct bytes *reason)
{
    char type[40];
    snprintf(type, sizeof type, "%s", json_get_string(want, "type"));
    size_t length = strlen(type) - strlen("Command");
    if (strlen(dockerfile_op_name(have->op)) != length || strncasecmp(type, dockerfile_op_name(have->op), length) != 0)
        return differs(reason, "instruction", type, dockerfile_op_name(have->op));
    switch (have->op) {
    case DOCKERFILE_ADD:
    case DOCKERFILE_COPY:
        return same_copy(want, &have->copy, reason);
    case DOCKERFILE_ARG:
        return same_pairs(json_get(want, "Args"), have->pairs, reason);
    case DOCKERFILE_ENV:
        return same_pairs(json_get(want, "Env"), have->pairs, reason);
    case DOCKERFILE_LABEL:
        return same_pairs(json_get(want, "Labels"), have->pairs, reason);
    case DOCKERFILE_CMD:
    case DOCKERFILE_ENTRYPOINT:
        return same_command(want, &have->command, reason);
    case DOCKERFILE_RUN:
        return same_run(want, &have->run, reason);
    case DOCKERFILE_EXPOSE:
        return same_list(json_get(want, "Ports"), have->list, reason);
    case DOCKERFILE_VOLUME:
        return same_list(json_get(want, "Volumes"), have->list, reason);
    case DOCKERFILE_ONBUILD:
        return same_text(want, "Expression", have->value, reason);
    case DOCKERFILE_WORKDIR:
        return same_text(want, "Path", have->value, reason);
    case DOCKERFILE_USER:
        return same_text(want, "User", have->value, reason);
    default:
        return true; /* the history shows them whole */
    }
}

static bool same_stages(const struct json *want, const struct dockerfile *dockerfile, struct bytes *reason)
{
    size_t index = 0;
    for (const struct json *v = json_first(want); v; v = json_next(v), index++) {
        if (index >= dockerfile->stage_count)
            return differs(reason, "stage", json_get_string(v, "base"), NULL);
        const struct dockerfile_stage *stage = &dockerfile->stages[index];
        size_t i = 0;
        if (!same_text(v, "base", stage->from.image, reason) || !same_text(v, "name", stage->from.name, reason) ||
            !same_text(v, "platform", stage->from.platform, reason))
            return false;
        for (const struct json *c = json_first(json_get(v, "commands")); c; c = json_next(c), i++)
            if (i >= stage->count || !same_instruction(c, &stage->instructions[i], reason))
                return i < stage->count ? false : differs(reason, "instruction", json_get_string(c, "type"), NULL);
        if (i != stage->count)
            return differs(reason, "instruction", NULL, stage->instructions[i].text);
    }
    return index == dockerfile->stage_count || differs(reason, "stage", NULL, dockerfile->stages[index].from.image);
}

static bool judge_file(struct arena *arena, const struct json *row, struct bytes *reason)
{
    struct error err = { 0 };
    const char *message = recorded_error(row);
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse(span_of(json_get_string(row, "dockerfile")), &err);
    struct build build = { .arena = arena, .dockerfile = dockerfile };
    bool same = dockerfile && judge_build(&build, row, &err, reason);
    if (dockerfile && json_get(row, "stages") && !same_stages(json_get(row, "stages"), dockerfile, reason))
        same = false, message = NULL, err.kind = ERROR_NONE;
    for (size_t i = 0; dockerfile && build.scopes && i < dockerfile->stage_count; i++)
        dockerfile_scope_free(build.scopes[i]);
    dockerfile_plan_free(build.plan);
    dockerfile_scope_free(build.global);
    if (err.kind)
        return (message && !strcmp(bare(message), bare(err.message))) || differs(reason, "error", message, err.message);
    if (message && !is_foreign(message))
        return differs(reason, "error", message, NULL);
    return same;
}

static void test_tricky(void **state)
{
    (void)state;
    compare("oracle-frontend/frontend-tricky.jsonl", judge_file);
}

static void test_corpus(void **state)
{
    (void)state;
    compare("oracle-frontend/frontend-corpus.jsonl", judge_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),          cmocka_unit_test(test_heredocs), cmocka_unit_test(test_ignore),
        cmocka_unit_test(test_patternmatcher), cmocka_unit_test(test_tricky),   cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/conformance", tests, NULL, NULL);
}
