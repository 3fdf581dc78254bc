/* Any bytes as a list of referrers and as the manifest of one: they are listed, read and added to, or refused. */
#include "shared/oci/referrers.h"
#include "shared/oci/store_backend.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SUBJECT "sha256:0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"

/* A place that answers every question with the same bytes, and takes everything. */
static bool get_manifest(void *self, const char *name, struct bytes *body, struct descriptor *out, struct error *err)
{
    (void)name;
    out->media_type[0] = out->digest[0] = '\0';
    return bytes_append_span(body, *(const struct span *)self, err);
}

static bool list(void *self, const char *subject, const char *type, referrers_page_fn *on_page, void *context,
                 bool *known, struct error *err)
{
    (void)subject, (void)type;
    *known = ((const struct span *)self)->len % 2 == 0;
    return !*known || on_page(context, *(const struct span *)self, err);
}

static bool get_blob(void *self, const struct descriptor *blob, http_body_fn *on_data, void *context, struct error *err)
{
    (void)blob;
    const struct span *text = self;
    return on_data(context, text->data, text->len, err);
}

static bool put_blob(void *self, const struct descriptor *blob, const struct blob_source *source, struct error *err)
{
    (void)self, (void)blob, (void)source, (void)err;
    return true;
}

static bool put_manifest(void *self, const char *tag, struct span body, const struct descriptor *out, bool *listed,
                         struct error *err)
{
    (void)self, (void)tag, (void)out, (void)listed;
    AUTO(arena_free) struct arena *arena = arena_new(16 * STORE_MANIFEST_MAX);
    assert(json_parse(arena, body, err)); /* what is written is always well formed */
    return true;
}

static bool see(void *context, const struct descriptor *manifest, const char *type, const struct json *annotations,
                struct error *err)
{
    (void)annotations;
    AUTO(bytes_release) struct bytes content = BYTES(64 * 1024);
    assert(digest_is_legal(span_of(manifest->digest)) && manifest->size >= 0 && type);
    struct error ignored = { 0 };
    (void)oci_referrers_read(context, SUBJECT, manifest, &content, &ignored);
    (void)err;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct store_backend backend = { .get_manifest = get_manifest,
                                                  .get_blob = get_blob,
                                                  .list_referrers = list };
    static const struct store_writer writer = { .put_blob = put_blob, .put_manifest = put_manifest };
    struct span text = { (const char *)data, size };
    struct store store = { .backend = &backend, .writer = &writer, .self = &text, .name = (char[]){ "fuzz" } };
    const struct descriptor subject = { .media_type = MEDIA_OCI_MANIFEST, .digest = SUBJECT, .size = 1 };
    const struct referrer_new referrer = { .artifact_type = "a/b" };
    struct descriptor out;
    struct error err = { 0 };
    (void)oci_referrers_list(&store, SUBJECT, NULL, see, &store, &err);
    (void)oci_referrers_push(&store, &subject, &referrer, &out, &err);
    return 0;
}
