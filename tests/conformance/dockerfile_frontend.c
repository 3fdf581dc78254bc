/* The Dockerfile library, asked by dockerfile_frontend_test.py: one JSON object a line on standard input, one a line on
 * standard output. Texts come in hexadecimal, because they may hold any byte. */
#include "shared/base/json.h"
#include "shared/builder/stage.h"
#include "shared/dockerfile/gitref.h"
#include "shared/dockerfile/lex.h"
#include "shared/dockerfile/lint.h"
#include "shared/dockerfile/mount.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MEMORY_MAX = 64 << 20, ANSWER_MAX = 16 << 20 };

struct question {
    struct arena *arena;
    const struct json *json;
    struct json_writer *answer;
};

/* ---- reading ---- */

static struct span unhex(struct arena *arena, const char *hex)
{
    static const char digits[] = "0123456789abcdef";
    size_t length = hex ? strlen(hex) / 2 : 0;
    char *out = arena_take(arena, length + 1);
    for (size_t i = 0; i < length; i++)
        out[i] = (char)((strchr(digits, hex[2 * i]) - digits) << 4 | (strchr(digits, hex[2 * i + 1]) - digits));
    return (struct span){ hex ? out : NULL, length };
}

static struct span get_span(const struct question *question, const char *key)
{
    return unhex(question->arena, json_get_string(question->json, key));
}

/* NULL when it is absent; what stands behind a NUL is lost. */
static const char *get_text(const struct question *question, const char *key)
{
    return get_span(question, key).data;
}

/* ---- questions ---- */

static void add_error(const struct question *question, const struct error *err)
{
    json_add_string(question->answer, "error", err->message);
    json_add_string(question->answer, "kind", error_kind_name(err->kind));
}

static void add_choice(struct json_writer *answer, const char *key, enum git_ref_choice choice)
{
    if (choice != GIT_REF_UNSAID)
        json_add_boolean(answer, key, choice == GIT_REF_YES);
}

static void ask_git_ref(const struct question *question)
{
    struct json_writer *answer = question->answer;
    struct git_ref ref = { 0 };
    struct error err = { 0 };
    bool is_git = false, ok = git_ref_parse(question->arena, get_text(question, "text"), &ref, &is_git, &err);
    json_add_boolean(answer, "is_git", is_git);
    if (!ok) {
        add_error(question, &err);
        return;
    }
    json_add_string(answer, "Remote", ref.remote);
    json_add_string(answer, "ShortName", ref.name);
    json_add_string(answer, "Ref", ref.ref);
    json_add_string(answer, "Checksum", ref.checksum);
    json_add_string(answer, "SubDir", ref.subdir);
    json_add_string(answer, "directory", ref.directory);
    json_add_string(answer, "MTime", ref.mtime);
    add_choice(answer, "KeepGitDir", ref.keep_git_dir);
    add_choice(answer, "Submodules", ref.submodules);
    json_add_boolean(answer, "FetchByCommit", ref.fetch_by_commit == GIT_REF_YES);
    json_add_boolean(answer, "IndistinguishableFromLocal", ref.looks_like_a_path);
    json_add_boolean(answer, "UnencryptedTCP", ref.unencrypted);
}

/* ---- words ---- */

static void add_words(struct json_writer *answer, const char *key, struct dockerfile_words words)
{
    json_open_array(answer, key);
    for (size_t i = 0; i < words.count; i++)
        json_add_string(answer, NULL, words.items[i]);
    json_close_array(answer);
}

static struct dockerfile_words get_words(const struct question *question, const char *key)
{
    struct word_list words = { 0 };
    struct error ignored = { 0 };
    for (const struct json *v = json_first(json_get(question->json, key)); v; v = json_next(v))
        word_add(question->arena, &words, unhex(question->arena, json_string(v)).data, &ignored);
    return words_of(&words);
}

static const char *look_up(const void *context, struct span name)
{
    const struct dockerfile_words *env = context;
    for (size_t i = 0; i < env->count; i++)
        if (!strncmp(env->items[i], name.data, name.len) && env->items[i][name.len] == '=')
            return env->items[i] + name.len + 1;
    return NULL;
}

static void ask_word(const struct question *question)
{
    struct dockerfile_words env = get_words(question, "env");
    const struct word_env variables = { look_up, &env };
    const struct word_rules rules = { .escape = *get_text(question, "escape"),
                                      .skip_quotes = json_boolean(json_get(question->json, "body"), false),
                                      .raw_quotes = json_boolean(json_get(question->json, "raw"), false),
                                      .raw_escapes = json_boolean(json_get(question->json, "raw"), false) };
    AUTO(bytes_release) struct bytes out = BYTES(ANSWER_MAX);
    struct word_list words = { 0 };
    struct error err = { 0 };
    if (!word_expand(get_span(question, "text"), &rules, &variables, &out, question->arena, &words, &err)) {
        add_error(question, &err);
        return;
    }
    json_add_span(question->answer, "out", bytes_span(&out));
    add_words(question->answer, "words", words_of(&words));
}

static void ask_heredoc(const struct question *question)
{
    struct json_writer *answer = question->answer;
    struct dockerfile_heredoc heredoc = { 0 };
    struct error err = { 0 };
    bool found = false;
    if (!heredoc_parse(question->arena, get_span(question, "text"), &heredoc, &found, &err)) {
        add_error(question, &err);
        return;
    }
    if (!found)
        return;
    json_open_object(answer, "heredoc");
    json_add_string(answer, "Name", heredoc.name);
    json_add_integer(answer, "FileDescriptor", heredoc.descriptor);
    json_add_boolean(answer, "Expand", heredoc.expand);
    json_add_boolean(answer, "Chomp", heredoc.chomp);
    json_close_object(answer);
}

/* ---- ignore files ---- */

static void ask_ignore(const struct question *question)
{
    struct dockerfile_words patterns = get_words(question, "patterns"), paths = get_words(question, "paths");
    struct error err = { 0 };
    AUTO(ignore_free)
    struct ignore *ignore = json_get(question->json, "text") ? ignore_parse(get_span(question, "text"), &err)
                                                             : ignore_new(patterns.items, patterns.count, &err);
    if (!ignore) {
        add_error(question, &err);
        return;
    }
    json_open_array(question->answer, "excluded");
    for (size_t i = 0; i < paths.count; i++)
        json_add_raw(question->answer, NULL,
                     ignore_excludes(ignore, span_of(paths.items[i])) ? SPAN("true") : SPAN("false"));
    json_close_array(question->answer);
}

/* ---- the tree of words, as BuildKit's parser dumps it ---- */

/* A word with the NUL bytes that stand for themselves in JSON only. */
static struct span with_nuls(struct arena *arena, const char *word)
{
    char *out = arena_dup(arena, span_of(word)), *to = out;
    for (const char *p = word; *p; p++) {
        bool nul = !strncmp(p, NUL_IN_TEXT, 2);
        *to++ = nul ? '\0' : *p;
        p += nul;
    }
    return (struct span){ out, (size_t)(to - out) };
}

static void dump_words(struct arena *arena, struct bytes *out, const struct node *node, struct error *err)
{
    bool pairs = node->op == DOCKERFILE_ENV || node->op == DOCKERFILE_LABEL;
    if (node->op == DOCKERFILE_OPS)
        bytes_append_text(out, *node->name ? " \"\"" : "\"\"", err); /* of what is unknown nothing is read */
    for (size_t i = 0; i < node->args.count; i++) {
        bytes_append_char(out, ' ', err);
        quote_append(out, with_nuls(arena, node->args.items[i]), err);
        if (pairs && i % 2)
            bytes_append_text(out, node->legacy ? " \"\"" : " \"=\"", err);
    }
}

static void dump_node(struct arena *arena, struct bytes *out, const struct node *node, struct error *err)
{
    bytes_printf(out, err, "(%s", text_lower(arena, span_of(node->name)));
    for (size_t i = 0; i < node->flags.count; i++) {
        bytes_append_text(out, i ? " " : " [", err);
        quote_append(out, span_of(node->flags.items[i]), err);
    }
    if (node->flags.count)
        bytes_append_char(out, ']', err);
    if (node->trigger) {
        bytes_append_char(out, ' ', err);
        dump_node(arena, out, node->trigger, err);
    } else {
        dump_words(arena, out, node, err);
    }
    bytes_append_char(out, ')', err);
}

/* One for each instruction that can be read, before anybody knows what they mean. */
static void add_ast(const struct question *question)
{
    AUTO(bytes_release) struct bytes out = BYTES(ANSWER_MAX);
    struct lexer lexer = lexer_on(question->arena, get_span(question, "text"));
    struct word_list nodes = { 0 };
    struct node *node = NULL;
    struct error err = { 0 };
    do {
        if (!lexer_next(&lexer, &node, &err))
            return;
        if (node)
            word_add(question->arena, &nodes, (const char *)node, &err);
    } while (node);
    if (!nodes.count)
        return;
    for (size_t i = 0; i < nodes.count; i++) {
        if (i)
            bytes_append_char(&out, '\n', &err);
        dump_node(question->arena, &out, (const void *)nodes.items[i], &err);
    }
    json_add_span(question->answer, "ast", bytes_span(&out));
    json_add_span(question->answer, "escape", (struct span){ &lexer.escape, 1 });
    json_open_array(question->answer, "lines");
    for (size_t i = 0; i < nodes.count; i++) {
        node = (struct node *)(uintptr_t)nodes.items[i];
        json_open_array(question->answer, NULL);
        json_add_integer(question->answer, NULL, node->first);
        json_add_integer(question->answer, NULL, node->last);
        json_close_array(question->answer);
    }
    json_close_array(question->answer);
}

/* ---- instructions as they were understood ---- */

static void add_text(struct json_writer *answer, const char *key, const char *text)
{
    json_add_string(answer, key, text ? text : "");
}

static bool as_it_is(void *context, const char *value, const char **out, struct error *err)
{
    (void)context;
    (void)err;
    *out = value;
    return true;
}

static void add_mount(struct json_writer *answer, const struct mount_fields *m)
{
    json_open_object(answer, NULL);
    json_add_string(answer, "Type", mount_type_name(m->type));
    add_text(answer, "From", m->from);
    add_text(answer, "Source", m->source);
    add_text(answer, "Target", m->target);
    add_text(answer, "CacheID", m->id);
    add_text(answer, "CacheSharing", m->sharing);
    json_add_string(answer, "Env", m->env);
    json_add_integer(answer, "SizeLimit", m->size);
    json_add_boolean(answer, "ReadOnly", m->readonly);
    json_add_boolean(answer, "Required", m->required);
    const struct {
        const char *key;
        bool said;
        uint32_t value;
    } numbers[] = { { "UID", m->uid_set, m->uid }, { "GID", m->gid_set, m->gid }, { "Mode", m->mode_set, m->mode } };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].said)
            json_add_integer(answer, numbers[i].key, numbers[i].value);
    json_close_object(answer);
}

static void add_mounts(const struct question *question, struct dockerfile_mounts mounts)
{
    static const struct mount_expander plainly = { as_it_is, NULL };
    struct mount_fields *fields = arena_take(question->arena, (mounts.count + 1) * sizeof *fields);
    struct error err = { 0 };
    for (size_t i = 0; i < mounts.count; i++)
        if (!mount_parse(question->arena, mounts.items[i].text, &plainly, &fields[i], &err)) {
            json_add_string(question->answer, "mounts_error", err.message);
            return;
        }
    json_open_array(question->answer, "mounts");
    for (size_t i = 0; i < mounts.count; i++)
        add_mount(question->answer, &fields[i]);
    json_close_array(question->answer);
}

static void add_run(const struct question *question, const struct dockerfile_instruction *it)
{
    struct json_writer *answer = question->answer;
    add_words(answer, "CmdLine", it->run.command.args);
    json_add_boolean(answer, "PrependShell", it->run.command.shell);
    json_open_array(answer, "Files");
    for (size_t i = 0; i < it->run.heredocs.count; i++) {
        json_open_object(answer, NULL);
        json_add_string(answer, "Name", it->run.heredocs.items[i].name);
        json_add_string(answer, "Data", it->run.heredocs.items[i].body);
        json_add_boolean(answer, "Chomp", it->run.heredocs.items[i].chomp);
        json_close_object(answer);
    }
    json_close_array(answer);
    add_mounts(question, it->run.mounts);
    json_add_string(answer, "network", it->run.network);
    json_add_string(answer, "security", it->run.security);
}

static void add_copy(const struct question *question, const struct dockerfile_instruction *it)
{
    struct json_writer *answer = question->answer;
    const struct dockerfile_copy *copy = &it->copy;
    add_words(answer, "SourcePaths", copy->sources);
    json_open_array(answer, "SourceContents");
    for (size_t i = 0; i < copy->heredocs.count; i++) {
        json_open_object(answer, NULL);
        json_add_string(answer, "Path", copy->heredocs.items[i].name);
        json_add_string(answer, "Data", copy->heredocs.items[i].body);
        json_add_boolean(answer, "Expand", copy->heredocs.items[i].expand);
        json_close_object(answer);
    }
    json_close_array(answer);
    add_text(answer, "DestPath", copy->dest);
    add_text(answer, "Chown", copy->chown);
    add_text(answer, "Chmod", copy->chmod);
    add_words(answer, "ExcludePatterns", copy->excludes);
    json_add_boolean(answer, "Link", copy->link);
    if (it->op == DOCKERFILE_COPY) {
        add_text(answer, "From", copy->from);
        json_add_boolean(answer, "Parents", copy->parents);
        return;
    }
    add_text(answer, "Checksum", copy->checksum);
    if (copy->keep_git_dir_set)
        json_add_boolean(answer, "KeepGitDir", copy->keep_git_dir);
    if (copy->unpack_set)
        json_add_boolean(answer, "Unpack", copy->unpack);
}

static void add_pairs(const struct question *question, const struct dockerfile_instruction *it)
{
    static const char *const keys[] = {
        [DOCKERFILE_ARG] = "Args", [DOCKERFILE_ENV] = "Env", [DOCKERFILE_LABEL] = "Labels"
    };
    struct json_writer *answer = question->answer;
    json_open_array(answer, keys[it->op]);
    for (size_t i = 0; i < it->pairs.count; i++) {
        json_open_object(answer, NULL);
        json_add_string(answer, "Key", it->pairs.items[i].key);
        json_add_string(answer, "Value", it->pairs.items[i].value);
        if (it->op != DOCKERFILE_ARG)
            json_add_boolean(answer, "NoDelim", it->legacy_pair);
        json_close_object(answer);
    }
    json_close_array(answer);
}

static void add_command(const struct question *question, const struct dockerfile_instruction *it)
{
    if (it->op == DOCKERFILE_SHELL) {
        add_words(question->answer, "Shell", it->command.args);
        return;
    }
    add_words(question->answer, "CmdLine", it->command.args);
    json_add_boolean(question->answer, "PrependShell", it->command.shell);
}

static void add_list(const struct question *question, const struct dockerfile_instruction *it)
{
    add_words(question->answer, it->op == DOCKERFILE_EXPOSE ? "Ports" : "Volumes", it->list);
}

static void add_value(const struct question *question, const struct dockerfile_instruction *it)
{
    static const char *const keys[] = { [DOCKERFILE_MAINTAINER] = "Maintainer",
                                        [DOCKERFILE_ONBUILD] = "Expression",
                                        [DOCKERFILE_STOPSIGNAL] = "Signal",
                                        [DOCKERFILE_USER] = "User",
                                        [DOCKERFILE_WORKDIR] = "Path" };
    add_text(question->answer, keys[it->op], it->value);
}

static void add_health(const struct question *question, const struct dockerfile_instruction *it)
{
    const struct dockerfile_health *health = &it->health;
    struct json_writer *answer = question->answer;
    json_open_object(answer, "Health");
    json_open_array(answer, "Test");
    json_add_string(answer, NULL, health->none ? "NONE" : health->command.shell ? "CMD-SHELL" : "CMD");
    for (size_t i = 0; i < health->command.args.count; i++)
        json_add_string(answer, NULL, health->command.args.items[i]);
    json_close_array(answer);
    json_add_integer(answer, "Interval", health->interval_ns);
    json_add_integer(answer, "Timeout", health->timeout_ns);
    json_add_integer(answer, "StartPeriod", health->start_period_ns);
    json_add_integer(answer, "StartInterval", health->start_interval_ns);
    json_add_integer(answer, "Retries", health->retries);
    json_close_object(answer);
}

static void (*const adders[DOCKERFILE_OPS])(const struct question *, const struct dockerfile_instruction *) = {
    [DOCKERFILE_ADD] = add_copy,         [DOCKERFILE_ARG] = add_pairs,          [DOCKERFILE_CMD] = add_command,
    [DOCKERFILE_COPY] = add_copy,        [DOCKERFILE_ENTRYPOINT] = add_command, [DOCKERFILE_ENV] = add_pairs,
    [DOCKERFILE_EXPOSE] = add_list,      [DOCKERFILE_HEALTHCHECK] = add_health, [DOCKERFILE_LABEL] = add_pairs,
    [DOCKERFILE_MAINTAINER] = add_value, [DOCKERFILE_ONBUILD] = add_value,      [DOCKERFILE_RUN] = add_run,
    [DOCKERFILE_SHELL] = add_command,    [DOCKERFILE_STOPSIGNAL] = add_value,   [DOCKERFILE_USER] = add_value,
    [DOCKERFILE_VOLUME] = add_list,      [DOCKERFILE_WORKDIR] = add_value,
};

static void add_instructions(const struct question *question, const char *key,
                             const struct dockerfile_instruction *items, size_t count)
{
    struct json_writer *answer = question->answer;
    json_open_array(answer, key);
    for (size_t i = 0; i < count; i++) {
        json_open_object(answer, NULL);
        json_add_string(answer, "op", dockerfile_op_name(items[i].op));
        json_add_integer(answer, "line", items[i].line);
        add_words(answer, "comments", items[i].comments);
        adders[items[i].op](question, &items[i]);
        json_close_object(answer);
    }
    json_close_array(answer);
}

static void add_stages(const struct question *question, const struct dockerfile *dockerfile)
{
    struct json_writer *answer = question->answer;
    json_open_array(answer, "stages");
    for (size_t i = 0; i < dockerfile->stage_count; i++) {
        const struct dockerfile_stage *stage = &dockerfile->stages[i];
        json_open_object(answer, NULL);
        add_text(answer, "base", stage->from.image);
        add_text(answer, "name", stage->from.name);
        add_text(answer, "platform", stage->from.platform);
        add_instructions(question, "commands", stage->instructions, stage->count);
        json_close_object(answer);
    }
    json_close_array(answer);
}

/* ---- what a build would make of them ---- */

/* The one image behind every base. */
static bool base_image(const struct question *question, struct dockerfile_image *out, struct error *err)
{
    const struct imageconfig *config = imageconfig_new(question->arena, json_get(question->json, "base"), 1, err);
    *out = (struct dockerfile_image){ 0 };
    if (!config)
        return false;
    out->base.workdir = imageconfig_text(config, "WorkingDir");
    out->platform = "linux/amd64";
    return imageconfig_words(config, "Env", &out->base.env, err) &&
           imageconfig_words(config, "Shell", &out->base.shell, err) &&
           imageconfig_words(config, "OnBuild", &out->onbuild, err);
}

static bool find_image(void *context, const char *image, const char *platform, struct dockerfile_image *out,
                       struct error *err)
{
    (void)image;
    (void)platform;
    return base_image(context, out, err);
}

static struct dockerfile_options options_of(const struct question *question)
{
    const struct json *args = json_get(question->json, "args");
    struct dockerfile_pair *pairs = arena_take(question->arena, (json_count(args) + 1) * sizeof *pairs);
    size_t count = 0;
    for (const struct json *v = json_first(args); v; v = json_next(v))
        pairs[count++] = (struct dockerfile_pair){ json_key(v), unhex(question->arena, json_string(v)).data };
    return (struct dockerfile_options){ .args = { pairs, count },
                                        .target = get_text(question, "target"),
                                        .target_platform = get_text(question, "platform") };
}

static void add_lint(struct question *question, const struct dockerfile *dockerfile)
{
    const struct dockerfile_lint_options options = { .build = options_of(question),
                                                     .find = find_image,
                                                     .context = question };
    struct dockerfile_warnings warnings = { 0 };
    struct json_writer *answer = question->answer;
    struct error err = { 0 };
    bool ok = dockerfile_lint(dockerfile, &options, question->arena, &warnings, &err);
    json_open_array(answer, "lint");
    for (size_t i = 0; i < warnings.count; i++) {
        json_open_object(answer, NULL);
        json_add_string(answer, "rule", warnings.items[i].rule);
        json_add_string(answer, "msg", warnings.items[i].message);
        json_add_string(answer, "url", dockerfile_rule_find(warnings.items[i].rule)->url);
        json_add_string(answer, "description", dockerfile_rule_find(warnings.items[i].rule)->description);
        json_add_integer(answer, "first", warnings.items[i].line);
        json_add_integer(answer, "last", warnings.items[i].last_line);
        json_close_object(answer);
    }
    json_close_array(answer);
    if (!ok)
        json_add_string(answer, "lint_error", err.message);
}

static bool makes_layer(const struct dockerfile_instruction *it)
{
    return it->op == DOCKERFILE_ADD || it->op == DOCKERFILE_COPY || it->op == DOCKERFILE_RUN ||
           (it->op == DOCKERFILE_WORKDIR && strcmp(it->value, "/") != 0);
}

/* A command as the sandbox would get it. */
static void add_exec(const struct question *question, const struct stage *stage,
                     const struct dockerfile_instruction *it)
{
    struct json_writer *answer = question->answer;
    json_open_object(answer, NULL);
    add_words(answer, "shell",
              it->run.command.shell ? dockerfile_scope_shell(stage->scope) : (struct dockerfile_words){ 0 });
    add_words(answer, "args", it->run.command.args);
    add_words(answer, "env", dockerfile_scope_env(stage->scope));
    struct dockerfile_words proxies = { 0 };
    struct error ignored = { 0 };
    dockerfile_scope_proxies(stage->scope, question->arena, &proxies, &ignored);
    add_words(answer, "proxies", proxies);
    json_add_string(answer, "cwd", dockerfile_scope_workdir(stage->scope));
    add_text(answer, "user", imageconfig_text(stage->config, "User"));
    json_add_string(answer, "network", it->run.network);
    json_add_string(answer, "security", it->run.security);
    json_add_boolean(answer, "script", it->run.script != NULL);
    json_open_array(answer, "mounts");
    for (size_t i = 0; i < it->run.mounts.count; i++) {
        const struct dockerfile_mount *m = &it->run.mounts.items[i];
        json_open_object(answer, NULL);
        json_add_string(answer, "type", mount_type_name(m->type));
        json_add_string(answer, "target", m->target);
        json_add_string(answer, "source", m->source);
        json_add_string(answer, "id", m->id);
        json_add_string(answer, "env", m->env);
        json_add_integer(answer, "sharing", m->sharing);
        json_add_integer(answer, "size", m->size);
        json_add_integer(answer, "uid", m->uid);
        json_add_integer(answer, "gid", m->gid);
        json_add_integer(answer, "mode", m->mode);
        json_add_boolean(answer, "owner_set", m->owner_set);
        json_add_boolean(answer, "readonly", m->readonly);
        json_add_boolean(answer, "required", m->required);
        json_close_object(answer);
    }
    json_close_array(answer);
    json_close_object(answer);
}

static bool run_instruction(const struct question *question, struct stage *stage,
                            const struct dockerfile_instruction *in, struct error *err)
{
    AUTO(bytes_release) struct bytes created_by = BYTES(DOCKERFILE_SIZE_MAX);
    struct dockerfile_instruction it;
    if (!dockerfile_expand(stage->scope, in, question->arena, &it, err))
        return false;
    if (it.op == DOCKERFILE_RUN)
        add_exec(question, stage, &it);
    else if (it.op == DOCKERFILE_WORKDIR && !imageconfig_set_text(stage->config, "WorkingDir", it.value, err))
        return false;
    else if (!makes_layer(&it) && !stage_apply(stage, &it, err))
        return false;
    return it.op == DOCKERFILE_ONBUILD ||
           (dockerfile_created_by(stage->scope, &it, &created_by, err) &&
            imageconfig_add_history(stage->config, bytes_text(&created_by), !makes_layer(&it), err));
}

static bool start_stage(const struct question *question, struct build *build, struct stage *stage, struct error *err)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(build->plan, stage->index);
    struct dockerfile_image image = { 0 };
    stage->build = build;
    if (plan->base.kind == DOCKERFILE_STAGE) {
        const struct stage *parent = &build->stages[plan->base.stage];
        stage->config = imageconfig_clone(question->arena, parent->config, err);
        stage->scope = stage->config ? dockerfile_scope_on_stage(parent->scope, err) : NULL;
        return stage->scope && imageconfig_set(stage->config, "OnBuild", (struct span){ 0 }, err);
    }
    bool scratch = plan->base.kind == DOCKERFILE_SCRATCH;
    if (!scratch && !base_image(question, &image, err))
        return false;
    stage->config =
        imageconfig_new(question->arena, scratch ? NULL : json_get(question->json, "base"), scratch ? 0 : 1, err);
    stage->scope = stage->config ? dockerfile_scope_on_image(build->global, &image.base, err) : NULL;
    return stage->scope && imageconfig_set(stage->config, "OnBuild", (struct span){ 0 }, err);
}

static bool run_stage(const struct question *question, struct build *build, struct stage *stage, struct error *err)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(build->plan, stage->index);
    const struct dockerfile_stage *parsed = &build->dockerfile->stages[stage->index];
    if (!start_stage(question, build, stage, err))
        return false;
    for (size_t i = 0; i < plan->trigger_count; i++)
        if (!run_instruction(question, stage, &plan->triggers[i], err))
            return false;
    for (size_t i = 0; i < parsed->count; i++)
        if (!run_instruction(question, stage, &parsed->instructions[i], err))
            return false;
    return imageconfig_set_words(stage->config, "Env", dockerfile_scope_config_env(stage->scope), err);
}

/* What a stage leaves to be run in those that are built on it. */
static bool tell_triggers(const struct question *question, struct build *build, size_t index, struct error *err)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(build->plan, index);
    struct word_list onbuild = { 0 };
    struct dockerfile_image image = { 0 };
    if (plan->base.kind == DOCKERFILE_IMAGE)
        return base_image(question, &image, err) && dockerfile_plan_triggers(build->plan, index, image.onbuild, err);
    const struct dockerfile_stage *base =
        plan->base.kind == DOCKERFILE_STAGE ? &build->dockerfile->stages[plan->base.stage] : NULL;
    for (size_t i = 0; base && i < base->count; i++)
        if (base->instructions[i].op == DOCKERFILE_ONBUILD &&
            !word_add(question->arena, &onbuild, base->instructions[i].value, err))
            return false;
    return dockerfile_plan_triggers(build->plan, index, words_of(&onbuild), err);
}

static bool run_build(const struct question *question, struct build *build, const struct dockerfile_options *options,
                      struct error *err)
{
    size_t count = build->dockerfile->stage_count;
    build->stages = arena_take(question->arena, count * sizeof *build->stages);
    build->global = dockerfile_scope_global(build->dockerfile, options, err);
    build->plan = build->global ? dockerfile_plan_new(build->dockerfile, build->global, options, err) : NULL;
    bool ok = build->plan;
    for (size_t i = count; ok && i > 0; i--)
        ok = !dockerfile_plan_stage(build->plan, i - 1)->needed || tell_triggers(question, build, i - 1, err);
    for (size_t i = 0; ok && i < count; i++) {
        build->stages[i].index = i;
        ok = !dockerfile_plan_stage(build->plan, i)->needed || run_stage(question, build, &build->stages[i], err);
    }
    return ok;
}

static bool write_image(const struct question *question, const struct build *build,
                        const struct dockerfile_options *options, struct error *err)
{
    AUTO(bytes_release) struct bytes image = BYTES(ANSWER_MAX);
    const struct imageconfig_result result = { .platform = options->target_platform };
    const struct stage *target = &build->stages[dockerfile_plan_target(build->plan)];
    if (!imageconfig_write(target->config, &result, &image, err))
        return false;
    json_add_raw(question->answer, "image", bytes_span(&image));
    return true;
}

static void add_build(const struct question *question, const struct dockerfile *dockerfile)
{
    const struct dockerfile_options options = options_of(question);
    struct build build = { .dockerfile = dockerfile, .arena = question->arena };
    struct error err = { 0 };
    json_open_array(question->answer, "execs");
    bool ok = run_build(question, &build, &options, &err);
    json_close_array(question->answer);
    if (!ok || !write_image(question, &build, &options, &err))
        add_error(question, &err);
    for (size_t i = 0; i < dockerfile->stage_count; i++)
        dockerfile_scope_free(build.stages[i].scope);
    dockerfile_plan_free(build.plan);
    dockerfile_scope_free(build.global);
}

static void ask_file(const struct question *question)
{
    struct error err = { 0 };
    struct question own = *question;
    add_ast(question);
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(get_span(question, "text"), &err);
    if (!dockerfile) {
        add_error(question, &err);
        return;
    }
    add_instructions(question, "meta_args", dockerfile->globals, dockerfile->global_count);
    add_stages(question, dockerfile);
    add_lint(&own, dockerfile);
    add_build(question, dockerfile);
}

static const struct {
    const char *name;
    void (*ask)(const struct question *question);
} questions[] = {
    { "file", ask_file },     { "git-ref", ask_git_ref }, { "heredoc", ask_heredoc },
    { "ignore", ask_ignore }, { "word", ask_word },
};

static void answer_line(const char *line)
{
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    AUTO(bytes_release) struct bytes text = BYTES(ANSWER_MAX);
    struct json_writer answer = json_writer_on(&text);
    struct error err = { 0 };
    struct question question = { arena, json_parse(arena, span_of(line), &err), &answer };
    const char *name = json_get_string(question.json, "do");
    json_open_object(&answer, NULL);
    for (size_t i = 0; name && i < sizeof questions / sizeof *questions; i++)
        if (!strcmp(questions[i].name, name))
            questions[i].ask(&question);
    json_close_object(&answer);
    if (!name || !json_writer_end(&answer, &err)) {
        fprintf(stderr, "dockerfile_frontend: %s\n", err.message);
        exit(1);
    }
    puts(bytes_text(&text));
    fflush(stdout);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0)
        answer_line(line);
    free(line);
    return 0;
}
