#include "shared/attest/sign.h"

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"

enum { BASE64_SIGNATURE_MAX = (ECDSA_SIGNATURE_MAX + 2) / 3 * 4 };

bool simple_signing_write(struct bytes *out, const char *name, const char *digest, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_open_object(&w, "critical");
    json_open_object(&w, "identity");
    json_add_string(&w, "docker-reference", name);
    json_close_object(&w);
    json_open_object(&w, "image");
    json_add_string(&w, "docker-manifest-digest", digest);
    json_close_object(&w);
    json_add_string(&w, "type", "cosign container image signature");
    json_close_object(&w);
    json_add_raw(&w, "optional", SPAN("null"));
    json_close_object(&w);
    return json_writer_end(&w, err);
}

bool sign_text(struct bytes *out, const struct ecdsa_key *key, struct span text, struct error *err)
{
    AUTO(bytes_release) struct bytes signature = BYTES(ECDSA_SIGNATURE_MAX);

    return ecdsa_sign(key, text, &signature, err) && base64_encode(out, bytes_span(&signature), err);
}

/* DSSE: what is signed names the type and both lengths, so that nothing else can be read into it. */
static bool sign_statement(struct bytes *out, const struct ecdsa_key *key, struct span statement, struct error *err)
{
    AUTO(bytes_release) struct bytes encoded = BYTES(statement.len + 128);

    return bytes_printf(&encoded, err, "DSSEv1 %zu %s %zu ", sizeof(MEDIA_IN_TOTO) - 1, MEDIA_IN_TOTO, statement.len) &&
           bytes_append_span(&encoded, statement, err) && sign_text(out, key, bytes_span(&encoded), err);
}

static bool write_envelope(struct json_writer *w, const char *member, const struct ecdsa_key *key,
                           struct span statement, struct error *err)
{
    AUTO(bytes_release) struct bytes payload = BYTES((statement.len + 2) / 3 * 4);
    AUTO(bytes_release) struct bytes signature = BYTES(BASE64_SIGNATURE_MAX);

    if (!base64_encode(&payload, statement, err) || !sign_statement(&signature, key, statement, err))
        return false;
    json_open_object(w, member);
    json_add_span(w, "payload", bytes_span(&payload));
    json_add_string(w, "payloadType", MEDIA_IN_TOTO);
    json_open_array(w, "signatures");
    json_open_object(w, NULL);
    json_add_span(w, "sig", bytes_span(&signature));
    json_close_object(w);
    json_close_array(w);
    json_close_object(w);
    return true;
}

bool envelope_write(struct bytes *out, const struct ecdsa_key *key, struct span statement, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    return write_envelope(&w, NULL, key, statement, err) && json_writer_end(&w, err);
}

/* By which a verifier with several keys finds the one: Base64 of the SHA-256 of the public one. */
static bool write_hint(struct json_writer *w, const struct ecdsa_key *key, struct error *err)
{
    AUTO(bytes_release) struct bytes hint = BYTES((SHA256_SIZE + 2) / 3 * 4);
    uint8_t public[ECDSA_PUBLIC_SIZE], digest[SHA256_SIZE];

    if (!ecdsa_public_der(key, public, err))
        return false;
    sha256_of((struct span){ (const char *)public, sizeof(public) }, digest);
    if (!base64_encode(&hint, (struct span){ (const char *)digest, sizeof(digest) }, err))
        return false;
    json_open_object(w, "verificationMaterial");
    json_open_object(w, "publicKey");
    json_add_span(w, "hint", bytes_span(&hint));
    json_close_object(w);
    json_close_object(w);
    return true;
}

bool bundle_write(struct bytes *out, const struct ecdsa_key *key, struct span statement, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_add_string(&w, "mediaType", MEDIA_SIGSTORE_BUNDLE);
    if (!write_hint(&w, key, err) || !write_envelope(&w, "dsseEnvelope", key, statement, err))
        return false;
    json_close_object(&w);
    return json_writer_end(&w, err);
}
