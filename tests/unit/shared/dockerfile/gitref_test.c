#include "shared/dockerfile/gitref.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

enum { MEMORY = 1 << 20 };

static void test_sources(void **state)
{
    (void)state;
    static const struct {
        const char *source, *remote, *ref, *checksum, *directory;
    } rows[] = {
        { "https://h/a.git", "https://h/a.git", "", "", "" },
        { "https://h/a.git#main:sub/dir", "https://h/a.git", "main", "", "sub/dir" },
        { "https://h/a.git#:../../etc", "https://h/a.git", "", "", "etc" },
        { "https://h/a.git?branch=b&subdir=../../etc", "https://h/a.git", "refs/heads/b", "", "etc" },
        { "https://h/a.git?tag=v1&commit=abc", "https://h/a.git", "refs/tags/v1", "abc", "" },
        { "HTTPS://u:p%40q@h/a%20b.git", "https://u:p%40q@h/a%20b.git", "", "", "" },
        { "git@h:a/b.git#v1:s", "git@h:a/b.git", "v1", "", "s" },
        { "ssh://git@h:22/a", "ssh://git@h:22/a", "", "", "" },
        { "github.com/a/b#c", "github.com/a/b", "c", "", "" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
        struct git_ref ref = { 0 };
        struct error err = { 0 };
        bool is_git = false;
        assert_true(git_ref_parse(arena, rows[i].source, &ref, &is_git, &err));
        assert_true(is_git);
        assert_string_equal(ref.remote, rows[i].remote);
        assert_string_equal(ref.ref, rows[i].ref);
        assert_string_equal(ref.checksum, rows[i].checksum);
        assert_string_equal(ref.directory, rows[i].directory);
    }
}

static void test_choices(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
    struct git_ref ref = { 0 };
    struct error err = { 0 };
    bool is_git = false;
    assert_true(git_ref_parse(arena, "http://h/a.git?keep-git-dir&submodules=0&mtime=commit", &ref, &is_git, &err));
    assert_int_equal(ref.keep_git_dir, GIT_REF_YES);
    assert_int_equal(ref.submodules, GIT_REF_NO);
    assert_int_equal(ref.fetch_by_commit, GIT_REF_UNSAID);
    assert_string_equal(ref.mtime, "commit");
    assert_string_equal(ref.name, "a");
    assert_true(ref.unencrypted);
    assert_false(ref.looks_like_a_path);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        bool is_git;
        const char *message;
    } rows[] = {
        { "./a.git", false, "invalid argument" },
        { "https://h/a", false, "invalid argument" },
        { "file:///a/b.git", false, "file: invalid protocol" },
        { "a/b", false, "unknown protocol" },
        { "https://h/a.git?foo=1", true, "unexpected query \"foo\"" },
        { "https://h/a.git?ref=v1#v2", true, "ref conflicts: \"v2\" vs \"v1\"" },
        { "https://h/a.git?ref=1&ref=2", true, "query \"ref\" has multiple values" },
        { "https://h/a.git?ref", true, "query \"ref\" has no value" },
        { "https://h/a.git?tag=a&branch=b", true, "branch conflicts with tag" },
        { "https://h/a.git?mtime=x", true, "invalid mtime value: \"x\" (must be \"checkout\" or \"commit\")" },
        { "https://h:x/a.git", false, "parse \"https://h:x/a.git\": invalid port \":x\" after host" },
        { "https://u:secret@h/%zz.git", false, "parse \"https://u:xxxxx@h/%zz.git\": invalid URL escape \"%zz\"" },
        { "https://h/%00.git", false, "parse \"https://h/%00.git\": invalid URL escape \"%00\"" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
        struct git_ref ref = { 0 };
        struct error err = { 0 };
        bool is_git = false;
        assert_false(git_ref_parse(arena, rows[i].source, &ref, &is_git, &err));
        assert_string_equal(err.message, rows[i].message);
        assert_int_equal(is_git, rows[i].is_git);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/gitref", tests, NULL, NULL);
}
