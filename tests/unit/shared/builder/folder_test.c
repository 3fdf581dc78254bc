/* A directory of the machine as a context, quiet and while somebody changes it. */
#include "shared/builder/folder.h"

#include "shared/base/file.h"
#include "shared/builder/tree.h"
#include "shared/sandbox/sandbox.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char *base;

static const char *at(const char *name)
{
    static char path[4][300];
    static int turn;

    snprintf(path[++turn % 4], sizeof(path[0]), "%s/%s", base, name);
    return path[turn % 4];
}

static void write_file(const char *name, const char *content, mode_t mode)
{
    struct error err = { 0 };
    AUTO(close) int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    /* In this order: to write takes set-id bits away. */
    assert_true(fd >= 0 && file_write_all(fd, content, strlen(content), &err) && fchmod(fd, mode) == 0);
}

static int prepare(void **state)
{
    struct error err = { 0 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)state;
    base = directory_make_temporary("folder-test", &err);
    if (!base)
        return -1;
    assert_true(mkdir(at("sub"), 0750) == 0 && mkdir(at("sub/deep"), 0755) == 0 && mkdir(at("left-out"), 0755) == 0);
    write_file("a", "content of a", 0644);
    write_file("sub/run", "#!/bin/sh\n", 04755);
    write_file("sub/deep/x", "", 0600);
    write_file("left-out/secret", "no", 0600);
    write_file("left-out/wanted", "yes", 0644);
    assert_true(link(at("a"), at("sub/again")) == 0 && symlink("../a", at("sub/to-a")) == 0 &&
                mkfifo(at("pipe"), 0600) == 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", at("socket"));
    AUTO(close) int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(listener, (const struct sockaddr *)&address, sizeof(address));
}

static int tidy(void **state)
{
    struct error err = { 0 };
    bool removed = sandbox_remove_tree(base, &err);

    (void)state;
    free(base);
    return removed ? 0 : -1;
}

struct loaded {
    struct folder *folder;
    struct tree *tree;
    int64_t newest_s;
};

static void loaded_release(struct loaded *loaded)
{
    tree_free(loaded->tree);
    folder_free(loaded->folder);
}
AUTO_RELEASE(struct loaded, loaded_release)

static struct loaded load(const char *ignored)
{
    struct error err = { 0 };
    struct loaded loaded = { .folder = folder_open(base, &err), .tree = tree_new(&err) };
    AUTO(ignore_free) struct ignore *ignore = ignore_parse(span_of(ignored), &err);

    assert_non_null(loaded.folder);
    assert_true(folder_load(loaded.folder, loaded.tree, ignore, &loaded.newest_s, &err));
    return loaded;
}

/* NULL: there is none. */
static struct tree_node *node_at(const struct loaded *loaded, const char *path)
{
    struct tree_node *node = tree_root(loaded->tree);
    struct span rest = span_of(path);

    for (struct span part = span_cut(&rest, '/'); node && part.data; part = span_cut(&rest, '/'))
        node = tree_child(loaded->tree, node, part);
    return node;
}

static bool take(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static bool content_of(const struct loaded *loaded, const char *path, struct bytes *out, struct error *err)
{
    return folder_read(loaded->folder, node_at(loaded, path), take, out, err);
}

static void what_lies_there_becomes_nodes(void **state)
{
    static const struct {
        const char *path;
        enum tar_type type;
        uint32_t mode;
    } rows[] = {
        { "a", TAR_FILE, 0644 },          { "sub", TAR_DIRECTORY, 0750 },    { "sub/run", TAR_FILE, 04755 },
        { "sub/deep/x", TAR_FILE, 0600 }, { "sub/to-a", TAR_SYMLINK, 0777 }, { "pipe", TAR_FIFO, 0600 },
    };
    AUTO(loaded_release) struct loaded loaded = load("");
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes content = BYTES(100);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tree_node *node = node_at(&loaded, rows[i].path);
        assert_non_null(node);
        assert_int_equal(node->is.type, rows[i].type);
        assert_int_equal(node->is.mode, rows[i].mode);
    }
    assert_string_equal(node_at(&loaded, "sub/to-a")->is.target, "../a");
    assert_int_not_equal(node_at(&loaded, "a")->is.file, 0);
    assert_int_equal(node_at(&loaded, "a")->is.file, node_at(&loaded, "sub/again")->is.file);
    assert_int_equal(node_at(&loaded, "sub/run")->is.file, 0);
    assert_null(node_at(&loaded, "socket"));
    assert_true(loaded.newest_s > 0);
    assert_true(content_of(&loaded, "a", &content, &err));
    assert_string_equal(bytes_text(&content), "content of a");
}

static void what_is_ignored_is_not_there_but_exceptions_are(void **state)
{
    AUTO(loaded_release) struct loaded loaded = load("left-out\n!left-out/wanted\nsub\n");

    (void)state;
    assert_null(node_at(&loaded, "left-out/secret"));
    assert_non_null(node_at(&loaded, "left-out/wanted"));
    assert_null(node_at(&loaded, "sub"));
    assert_non_null(node_at(&loaded, "a"));
}

static void a_file_of_another_size_is_told(void **state)
{
    AUTO(loaded_release) struct loaded loaded = load("");
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes content = BYTES(100);

    (void)state;
    write_file("a", "longer content than before", 0644);
    assert_false(content_of(&loaded, "a", &content, &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_non_null(strstr(err.message, "'a' changed while the build ran"));
    write_file("a", "content of a", 0644);
}

static void a_directory_that_has_become_a_link_is_not_followed(void **state)
{
    AUTO(loaded_release) struct loaded loaded = load("");
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes content = BYTES(100);

    (void)state;
    assert_int_equal(rename(at("left-out"), at("moved")), 0);
    assert_int_equal(symlink("moved", at("left-out")), 0);
    assert_false(content_of(&loaded, "left-out/wanted", &content, &err));
    assert_int_equal(content.len, 0);
    assert_true(unlink(at("left-out")) == 0 && rename(at("moved"), at("left-out")) == 0);
    assert_true(content_of(&loaded, "left-out/wanted", &content, &err));

    assert_int_equal(unlink(at("left-out/wanted")), 0);
    assert_int_equal(symlink("secret", at("left-out/wanted")), 0);
    assert_false(content_of(&loaded, "left-out/wanted", &content, &err));
    assert_int_equal(unlink(at("left-out/wanted")), 0);
    assert_int_equal(mkfifo(at("left-out/wanted"), 0600), 0); /* nobody waits for who would write into it */
    assert_false(content_of(&loaded, "left-out/wanted", &content, &err));
}

static void a_directory_that_is_none_is_told(void **state)
{
    struct error err = { 0 };

    (void)state;
    assert_null(folder_open(at("a"), &err));
    assert_non_null(strstr(err.message, "Not a directory"));
    assert_null(folder_open(at("nowhere"), &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_there_becomes_nodes),
        cmocka_unit_test(what_is_ignored_is_not_there_but_exceptions_are),
        cmocka_unit_test(a_file_of_another_size_is_told),
        cmocka_unit_test(a_directory_that_has_become_a_link_is_not_followed),
        cmocka_unit_test(a_directory_that_is_none_is_told),
    };
    return cmocka_run_group_tests_name("shared/builder/folder", tests, prepare, tidy);
}
