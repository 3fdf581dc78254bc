#include "shared/builder/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct tree_node *add(struct tree *tree, const char *path, enum tar_type type, const char *target)
{
    struct error err = { 0 };
    struct tree_node *node = tree_root(tree);
    struct span rest = span_of(path);

    for (struct span part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/')) {
        bool is_new = !tree_child(tree, node, part);
        node = tree_add(tree, node, part, &err);
        assert_non_null(node);
        if (is_new)
            node->is = (struct attributes){ .type = TAR_DIRECTORY, .mode = 0755 };
    }
    node->is.type = type;
    node->is.target = target;
    return node;
}

static struct tree *sample(void)
{
    struct error err = { 0 };
    struct tree *tree = tree_new(&err);

    assert_non_null(tree);
    add(tree, "usr/lib", TAR_DIRECTORY, NULL);
    add(tree, "usr/lib/libc.so", TAR_FILE, NULL);
    add(tree, "lib", TAR_SYMLINK, "usr/lib");
    add(tree, "var/run", TAR_SYMLINK, "/run");
    add(tree, "run", TAR_DIRECTORY, NULL);
    add(tree, "up", TAR_SYMLINK, "../../../usr");
    add(tree, "loop1", TAR_SYMLINK, "loop2");
    add(tree, "loop2", TAR_SYMLINK, "loop1");
    add(tree, "dangling", TAR_SYMLINK, "/not/there");
    return tree;
}

static void paths_lead_where_a_system_rooted_there_would_go(void **state)
{
    static const struct {
        const char *path, *found, *missing;
        bool follow;
    } rows[] = {
        { "/usr/lib/libc.so", "/usr/lib/libc.so", "", true },
        { "usr//lib/./libc.so", "/usr/lib/libc.so", "", true },
        { "/lib/libc.so", "/usr/lib/libc.so", "", true },
        { "/lib", "/usr/lib", "", true },
        { "/lib", "/lib", "", false },
        { "/lib/", "/lib", "", false },
        { "/lib/new/deep", "/usr/lib", "new/deep", true },
        { "/var/run/x", "/run", "x", true },
        { "/up/lib", "/usr/lib", "", true },
        { "../../usr", "/usr", "", true },
        { "/usr/lib/../..", "/", "", true },
        { "/lib/..", "/usr", "", true },
        { "/a/b/../c", "/", "a/c", true },
        { "/a/../usr", "/usr", "", true },
        { "/dangling", "/", "not/there", true },
        { "/usr/lib/libc.so/x", "/usr/lib/libc.so", "x", true },
        { "", "/", "", true },
    };
    AUTO(tree_free) struct tree *tree = sample();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);
        struct tree_place place;
        struct error err = { 0 };

        assert_true(tree_resolve(tree, tree_root(tree), rows[i].path, rows[i].follow, &place, &err));
        assert_true(tree_path(place.node, &path, &err));
        if (strcmp(bytes_text(&path), rows[i].found) != 0 || strcmp(place.missing, rows[i].missing) != 0)
            fail_msg("'%s': '%s' and '%s'", rows[i].path, bytes_text(&path), place.missing);
    }
}

static void links_end_at_the_root_that_was_given(void **state)
{
    AUTO(tree_free) struct tree *tree = sample();
    struct error err = { 0 };
    struct tree_place place;
    struct tree_node *jail = add(tree, "jail", TAR_DIRECTORY, NULL);

    (void)state;
    add(tree, "jail/out", TAR_SYMLINK, "../../usr");
    add(tree, "jail/abs", TAR_SYMLINK, "/usr");
    assert_true(tree_resolve(tree, jail, "out/x", true, &place, &err));
    assert_ptr_equal(place.node, jail);
    assert_string_equal(place.missing, "usr/x");
    assert_true(tree_resolve(tree, jail, "abs", true, &place, &err));
    assert_ptr_equal(place.node, jail);
    assert_string_equal(place.missing, "usr");
}

static void loops_and_long_paths_are_errors(void **state)
{
    AUTO(tree_free) struct tree *tree = sample();
    struct tree_place place;
    struct error err = { 0 };
    char longest[TAR_PATH_MAX + 10];

    (void)state;
    assert_false(tree_resolve(tree, tree_root(tree), "/loop1/x", true, &place, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_non_null(strstr(err.message, "too many links"));
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(tree_resolve(tree, tree_root(tree), longest, true, &place, &err));
    assert_non_null(strstr(err.message, "longer than"));
}

static void directories_are_made_where_there_is_room(void **state)
{
    AUTO(tree_free) struct tree *tree = sample();
    const struct attributes made = { .mode = 0700, .uid = 5 };
    struct tree_place place;
    struct error err = { 0 };

    (void)state;
    assert_true(tree_resolve(tree, tree_root(tree), "/lib/new/deep", true, &place, &err));
    struct tree_node *deep = tree_make_directories(tree, &place, &made, false, 7, &err);
    assert_non_null(deep);
    assert_int_equal(deep->is.type, TAR_DIRECTORY);
    assert_int_equal(deep->is.mode, 0700);
    assert_int_equal(deep->parent->is.uid, 5);
    for (const struct tree_node *node = deep; node; node = node->parent)
        assert_int_equal(node->layer, 7);
    assert_true(tree_resolve(tree, tree_root(tree), "/usr/lib/libc.so/x", true, &place, &err));
    assert_null(tree_make_directories(tree, &place, &made, false, 8, &err));
    assert_string_equal(err.message, "mkdir /usr/lib/libc.so: not a directory");
}

static void what_is_removed_is_gone_and_the_rest_stays(void **state)
{
    AUTO(tree_free) struct tree *tree = sample();
    struct error err = { 0 };
    char name[32];
    size_t count;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "many/%d/x", i);
        add(tree, name, TAR_FILE, NULL);
    }
    struct tree_node *many = tree_child(tree, tree_root(tree), SPAN("many"));
    for (int i = 0; i < 3000; i += 2) {
        snprintf(name, sizeof(name), "%d", i);
        tree_remove(tree, tree_child(tree, many, span_of(name)));
    }
    AUTO(free) struct tree_node **nodes = tree_sorted(many, &count, &err);
    assert_int_equal(count, 1500);
    for (size_t i = 1; i < count; i++)
        assert_true(strcmp(nodes[i - 1]->name, nodes[i]->name) < 0);
    assert_null(tree_child(tree, many, SPAN("42")));
    assert_non_null(tree_child(tree, tree_child(tree, many, SPAN("43")), SPAN("x")));
    tree_clear(tree, many);
    assert_null(many->first);
    assert_null(tree_child(tree, many, SPAN("43")));
    assert_non_null(tree_child(tree, tree_root(tree), SPAN("usr")));
}

static void a_clone_goes_its_own_way(void **state)
{
    AUTO(tree_free) struct tree *tree = sample();
    struct error err = { 0 };
    AUTO(tree_free) struct tree *clone = tree_clone(tree, &err);

    (void)state;
    assert_non_null(clone);
    tree_remove(tree, tree_child(tree, tree_root(tree), SPAN("usr")));
    struct tree_node *usr = tree_child(clone, tree_root(clone), SPAN("usr"));
    assert_non_null(usr);
    assert_non_null(tree_child(clone, tree_child(clone, usr, SPAN("lib")), SPAN("libc.so")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_lead_where_a_system_rooted_there_would_go),
        cmocka_unit_test(links_end_at_the_root_that_was_given),
        cmocka_unit_test(loops_and_long_paths_are_errors),
        cmocka_unit_test(directories_are_made_where_there_is_room),
        cmocka_unit_test(what_is_removed_is_gone_and_the_rest_stays),
        cmocka_unit_test(a_clone_goes_its_own_way),
    };

    return cmocka_run_group_tests_name("shared/builder/tree", tests, NULL, NULL);
}
