/* The Dockerfile library, asked by dockerfile_frontend_test.py: one JSON object a line on standard input, one a line on
 * standard output. Texts come in hexadecimal, because they may hold any byte. */
#include "shared/base/json.h"
#include "shared/dockerfile/gitref.h"

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

static const struct {
    const char *name;
    void (*ask)(const struct question *question);
} questions[] = {
    { "git-ref", ask_git_ref },
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
