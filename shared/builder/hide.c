#include "shared/builder/hide.h"

#include "shared/base/encode.h"
#include "shared/base/json.h"

enum { MEMORY_MAX = 4 * 1024 * 1024 };

static bool hide_member(struct progress *progress, const struct json *member, struct error *err)
{
    static const char *const keys[] = { "auth", "password", "identitytoken", "registrytoken" };
    AUTO(bytes_wipe) struct bytes plain = BYTES(SECRET_MAX);
    const char *packed = json_get_string(member, "auth");
    struct error ignored;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = json_get_string(member, keys[i]);
        if (value && !progress_hide(progress, span_of(value), err))
            return false;
    }
    if (!packed || !base64_decode(&plain, span_of(packed), &ignored))
        return true;
    struct span password = bytes_span(&plain);
    span_cut(&password, ':');
    return !password.data || progress_hide(progress, password, err);
}

/* A file that is malformed is told of by who logs in with it. */
static bool hide_file(struct progress *progress, const struct secret *file, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    struct error ignored = { 0 };
    const struct json *root = arena ? json_parse(arena, secret_reveal(file), &ignored) : NULL;

    for (const struct json *m = json_first(json_get(root, "auths")); m; m = json_next(m)) {
        if (!hide_member(progress, m, err))
            return false;
    }
    return arena || error_set(err, ERROR_INTERNAL, "out of memory");
}

bool hide_logins(struct progress *progress, const struct registry_options *registries, struct error *err)
{
    for (size_t i = 0; i < registries->login_count; i++) {
        const struct registry_login *login = &registries->logins[i];
        bool again = i > 0 && login->docker_config == registries->logins[i - 1].docker_config;

        if (login->password && !progress_hide(progress, secret_reveal(login->password), err))
            return false;
        if (login->docker_config && !again && !hide_file(progress, login->docker_config, err))
            return false;
    }
    return true;
}
