/* Against a real registry: $PUSHWRIGHT_TEST_REGISTRY (host:port), with $PUSHWRIGHT_TEST_USER and
 * $PUSHWRIGHT_TEST_PASSWORD or $PUSHWRIGHT_TEST_DOCKER_CONFIG (a file), and $PUSHWRIGHT_TEST_CA (a file: then by
 * https), or with $PUSHWRIGHT_TEST_LAYOUT, a directory that stands for it. Skipped without the first. */
#include "images.h"

#include <cmocka.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include "shared/base/file.h"
#include "shared/base/random.h"

enum { LARGE = 5 * 1024 * 1024 };

struct fixture {
    struct registry_login login;
    struct registry_options options;
    struct secret *password, *docker_config;
    char repository[200]; /* a new one for each test */
    struct store *store;
    struct test_image image;
    struct error err;
};

static const char *registry_of_test(void)
{
    return getenv("PUSHWRIGHT_TEST_REGISTRY");
}

static void set_login(struct fixture *f)
{
    const char *password = getenv("PUSHWRIGHT_TEST_PASSWORD"), *config = getenv("PUSHWRIGHT_TEST_DOCKER_CONFIG");
    f->login = (struct registry_login){
        .host = registry_of_test(),
        .username = getenv("PUSHWRIGHT_TEST_USER"),
        .ca_file = getenv("PUSHWRIGHT_TEST_CA"),
        .layout = getenv("PUSHWRIGHT_TEST_LAYOUT"),
    };
    f->login.password = f->password = password ? secret_new(span_of(password), &f->err) : NULL;
    f->login.docker_config = f->docker_config = config ? secret_from_file(config, &f->err) : NULL;
    f->options = (struct registry_options){ .logins = &f->login, .login_count = 1, .push = true };
}

static int begin(void **state)
{
    if (!registry_of_test())
        return 0;
    struct fixture *f = calloc(1, sizeof *f);
    set_login(f);
    snprintf(f->repository, sizeof f->repository, "%s/live/t%llx", registry_of_test(),
             (unsigned long long)random_u64());
    f->store = open_named(f->repository, &f->options, &f->err);
    assert_non_null(f->store);
    assert_true(test_image_make(&f->image, f->repository, &f->err));
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    if (!f)
        return 0;
    store_free(f->store);
    test_image_release(&f->image);
    secret_free(f->password);
    secret_free(f->docker_config);
    free(f);
    return 0;
}

static struct fixture *need(void **state)
{
    if (!*state)
        skip();
    return *state;
}

#define assert_ok(call, err)                                                                                           \
    do                                                                                                                 \
        if (!(call))                                                                                                   \
            fail_msg("%s", (err).message);                                                                             \
    while (0)

static void an_image_goes_in_and_comes_out(void **state)
{
    struct fixture *f = need(state);
    struct descriptor put, got;
    AUTO(image_release) struct image image = { .layers = NULL };
    AUTO(bytes_release) struct bytes layer = BYTES(TEST_TEXT_MAX);
    assert_ok(test_image_put(f->store, &f->image, "v1", &put, &f->err), f->err);
    assert_ok(store_resolve(f->store, "v1", &got, &f->err), f->err);
    assert_string_equal(got.digest, put.digest);
    assert_string_equal(got.media_type, MEDIA_OCI_MANIFEST);
    assert_int_equal(got.size, f->image.manifest.len);
    assert_ok(image_load(f->store, put.digest, "linux/amd64", &image, &f->err), f->err);
    assert_int_equal(image.layer_count, 1);
    assert_ok(store_read_blob(f->store, &image.layers[0].blob, &layer, &f->err), f->err);
    assert_true(span_equal(bytes_span(&layer), bytes_span(&f->image.layer)));
    assert_ok(test_image_put(f->store, &f->image, "v1", &put, &f->err), f->err);
    assert_ok(test_image_put(f->store, &f->image, "v2", &put, &f->err), f->err);
}

static void what_is_missing_is_not_found(void **state)
{
    struct fixture *f = need(state);
    struct descriptor got;
    bool has = true;
    AUTO(bytes_release) struct bytes body = BYTES(TEST_TEXT_MAX);
    assert_false(store_resolve(f->store, "v1", &got, &f->err));
    assert_int_equal(f->err.kind, ERROR_NOT_FOUND);
    assert_false(store_get_manifest(f->store, f->image.layer_blob.digest, &body, &got, &f->err));
    assert_int_equal(f->err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(f->err.message, "404 not found (MANIFEST_UNKNOWN"));
    assert_false(store_read_blob(f->store, &f->image.layer_blob, &body, &f->err));
    assert_int_equal(f->err.kind, ERROR_NOT_FOUND);
    assert_ok(store_has_blob(f->store, f->image.layer_blob.digest, &has, &f->err), f->err);
    assert_false(has);
}

static void blobs_are_mounted_from_another_repository(void **state)
{
    struct fixture *f = need(state);
    struct descriptor put;
    char name[220];
    bool done = true;
    AUTO(reference_release) struct reference from = { .registry = NULL };
    snprintf(name, sizeof name, "%s-copy", f->repository);
    AUTO(store_free) struct store *copy = open_named(name, &f->options, &f->err);
    assert_true(reference_parse(span_of(f->repository), &from, &f->err));
    assert_ok(store_mount_blob(copy, &f->image.layer_blob, &from, &done, &f->err), f->err);
    assert_false(done);
    assert_ok(test_image_put(f->store, &f->image, "v1", &put, &f->err), f->err);
    assert_ok(store_mount_blob(copy, &f->image.layer_blob, &from, &done, &f->err), f->err);
    assert_true(done);
    assert_ok(store_has_blob(copy, f->image.layer_blob.digest, &done, &f->err), f->err);
    assert_true(done);
}

static void an_upload_begins_before_its_blob_is_there(void **state)
{
    struct fixture *f = need(state);
    struct descriptor put;
    AUTO(bytes_release) struct bytes layer = BYTES(TEST_TEXT_MAX);
    assert_ok(store_begin_upload(f->store, &f->err), f->err);
    assert_ok(store_begin_upload(f->store, &f->err), f->err); /* one is enough */
    assert_ok(test_image_put(f->store, &f->image, "v1", &put, &f->err), f->err);
    assert_ok(store_read_blob(f->store, &f->image.layer_blob, &layer, &f->err), f->err);
    assert_true(span_equal(bytes_span(&layer), bytes_span(&f->image.layer)));
    assert_ok(store_begin_upload(f->store, &f->err), f->err); /* for nothing: taken back at the end */
}

static void large_file_goes_in_and_out(struct fixture *f)
{
    bool has = false;
    AUTO(free) char *dir = directory_make_temporary("live-test", &f->err);
    AUTO(bytes_release) struct bytes content = BYTES(LARGE);
    AUTO(bytes_release) struct bytes back = BYTES(LARGE);
    char path[200];
    assert_true(bytes_reserve(&content, LARGE, &f->err));
    random_bytes(content.data, LARGE);
    content.len = LARGE;
    snprintf(path, sizeof path, "%s/blob", dir);
    assert_true(file_write_atomic(path, bytes_span(&content), 0644, &f->err));
    AUTO(close) int fd = open(path, O_RDONLY);
    struct descriptor blob = describe("application/octet-stream", bytes_span(&content));
    assert_ok(store_put_blob_file(f->store, &blob, fd, &f->err), f->err);
    assert_ok(store_put_blob_file(f->store, &blob, fd, &f->err), f->err);
    assert_ok(store_has_blob(f->store, blob.digest, &has, &f->err), f->err);
    assert_true(has);
    assert_ok(store_read_blob(f->store, &blob, &back, &f->err), f->err);
    assert_true(span_equal(bytes_span(&back), bytes_span(&content)));
    blob.size--;
    assert_false(store_put_blob_file(f->store, &blob, fd, &f->err));
    assert_int_equal(f->err.kind, ERROR_INVALID);
    assert_true(directory_remove(dir, &f->err));
}

static void large_files_are_streamed(void **state)
{
    large_file_goes_in_and_out(need(state));
}

static void large_files_go_in_parts(void **state)
{
    struct fixture *f = need(state);
    f->options.part_size = LARGE / 4 - 1; /* the last one is short */
    large_file_goes_in_and_out(f);
}

static void wrong_bytes_are_refused(void **state)
{
    struct fixture *f = need(state);
    bool has = true;
    struct descriptor wrong = describe("x/y", SPAN("right"));
    assert_false(store_put_blob(f->store, &wrong, SPAN("wrong"), &f->err));
    assert_int_equal(f->err.kind, ERROR_INVALID);
    assert_non_null(strstr(f->err.message, "DIGEST_INVALID"));
    assert_ok(store_has_blob(f->store, wrong.digest, &has, &f->err), f->err);
    assert_false(has);
}

static void without_credentials_there_is_no_entry(void **state)
{
    struct fixture *f = need(state);
    if (!f->login.username && !f->login.docker_config)
        skip();
    struct descriptor got;
    struct registry_login login = { .host = f->login.host, .ca_file = f->login.ca_file };
    const struct registry_options options = { .logins = &login, .login_count = 1 };
    AUTO(store_free) struct store *anonymous = open_named(f->repository, &options, &f->err);
    assert_false(store_resolve(anonymous, "v1", &got, &f->err));
    assert_int_equal(f->err.kind, ERROR_DENIED);
    assert_non_null(strstr(f->err.message, "a user name and password are wanted, and none are configured"));
    AUTO(secret_free) struct secret *bad = secret_new(SPAN("not-the-password"), &f->err);
    login.username = "someone";
    login.password = bad;
    AUTO(store_free) struct store *stranger = open_named(f->repository, &options, &f->err);
    assert_false(store_resolve(stranger, "v1", &got, &f->err));
    assert_int_equal(f->err.kind, ERROR_DENIED);
    assert_null(strstr(f->err.message, "not-the-password"));
}

static void a_strange_certificate_is_not_trusted(void **state)
{
    struct fixture *f = need(state);
    if (!f->login.ca_file)
        skip();
    struct descriptor got;
    const struct registry_login login = { .host = f->login.host, .ca_file = getenv("PUSHWRIGHT_TEST_OTHER_CA") };
    const struct registry_options options = { .logins = &login, .login_count = 1 };
    AUTO(store_free) struct store *store = open_named(f->repository, &options, &f->err);
    assert_false(store_resolve(store, "v1", &got, &f->err));
    assert_int_equal(f->err.kind, ERROR_DENIED);
    assert_non_null(strstr(f->err.message, "the server's certificate is not trusted"));
}

/* A tag that the script looks at with other people's tools. */
static void an_image_is_left_for_others(void **state)
{
    struct fixture *f = need(state);
    struct descriptor put;
    char name[200];
    AUTO(test_image_release) struct test_image image = { .config_blob = { .size = 0 } };
    snprintf(name, sizeof name, "%s/live/left", registry_of_test());
    AUTO(store_free) struct store *store = open_named(name, &f->options, &f->err);
    assert_true(test_image_make(&image, "hello world", &f->err));
    assert_ok(test_image_put(store, &image, "latest", &put, &f->err), f->err);
}

/* An image that others have put there, given as $PUSHWRIGHT_TEST_IMAGE. */
static void an_image_of_others_is_read(void **state)
{
    struct fixture *f = need(state);
    const char *name = getenv("PUSHWRIGHT_TEST_IMAGE");
    if (!name)
        skip();
    AUTO(reference_release) struct reference reference = { .registry = NULL };
    AUTO(image_release) struct image image = { .layers = NULL };
    assert_true(reference_parse(span_of(name), &reference, &f->err));
    AUTO(store_free) struct store *store = store_open(&reference, &f->options, &f->err);
    assert_ok(image_load(store, reference.tag, "linux/amd64", &image, &f->err), f->err);
    assert_int_equal(image.layer_count, 1);
    AUTO(bytes_release) struct bytes layer = BYTES(TEST_TEXT_MAX);
    assert_ok(store_read_blob(store, &image.layers[0].blob, &layer, &f->err), f->err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_image_goes_in_and_comes_out, begin, end),
        cmocka_unit_test_setup_teardown(what_is_missing_is_not_found, begin, end),
        cmocka_unit_test_setup_teardown(blobs_are_mounted_from_another_repository, begin, end),
        cmocka_unit_test_setup_teardown(an_upload_begins_before_its_blob_is_there, begin, end),
        cmocka_unit_test_setup_teardown(large_files_are_streamed, begin, end),
        cmocka_unit_test_setup_teardown(large_files_go_in_parts, begin, end),
        cmocka_unit_test_setup_teardown(wrong_bytes_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(without_credentials_there_is_no_entry, begin, end),
        cmocka_unit_test_setup_teardown(a_strange_certificate_is_not_trusted, begin, end),
        cmocka_unit_test_setup_teardown(an_image_is_left_for_others, begin, end),
        cmocka_unit_test_setup_teardown(an_image_of_others_is_read, begin, end),
    };
    cmocka_set_test_filter(getenv("PUSHWRIGHT_TEST_ONLY"));
    return cmocka_run_group_tests_name("shared/oci/registry_live", tests, NULL, NULL);
}
