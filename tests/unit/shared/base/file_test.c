#include "shared/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/shared/base/test.h"

static char *directory; /* a fresh one for each test */

static int set_up(void **state)
{
    (void)state;
    struct error err = { 0 };
    directory = directory_make_temporary("pushwright-file-test", &err);
    return directory ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool removed = directory_remove(directory, &err);
    free(directory);
    return removed ? 0 : -1;
}

/* DIRECTORY/name, in one of a few buffers. */
static const char *in(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % COUNT(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static size_t entries_of(const char *path)
{
    AUTO(closedir) DIR *opened = opendir(path);
    assert_non_null(opened);
    size_t count = 0;
    while (readdir(opened))
        count++;
    return count - 2;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes content = BYTES(100);
    struct error err = { 0 };
    assert_true(file_write_atomic(in("a"), SPAN("old"), 0600, &err));
    assert_true(file_write_atomic(in("a"), SPAN("new\n"), 0640, &err));
    assert_true(bytes_append_text(&content, "before ", &err));
    assert_true(file_read(&content, in("a"), &err));
    assert_string_equal(bytes_text(&content), "before new\n");
    struct stat st;
    assert_int_equal(stat(in("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(entries_of(directory), 1);
}

static void what_a_cache_keeps_is_replaced_whole_and_leaves_no_litter(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes content = BYTES(100);
    struct error err = { 0 };
    assert_true(file_write_cached(in("a"), SPAN("old"), &err) && file_write_cached(in("a"), SPAN("new"), &err));
    assert_true(file_read(&content, in("a"), &err));
    assert_string_equal(bytes_text(&content), "new");
    assert_false(file_write_cached(in("no/such"), SPAN("x"), &err));
    assert_error(err, ERROR_NOT_FOUND, "no/such");
    assert_true(directory_make(in("taken"), 0700, &err));
    assert_false(file_write_cached(in("taken"), SPAN("x"), &err));
    assert_error(err, ERROR_INTERNAL, "taken");
    assert_int_equal(entries_of(directory), 2);
}

static void reading_keeps_the_ceiling(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(file_write_atomic(in("a"), SPAN("12345678"), 0600, &err));
    AUTO(bytes_release) struct bytes fits = BYTES(8), small = BYTES(7);
    assert_true(file_read(&fits, in("a"), &err));
    assert_int_equal(fits.len, 8);
    assert_false(file_read(&small, in("a"), &err));
    assert_error(err, ERROR_TOO_LARGE, "/a'");
    assert_int_equal(small.len, 0);
}

static void files_without_a_size_are_read_to_their_end(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes content = BYTES(1 << 20);
    struct error err = { 0 };
    assert_true(file_read(&content, "/proc/self/status", &err));
    assert_true(span_starts(bytes_span(&content), "Name:"));
}

static void reading_says_what_is_wrong(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes content = BYTES(100);
    struct error err = { 0 };
    assert_false(file_read(&content, in("missing"), &err));
    assert_error(err, ERROR_NOT_FOUND, "/missing'");
    assert_false(file_read(&content, directory, &err));
    assert_error(err, ERROR_INTERNAL, directory);
}

static void a_failed_write_leaves_the_old_content_and_no_litter(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_false(file_write_atomic(in("no/such"), SPAN("x"), 0600, &err));
    assert_error(err, ERROR_NOT_FOUND, "no/such");
    assert_true(directory_make(in("taken"), 0700, &err));
    assert_false(file_write_atomic(in("taken"), SPAN("x"), 0600, &err)); /* a file cannot replace a directory */
    assert_error(err, ERROR_INTERNAL, "taken");
    assert_int_equal(entries_of(directory), 1);
}

static void a_link_is_replaced_not_written_through(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(file_write_atomic(in("target"), SPAN("untouched"), 0600, &err));
    assert_int_equal(symlink(in("target"), in("link")), 0);
    assert_true(file_write_atomic(in("link"), SPAN("new"), 0600, &err));
    AUTO(bytes_release) struct bytes content = BYTES(100);
    assert_true(file_read(&content, in("target"), &err));
    assert_string_equal(bytes_text(&content), "untouched");
}

static void directories_with_their_parents(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(directory_make(in("a//b/c/"), 0755, &err));
    assert_true(directory_make(in("a/b/c"), 0755, &err));
    assert_int_equal(access(in("a/b/c"), X_OK), 0);
    assert_true(directory_make("/", 0755, &err));
    assert_true(file_write_atomic(in("file"), SPAN(""), 0600, &err));
    assert_false(directory_make(in("file"), 0755, &err));
    assert_error(err, ERROR_NOT_FOUND, "file");
    assert_false(directory_make(in("file/below"), 0755, &err));
}

static void an_own_directory_is_nobody_elses(void **state)
{
    (void)state;
    const char *path = in("own"), *link_path = in("link");
    struct error err = { 0 };
    assert_true(directory_make_own(path, &err));
    assert_true(directory_make_own(path, &err)); /* found again */
    assert_int_equal(chmod(path, 0777), 0);
    assert_false(directory_make_own(path, &err));
    assert_error(err, ERROR_DENIED, path);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(symlink(path, link_path), 0);
    err = (struct error){ 0 };
    assert_false(directory_make_own(link_path, &err));
    assert_error(err, ERROR_DENIED, link_path);
    assert_true(directory_make_own(in("nowhere/own"), &err)); /* left to who writes into it */
}

static void removing_never_follows_links(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(directory_make(in("outside"), 0700, &err));
    assert_true(file_write_atomic(in("outside/kept"), SPAN("x"), 0600, &err));
    assert_true(directory_make(in("tree/locked"), 0700, &err));
    assert_int_equal(symlink(in("outside"), in("tree/link")), 0);
    assert_int_equal(symlink("loop", in("tree/loop")), 0);
    assert_true(file_write_atomic(in("tree/locked/file"), SPAN("x"), 0400, &err));
    assert_int_equal(chmod(in("tree/locked"), 0), 0);
    assert_true(directory_remove(in("tree"), &err));
    assert_int_equal(access(in("tree"), F_OK), -1);
    assert_int_equal(access(in("outside/kept"), F_OK), 0);
    assert_int_equal(symlink(in("outside"), in("top-link")), 0);
    assert_false(directory_remove(in("top-link"), &err));
    assert_int_equal(access(in("outside/kept"), F_OK), 0);
}

static void a_missing_directory_is_as_good_as_removed(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(directory_remove(in("never"), &err));
}

/* Deeper than there are descriptors, and than a path may be long. */
static void the_deepest_tree_is_removed(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(directory_make(in("deep"), 0700, &err));
    int at = open(in("deep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(at, "level", 0700), 0);
        int next = openat(at, "level", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    assert_true(directory_remove(in("deep"), &err));
    assert_int_equal(access(in("deep"), F_OK), -1);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void abandoned_temporary_directories_are_removed(void **state)
{
    (void)state;
    struct error err = { 0 };
    const struct timespec then[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
    setenv("TMPDIR", directory, 1);
    AUTO(free) char *old = directory_make_temporary("job", &err);
    AUTO(free) char *fresh = directory_make_temporary("job", &err);
    AUTO(free) char *other = directory_make_temporary("job-of", &err);
    const char *link = in("job-LINKED");
    assert_non_null(old);
    assert_non_null(fresh);
    assert_non_null(other);
    assert_int_equal(symlink(other, link), 0);
    assert_int_equal(utimensat(AT_FDCWD, old, then, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, other, then, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, link, then, AT_SYMLINK_NOFOLLOW), 0);
    directory_clear_temporary("job", 3600);
    unsetenv("TMPDIR");
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(fresh, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(access(link, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(what_was_written_is_read),
        FRESH(what_a_cache_keeps_is_replaced_whole_and_leaves_no_litter),
        FRESH(reading_keeps_the_ceiling),
        FRESH(files_without_a_size_are_read_to_their_end),
        FRESH(reading_says_what_is_wrong),
        FRESH(a_failed_write_leaves_the_old_content_and_no_litter),
        FRESH(a_link_is_replaced_not_written_through),
        FRESH(directories_with_their_parents),
        FRESH(an_own_directory_is_nobody_elses),
        FRESH(removing_never_follows_links),
        FRESH(a_missing_directory_is_as_good_as_removed),
        FRESH(the_deepest_tree_is_removed),
        FRESH(abandoned_temporary_directories_are_removed),
    };
    return cmocka_run_group_tests_name("base/file", tests, NULL, NULL);
}
