#include "shared/config/config.h"

#include <stdlib.h>

struct registry_logins {
    struct registry_login *logins;
    struct secret **secrets; /* that the logins borrow: two places a login */
    size_t count;
    struct registry_session *session;
};

void registry_logins_free(struct registry_logins *logins)
{
    if (!logins)
        return;
    for (size_t i = 0; logins->secrets && i < 2 * logins->count; i++)
        secret_free(logins->secrets[i]);
    registry_session_free(logins->session);
    free(logins->secrets);
    free(logins->logins);
    free(logins);
}

static struct registry_logins *logins_new(size_t count, struct error *err)
{
    AUTO(registry_logins_free) struct registry_logins *logins = calloc(1, sizeof *logins);
    if (logins) {
        logins->count = count;
        logins->logins = calloc(count + 1, sizeof *logins->logins);
        logins->secrets = calloc(2 * count + 1, sizeof(struct secret *));
    }
    if (!logins || !logins->logins || !logins->secrets) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    logins->session = registry_session_new(err);
    return logins->session ? TAKE(logins) : NULL;
}

static bool load(const struct secret_reference *reference, struct secret **secret, struct error *err)
{
    if (!secret_reference_is_set(reference))
        return true;
    *secret = secret_reference_load(reference, err);
    return *secret != NULL;
}

struct registry_logins *config_registry_logins(const struct config *config, struct error *err)
{
    AUTO(registry_logins_free) struct registry_logins *logins = logins_new(config->registry_count, err);
    if (!logins)
        return NULL;
    for (size_t i = 0; i < logins->count; i++) {
        const struct config_registry *registry = &config->registries[i];
        struct secret **password = &logins->secrets[2 * i], **docker_config = password + 1;
        if (!load(&registry->password, password, err) || !load(&registry->docker_config, docker_config, err)) {
            error_wrap(err, "login of registry '%s'", registry->host);
            return NULL;
        }
        logins->logins[i] = (struct registry_login){
            .host = registry->host,
            .username = registry->username,
            .password = *password,
            .docker_config = *docker_config,
            .cloud = registry->credentials,
            .plain_http = registry->plain_http,
            .ca_file = registry->ca_file,
            .mirrors = registry->mirrors,
            .mirror_count = registry->mirror_count,
            .layout = registry->layout,
        };
    }
    return TAKE(logins);
}

struct registry_options registry_logins_options(const struct registry_logins *logins)
{
    return (
        struct registry_options){ .logins = logins->logins, .login_count = logins->count, .session = logins->session };
}
