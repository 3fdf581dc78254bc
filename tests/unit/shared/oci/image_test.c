#include "images.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "shared/base/file.h"

#define DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LAYER(type) "{\"mediaType\":\"" type "\",\"digest\":\"" DIGEST_A "\",\"size\":9}"
#define CONFIG(os, architecture, ids)                                                                                  \
    "{\"os\":\"" os "\",\"architecture\":\"" architecture "\",\"rootfs\":{\"diff_ids\":[" ids "]}}"
#define ONE_ID "\"" DIGEST_A "\""

struct fixture {
    char *directory;
    struct store *store;
    struct error err;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char name[300];
    f->directory = directory_make_temporary("image-test", &f->err);
    snprintf(name, sizeof name, "oci:%s/one", f->directory);
    f->store = open_named(name, NULL, &f->err);
    assert_non_null(f->store);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    store_free(f->store);
    assert_true(directory_remove(f->directory, &f->err));
    free(f->directory);
    free(f);
    return 0;
}

static struct descriptor put_config(struct fixture *f, const char *type, const char *config)
{
    struct descriptor d = describe(type, span_of(config));
    assert_true(store_put_blob(f->store, &d, span_of(config), &f->err));
    return d;
}

/* A manifest of that type with that configuration and layers, tagged. */
static struct descriptor put_manifest(struct fixture *f, const char *tag, const char *type,
                                      const struct descriptor *config, const char *layers)
{
    struct descriptor out;
    AUTO(bytes_release) struct bytes text = BYTES(TEST_TEXT_MAX);
    assert_true(
        bytes_printf(&text, &f->err,
                     "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\","
                     "\"size\":%lld},\"layers\":[%s]}",
                     type, config->media_type, config->digest, (long long)config->size, layers));
    assert_true(store_put_manifest(f->store, tag, type, bytes_span(&text), &out, &f->err));
    return out;
}

static void put_text(struct fixture *f, const char *tag, const char *type, const char *text)
{
    struct descriptor out;
    assert_true(store_put_manifest(f->store, tag, type, span_of(text), &out, &f->err));
}

static void assert_fails(struct fixture *f, const char *tag, const char *platform, enum error_kind kind,
                         const char *want)
{
    struct image image = { .layers = NULL };
    struct error err = { 0 };
    assert_false(image_load(f->store, tag, platform, &image, &err));
    if (err.kind != kind || !strstr(err.message, want))
        fail_msg("%s: %s", error_kind_name(err.kind), err.message);
    assert_null(image.layers);
}

static void both_formats_are_read(void **state)
{
    struct fixture *f = *state;
    struct descriptor docker = put_config(f, DOCKER_CONFIG, CONFIG("linux", "amd64", ONE_ID));
    struct descriptor oci = put_config(f, MEDIA_OCI_CONFIG, CONFIG("linux", "arm64", ""));
    put_manifest(f, "docker", MEDIA_DOCKER_MANIFEST, &docker, LAYER(DOCKER_LAYER));
    put_manifest(f, "oci", MEDIA_OCI_MANIFEST, &oci, "");
    AUTO(image_release) struct image image = { .layers = NULL };
    assert_true(image_load(f->store, "docker", "linux/amd64", &image, &f->err));
    assert_string_equal(image.manifest.media_type, MEDIA_DOCKER_MANIFEST);
    assert_string_equal(image.config_blob.digest, docker.digest);
    assert_int_equal(image.layer_count, 1);
    assert_string_equal(image.layers[0].blob.media_type, DOCKER_LAYER);
    assert_string_equal(image.layers[0].diff_id, DIGEST_A);
    assert_int_equal(image.layers[0].blob.size, 9);
    AUTO(image_release) struct image bare = { .layers = NULL };
    assert_true(image_load(f->store, "oci", NULL, &bare, &f->err));
    assert_int_equal(bare.layer_count, 0);
    assert_string_equal(bare.os, "linux");
    assert_string_equal(bare.architecture, "arm64");
}

#define ENTRY "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%lld,\"platform\":{"

static void put_index(struct fixture *f, const struct descriptor *amd, const struct descriptor *arm, long long arm_size)
{
    AUTO(bytes_release) struct bytes text = BYTES(TEST_TEXT_MAX);
    assert_true(bytes_printf(&text, &f->err,
                             "{\"schemaVersion\":2,\"manifests\":[" ENTRY
                             "\"os\":\"unknown\",\"architecture\":\"unknown\"}}," ENTRY
                             "\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}}," ENTRY
                             "\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
                             DIGEST_A, 1LL, arm->digest, arm_size, amd->digest, (long long)amd->size));
    put_text(f, "multi", MEDIA_OCI_INDEX, bytes_text(&text));
}

static void an_index_is_searched_for_the_platform(void **state)
{
    struct fixture *f = *state;
    struct descriptor c1 = put_config(f, MEDIA_OCI_CONFIG, CONFIG("linux", "amd64", ""));
    struct descriptor c2 =
        put_config(f, MEDIA_OCI_CONFIG,
                   "{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\",\"rootfs\":{\"diff_ids\":[]}}");
    struct descriptor amd = put_manifest(f, NULL, MEDIA_OCI_MANIFEST, &c1, "");
    struct descriptor arm = put_manifest(f, NULL, MEDIA_OCI_MANIFEST, &c2, "");
    static const struct {
        const char *platform;
        bool arm;
    } rows[] = { { "linux/amd64", false }, { "linux/arm/v7", true }, { "linux/arm", true }, { NULL, true } };
    put_index(f, &amd, &arm, arm.size);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(image_release) struct image image = { .layers = NULL };
        if (!image_load(f->store, "multi", rows[i].platform, &image, &f->err))
            fail_msg("%s", f->err.message);
        assert_string_equal(image.manifest.digest, rows[i].arm ? arm.digest : amd.digest);
    }
    assert_fails(f, "multi", "linux/s390x", ERROR_NOT_FOUND,
                 "no image for linux/s390x; there are: linux/arm/v7, linux/amd64");
    assert_fails(f, "multi", "linux/arm/v6", ERROR_NOT_FOUND, "no image for linux/arm/v6");
    put_index(f, &amd, &arm, arm.size + 1);
    assert_fails(f, "multi", "linux/arm", ERROR_INVALID, "contradict each other");
}

static void what_is_no_usable_image_is_refused(void **state)
{
    struct fixture *f = *state;
    struct descriptor one = put_config(f, MEDIA_OCI_CONFIG, CONFIG("linux", "amd64", ONE_ID));
    struct descriptor artifact = put_config(f, "application/vnd.example.chart", "{}");
    struct descriptor bad_id = put_config(f, MEDIA_OCI_CONFIG, CONFIG("linux", "amd64", "\"sha256:1\""));
    struct descriptor garbage = put_config(f, MEDIA_OCI_CONFIG, "nonsense");
    struct descriptor missing = describe(MEDIA_OCI_CONFIG, SPAN("missing"));
    const struct {
        const struct descriptor *config;
        const char *layers;
        enum error_kind kind;
        const char *want;
    } rows[] = {
        { &one, "", ERROR_INVALID, "the manifest has 0 layers, the configuration 1" },
        { &one, LAYER("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), ERROR_UNSUPPORTED,
          "layer 1 is kept elsewhere" },
        { &one, LAYER("application/vnd.oci.image.layer.nondistributable.v1.tar"), ERROR_UNSUPPORTED,
          "foreign layers are not supported" },
        { &one, LAYER("text/html"), ERROR_UNSUPPORTED, "layer 1 is of an unknown kind (text/html)" },
        { &one, "{}", ERROR_INVALID, "a layer has no usable media type" },
        { &one, "{\"mediaType\":\"" DOCKER_LAYER "\",\"digest\":\"md5:1\",\"size\":1}", ERROR_INVALID,
          "a layer has no sha256 digest" },
        { &one, "{\"mediaType\":\"" DOCKER_LAYER "\",\"digest\":\"" DIGEST_A "\",\"size\":-1}", ERROR_INVALID,
          "a layer has no usable size" },
        { &artifact, "", ERROR_UNSUPPORTED,
          "an artifact of type 'application/vnd.example.chart', not a container image" },
        { &bad_id, LAYER(DOCKER_LAYER), ERROR_INVALID, "diff_id 1 is no sha256 digest" },
        { &garbage, "", ERROR_INVALID, "configuration: line 1" },
        { &missing, "", ERROR_NOT_FOUND, "blob 'sha256:" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_manifest(f, "bad", MEDIA_OCI_MANIFEST, rows[i].config, rows[i].layers);
        assert_fails(f, "bad", "linux/amd64", rows[i].kind, rows[i].want);
    }
    put_manifest(f, "good", MEDIA_OCI_MANIFEST, &one, LAYER(DOCKER_LAYER));
    AUTO(image_release) struct image image = { .layers = NULL };
    assert_true(image_load(f->store, "good", "linux/arm64", &image, &f->err));
    assert_true(image_check_platform(&image, "linux/amd64", &f->err) && image_check_platform(&image, NULL, &f->err));
    assert_false(image_check_platform(&image, "linux/arm64", &f->err));
    assert_int_equal(f->err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(f->err.message, "no image for linux/arm64; there are: linux/amd64"));
    assert_fails(f, "absent", "linux/amd64", ERROR_NOT_FOUND, "image 'absent': layout '");
}

static void manifests_with_two_faces_are_refused(void **state)
{
    struct fixture *f = *state;
    put_text(f, "two", MEDIA_OCI_INDEX, "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}");
    assert_fails(f, "two", NULL, ERROR_INVALID, "the index is an image manifest, too");
    put_text(f, "two", MEDIA_OCI_MANIFEST, "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[],\"config\":{}}");
    assert_fails(f, "two", NULL, ERROR_INVALID, "the image manifest is an index, too");
    put_text(f, "two", MEDIA_OCI_MANIFEST,
             "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[]}");
    assert_fails(f, "two", NULL, ERROR_UNAVAILABLE, "lies: media type");
    put_text(f, "two", MEDIA_OCI_MANIFEST, "[]");
    assert_fails(f, "two", NULL, ERROR_INVALID, "manifest is not an object");
    put_text(f, "two", "application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":1}");
    assert_fails(f, "two", NULL, ERROR_UNSUPPORTED, "Docker's schema 1");
}

static void there_is_a_most_of_layers(void **state)
{
    struct fixture *f = *state;
    AUTO(bytes_release) struct bytes ids = BYTES(TEST_TEXT_MAX);
    AUTO(bytes_release) struct bytes layers = BYTES(TEST_TEXT_MAX);
    AUTO(bytes_release) struct bytes config = BYTES(TEST_TEXT_MAX);
    for (int i = 0; i <= IMAGE_LAYERS_MAX; i++) {
        assert_true(bytes_printf(&layers, &f->err, "%s%s", i > 0 ? "," : "", LAYER(DOCKER_LAYER)));
        assert_true(bytes_printf(&ids, &f->err, "%s%s", i > 0 ? "," : "", ONE_ID));
        if (i < IMAGE_LAYERS_MAX - 1)
            continue;
        bytes_clear(&config);
        assert_true(bytes_printf(&config, &f->err,
                                 "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[%s]}}",
                                 bytes_text(&ids)));
        struct descriptor c = put_config(f, MEDIA_OCI_CONFIG, bytes_text(&config));
        put_manifest(f, "many", MEDIA_OCI_MANIFEST, &c, bytes_text(&layers));
        AUTO(image_release) struct image image = { .layers = NULL };
        assert_int_equal(image_load(f->store, "many", "linux/amd64", &image, &f->err), i < IMAGE_LAYERS_MAX);
    }
    assert_int_equal(f->err.kind, ERROR_UNSUPPORTED);
    assert_non_null(strstr(f->err.message, "128 layers, the most is 127"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_formats_are_read, begin, end),
        cmocka_unit_test_setup_teardown(an_index_is_searched_for_the_platform, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_usable_image_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(manifests_with_two_faces_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(there_is_a_most_of_layers, begin, end),
    };
    return cmocka_run_group_tests_name("shared/oci/image", tests, NULL, NULL);
}
