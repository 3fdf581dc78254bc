#include "shared/examine/examine.h"

#include <string.h>

#include "shared/attest/verify.h"
#include "shared/base/machine.h"
#include "shared/oci/image.h"

enum { HEX_DIGITS = 64 };

bool examine_is_attached(const char *tag)
{
    static const char *const suffixes[] = { "", ".sig", ".att", ".sbom" };
    if (strncmp(tag, "pushwright-ref", 14) == 0)
        return true;
    if (strncmp(tag, "sha256-", 7) != 0 || strspn(tag + 7, "0123456789abcdef") != HEX_DIGITS)
        return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcmp(tag + 7 + HEX_DIGITS, suffixes[i]) == 0)
            return true;
    return false;
}

/* NULL: any. */
static const char *platform_of(const struct config_target *target)
{
    return target->platform ? target->platform : strcmp(target->cluster, "local") == 0 ? MACHINE_PLATFORM : NULL;
}

static bool check_platform(struct store *store, const char *digest, const char *platform, bool *fit,
                           struct bytes *reason, struct error *err)
{
    AUTO(image_release) struct image image = { 0 };
    struct error failed = { 0 };
    *fit = image_load(store, digest, platform, &image, &failed) && image_check_platform(&image, platform, &failed);
    if (*fit)
        return true;
    if (failed.kind == ERROR_NOT_FOUND || failed.kind == ERROR_UNSUPPORTED || failed.kind == ERROR_INVALID ||
        failed.kind == ERROR_TOO_LARGE)
        return bytes_append_text(reason, failed.message, err);
    *err = failed;
    return false;
}

static bool check_signature(struct store *store, const struct config_trigger *trigger, const char *digest, bool *fit,
                            struct bytes *reason, struct error *err)
{
    AUTO(secret_free) struct secret *text = secret_reference_load(&trigger->verify.key, err);
    AUTO(ecdsa_key_free) struct ecdsa_key *key = text ? ecdsa_public_key(secret_reveal(text), err) : NULL;
    return key ? verify_image(store, digest, key, fit, reason, err)
               : error_wrap(err, "the key of 'verify' of trigger '%s'", trigger->name);
}

bool examine_image(struct store *store, const struct config_trigger *trigger, const struct descriptor *image, bool *fit,
                   struct bytes *reason, struct error *err)
{
    const char *checked = "";
    *fit = true;
    for (size_t i = 0; i < trigger->target_count && *fit; i++) {
        const char *platform = platform_of(&trigger->targets[i]);
        if (i > 0 && (platform ? strcmp(platform, checked) == 0 : *checked == '\0'))
            continue;
        if (!check_platform(store, image->digest, platform, fit, reason, err))
            return false;
        checked = platform ? platform : "";
    }
    return !*fit || !secret_reference_is_set(&trigger->verify.key) ||
           check_signature(store, trigger, image->digest, fit, reason, err);
}
