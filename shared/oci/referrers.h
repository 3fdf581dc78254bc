/* What is said about an image: manifests that name it as their subject, such as a signature, an SBOM, the index of a
 * layer's headers (OCI distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema"). Where a registry has no such
 * list, and in layouts, an index behind the tag "sha256-HEX" is kept instead, by us as by every other client. */
#ifndef PUSHWRIGHT_OCI_REFERRERS_H
#define PUSHWRIGHT_OCI_REFERRERS_H

#include "shared/base/json.h"
#include "shared/oci/store.h"

struct referrer_blob {
    const char *media_type;
    struct span content;
};

struct referrer_annotation {
    const char *key, *value;
};

/* A manifest that is to be made. */
struct referrer_new {
    const char *artifact_type;         /* "application/spdx+json" */
    const struct referrer_blob *blobs; /* its layers; uploaded unless they are there */
    size_t blob_count;
    const struct referrer_annotation *annotations;
    size_t annotation_count;
};

/* Push it and have it listed. The subject (a manifest, or for what is said about a layer the layer's descriptor) need
 * not be there yet. Pushing the same twice changes nothing. */
bool oci_referrers_push(struct store *store, const struct descriptor *subject, const struct referrer_new *referrer,
                        struct descriptor *out, struct error *err);

/* What the list of a subject says about one. */
struct referrer_entry {
    struct descriptor manifest;
    const char *artifact_type;
    const struct referrer_annotation *annotations;
    size_t annotation_count;
};

/* The same in two halves, so that several of one subject are listed at once. *listed: the registry does it by itself; otherwise the
 * entry, which borrows from the referrer, is for the other half. */
bool oci_referrers_put(struct store *store, const struct descriptor *subject, const struct referrer_new *referrer,
                       struct referrer_entry *out, bool *listed, struct error *err);
bool oci_referrers_enter(struct store *store, const char *subject, const struct referrer_entry *entries, size_t count,
                         struct error *err);

/* annotations (NULL: none) are the list's copy of the manifest's. False stops with *err. */
typedef bool referrer_fn(void *context, const struct descriptor *manifest, const char *artifact_type,
                         const struct json *annotations, struct error *err);

/* Calls for each one of that artifact type (NULL: any), in the registry's order; no referrers and no such subject are
 * the same. Entries that are malformed are passed over. Nothing that is told is trusted yet: the manifest is read by its
 * digest. */
bool oci_referrers_list(struct store *store, const char *subject, const char *artifact_type, referrer_fn *on_referrer,
                        void *context, struct error *err);

/* The first blob of a referrer's manifest, verified, appended to *content. ERROR_INVALID when the manifest is about
 * another subject or has no blob. */
bool oci_referrers_read(struct store *store, const char *subject, const struct descriptor *manifest,
                        struct bytes *content, struct error *err);

#endif
