#include "runtime/cli/build_attest.h"

#include "runtime/cli/build_fields.h"
#include "shared/attest/key.h"
#include "shared/base/file.h"

#include <stdlib.h>
#include <string.h>

struct fields {
    const char *type, *mode, *version, *disabled;
};

static bool settle(struct build_attest *attest, const struct fields *fields, struct error *err)
{
    bool off = false, provenance = fields->type && strcmp(fields->type, "provenance") == 0;

    if (!provenance && !(fields->type && strcmp(fields->type, "sbom") == 0))
        return error_set(err, ERROR_UNSUPPORTED, "type=%s is neither provenance nor sbom",
                         fields->type ? fields->type : "");
    if (fields->disabled && !field_bool(fields->disabled, &off))
        return error_set(err, ERROR_INVALID, "disabled=%s is neither true nor false", fields->disabled);
    if (fields->mode && strcmp(fields->mode, "min") != 0 && strcmp(fields->mode, "max") != 0)
        return error_set(err, ERROR_INVALID, "mode=%s is neither min nor max", fields->mode);
    if (fields->version && strcmp(fields->version, "v1") != 0)
        return error_set(err, ERROR_UNSUPPORTED, "version=%s: it is SLSA provenance v1", fields->version);
    *(provenance ? &attest->provenance : &attest->sbom) = !off;
    return true;
}

/* Of a provenance both modes say the same: the names of arguments, no value. */
static bool read_fields(struct build_attest *attest, struct arena *arena, struct fields *fields, const char *value,
                        struct error *err)
{
    const struct field known[] = { { "type", &fields->type },
                                   { "mode", &fields->mode },
                                   { "version", &fields->version },
                                   { "disabled", &fields->disabled } };

    return fields_read(arena, value, known, sizeof(known) / sizeof(known[0]), err) && settle(attest, fields, err);
}

bool build_attest_any(struct build_attest *attest, struct arena *arena, const char *value, struct error *err)
{
    return read_fields(attest, arena, &(struct fields){ 0 }, value, err);
}

bool build_attest_provenance(struct build_attest *attest, struct arena *arena, const char *value, struct error *err)
{
    return field_bool(value, &attest->provenance) ||
           read_fields(attest, arena, &(struct fields){ .type = "provenance" }, value, err);
}

bool build_attest_sbom(struct build_attest *attest, struct arena *arena, const char *value, struct error *err)
{
    return field_bool(value, &attest->sbom) ||
           read_fields(attest, arena, &(struct fields){ .type = "sbom" }, value, err);
}

bool build_attest_sign(struct build_attest *attest, const char *path, struct error *err)
{
    AUTO(bytes_wipe) struct bytes text = BYTES(ECDSA_KEY_TEXT_MAX);
    const char *password = getenv("COSIGN_PASSWORD");

    if (!file_read(&text, path, err))
        return false;
    ecdsa_key_free(attest->key);
    attest->key = signing_key(bytes_span(&text), password ? span_of(password) : SPAN(""), err);
    return attest->key || error_wrap(err, "'%s'", path);
}
