#include "runtime/local/manifest.h"

#include "shared/base/bytes.h"
#include "shared/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

enum { MANIFEST_MAX = 64 * 1024 };

extern char **environ;

static bool read_all(int fd, struct bytes *out, struct error *err)
{
    for (;;) {
        if (!bytes_reserve(out, 4096, err))
            return false;
        ssize_t n = read(fd, out->data + out->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, errno, "cannot read");
        if (n == 0)
            return true;
        out->len += (size_t)n;
    }
}

static bool run(const char *program, struct bytes *out, struct error *err)
{
    int ends[2];
    pid_t pid;
    int status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(err, errno, "cannot make a pipe");
    AUTO(close) int reading = ends[0];
    char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)"--manifest", NULL };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int failed = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed)
        return error_set_errno(err, failed, "cannot start '%s'", program);
    bool ok = read_all(reading, out, err);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (ok && status != 0)
        return error_set(err, ERROR_INTERNAL, "'%s --manifest' failed", program);
    return ok;
}

static bool read_types(struct arena *arena, const struct json *in, struct manifest *out, struct error *err)
{
    const char **types = arena_take(arena, (json_count(in) + 1) * sizeof *types);
    if (!types)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (const struct json *type = json_first(in); type; type = json_next(type))
        if (!(types[out->type_count++] = json_string(type)))
            return error_set(err, ERROR_INVALID, "\"in\" holds something that is not a string");
    out->types = types;
    return true;
}

bool manifest_ask(struct arena *arena, const char *program, struct manifest *out, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(MANIFEST_MAX);
    if (!run(program, &text, err))
        return false;
    char *copy = arena_dup(arena, bytes_span(&text)); /* names point into the document, which lives in the arena */
    const struct json *doc = copy ? json_parse(arena, span_of(copy), err) : NULL;
    if (!doc)
        return error_wrap(err, "manifest of '%s'", program);
    int64_t concurrency = 1, timeout_s = 60;
    (void)json_integer(json_get(doc, "concurrency"), &concurrency);
    (void)json_integer(json_get(doc, "timeoutSeconds"), &timeout_s);
    const char *serves = json_get_string(doc, "serves");
    *out = (struct manifest){
        .name = json_get_string(doc, "name"),
        .program = program,
        .concurrency = (unsigned)concurrency,
        .timeout_ms = (long)timeout_s * 1000,
        .serves_http = serves && strcmp(serves, "http") == 0,
    };
    if (!out->name)
        return error_set(err, ERROR_INVALID, "manifest of '%s' has no name", program);
    return read_types(arena, json_get(doc, "in"), out, err);
}
