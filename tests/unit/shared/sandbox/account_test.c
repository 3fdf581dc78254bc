#include "shared/sandbox/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken line\n"
                             "web:x:1000:1001::/srv/web:/bin/false\n"
                             "big:x:4294967295:0::/:/bin/sh\n"
                             "7:x:70:71::/seven:/bin/sh\n"
                             "nohome:x:12:13";
static const char group[] = "root:x:0:\nweb:x:1001:\nlogs:x:50:mail,web\nother:x:51:webb\nssl:x:52:web";

static void users_resolve_like_docker(void **state)
{
    (void)state;
    static const struct {
        const char *user;
        uint32_t uid, gid;
        size_t groups;
        const char *home;
    } rows[] = {
        { NULL, 0, 0, 1, "/root" },
        { "", 0, 0, 1, "/root" },
        { "web", 1000, 1001, 3, "/srv/web" },
        { "1000", 1000, 1001, 3, "/srv/web" },
        { "web:logs", 1000, 50, 1, "/srv/web" },
        { "web:77", 1000, 77, 1, "/srv/web" },
        { "5000", 5000, 0, 1, "/" },
        { "5000:6000", 5000, 6000, 1, "/" },
        { "7", 70, 71, 1, "/seven" }, /* a name made of digits is a name first */
        { "nohome", 12, 13, 1, "/" },
        { "0:0", 0, 0, 1, "/root" },
        { ":logs", 0, 50, 1, "/root" },
        { ":5", 0, 5, 1, "/root" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct account account;
        struct error err = { 0 };
        assert_true(account_resolve(rows[i].user, span_of(passwd), span_of(group), &account, &err));
        assert_int_equal(account.uid, rows[i].uid);
        assert_int_equal(account.gid, rows[i].gid);
        assert_int_equal(account.group_count, rows[i].groups);
        assert_string_equal(account.home, rows[i].home);
    }
}

static void what_does_not_exist_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *user;
        enum error_kind kind;
        const char *text;
    } rows[] = {
        { "nobody", ERROR_NOT_FOUND, "unable to find user nobody: no matching entries in passwd file" },
        { "web:nogroup", ERROR_NOT_FOUND, "unable to find group nogroup: no matching entries in group file" },
        { "4294967295", ERROR_INVALID, "user '4294967295' is no name and no number below 4294967295" },
        { "99999999999", ERROR_INVALID, "user '99999999999' is no name and no number below 4294967295" },
        { "big", ERROR_NOT_FOUND, "unable to find user big: no matching entries in passwd file" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct account account = { .uid = 42 };
        struct error err = { 0 };
        assert_false(account_resolve(rows[i].user, span_of(passwd), span_of(group), &account, &err));
        assert_int_equal(err.kind, rows[i].kind);
        assert_string_equal(err.message, rows[i].text);
        assert_int_equal(account.uid, 42);
    }
}

static void an_image_without_accounts_has_root_and_numbers(void **state)
{
    (void)state;
    struct account account;
    struct error err = { 0 };
    struct span none = { NULL, 0 };
    assert_true(account_resolve(NULL, none, none, &account, &err));
    assert_int_equal(account.uid, 0);
    assert_string_equal(account.home, "/");
    assert_true(account_resolve("65532:65532", none, none, &account, &err));
    assert_int_equal(account.gid, 65532);
    assert_false(account_resolve("www-data", none, none, &account, &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_resolve_like_docker),
        cmocka_unit_test(what_does_not_exist_is_said),
        cmocka_unit_test(an_image_without_accounts_has_root_and_numbers),
    };
    return cmocka_run_group_tests_name("shared/sandbox/account", tests, NULL, NULL);
}
