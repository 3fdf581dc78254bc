#include "runtime/cli/build_logins.h"

#include "shared/base/json.h"
#include "shared/builder/hide.h"

#include <stdlib.h>
#include <string.h>

enum { LOGINS_MAX = 500, FILES = 4, MEMORY_MAX = 4 * 1024 * 1024 };

struct build_logins {
    struct arena *arena;
    struct secret *files[FILES];
    size_t file_count;
    struct registry_login logins[LOGINS_MAX];
    size_t count;
    struct registry_session *session;
};

void build_logins_free(struct build_logins *logins)
{
    if (!logins)
        return;
    registry_session_free(logins->session);
    for (size_t i = 0; i < logins->file_count; i++)
        secret_free(logins->files[i]);
    arena_free(logins->arena);
    free(logins);
}

/* "https://host/v1/" and "host/path": the host. */
static struct span host_of(struct span key)
{
    static const char *const schemes[] = { "https://", "http://" };

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (span_starts(key, schemes[i]))
            key = (struct span){ key.data + strlen(schemes[i]), key.len - strlen(schemes[i]) };
    }
    return span_cut(&key, '/');
}

/* The first file that knows a host has the word. */
static bool add_login(struct build_logins *logins, const char *key, const struct secret *file, struct error *err)
{
    struct span host = host_of(span_of(key));

    for (size_t i = 0; i < logins->count; i++) {
        if (span_is(host, logins->logins[i].host))
            return true;
    }
    if (logins->count == LOGINS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d registries", LOGINS_MAX);
    const char *name = arena_dup(logins->arena, host);
    if (!name)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    logins->logins[logins->count++] = (struct registry_login){ .host = name, .docker_config = file };
    return true;
}

static bool read_file(struct build_logins *logins, const char *path, struct error *err)
{
    static const char *const lists[] = { "auths", "credHelpers" };
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);

    if (!path || access(path, F_OK) != 0)
        return true;
    struct secret *file = arena ? secret_from_file(path, err) : NULL;
    if (!file)
        return arena ? false : error_set(err, ERROR_INTERNAL, "out of memory");
    logins->files[logins->file_count++] = file;
    struct error quoted = { 0 }; /* its text could hold what stands in the file */
    const struct json *root = json_parse(arena, secret_reveal(file), &quoted);
    if (!root)
        return error_set(err, ERROR_INVALID, "'%s' is not valid JSON", path);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const struct json *m = json_first(json_get(root, lists[i])); m; m = json_next(m)) {
            if (!add_login(logins, json_key(m), file, err))
                return false;
        }
    }
    return true;
}

static bool read_files(struct build_logins *logins, struct error *err)
{
    const char *docker = getenv("DOCKER_CONFIG"), *named = getenv("REGISTRY_AUTH_FILE");
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
    const char *paths[FILES] = {
        docker ? arena_printf(logins->arena, "%s/config.json", docker)
        : home ? arena_printf(logins->arena, "%s/.docker/config.json", home)
               : NULL,
        named,
        runtime ? arena_printf(logins->arena, "%s/containers/auth.json", runtime) : NULL,
        home ? arena_printf(logins->arena, "%s/.config/containers/auth.json", home) : NULL,
    };

    for (size_t i = 0; i < FILES; i++) {
        if (!read_file(logins, paths[i], err))
            return false;
    }
    return true;
}

struct registry_options build_logins_options(const struct build_logins *logins)
{
    return (
        struct registry_options){ .logins = logins->logins, .login_count = logins->count, .session = logins->session };
}

struct build_logins *build_logins_load(struct progress *progress, struct error *err)
{
    AUTO(build_logins_free) struct build_logins *logins = calloc(1, sizeof(*logins));

    if (logins)
        logins->arena = arena_new(MEMORY_MAX);
    if (!logins || !logins->arena) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    logins->session = registry_session_new(err);
    if (!logins->session || !read_files(logins, err))
        return NULL;
    const struct registry_options options = build_logins_options(logins);
    return hide_logins(progress, &options, err) ? TAKE(logins) : NULL;
}
