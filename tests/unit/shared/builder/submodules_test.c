/* What .gitmodules says, and where that leads. */
#include "shared/builder/submodules.h"
#include "tests/unit/shared/base/test.h"

static void the_url_of_a_path_is_found(void **state)
{
    static const struct {
        const char *text, *path, *url; /* NULL: none */
    } rows[] = {
        { "[submodule \"a\"]\n\tpath = v/a\n\turl = ../a.git\n", "v/a", "../a.git" },
        { "[submodule \"a\"]\nurl=https://h/a # why\npath=a\n[submodule \"b\"]\npath=b\nurl=\"https://h/b\"\r\n", "a",
          "https://h/a" },
        { "[submodule \"a\"]\nurl=https://h/a # why\npath=a\n[submodule \"b\"]\npath=b\nurl=\"https://h/b\"\r\n", "b",
          "https://h/b" },
        { "[submodule \"a\"]\npath=a\n[submodule \"b\"]\nurl=https://h/b\n", "a", NULL },
        { "[submodule \"a\"]\nurl=https://h/a\n[submodule \"b\"]\npath=a\n", "a", NULL },
        { "path=a\nurl=\n", "a", NULL },
        { "", "a", NULL },
        { "=\n[\n]\n==\nurl\npath", "", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(bytes_release) struct bytes url = BYTES(100);
        struct error err = { 0 };
        bool found = submodules_url(span_of(rows[i].text), rows[i].path, &url, &err);
        assert_int_equal(found, rows[i].url != NULL);
        if (found)
            assert_string_equal(url.data, rows[i].url);
        else
            assert_int_equal(err.kind, ERROR_INVALID);
    }
}

static void relative_urls_stay_on_the_parents_host(void **state)
{
    static const struct {
        const char *parent, *url, *is; /* NULL: refused */
    } rows[] = {
        { "https://h:8/a/b.git", "../c.git", "https://h:8/a/c.git" },
        { "https://h/a/b.git/", "./c", "https://h/a/b.git/c" },
        { "https://h/a/b.git", "../../c/d", "https://h/c/d" },
        { "https://h/a/b.git", "./../x/../y", "https://h/a/x/../y" },
        { "https://h/a/b.git", "../../../c", NULL },
        { "https://h/a/b.git", "http://other/c", "http://other/c" },
        { "https://h/a/b.git", "file:///c", NULL },
        { "https://h/a/b.git", "/c", NULL },
        { "https://h/a/b.git", "-c", NULL },
        { "https://h/a/b.git", "git@h:c", NULL },
        { "https://h/a/b.git", "https://u:p@h/c", NULL },
        { "file:///a/b", "../c", "file:///a/c" },
        { "file:///a/b", "file:///c", "file:///c" },
        { "/a/b", "../c", "/a/c" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(bytes_release) struct bytes url = BYTES(100);
        struct error err = { 0 };
        bool good = submodules_resolve(rows[i].parent, span_of(rows[i].url), &url, &err);
        if (good != (rows[i].is != NULL) || (good && strcmp(url.data, rows[i].is) != 0))
            fail_msg("%s from %s: %s", rows[i].url, rows[i].parent, good ? url.data : err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_url_of_a_path_is_found),
        cmocka_unit_test(relative_urls_stay_on_the_parents_host),
    };
    return cmocka_run_group_tests_name("builder/submodules", tests, NULL, NULL);
}
