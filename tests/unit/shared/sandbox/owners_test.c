/* Owners noted for files: along with what happens to the file, over to no other, seen from the process that has split off. */
#include "shared/sandbox/owners.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static const struct owner alice = { 1000, 50 }, bob = { 1001, 0 };

struct place {
    char path[64];
    int fd;
};

static int begin(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->path, sizeof place->path, "/tmp/owners-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return 0;
}

static int end(void **state)
{
    struct place *place = *state;
    static const char *const names[] = { "a", "b", "c", "link" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlinkat(place->fd, names[i], 0);
    close(place->fd);
    assert_int_equal(rmdir(place->path), 0);
    free(place);
    return 0;
}

static ino_t make(int directory, const char *name)
{
    struct stat is;
    int fd = openat(directory, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    fstat(fd, &is);
    close(fd);
    return is.st_ino;
}

static void assert_owner(const struct owners *owners, int directory, const char *name, struct owner expected)
{
    struct owner found = { 0, 0 };
    assert_true(owners_find(owners, directory, name, &found));
    assert_true(owner_is(found, expected));
}

static void notes_go_along_with_their_file(void **state)
{
    int fd = ((struct place *)*state)->fd;
    struct error err = { 0 };
    struct owner found;
    AUTO(owners_free) struct owners *owners = owners_new(OWNERS_MAX, &err);
    make(fd, "a");
    assert_int_equal(symlinkat("a", fd, "link"), 0);
    assert_false(owners_find(owners, fd, "a", &found));
    assert_true(owners_note(owners, fd, "a", alice));
    assert_true(owners_note(owners, fd, "link", bob));
    assert_int_equal(renameat(fd, "a", fd, "b"), 0);
    assert_int_equal(linkat(fd, "b", fd, "c", 0), 0);
    assert_owner(owners, fd, "b", alice);
    assert_owner(owners, fd, "c", alice);
    assert_owner(owners, fd, "link", bob);
    assert_true(owners_note(owners, fd, "c", bob));
    assert_owner(owners, fd, "b", bob);
    AUTO(close) int file = openat(fd, "b", O_PATH | O_CLOEXEC);
    assert_owner(owners, file, "", bob);
    assert_false(owners_find(owners, fd, "gone", &found));
    assert_false(owners_note(owners, fd, "gone", bob));
    assert_int_equal(errno, ENOENT);
}

static void a_file_with_the_inode_of_another_is_not_it(void **state)
{
    int fd = ((struct place *)*state)->fd;
    struct error err = { 0 };
    struct owner found;
    AUTO(owners_free) struct owners *owners = owners_new(OWNERS_MAX, &err);
    bool again = false;
    for (int i = 0; i < 1000 && !again; i++) {
        ino_t was = make(fd, "a");
        assert_true(owners_note(owners, fd, "a", alice));
        unlinkat(fd, "a", 0);
        again = make(fd, "a") == was;
        assert_false(owners_find(owners, fd, "a", &found));
        unlinkat(fd, "a", 0);
    }
}

static void what_a_process_that_split_off_notes_is_seen(void **state)
{
    int fd = ((struct place *)*state)->fd, status;
    struct error err = { 0 };
    AUTO(owners_free) struct owners *owners = owners_new(OWNERS_MAX, &err);
    make(fd, "a");
    pid_t child = fork();
    if (child == 0)
        _exit(!owners_note(owners, fd, "a", alice));
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_owner(owners, fd, "a", alice);
}

static void there_is_a_ceiling_and_it_is_told(void **state)
{
    int fd = ((struct place *)*state)->fd;
    struct error err = { 0 };
    AUTO(owners_free) struct owners *owners = owners_new(2, &err);
    make(fd, "a");
    make(fd, "b");
    make(fd, "c");
    assert_true(owners_note(owners, fd, "a", alice) && owners_note(owners, fd, "b", alice));
    assert_false(owners_full(owners));
    assert_false(owners_note(owners, fd, "c", alice));
    assert_int_equal(errno, ENOSPC);
    assert_true(owners_full(owners));
    assert_true(owners_note(owners, fd, "a", bob)); /* it is one of them */
    assert_owner(owners, fd, "b", alice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(notes_go_along_with_their_file, begin, end),
        cmocka_unit_test_setup_teardown(a_file_with_the_inode_of_another_is_not_it, begin, end),
        cmocka_unit_test_setup_teardown(what_a_process_that_split_off_notes_is_seen, begin, end),
        cmocka_unit_test_setup_teardown(there_is_a_ceiling_and_it_is_told, begin, end),
    };
    return cmocka_run_group_tests_name("owners of files", tests, NULL, NULL);
}
