#include "shared/attest/signature.h"

#include "shared/attest/sign.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"

#include <string.h>

enum { TREE_MAX = 16 * SIGNED_TEXT_MAX };

static bool is_text(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

static bool verify(const struct ecdsa_key *key, struct span message, const char *base64)
{
    AUTO(bytes_release) struct bytes signature = BYTES(ECDSA_SIGNATURE_MAX);
    struct error ignored = { 0 };
    return base64 && base64_decode(&signature, span_of(base64), &ignored) &&
           ecdsa_verify(key, message, bytes_span(&signature));
}

/* By cosign up to 2, and from 3 on. */
static bool is_signature_type(const char *type)
{
    return is_text(type, "cosign container image signature") || is_text(type, PREDICATE_SIGNATURE);
}

bool simple_signature_holds(const struct ecdsa_key *key, struct span payload, const char *signature, const char *digest)
{
    struct error ignored = { 0 };
    if (payload.len > SIGNED_TEXT_MAX || !verify(key, payload, signature))
        return false;
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    const struct json *critical = arena ? json_get(json_parse(arena, payload, &ignored), "critical") : NULL;
    return is_signature_type(json_get_string(critical, "type")) &&
           is_text(json_get_string(json_get(critical, "image"), "docker-manifest-digest"), digest);
}

static bool is_about(const struct json *statement, const char *digest)
{
    static const char algorithm[] = "sha256:";
    if (strncmp(digest, algorithm, sizeof algorithm - 1) != 0)
        return false;
    for (const struct json *subject = json_first(json_get(statement, "subject")); subject; subject = json_next(subject))
        if (is_text(json_get_string(json_get(subject, "digest"), "sha256"), digest + sizeof algorithm - 1))
            return true;
    return false;
}

/* DSSE v1 protocol.md: what is signed names the type and both lengths. */
static bool envelope_holds(const struct ecdsa_key *key, const struct json *envelope, struct span payload)
{
    AUTO(bytes_release) struct bytes encoded = BYTES(payload.len + 128);
    struct error ignored = { 0 };
    if (!is_text(json_get_string(envelope, "payloadType"), MEDIA_IN_TOTO) ||
        !bytes_printf(&encoded, &ignored, "DSSEv1 %zu %s %zu ", sizeof(MEDIA_IN_TOTO) - 1, MEDIA_IN_TOTO,
                      payload.len) ||
        !bytes_append_span(&encoded, payload, &ignored))
        return false;
    const struct json *signatures = json_get(envelope, "signatures");
    for (const struct json *each = json_first(signatures); each; each = json_next(each))
        if (verify(key, bytes_span(&encoded), json_get_string(each, "sig")))
            return true;
    return false;
}

bool bundle_holds(const struct ecdsa_key *key, struct span bundle, const char *digest)
{
    struct error ignored = { 0 };
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    AUTO(bytes_release) struct bytes payload = BYTES(SIGNED_TEXT_MAX);
    if (!arena || bundle.len > SIGNED_TEXT_MAX)
        return false;
    const struct json *envelope = json_get(json_parse(arena, bundle, &ignored), "dsseEnvelope");
    const char *text = json_get_string(envelope, "payload");
    if (!text || !base64_decode(&payload, span_of(text), &ignored) ||
        !envelope_holds(key, envelope, bytes_span(&payload)))
        return false;
    const struct json *statement = json_parse(arena, bytes_span(&payload), &ignored);
    return is_text(json_get_string(statement, "predicateType"), PREDICATE_SIGNATURE) && is_about(statement, digest);
}
