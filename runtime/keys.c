#include "runtime/keys.h"

#include "shared/config/config.h"

#include <string.h>

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

static bool add_key(struct keyring *keyring, struct span text, struct error *err)
{
    text = span_trim(text);
    if (text.len == 0)
        return true;
    struct secret *key = secret_new(text, err);
    return key && keyring_add(keyring, key, err);
}

/* Keys between commas and line ends. */
static bool add_keys(struct keyring *keyring, const struct secret *secret, struct error *err)
{
    struct span lines = secret_reveal(secret);
    while (lines.data) {
        struct span line = span_cut(&lines, '\n');
        while (line.data)
            if (!add_key(keyring, span_cut(&line, ','), err))
                return false;
    }
    return true;
}

static bool add_configured(struct keyring *keyring, struct error *err)
{
    if (!is_set("PUSHWRIGHT_CONFIG") && access(config_path(), F_OK) != 0)
        return true;
    AUTO(config_free) struct config *config = config_load(NULL, err);
    if (!config)
        return false;
    for (size_t i = 0; i < config->chain_key_count; i++) {
        AUTO(secret_free) struct secret *secret = secret_reference_load(&config->chain_keys[i], err);
        if (!secret || !add_keys(keyring, secret, err))
            return false;
    }
    return true;
}

static bool add_from(struct keyring *keyring, struct secret *loaded, struct error *err)
{
    AUTO(secret_free) struct secret *secret = loaded;
    return secret && add_keys(keyring, secret, err);
}

struct keyring *keys_load(const struct manifest *manifest, struct error *err)
{
    AUTO(keyring_free) struct keyring *keyring = keyring_new();
    if (!keyring) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    bool good = true;
    if (is_set("PUSHWRIGHT_CHAIN_KEY"))
        good = add_from(keyring, secret_from_environment("PUSHWRIGHT_CHAIN_KEY", err), err);
    else if (is_set("PUSHWRIGHT_CHAIN_KEY_FILE"))
        good = add_from(keyring, secret_from_file(getenv("PUSHWRIGHT_CHAIN_KEY_FILE"), err), err);
    else if (manifest->is_signed || manifest_lists(&manifest->secrets, "chain"))
        good = add_configured(keyring, err);
    if (!good) {
        error_wrap(err, "chain key");
        return NULL;
    }
    return TAKE(keyring);
}
