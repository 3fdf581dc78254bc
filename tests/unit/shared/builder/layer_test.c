/* Layers made, read back as layers of a base, and laid over each other. */
#include "shared/base/file.h"
#include "shared/builder/accounts.h"
#include "shared/builder/baseindex.h"
#include "shared/builder/copy.h"
#include "shared/builder/layer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct compression gzip = { .kind = COMPRESSION_GZIP };

static struct content memory(const char *text)
{
    return (struct content){ .kind = *text ? CONTENT_MEMORY : CONTENT_EMPTY,
                             .size = (int64_t)strlen(text),
                             .memory = text };
}

/* One file by COPY, as the engine would. */
static void copy_text(struct tree *tree, uint32_t layer, const char *dest, struct content *content, uint64_t file)
{
    static uint64_t last_number;
    static struct numbering links = { .last = &last_number };
    struct copy copy = { .to = tree,
                         .layer = layer,
                         .workdir = "/",
                         .dest = dest,
                         .from_name = "test",
                         .time_s = 1000,
                         .newest_s = 1000,
                         .links = &links };
    struct attributes is = { .type = TAR_FILE, .mode = 0640, .mtime_s = 5000, .content = content, .file = file };
    struct error err = { 0 };

    if (!copy_file(&copy, "name", &is, &err))
        fail_msg("%s", err.message);
}

static struct layer *written(const struct tree *tree, uint32_t number)
{
    struct error err = { 0 };
    struct layer *layer = layer_write(tree, number, &gzip, NULL, NULL, &err);

    if (!layer)
        fail_msg("%s", err.message);
    return layer;
}

static void the_same_tree_gives_the_same_layer(void **state)
{
    struct content a = memory("a"), b = memory("b");
    char digests[2][DIGEST_TEXT_SIZE];

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct error err = { 0 };
        AUTO(tree_free) struct tree *tree = tree_new(&err);

        copy_text(tree, 1, i ? "/x/a" : "/x/b", i ? &a : &b, 0);
        copy_text(tree, 1, i ? "/x/b" : "/x/a", i ? &b : &a, 0);
        AUTO(layer_free) struct layer *layer = written(tree, 1);
        assert_int_equal(layer->blob.size, spool_size(layer->spool));
        assert_string_not_equal(layer->blob.digest, layer->diff_id);
        memcpy(digests[i], layer->blob.digest, DIGEST_TEXT_SIZE);
    }
    assert_string_equal(digests[0], digests[1]);
}

static void only_what_the_layer_changed_is_in_it(void **state)
{
    struct content a = memory("a"), b = memory("b"), c = memory("c");
    struct error err = { 0 };
    AUTO(tree_free) struct tree *tree = tree_new(&err), *alone = tree_new(&err);

    (void)state;
    copy_text(tree, 1, "/other/a", &a, 0);
    copy_text(tree, 2, "/x/b", &b, 0);
    copy_text(alone, 2, "/x/b", &b, 0);
    AUTO(layer_free) struct layer *second = written(tree, 2), *expected = written(alone, 2);
    assert_string_equal(second->blob.digest, expected->blob.digest);

    copy_text(tree, 3, "/x/b", &b, 0); /* nothing new */
    AUTO(layer_free) struct layer *third = written(tree, 3), *empty = written(alone, 9);
    assert_string_equal(third->blob.digest, empty->blob.digest);
    copy_text(tree, 4, "/x/b", &c, 0);
    AUTO(layer_free) struct layer *fourth = written(tree, 4);
    assert_string_not_equal(fourth->blob.digest, empty->blob.digest);
}

static bool at_once(void *context)
{
    (void)context;
    return true;
}

static void writing_can_be_cancelled(void **state)
{
    struct content a = memory("a");
    struct error err = { 0 };
    AUTO(tree_free) struct tree *tree = tree_new(&err);

    (void)state;
    copy_text(tree, 1, "/x", &a, 0);
    assert_null(layer_write(tree, 1, &gzip, at_once, NULL, &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
}

/* ---- the index of a layer ---- */

static struct {
    char *directory;
    struct store *store;
    struct layer *layer;
    struct image_layer described;
} world;

static int set_up(void **state)
{
    static struct content a, passwd;
    struct error err = { 0 };
    AUTO(tree_free) struct tree *tree = tree_new(&err);
    AUTO(bytes_release) struct bytes name = BYTES(4096);
    AUTO(reference_release) struct reference reference = { 0 };

    (void)state;
    a = memory("content of a");
    passwd = memory("root:x:0:0::/:\nwww:x:33:34::/:\n42:x:7:8::/:\nhuge:x:99999999999:1::/:\n");
    copy_text(tree, 1, "/dir/a", &a, 77);
    copy_text(tree, 1, "/dir/b", &a, 77);
    copy_text(tree, 1, "/etc/passwd", &passwd, 0);
    world.layer = written(tree, 1);
    world.directory = directory_make_temporary("layer-test", &err);
    assert_true(bytes_printf(&name, &err, "oci:%s/layout", world.directory));
    assert_true(reference_parse(bytes_span(&name), &reference, &err));
    world.store = store_open(&reference, NULL, &err);
    assert_non_null(world.store);
    if (!store_put_blob_file(world.store, &world.layer->blob, spool_fd(world.layer->spool), &err))
        fail_msg("%s", err.message);
    world.described.blob = world.layer->blob;
    memcpy(world.described.diff_id, world.layer->diff_id, sizeof(world.described.diff_id));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_free(world.store);
    layer_free(world.layer);
    directory_remove(world.directory, &(struct error){ 0 });
    free(world.directory);
    return 0;
}

static struct tree *indexed(struct baseindex *index)
{
    struct error err = { 0 };
    struct tree *tree = tree_new(&err);

    if (!baseindex_get(world.store, &world.described, NULL, index, &err) ||
        !baseindex_apply(index->entries, tree, NULL, 0, &err))
        fail_msg("%s", err.message);
    return tree;
}

static struct tree_node *add(struct tree *tree, const char *name, struct attributes is)
{
    struct error err = { 0 };
    struct tree_node *node = tree_add(tree, tree_root(tree), span_of(name), &err);

    assert_non_null(node);
    node->is = is;
    tree_touch(node, 1);
    return node;
}

/* Everything that a layer can hold, with one time for what was made and, where it is no later, another one. */
static struct layer *of_everything(int64_t time_s, int64_t other_s)
{
    static char longest[200], deepest[300];
    static struct content large, some;
    struct error err = { 0 };
    AUTO(tree_free) struct tree *tree = tree_new(&err);

    memset(longest, 'n', sizeof(longest) - 1);
    memset(deepest, 'l', sizeof(deepest) - 1);
    some = memory("some");
    large = memory(deepest);
    other_s = other_s < time_s ? other_s : time_s;
    add(tree, "file",
        (struct attributes){ .mode = 04755, .uid = 1, .gid = 5000000, .mtime_s = time_s, .content = &some });
    add(tree, "name", (struct attributes){ .mode = 0600, .mtime_s = other_s, .file = 9, .content = &large });
    add(tree, "names", (struct attributes){ .mode = 0600, .mtime_s = other_s, .file = 9, .content = &large });
    add(tree, longest, (struct attributes){ .type = TAR_DIRECTORY, .mode = 01777, .mtime_s = time_s });
    add(tree, "link", (struct attributes){ .type = TAR_SYMLINK, .mtime_s = time_s, .target = deepest });
    add(tree, "device", (struct attributes){ .type = TAR_CHARACTER, .device_major = 1, .device_minor = 300 });
    add(tree, "pipe", (struct attributes){ .type = TAR_FIFO, .mode = 0644, .mtime_s = -5 });
    add(tree, "able", (struct attributes){ .mtime_s = time_s, .content = &some, .capability = SPAN("\1\0\0\2") });
    add(tree, ".wh.gone", (struct attributes){ .content = &some })->whiteout = true;
    return written(tree, 1);
}

static void a_layer_with_other_times_is_what_would_have_been_made_for_them(void **state)
{
    static const int64_t least = 1000, most = INT64_C(1) << 34; /* no number of eleven octal digits */
    static const struct {
        int64_t was_s, is_s, other_s, shortened_s;
    } rows[] = { { 5000, 6000, 4000, 0 }, { 5000, 4500, 4000, 0 },     { 5000, 3000, 4000, 4000 },
                 { least, most, 10, 0 },  { most, least, 2000, 2000 }, { most, least, 10, 0 } };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(layer_free) struct layer *was = of_everything(rows[i].was_s, rows[i].other_s);
        AUTO(layer_free) struct layer *is = of_everything(rows[i].is_s, rows[i].other_s);
        struct image_layer described = { .blob = was->blob };
        struct retiming times = { rows[i].was_s, rows[i].is_s };

        assert_true(store_put_blob_file(world.store, &was->blob, spool_fd(was->spool), &err));
        AUTO(layer_free) struct layer *retimed = layer_retime(world.store, &described, times, &gzip, NULL, NULL, &err);
        if (!retimed)
            fail_msg("%s", err.message);
        assert_string_not_equal(was->diff_id, is->diff_id);
        assert_string_equal(retimed->diff_id, is->diff_id);
        assert_string_equal(retimed->blob.digest, is->blob.digest);
        assert_int_equal(retimed->shortened_s, rows[i].shortened_s);
    }
}

static void an_index_tells_what_a_layer_holds(void **state)
{
    AUTO(baseindex_release) struct baseindex index = { 0 };
    AUTO(tree_free) struct tree *tree = indexed(&index);
    struct tree_place a, b, passwd;
    struct error err = { 0 };

    (void)state;
    assert_true(tree_resolve(tree, tree_root(tree), "dir/a", true, &a, &err));
    assert_true(tree_resolve(tree, tree_root(tree), "dir/b", true, &b, &err));
    assert_true(tree_resolve(tree, tree_root(tree), "etc/passwd", true, &passwd, &err));
    assert_string_equal(a.missing, "");
    assert_int_equal(a.node->is.mode, 0640);
    assert_int_equal(a.node->is.mtime_s, 1000); /* not later than the commit */
    assert_int_equal(a.node->is.content->size, 12);
    assert_int_equal(a.node->is.content->kind, CONTENT_BASE);
    assert_true(a.node->is.file != 0 && a.node->is.file == b.node->is.file);
    assert_int_equal(passwd.node->is.content->kind, CONTENT_MEMORY);
}

static void a_layer_that_is_another_than_promised_is_refused(void **state)
{
    AUTO(baseindex_release) struct baseindex index = { 0 };
    struct image_layer lie = world.described;
    struct error err = { 0 };

    (void)state;
    memset(lie.diff_id + 7, '0', 64);
    assert_false(baseindex_get(world.store, &lie, NULL, &index, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_null(index.entries.data);
}

static void the_cache_is_used_and_never_trusted(void **state)
{
    AUTO(baseindex_release) struct baseindex first = { 0 }, second = { 0 };
    AUTO(bytes_release) struct bytes file = BYTES(BASEINDEX_MAX), path = BYTES(4096);
    struct error err = { 0 };
    struct image_layer gone = world.described;

    (void)state;
    assert_true(baseindex_get(world.store, &world.described, world.directory, &first, &err));
    assert_true(bytes_printf(&path, &err, "%s/index/%s", world.directory, world.described.blob.digest + 7));
    assert_true(file_read(&file, path.data, &err));
    /* Where the layer cannot be had, the cache is enough; for another diff id it says nothing. */
    gone.blob.size = 1;
    assert_true(baseindex_get(world.store, &gone, world.directory, &second, &err));
    assert_true(span_equal(first.entries, second.entries));
    baseindex_release(&second);
    memset(gone.diff_id + 7, '0', 64);
    assert_false(baseindex_get(world.store, &gone, world.directory, &second, &err));

    for (size_t at = 0; at < file.len; at += 97) {
        file.data[at] ^= 1;
        assert_true(file_write_atomic(path.data, bytes_span(&file), 0600, &err));
        file.data[at] ^= 1;
        baseindex_release(&second);
        assert_true(baseindex_get(world.store, &world.described, world.directory, &second, &err));
        assert_true(span_equal(first.entries, second.entries));
    }
}

static void the_cache_does_not_grow_for_ever(void **state)
{
    AUTO(baseindex_release) struct baseindex index = { 0 };
    struct error err = { 0 };
    char path[4096];
    size_t files = 0;

    (void)state;
    snprintf(path, sizeof(path), "%s/small/index", world.directory);
    assert_true(directory_make(path, 0700, &err));
    for (int i = 0; i < BASEINDEX_KEPT + 20; i++) {
        snprintf(path, sizeof(path), "%s/small/index/%064d", world.directory, i);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    snprintf(path, sizeof(path), "%s/small", world.directory);
    assert_true(baseindex_get(world.store, &world.described, path, &index, &err));
    snprintf(path, sizeof(path), "%s/small/index", world.directory);
    AUTO(closedir) DIR *directory = opendir(path);
    while (readdir(directory))
        files++;
    assert_int_equal(files, BASEINDEX_KEPT + 2); /* and "." and ".." */
}

static void a_cut_index_harms_nobody(void **state)
{
    AUTO(baseindex_release) struct baseindex index = { 0 };
    AUTO(tree_free) struct tree *whole = indexed(&index);

    (void)state;
    for (size_t len = 0; len < index.entries.len; len++) {
        struct error err = { 0 };
        AUTO(tree_free) struct tree *tree = tree_new(&err);

        baseindex_apply((struct span){ index.entries.data, len }, tree, NULL, 0, &err);
    }
}

static void owners_are_looked_up_in_the_image(void **state)
{
    static const struct {
        const char *owner;
        uint32_t uid, gid;
    } rows[] = {
        { "33", 33, 33 },     { "33:1", 33, 1 }, { "www", 33, 34 },      { "www:7", 33, 7 },
        { "www:", 33, 0 },    { "42", 42, 42 },  { ":5", 0, 5 },         { "nobody", 0, 0 },
        { "1:nosuch", 1, 1 }, { "huge", 0, 1 },  { "4294967297", 0, 0 },
    };
    AUTO(baseindex_release) struct baseindex index = { 0 };
    AUTO(tree_free) struct tree *tree = indexed(&index);
    struct error err = { 0 };
    uint32_t uid, gid;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(accounts_owner(tree, rows[i].owner, &uid, &gid, &err));
        if (uid != rows[i].uid || gid != rows[i].gid)
            fail_msg("%s: %u:%u", rows[i].owner, uid, gid);
    }
    assert_true(accounts_owner(NULL, "1:2", &uid, &gid, &err));
    assert_false(accounts_owner(NULL, "www", &uid, &gid, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_tree_gives_the_same_layer),
        cmocka_unit_test(only_what_the_layer_changed_is_in_it),
        cmocka_unit_test(writing_can_be_cancelled),
        cmocka_unit_test(a_layer_with_other_times_is_what_would_have_been_made_for_them),
        cmocka_unit_test(an_index_tells_what_a_layer_holds),
        cmocka_unit_test(a_layer_that_is_another_than_promised_is_refused),
        cmocka_unit_test(the_cache_is_used_and_never_trusted),
        cmocka_unit_test(the_cache_does_not_grow_for_ever),
        cmocka_unit_test(a_cut_index_harms_nobody),
        cmocka_unit_test(owners_are_looked_up_in_the_image),
    };

    return cmocka_run_group_tests_name("shared/builder/layer", tests, set_up, tear_down);
}
