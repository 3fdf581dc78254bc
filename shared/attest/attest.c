#include "shared/attest/attest.h"

#include "shared/attest/sign.h"
#include "shared/attest/tagged.h"
#include "shared/oci/referrers.h"

/* A blob of its own, listed as about the image. */
static bool refer(const struct attestor *attestor, const struct descriptor *image, const char *type,
                  struct span content, const struct referrer_annotation *annotations, size_t count, struct error *err)
{
    const struct referrer_blob blob = { type, content };
    const struct referrer_new referrer = {
        .artifact_type = type, .blobs = &blob, .blob_count = 1, .annotations = annotations, .annotation_count = count
    };
    struct descriptor ignored;

    return oci_referrers_push(attestor->store, image, &referrer, &ignored, err);
}

static bool refer_bundle(const struct attestor *attestor, const struct descriptor *image, const char *predicate_type,
                         struct span statement, struct error *err)
{
    const struct referrer_annotation annotations[] = {
        { "dev.sigstore.bundle.content", "dsse-envelope" },
        { "dev.sigstore.bundle.predicateType", predicate_type },
    };
    AUTO(bytes_release) struct bytes bundle = BYTES(STATEMENT_MAX);

    return bundle_write(&bundle, attestor->key, statement, err) &&
           refer(attestor, image, MEDIA_SIGSTORE_BUNDLE, bytes_span(&bundle), annotations, 2, err);
}

/* ---- signatures ---- */

static bool tag_signature(const struct attestor *attestor, const struct descriptor *image, struct error *err)
{
    AUTO(bytes_release) struct bytes payload = BYTES(STORE_MANIFEST_MAX);
    AUTO(bytes_release) struct bytes signature = BYTES(STORE_MANIFEST_MAX);

    if (!simple_signing_write(&payload, attestor->name, image->digest, err) ||
        !sign_text(&signature, attestor->key, bytes_span(&payload), err))
        return false;
    const struct tagged_layer layer = { MEDIA_SIMPLE_SIGNING, bytes_span(&payload), bytes_text(&signature), NULL };
    return tagged_add(attestor->store, image->digest, "sig", &layer, err);
}

static bool bundle_signature(const struct attestor *attestor, const struct descriptor *image, struct error *err)
{
    const struct subject subject = { NULL, image->digest };
    AUTO(bytes_release) struct bytes statement = BYTES(STORE_MANIFEST_MAX);

    return statement_write(&statement, &subject, 1, PREDICATE_SIGNATURE, SPAN("{}"), err) &&
           refer_bundle(attestor, image, PREDICATE_SIGNATURE, bytes_span(&statement), err);
}

bool attest_signature(const struct attestor *attestor, const struct descriptor *image, struct error *err)
{
    return (tag_signature(attestor, image, err) && bundle_signature(attestor, image, err)) ||
           error_wrap(err, "signature");
}

/* ---- statements ---- */

static bool say_signed(const struct attestor *attestor, const struct descriptor *image, const char *predicate_type,
                       struct span statement, struct error *err)
{
    AUTO(bytes_release) struct bytes envelope = BYTES(STATEMENT_MAX);

    if (!envelope_write(&envelope, attestor->key, statement, err))
        return false;
    const struct tagged_layer layer = { MEDIA_DSSE, bytes_span(&envelope), "", predicate_type };
    return tagged_add(attestor->store, image->digest, "att", &layer, err) &&
           refer_bundle(attestor, image, predicate_type, statement, err);
}

bool attest_statement(const struct attestor *attestor, const struct descriptor *image, const char *predicate_type,
                      struct span statement, struct error *err)
{
    const struct referrer_annotation annotation = { "in-toto.io/predicate-type", predicate_type };

    return (refer(attestor, image, MEDIA_IN_TOTO, statement, &annotation, 1, err) &&
            (!attestor->key || say_signed(attestor, image, predicate_type, statement, err))) ||
           error_wrap(err, "provenance");
}

bool attest_sbom(const struct attestor *attestor, const struct descriptor *image, struct span document,
                 struct error *err)
{
    const struct subject subject = { *attestor->name ? attestor->name : NULL, image->digest };
    AUTO(bytes_release) struct bytes statement = BYTES(STATEMENT_MAX);

    if (!refer(attestor, image, MEDIA_SPDX, document, NULL, 0, err))
        return error_wrap(err, "SBOM");
    if (!attestor->key)
        return true;
    return (statement_write(&statement, &subject, 1, PREDICATE_SPDX, document, err) &&
            say_signed(attestor, image, PREDICATE_SPDX, bytes_span(&statement), err)) ||
           error_wrap(err, "SBOM");
}
