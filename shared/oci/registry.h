/* The two halves of the registry: reading (registry.c) and writing (registry_push.c). */
#ifndef PUSHWRIGHT_OCI_REGISTRY_H
#define PUSHWRIGHT_OCI_REGISTRY_H

#include "shared/base/digest.h"
#include "shared/oci/registry_wire.h"

/* What HEAD tells: digest "" and size -1 where the registry keeps silent. Tried again as wire_retry does. */
bool registry_head_manifest(struct registry *registry, const char *name, struct descriptor *out, struct error *err);

/* One HEAD, tried once. */
bool registry_has_blob(struct registry *registry, const char *digest, bool *has, struct error *err);

/* False when the header is missing or no number. */
bool registry_content_length(const struct http_response *response, int64_t *out);

/* Larger blobs than that are uploaded in parts of it. */
int64_t registry_part_size(const struct registry *registry);
/* How an upload in parts came to its end. */
struct parts_end {
    struct bytes url; /* where the request goes that ends it; the caller releases it */
    bool foreign;
    bool exhausted; /* it failed and beginning anew would not help */
};

/* All of the blob in parts, to where the answer that began the upload says. registry->chunks_refused tells that the
 * registry takes none. *end is filled in any case. */
bool registry_put_parts(struct registry *registry, const struct descriptor *blob, const struct blob_source *source,
                        const struct http_response *begun, struct parts_end *end, struct error *err);
bool registry_list_referrers(void *self, const char *subject, const char *artifact_type, referrers_page_fn *on_page,
                             void *context, bool *known, struct error *err);
bool registry_list_tags(void *self, store_tag_fn *on_tag, void *context, struct error *err);

#endif
