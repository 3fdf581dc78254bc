#include "runtime/local/handed.h"

#include <string.h>

/* "NAME=" is that variable, anything else how names begin. */
static bool begins(const char *variable, const char *const *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(variable, rows[i], strlen(rows[i])) == 0)
            return true;
    return false;
}

static const char *const common[] = {
    "PATH=",       "HOME=",       "USER=",     "LOGNAME=",    "TMPDIR=",        "XDG_CACHE_HOME=", "TZ=",
    "LANG=",       "LANGUAGE=",   "LC_",       "http_proxy=", "https_proxy=",   "HTTPS_PROXY=",    "all_proxy=",
    "ALL_PROXY=",  "no_proxy=",   "NO_PROXY=", "HTTP_PROXY=", "SSL_CERT_FILE=", "SSL_CERT_DIR=",   "TRACEPARENT=",
    "TRACESTATE=", "PUSHWRIGHT_",
};

static const char *const not_handed[] = {
    "PUSHWRIGHT_LISTEN=",         "PUSHWRIGHT_SINK=",           "PUSHWRIGHT_CONFIG=", "PUSHWRIGHT_CHAIN_KEY=",
    "PUSHWRIGHT_CHAIN_KEY_FILE=", "PUSHWRIGHT_TRUST_PLATFORM=", "PUSHWRIGHT_SOURCE=", "PUSHWRIGHT_PLATFORM=",
    "PUSHWRIGHT_DRAIN_SECONDS=",  "PUSHWRIGHT_METRICS_LISTEN=", "PUSHWRIGHT_EVENT=",  "PUSHWRIGHT_LOCAL_PLATFORM=",
    "PUSHWRIGHT_CACHE_DIR=",
};

/* Of the machine's identity at AWS, Google and Azure (shared/oci/cloud.h). */
static const char *const cloud[] = { "AWS_", "GOOGLE_", "GCE_METADATA_", "AZURE_", "IDENTITY_" };

#define BEGINS(variable, rows) begins(variable, rows, sizeof(rows) / sizeof(rows)[0])

struct asked {
    const struct manifest *manifest;
    const char *variable;
};

/* Does the function read secrets of this kind, and is the variable where this one stands? */
static bool holds(const struct asked *asked, const char *kind, const struct secret_reference *secret)
{
    size_t n = secret->env ? strlen(secret->env) : 0;
    return n > 0 && strncmp(asked->variable, secret->env, n) == 0 && asked->variable[n] == '=' &&
           manifest_lists(&asked->manifest->secrets, kind);
}

static bool is_secret(const struct config *config, const struct asked *asked)
{
    bool is = holds(asked, "api", &config->api_token);
    for (size_t i = 0; i < config->source_count; i++) {
        const struct config_source *source = &config->sources[i];
        is = is || holds(asked, "hook", &source->secret) || holds(asked, "hook", &source->signing_secret) ||
             holds(asked, "git", &source->token);
    }
    for (size_t i = 0; i < config->registry_count; i++)
        is = is || holds(asked, "registry", &config->registries[i].password) ||
             holds(asked, "registry", &config->registries[i].docker_config);
    for (size_t i = 0; i < config->build_count; i++) {
        const struct config_build *build = &config->builds[i];
        is = is || holds(asked, "signing", &build->sign.key) || holds(asked, "signing", &build->sign.password) ||
             holds(asked, "log", &build->log.token);
    }
    for (size_t i = 0; i < config->trigger_count; i++)
        is = is || holds(asked, "verify", &config->triggers[i].verify.key);
    return is;
}

static bool has_cloud(const struct config *config, const struct manifest *manifest)
{
    bool has = false;
    for (size_t i = 0; i < config->registry_count; i++)
        has = has || config->registries[i].credentials != CLOUD_NONE;
    return has && manifest_lists(&manifest->secrets, "registry");
}

bool handed_is(const struct config *config, const struct manifest *manifest, const char *variable)
{
    const struct asked asked = { manifest, variable };
    if (BEGINS(variable, not_handed))
        return false;
    return BEGINS(variable, common) || is_secret(config, &asked) ||
           (BEGINS(variable, cloud) && has_cloud(config, manifest));
}
