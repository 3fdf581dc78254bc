/* The store of unpacked layers: made once, held, bounded, and clean after whoever has ended. */
#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/oci/tar.h"
#include "shared/rootfs/layers.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_SIZE = 100 * 1000 };

static char *base;
static char directory[300];
static enum sandbox_mode mode;

static struct layers *open_layers(int64_t bytes_max)
{
    struct error err = { 0 };
    const struct layers_options options = { .directory = directory, .mode = mode, .bytes_max = bytes_max };
    struct layers *layers = layers_open(&options, &err);
    if (!layers)
        fail_msg("%s", err.message);
    return layers;
}

static struct store *open_store(void)
{
    struct error err = { 0 };
    char text[400];
    AUTO(reference_release) struct reference reference = { 0 };
    snprintf(text, sizeof text, "oci:%s/layout", base);
    assert_true(reference_parse(span_of(text), &reference, &err));
    struct store *store = store_open(&reference, NULL, &err);
    assert_non_null(store);
    return store;
}

/* A layer with one file of FILE_SIZE bytes, all of them `letter`, which lies in another directory than the archive lists. */
static struct image_layer put_layer(struct store *store, char letter)
{
    struct error err = { 0 };
    struct image_layer layer = { .blob = { .media_type = "application/vnd.oci.image.layer.v1.tar" } };
    AUTO(bytes_release) struct bytes archive = BYTES(1024 * 1024);
    AUTO(free) char *content = malloc(FILE_SIZE);
    static const char zeros[512];
    const struct tar_entry entry = { .type = TAR_FILE,
                                     .path = "usr/share/file",
                                     .link = "",
                                     .mode = 0644,
                                     .uid = geteuid(),
                                     .gid = getegid(),
                                     .size = FILE_SIZE };
    memset(content, letter, FILE_SIZE);
    assert_true(tar_write_header(&archive, &entry, &err) && bytes_append(&archive, content, FILE_SIZE, &err) &&
                bytes_append(&archive, zeros, tar_padding(FILE_SIZE), &err) && tar_write_end(&archive, &err));
    memcpy(layer.blob.digest, "sha256:", 7);
    sha256_hex_of(bytes_span(&archive), layer.blob.digest + 7);
    memcpy(layer.diff_id, layer.blob.digest, sizeof layer.diff_id);
    layer.blob.size = (int64_t)archive.len;
    assert_true(store_put_blob(store, &layer.blob, bytes_span(&archive), &err));
    return layer;
}

static void get(struct layers *layers, struct store *store, char letter, char path[static LAYERS_PATH_MAX])
{
    struct error err = { 0 };
    const struct image_layer layer = put_layer(store, letter);
    if (!layers_get(layers, store, &layer, path, &err))
        fail_msg("%s", err.message);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static size_t count_with(const char *prefix)
{
    size_t count = 0;
    AUTO(closedir) DIR *dir = opendir(directory);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    return count;
}

static void a_layer_is_unpacked_once_and_says_what_it_implies(void **state)
{
    (void)state;
    struct error err = { 0 };
    char path[LAYERS_PATH_MAX], again[LAYERS_PATH_MAX], file[LAYERS_PATH_MAX + 32];
    struct stat first, second;
    AUTO(bytes_release) struct bytes implied = BYTES(1024);
    AUTO(store_free) struct store *store = open_store();
    AUTO(layers_free) struct layers *layers = open_layers(0);
    get(layers, store, 'a', path);
    snprintf(file, sizeof file, "%s/usr/share/file", path);
    assert_int_equal(stat(file, &first), 0);
    assert_int_equal(first.st_size, FILE_SIZE);
    get(layers, store, 'a', again);
    assert_string_equal(again, path);
    assert_int_equal(stat(file, &second), 0);
    assert_int_equal(second.st_ino, first.st_ino);
    assert_true(layers_implied(path, &implied, &err));
    assert_int_equal(implied.len, sizeof "usr\0usr/share");
    assert_memory_equal(implied.data, "usr\0usr/share", implied.len);
}

static void the_longest_unused_go_and_what_is_held_stays(void **state)
{
    (void)state;
    char a[LAYERS_PATH_MAX], b[LAYERS_PATH_MAX], c[LAYERS_PATH_MAX], d[LAYERS_PATH_MAX];
    AUTO(store_free) struct store *store = open_store();
    AUTO(layers_free) struct layers *holder = open_layers(0);
    get(holder, store, 'a', a);
    {
        AUTO(layers_free) struct layers *other = open_layers(0);
        get(other, store, 'b', b);
        get(other, store, 'c', c);
    }
    AUTO(layers_free) struct layers *bounded = open_layers(FILE_SIZE * 5 / 2);
    get(bounded, store, 'd', d); /* three are there: one too many */
    assert_true(is_there(a) && is_there(d));
    assert_false(is_there(b));
    assert_true(is_there(c));
    assert_int_equal(count_with("dead-"), 0);
}

static void what_is_not_whole_is_made_again(void **state)
{
    (void)state;
    char path[LAYERS_PATH_MAX], note[LAYERS_PATH_MAX + 16], file[LAYERS_PATH_MAX + 32];
    struct error err = { 0 };
    AUTO(store_free) struct store *store = open_store();
    {
        AUTO(layers_free) struct layers *layers = open_layers(0);
        get(layers, store, 'e', path);
    }
    snprintf(note, sizeof note, "%.*s/boot", (int)(strlen(path) - strlen("/fs")), path);
    snprintf(file, sizeof file, "%s/usr/share/file", path);
    assert_int_equal(unlink(file), 0);
    assert_true(file_write_atomic(note, SPAN("of another boot"), 0600,
                                  &err)); /* the machine crashed before it was on the disk */
    AUTO(layers_free) struct layers *layers = open_layers(0);
    get(layers, store, 'e', path);
    assert_true(is_there(file));
}

static void what_an_ended_process_left_is_removed(void **state)
{
    (void)state;
    char path[LAYERS_PATH_MAX];
    struct error err = { 0 };
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct layers *layers = open_layers(0);
        char scratch[LAYERS_PATH_MAX];
        if (layers_scratch(layers, scratch, &err) && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], path, 1), 1);
    {
        AUTO(layers_free) struct layers *layers = open_layers(0);
        assert_int_equal(count_with("new-"), 1); /* it lives */
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    AUTO(layers_free) struct layers *layers = open_layers(0);
    assert_int_equal(count_with("new-"), 0);
    assert_true(layers_scratch(layers, path, &err));
    assert_int_equal(count_with("new-"), 1);
    close(ready[0]);
    close(ready[1]);
}

static void wrong_content_is_never_found_later(void **state)
{
    (void)state;
    char path[LAYERS_PATH_MAX];
    struct error err = { 0 };
    AUTO(store_free) struct store *store = open_store();
    AUTO(layers_free) struct layers *layers = open_layers(0);
    struct image_layer layer = put_layer(store, 'f');
    memset(layer.diff_id + 7, '0', 64);
    assert_false(layers_get(layers, store, &layer, path, &err));
    assert_non_null(strstr(err.message, "the image says sha256:0000"));
    assert_false(is_there(path));
    assert_int_equal(count_with("new-"), 0);
}

static int prepare(void **state)
{
    (void)state;
    struct error err = { 0 };
    mode = geteuid() == 0 ? SANDBOX_AS_ROOT : SANDBOX_AS_USER;
    base = directory_make_temporary("layers-test", &err);
    return base ? 0 : -1;
}

static int renew(void **state)
{
    (void)state;
    static int number;
    snprintf(directory, sizeof directory, "%s/store-%d", base, number++);
    return 0;
}

static int tidy(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool removed = sandbox_remove_tree(base, &err);
    free(base);
    return removed ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_layer_is_unpacked_once_and_says_what_it_implies, renew),
        cmocka_unit_test_setup(the_longest_unused_go_and_what_is_held_stays, renew),
        cmocka_unit_test_setup(what_is_not_whole_is_made_again, renew),
        cmocka_unit_test_setup(what_an_ended_process_left_is_removed, renew),
        cmocka_unit_test_setup(wrong_content_is_never_found_later, renew),
    };
    return cmocka_run_group_tests_name("shared/rootfs/layers", tests, prepare, tidy);
}
