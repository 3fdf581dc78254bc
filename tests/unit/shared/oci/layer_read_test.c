/* Layers in a layout, whole and damaged, read by three threads. */
#include "shared/oci/layer_read.h"

#include "shared/base/file.h"
#include "tests/unit/shared/oci/images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PLAIN_MAX = 4 * 1024 * 1024 };

static char *base;

static struct store *open_layout(void)
{
    struct error err = { 0 };
    char text[300];
    AUTO(reference_release) struct reference reference = { 0 };
    snprintf(text, sizeof text, "oci:%s/layout", base);
    assert_true(reference_parse(span_of(text), &reference, &err));
    return store_open(&reference, NULL, &err);
}

static void fill(struct bytes *plain)
{
    struct error err = { 0 };
    for (size_t i = 0; plain->len < PLAIN_MAX - 100; i++)
        assert_true(bytes_printf(plain, &err, "%zu ", i * 7919));
}

/* Stored as it is, which need not be what the plain bytes make. */
static struct image_layer put(struct store *store, struct span stored, struct span plain)
{
    struct error err = { 0 };
    struct image_layer layer = { .blob = describe(MEDIA_OCI_LAYER_GZIP, stored) };
    struct descriptor is = describe("", plain);
    memcpy(layer.diff_id, is.digest, sizeof layer.diff_id);
    assert_true(store_put_blob(store, &layer.blob, stored, &err));
    return layer;
}

static bool take(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static void the_plain_archive_arrives_whole(void **state)
{
    (void)state;
    static const char *const kinds[] = { "gzip", "zstd", NULL };
    AUTO(store_free) struct store *store = open_layout();
    AUTO(bytes_release) struct bytes plain = BYTES(PLAIN_MAX);
    fill(&plain);
    for (size_t i = 0; i < 3; i++) {
        struct error err = { 0 };
        struct compression compression = { .level = 0 };
        AUTO(bytes_release) struct bytes packed = BYTES(PLAIN_MAX);
        AUTO(bytes_release) struct bytes back = BYTES(PLAIN_MAX);
        if (kinds[i])
            assert_true(compression_parse(span_of(kinds[i]), &compression) &&
                        compress_append(&packed, bytes_span(&plain), &compression, &err));
        else
            assert_true(bytes_append_span(&packed, bytes_span(&plain), &err));
        const struct image_layer layer = put(store, bytes_span(&packed), bytes_span(&plain));
        assert_true(layer_read(store, &layer, PLAIN_MAX, take, &back, &err));
        assert_true(span_equal(bytes_span(&back), bytes_span(&plain)));
        assert_false(layer_read(store, &layer, PLAIN_MAX / 2, take, &back, &err));
        assert_int_equal(err.kind, ERROR_TOO_LARGE);
    }
}

static void every_damage_is_told_the_same_way_each_time(void **state)
{
    (void)state;
    AUTO(store_free) struct store *store = open_layout();
    AUTO(bytes_release) struct bytes plain = BYTES(PLAIN_MAX);
    AUTO(bytes_release) struct bytes packed = BYTES(PLAIN_MAX);
    struct error err = { 0 };
    fill(&plain);
    assert_true(gzip_append(&packed, bytes_span(&plain), 6, &err));
    struct image_layer cut = put(store, (struct span){ packed.data, packed.len - 20 }, bytes_span(&plain));
    struct image_layer other = put(store, bytes_span(&packed), SPAN("something else"));
    struct image_layer absent = other;
    memset(absent.blob.digest + 7, '0', 64);
    packed.data[packed.len / 2] ^= 0x10;
    struct image_layer flipped = put(store, bytes_span(&packed), bytes_span(&plain));
    const struct {
        const struct image_layer *layer;
        const char *text;
    } rows[] = {
        { &cut, "compressed data is truncated" },
        { &other, "the image says sha256:" },
        { &absent, "0000" },
        { &flipped, "malformed gzip data" },
    };
    for (size_t round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            AUTO(bytes_release) struct bytes back = BYTES(PLAIN_MAX);
            struct error failed = { 0 };
            assert_false(layer_read(store, rows[i].layer, PLAIN_MAX, take, &back, &failed));
            if (!strstr(failed.message, rows[i].text))
                fail_msg("row %zu: %s", i, failed.message);
        }
}

static bool refuse(void *context, const void *data, size_t len, struct error *err)
{
    (void)context, (void)data, (void)len;
    return error_set(err, ERROR_CONFLICT, "not wanted");
}

static void who_uses_it_can_end_it(void **state)
{
    (void)state;
    AUTO(store_free) struct store *store = open_layout();
    AUTO(bytes_release) struct bytes plain = BYTES(PLAIN_MAX);
    struct error err = { 0 };
    fill(&plain);
    const struct image_layer layer = put(store, bytes_span(&plain), bytes_span(&plain));
    assert_false(layer_read(store, &layer, PLAIN_MAX, refuse, NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_string_equal(err.message, "not wanted");
}

static int prepare(void **state)
{
    (void)state;
    struct error err = { 0 };
    base = directory_make_temporary("layer-read-test", &err);
    return base ? 0 : -1;
}

static int tidy(void **state)
{
    (void)state;
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    free(base);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_archive_arrives_whole),
        cmocka_unit_test(every_damage_is_told_the_same_way_each_time),
        cmocka_unit_test(who_uses_it_can_end_it),
    };
    return cmocka_run_group_tests_name("shared/oci/layer_read", tests, prepare, tidy);
}
