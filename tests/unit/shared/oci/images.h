/* Small images made on the spot, for tests of stores. */
#ifndef PUSHWRIGHT_TESTS_IMAGES_H
#define PUSHWRIGHT_TESTS_IMAGES_H

#include "shared/base/digest.h"
#include "shared/oci/compress.h"
#include "shared/oci/image.h"
#include "shared/oci/store.h"
#include "shared/oci/tar.h"

#include <string.h>

enum { TEST_TEXT_MAX = 1024 * 1024 };

static inline struct descriptor describe(const char *media_type, struct span data)
{
    struct descriptor d = { .size = (int64_t)data.len };
    snprintf(d.media_type, sizeof d.media_type, "%s", media_type);
    memcpy(d.digest, "sha256:", 7);
    sha256_hex_of(data, d.digest + 7);
    return d;
}

/* One layer with one file, its configuration and manifest. */
struct test_image {
    struct bytes layer, config, manifest;
    struct descriptor layer_blob, config_blob;
};

static inline void test_image_release(struct test_image *image)
{
    bytes_release(&image->layer);
    bytes_release(&image->config);
    bytes_release(&image->manifest);
}
AUTO_RELEASE(struct test_image, test_image_release)

static inline bool test_image_make(struct test_image *image, const char *content, struct error *err)
{
    *image = (struct test_image){
        BYTES(TEST_TEXT_MAX), BYTES(TEST_TEXT_MAX), BYTES(TEST_TEXT_MAX), { .size = 0 }, { .size = 0 }
    };
    AUTO(bytes_release) struct bytes tar = BYTES(TEST_TEXT_MAX);
    const struct tar_entry entry = {
        .type = TAR_FILE, .path = "index.html", .mode = 0644, .size = (int64_t)strlen(content)
    };
    bool made = tar_write_header(&tar, &entry, err) && bytes_append_text(&tar, content, err);
    for (size_t n = tar_padding(entry.size); made && n > 0; n--)
        made = bytes_append_char(&tar, '\0', err);
    if (!made || !tar_write_end(&tar, err) || !gzip_append(&image->layer, bytes_span(&tar), 6, err))
        return false;
    struct descriptor plain = describe("", bytes_span(&tar));
    image->layer_blob = describe(MEDIA_OCI_LAYER_GZIP, bytes_span(&image->layer));
    if (!bytes_printf(
            &image->config, err,
            "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
            plain.digest))
        return false;
    image->config_blob = describe(MEDIA_OCI_CONFIG, bytes_span(&image->config));
    return bytes_printf(&image->manifest, err,
                        "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\","
                        "\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld},"
                        "\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld}]}",
                        image->config_blob.media_type, image->config_blob.digest, (long long)image->config_blob.size,
                        image->layer_blob.media_type, image->layer_blob.digest, (long long)image->layer_blob.size);
}

static inline bool test_image_put(struct store *store, const struct test_image *image, const char *tag,
                                  struct descriptor *out, struct error *err)
{
    return store_put_blob(store, &image->layer_blob, bytes_span(&image->layer), err) &&
           store_put_blob(store, &image->config_blob, bytes_span(&image->config), err) &&
           store_put_manifest(store, tag, MEDIA_OCI_MANIFEST, bytes_span(&image->manifest), out, err);
}

/* The store of a name such as "127.0.0.1:5000/acme/web"; NULL with *err filled. */
static inline struct store *open_named(const char *name, const struct registry_options *options, struct error *err)
{
    AUTO(reference_release) struct reference reference = { .registry = NULL };
    return reference_parse(span_of(name), &reference, err) ? store_open(&reference, options, err) : NULL;
}

#endif
