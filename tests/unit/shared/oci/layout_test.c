#include "images.h"

#include <cmocka.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/file.h"

struct fixture {
    char *directory;
    char name[300]; /* "oci:DIRECTORY/one" */
    struct store *store;
    struct test_image image;
    struct error err;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_make_temporary("layout-test", &f->err);
    assert_non_null(f->directory);
    snprintf(f->name, sizeof f->name, "oci:%s/one", f->directory);
    f->store = open_named(f->name, NULL, &f->err);
    assert_non_null(f->store);
    assert_true(test_image_make(&f->image, "hello world", &f->err));
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    store_free(f->store);
    test_image_release(&f->image);
    assert_true(directory_remove(f->directory, &f->err));
    free(f->directory);
    free(f);
    return 0;
}

static char *path_of(const struct fixture *f, const char *rest)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", f->directory, rest) > 0);
    return path;
}

static void read_text(const struct fixture *f, const char *rest, struct bytes *out)
{
    struct error err = { 0 };
    AUTO(free) char *path = path_of(f, rest);
    assert_true(file_read(out, path, &err));
}

static void an_image_goes_in_and_comes_out(void **state)
{
    struct fixture *f = *state;
    struct descriptor put, got;
    AUTO(bytes_release) struct bytes body = BYTES(TEST_TEXT_MAX);
    AUTO(image_release) struct image image = { .layers = NULL };
    assert_true(test_image_put(f->store, &f->image, "v1", &put, &f->err));
    assert_true(store_resolve(f->store, "v1", &got, &f->err));
    assert_string_equal(got.digest, put.digest);
    assert_string_equal(got.media_type, MEDIA_OCI_MANIFEST);
    assert_int_equal(got.size, f->image.manifest.len);
    assert_true(store_resolve(f->store, put.digest, &got, &f->err));
    assert_string_equal(got.media_type, MEDIA_OCI_MANIFEST);
    assert_true(store_get_manifest(f->store, "v1", &body, &got, &f->err));
    assert_true(span_equal(bytes_span(&body), bytes_span(&f->image.manifest)));
    assert_true(image_load(f->store, "v1", "linux/amd64", &image, &f->err));
    assert_int_equal(image.layer_count, 1);
    assert_string_equal(image.layers[0].blob.digest, f->image.layer_blob.digest);
    assert_true(span_equal(bytes_span(&image.config), bytes_span(&f->image.config)));
    AUTO(bytes_release) struct bytes marker = BYTES(100);
    read_text(f, "one/oci-layout", &marker);
    assert_string_equal(bytes_text(&marker), "{\"imageLayoutVersion\":\"1.0.0\"}");
}

/* As other tools write a layout for a single image that was given no name. */
static void a_single_image_without_a_name_is_the_latest(void **state)
{
    struct fixture *f = *state;
    struct descriptor put, got;
    AUTO(bytes_release) struct bytes index = BYTES(TEST_TEXT_MAX);
    AUTO(free) char *path = path_of(f, "one/index.json");
    static const char entry[] = "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld}";
    assert_true(test_image_put(f->store, &f->image, NULL, &put, &f->err));
    for (int count = 1; count <= 2; count++) {
        bytes_clear(&index);
        assert_true(bytes_append_text(&index, "{\"schemaVersion\":2,\"manifests\":[", &f->err));
        for (int i = 0; i < count; i++)
            assert_true((i == 0 || bytes_append_char(&index, ',', &f->err)) &&
                        bytes_printf(&index, &f->err, entry, put.media_type, put.digest, (long long)put.size));
        assert_true(bytes_append_text(&index, "]}", &f->err) &&
                    file_write_atomic(path, bytes_span(&index), 0644, &f->err));
        assert_int_equal(store_resolve(f->store, "latest", &got, &f->err), count == 1);
        assert_false(store_resolve(f->store, "v1", &got, &f->err));
    }
}

static void nothing_there_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct descriptor got;
    bool has = true;
    assert_false(store_resolve(f->store, "v1", &got, &f->err));
    assert_int_equal(f->err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(f->err.message, "resolve 'v1': no such tag"));
    assert_false(store_resolve(f->store, f->image.layer_blob.digest, &got, &f->err));
    assert_int_equal(f->err.kind, ERROR_NOT_FOUND);
    assert_true(store_has_blob(f->store, f->image.layer_blob.digest, &has, &f->err));
    assert_false(has);
    AUTO(free) char *one = path_of(f, "one");
    assert_int_not_equal(access(one, F_OK), 0); /* reading makes nothing */
}

static void tags_move_and_what_others_wrote_stays(void **state)
{
    struct fixture *f = *state;
    struct descriptor first, second, got;
    AUTO(test_image_release) struct test_image other = { .config_blob = { .size = 0 } };
    assert_true(test_image_make(&other, "second", &f->err));
    AUTO(free) char *one = path_of(f, "one");
    AUTO(free) char *index = path_of(f, "one/index.json");
    assert_true(directory_make(one, 0755, &f->err));
    assert_true(file_write_atomic(index,
                                  SPAN("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x/y\",\"digest\":"
                                       "\"sha256:aa\",\"size\":1}],\"annotations\":{\"who\":\"me\"}}"),
                                  0644, &f->err));
    assert_true(test_image_put(f->store, &f->image, "v1", &first, &f->err));
    assert_true(test_image_put(f->store, &f->image, "v2", &first, &f->err));
    assert_true(test_image_put(f->store, &other, "v1", &second, &f->err));
    assert_true(store_resolve(f->store, "v1", &got, &f->err));
    assert_string_equal(got.digest, second.digest);
    assert_true(store_resolve(f->store, "v2", &got, &f->err));
    assert_string_equal(got.digest, first.digest);
    AUTO(bytes_release) struct bytes text = BYTES(TEST_TEXT_MAX);
    read_text(f, "one/index.json", &text);
    assert_non_null(strstr(text.data, "sha256:aa"));
    assert_non_null(strstr(text.data, "\"who\":\"me\""));
    assert_null(strstr(strstr(text.data, "\"v1\"") + 1, "\"v1\""));
}

static void the_same_again_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct descriptor put;
    struct stat before, after;
    AUTO(free) char *index = path_of(f, "one/index.json");
    assert_true(test_image_put(f->store, &f->image, "v1", &put, &f->err));
    assert_int_equal(stat(index, &before), 0);
    assert_true(test_image_put(f->store, &f->image, "v1", &put, &f->err));
    assert_int_equal(stat(index, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void wrong_bytes_are_not_stored(void **state)
{
    struct fixture *f = *state;
    bool has = true;
    struct descriptor wrong = describe("x/y", SPAN("right"));
    assert_false(store_put_blob(f->store, &wrong, SPAN("wrong"), &f->err));
    assert_int_equal(f->err.kind, ERROR_INVALID);
    assert_true(store_has_blob(f->store, wrong.digest, &has, &f->err));
    assert_false(has);
    assert_false(store_put_blob(f->store, &wrong, SPAN("longer than it"), &f->err));
    assert_int_equal(f->err.kind, ERROR_INVALID);
    wrong.digest[8] = 'X';
    assert_false(store_put_blob(f->store, &wrong, SPAN("right"), &f->err));
    assert_non_null(strstr(f->err.message, "digest of a blob is malformed"));
}

static void damage_on_disk_is_told(void **state)
{
    struct fixture *f = *state;
    struct descriptor put;
    AUTO(bytes_release) struct bytes out = BYTES(TEST_TEXT_MAX);
    char rest[200];
    assert_true(test_image_put(f->store, &f->image, "v1", &put, &f->err));
    snprintf(rest, sizeof rest, "one/blobs/sha256/%s", f->image.config_blob.digest + 7);
    AUTO(free) char *path = path_of(f, rest);
    bytes_append_text(&out, bytes_text(&f->image.config), &f->err);
    out.data[3] ^= 1;
    assert_true(file_write_atomic(path, bytes_span(&out), 0644, &f->err));
    bytes_clear(&out);
    assert_false(store_read_blob(f->store, &f->image.config_blob, &out, &f->err));
    assert_int_equal(f->err.kind, ERROR_UNAVAILABLE);
    assert_non_null(strstr(f->err.message, "lies: blob"));
    assert_int_equal(out.len, 0);
    assert_true(file_write_atomic(path, SPAN("short"), 0644, &f->err));
    assert_false(store_read_blob(f->store, &f->image.config_blob, &out, &f->err));
    assert_non_null(strstr(f->err.message, "has 5 bytes instead of"));
}

static void blobs_are_linked_from_another_layout(void **state)
{
    struct fixture *f = *state;
    struct descriptor put;
    struct stat from, to;
    char name[320], rest[200];
    bool done = false;
    AUTO(reference_release) struct reference one = { .registry = NULL };
    assert_true(reference_parse(span_of(f->name), &one, &f->err));
    snprintf(name, sizeof name, "oci:%s/deep/two", f->directory);
    AUTO(store_free) struct store *two = open_named(name, NULL, &f->err);
    assert_true(store_mount_blob(two, &f->image.layer_blob, &one, &done, &f->err));
    assert_false(done); /* not there yet */
    assert_true(test_image_put(f->store, &f->image, "v1", &put, &f->err));
    assert_true(store_mount_blob(two, &f->image.layer_blob, &one, &done, &f->err));
    assert_true(done);
    snprintf(rest, sizeof rest, "one/blobs/sha256/%s", f->image.layer_blob.digest + 7);
    AUTO(free) char *first = path_of(f, rest);
    snprintf(rest, sizeof rest, "deep/two/blobs/sha256/%s", f->image.layer_blob.digest + 7);
    AUTO(free) char *second = path_of(f, rest);
    assert_int_equal(stat(first, &from), 0);
    assert_int_equal(stat(second, &to), 0);
    assert_int_equal(from.st_ino, to.st_ino);
    assert_true(store_mount_blob(two, &f->image.layer_blob, &one, &done, &f->err));
    assert_true(done);
}

static void a_directory_can_stand_for_a_registry(void **state)
{
    struct fixture *f = *state;
    struct descriptor put;
    bool done = false;
    const struct registry_login login = { .host = "registry.local", .layout = f->directory };
    const struct registry_options options = { .logins = &login, .login_count = 1 };
    AUTO(store_free) struct store *web = open_named("registry.local/acme/web", &options, &f->err);
    AUTO(store_free) struct store *copy = open_named("registry.local/acme/copy", &options, &f->err);
    AUTO(reference_release) struct reference from = { .registry = NULL };
    assert_true(reference_parse(SPAN("registry.local/acme/web"), &from, &f->err));
    assert_true(test_image_put(web, &f->image, "v1", &put, &f->err));
    AUTO(free) char *index = path_of(f, "acme/web/index.json");
    assert_int_equal(access(index, F_OK), 0);
    assert_true(store_mount_blob(copy, &f->image.layer_blob, &from, &done, &f->err));
    assert_true(done);
}

static void files_are_stored_from_their_start(void **state)
{
    struct fixture *f = *state;
    AUTO(free) char *path = path_of(f, "source");
    AUTO(bytes_release) struct bytes out = BYTES(TEST_TEXT_MAX);
    struct descriptor blob = describe("x/y", SPAN("some content"));
    assert_true(file_write_atomic(path, SPAN("some content"), 0644, &f->err));
    AUTO(close) int fd = open(path, O_RDONLY);
    assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
    assert_true(store_put_blob_file(f->store, &blob, fd, &f->err));
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
    assert_true(store_read_blob(f->store, &blob, &out, &f->err));
    assert_string_equal(bytes_text(&out), "some content");
}

/* Several processes tag at once, one is killed in the middle: every finished tag is there, and the layout is whole. */
static void processes_at_once_lose_no_tag(void **state)
{
    struct fixture *f = *state;
    enum { PROCESSES = 4, TAGS = 8 };
    pid_t pids[PROCESSES + 1];
    for (int p = 0; p <= PROCESSES; p++) {
        pids[p] = fork();
        if (pids[p] != 0)
            continue;
        struct error err = { 0 };
        struct store *store = open_named(f->name, NULL, &err);
        for (int i = 0; i < TAGS || p == PROCESSES; i++) {
            char tag[32];
            struct descriptor put;
            struct test_image image;
            snprintf(tag, sizeof tag, "p%d-%d", p, i);
            if (!store || !test_image_make(&image, tag, &err) || !test_image_put(store, &image, tag, &put, &err))
                _exit(1);
            test_image_release(&image);
        }
        _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status = -1;
        assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
        assert_int_equal(status, 0);
    }
    kill(pids[PROCESSES], SIGKILL);
    waitpid(pids[PROCESSES], NULL, 0);
    for (int p = 0; p < PROCESSES; p++)
        for (int i = 0; i < TAGS; i++) {
            char tag[32];
            snprintf(tag, sizeof tag, "p%d-%d", p, i);
            AUTO(image_release) struct image image = { .layers = NULL };
            if (!image_load(f->store, tag, "linux/amd64", &image, &f->err))
                fail_msg("%s", f->err.message);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_image_goes_in_and_comes_out, begin, end),
        cmocka_unit_test_setup_teardown(a_single_image_without_a_name_is_the_latest, begin, end),
        cmocka_unit_test_setup_teardown(nothing_there_is_not_found, begin, end),
        cmocka_unit_test_setup_teardown(tags_move_and_what_others_wrote_stays, begin, end),
        cmocka_unit_test_setup_teardown(the_same_again_writes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(wrong_bytes_are_not_stored, begin, end),
        cmocka_unit_test_setup_teardown(damage_on_disk_is_told, begin, end),
        cmocka_unit_test_setup_teardown(blobs_are_linked_from_another_layout, begin, end),
        cmocka_unit_test_setup_teardown(a_directory_can_stand_for_a_registry, begin, end),
        cmocka_unit_test_setup_teardown(files_are_stored_from_their_start, begin, end),
        cmocka_unit_test_setup_teardown(processes_at_once_lose_no_tag, begin, end),
    };
    return cmocka_run_group_tests_name("shared/oci/layout", tests, NULL, NULL);
}
