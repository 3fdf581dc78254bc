#include "shared/attest/attest.h"

#include "shared/attest/sign.h"

#include <string.h>

/* A blob of its own, listed as about the image. */
static bool refer(const struct attestor *attestor, struct attested *beside, const char *type, struct span content,
                  const struct referrer_annotation *annotations, size_t count, struct error *err)
{
    struct referrer_annotation *kept = beside->annotations[beside->referrer_count];
    const struct referrer_blob blob = { type, content };
    const struct referrer_new referrer = {
        .artifact_type = type, .blobs = &blob, .blob_count = 1, .annotations = kept, .annotation_count = count
    };
    bool listed;

    if (beside->referrer_count == ATTESTED_REFERRERS_MAX)
        return error_set(err, ERROR_INTERNAL, "more is said about an image than there is room for");
    if (count > 0)
        memcpy(kept, annotations, count * sizeof(kept[0]));
    if (!oci_referrers_put(attestor->store, beside->image, &referrer, &beside->referrers[beside->referrer_count],
                           &listed, err))
        return false;
    beside->referrer_count += !listed;
    return true;
}

static bool refer_bundle(const struct attestor *attestor, struct attested *beside, const char *predicate_type,
                         struct span statement, struct error *err)
{
    const struct referrer_annotation annotations[] = {
        { "dev.sigstore.bundle.content", "dsse-envelope" },
        { "dev.sigstore.bundle.predicateType", predicate_type },
    };
    AUTO(bytes_release) struct bytes bundle = BYTES(STATEMENT_MAX);

    return bundle_write(&bundle, attestor->key, statement, err) &&
           refer(attestor, beside, MEDIA_SIGSTORE_BUNDLE, bytes_span(&bundle), annotations, 2, err);
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

static bool bundle_signature(const struct attestor *attestor, struct attested *beside, struct error *err)
{
    const struct subject subject = { NULL, beside->image->digest };
    AUTO(bytes_release) struct bytes statement = BYTES(STORE_MANIFEST_MAX);

    return statement_write(&statement, &subject, 1, PREDICATE_SIGNATURE, SPAN("{}"), err) &&
           refer_bundle(attestor, beside, PREDICATE_SIGNATURE, bytes_span(&statement), err);
}

bool attest_signature(const struct attestor *attestor, struct attested *beside, struct error *err)
{
    return (tag_signature(attestor, beside->image, err) && bundle_signature(attestor, beside, err)) ||
           error_wrap(err, "signature");
}

/* ---- statements ---- */

static bool say_signed(const struct attestor *attestor, struct attested *beside, const char *predicate_type,
                       struct span statement, struct error *err)
{
    AUTO(bytes_release) struct bytes envelope = BYTES(STATEMENT_MAX);

    if (!envelope_write(&envelope, attestor->key, statement, err))
        return false;
    const struct tagged_layer layer = { MEDIA_DSSE, bytes_span(&envelope), "", predicate_type };
    if (beside->statement_count == ATTESTED_TAGGED_MAX)
        return error_set(err, ERROR_INTERNAL, "more is said about an image than there is room for");
    return tagged_put(attestor->store, &layer, &beside->statements[beside->statement_count++], err) &&
           refer_bundle(attestor, beside, predicate_type, statement, err);
}

bool attest_statement(const struct attestor *attestor, struct attested *beside, const char *predicate_type,
                      struct span statement, struct error *err)
{
    const struct referrer_annotation annotation = { "in-toto.io/predicate-type", predicate_type };

    return (refer(attestor, beside, MEDIA_IN_TOTO, statement, &annotation, 1, err) &&
            (!attestor->key || say_signed(attestor, beside, predicate_type, statement, err))) ||
           error_wrap(err, "provenance");
}

bool attest_sbom(const struct attestor *attestor, struct attested *beside, struct span document, struct error *err)
{
    const struct subject subject = { *attestor->name ? attestor->name : NULL, beside->image->digest };
    AUTO(bytes_release) struct bytes statement = BYTES(STATEMENT_MAX);

    if (!refer(attestor, beside, MEDIA_SPDX, document, NULL, 0, err))
        return error_wrap(err, "SBOM");
    if (!attestor->key)
        return true;
    return (statement_write(&statement, &subject, 1, PREDICATE_SPDX, document, err) &&
            say_signed(attestor, beside, PREDICATE_SPDX, bytes_span(&statement), err)) ||
           error_wrap(err, "SBOM");
}

bool attest_list(const struct attestor *attestor, const struct attested *beside, struct error *err)
{
    return tagged_enter(attestor->store, beside->image->digest, "att", beside->statements, beside->statement_count,
                        err) &&
           oci_referrers_enter(attestor->store, beside->image->digest, beside->referrers, beside->referrer_count, err);
}
