#include "shared/attest/spdx.h"

#include "shared/base/json.h"
#include "tests/unit/shared/base/test.h"

/* As dpkg and apk write them. */
static const char status[] = "Package: zlib1g\n"
                             "Status: install ok installed\n"
                             "Priority: required\n"
                             "Maintainer: Mark Brown <broonie@debian.org>\n"
                             "Architecture: amd64\n"
                             "Multi-Arch: same\n"
                             "Source: zlib (1:1.2.13)\n"
                             "Version: 1:1.2.13.dfsg-1\n"
                             "Conffiles:\n"
                             " /etc/zlib 0123\n"
                             "Description: compression library - runtime\n"
                             " Package: not-a-package\n"
                             " Version: 9\n"
                             "\n"
                             "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n"
                             "\n"
                             "Package: purged\nStatus: purge ok not-installed\nVersion: 1\n"
                             "\n"
                             "Package: adduser\nStatus: install ok half-configured\nVersion: 3.134\nArchitecture: all\n"
                             "Homepage: https://example.org/\n";
static const char installed[] = "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nS:1\nL:MIT\no:musl\nm:Timo Teras "
                                "<timo@iki.fi>\nF:lib\nR:ld-musl-x86_64.so.1\nP:second\n\n"
                                "P:libcrypto3\nV:3.1.4-r1\nA:x86_64\nL:Apache-2.0\no:openssl\n\n";

static void list(const struct packages *packages, struct bytes *out)
{
    struct error err = { 0 };

    for (size_t i = 0; i < packages->count; i++) {
        const struct package *p = &packages->items[i];

        assert_true(bytes_printf(out, &err, "%s %s %s %s|", p->name, p->version,
                                 p->architecture ? p->architecture : "-", p->source ? p->source : "-"));
    }
}

static void databases_are_read(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(packages_release) struct packages packages = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(4096);

    assert_true(packages_init(&packages, &err));
    assert_true(packages_read_apk(&packages, span_of(installed), &err));
    assert_true(packages_read_dpkg(&packages, span_of(status), &err));
    assert_true(packages_read_dpkg(&packages, span_of(status), &err));
    packages_sort(&packages);
    list(&packages, &text);
    assert_string_equal(bytes_text(&text), "adduser 3.134 all -|zlib1g 1:1.2.13.dfsg-1 amd64 zlib|"
                                           "libcrypto3 3.1.4-r1 x86_64 openssl|musl 1.2.4-r2 x86_64 musl|");
}

static void what_is_no_database_holds_no_packages(void **state)
{
    (void)state;
    static const struct span texts[] = {
        SPAN(""),
        SPAN("\n\n\n"),
        SPAN("Package: a"),
        SPAN("Package:\nVersion:\n"),
        SPAN("Version: 1\n\nPackage: b\n"),
        SPAN("Package: a\0b\nVersion: 1\n"),
        SPAN("PACKAGE: a\nVERSION: 1\n"),
        SPAN("P:a\nV:1"),
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct error err = { 0 };
        AUTO(packages_release) struct packages packages = { 0 };

        assert_true(packages_init(&packages, &err));
        assert_true(packages_read_dpkg(&packages, texts[i], &err));
        packages_sort(&packages);
        assert_int_equal(packages.count, 0);
    }
}

static void too_many_packages_are_refused(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(PACKAGES_DATABASE_MAX);
    AUTO(packages_release) struct packages packages = { 0 };

    for (size_t i = 0; i <= PACKAGES_MAX; i++)
        assert_true(bytes_printf(&text, &err, "Package: p%zu\nVersion: 1\n\n", i));
    assert_true(packages_init(&packages, &err));
    assert_false(packages_read_dpkg(&packages, bytes_span(&text), &err));
    assert_error(err, ERROR_TOO_LARGE, "more than 100000 packages");
}

static void distributions_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id, *version;
    } rows[] = {
        { "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n", "debian", "12" },
        { "ID='alpine'\r\nVERSION_ID=3.18.4\n", "alpine", "3.18.4" },
        { "ID=\"\nVERSION_ID=\n", "\"", NULL },
        { "", NULL, NULL },
        { "ID", NULL, NULL },
    };
    AUTO(arena_free) struct arena *arena = arena_new(64 * 1024);

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        struct distribution told;

        assert_true(distribution_read(arena, span_of(rows[i].text), &told, &err));
        assert_string_equal(told.id ? told.id : "", rows[i].id ? rows[i].id : "");
        assert_string_equal(told.version ? told.version : "", rows[i].version ? rows[i].version : "");
    }
}

#define HEX "7a6708975c41af22fef6e88fbb408e9edf95d560730a1434d2c6258c3bd9f74e"

/* The nth package's "name version supplier purl". */
static void assert_package(const struct json *document, size_t n, const char *expected)
{
    const struct json *package = json_first(json_get(document, "packages"));
    AUTO(bytes_release) struct bytes text = BYTES(4096);
    struct error err = { 0 };

    for (size_t i = 0; i < n; i++)
        package = json_next(package);
    const char *supplier = json_get_string(package, "supplier");
    assert_true(bytes_printf(&text, &err, "%s %s %s %s", json_get_string(package, "name"),
                             json_get_string(package, "versionInfo"), supplier ? supplier : "-",
                             json_get_string(json_first(json_get(package, "externalRefs")), "referenceLocator")));
    assert_string_equal(bytes_text(&text), expected);
}

static void documents_name_packages_as_scanners_do(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(packages_release) struct packages packages = { 0 };
    AUTO(bytes_release) struct bytes out = BYTES(64 * 1024);
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);

    assert_true(packages_init(&packages, &err));
    assert_true(packages_read_dpkg(&packages, span_of(status), &err));
    packages_sort(&packages);
    const struct spdx spdx = { .name = "r.example/a",
                               .digest = "sha256:" HEX,
                               .time_s = 1700000000,
                               .packages = &packages,
                               .distribution = { "debian", "12" } };
    assert_true(spdx_write(&out, &spdx, &err));
    const struct json *document = json_parse(arena, bytes_span(&out), &err);
    assert_non_null(document);
    assert_string_equal(json_get_string(document, "documentNamespace"), "https://pushwright.dev/spdx/sha256:" HEX);
    assert_string_equal(json_get_string(json_get(document, "creationInfo"), "created"), "2023-11-14T22:13:20Z");
    assert_int_equal(json_count(json_get(document, "packages")), 3);
    assert_int_equal(json_count(json_get(document, "relationships")), 3);
    assert_package(document, 1, "adduser 3.134 - pkg:deb/debian/adduser@3.134?arch=all&distro=debian-12");
    assert_package(document, 2,
                   "zlib1g 1:1.2.13.dfsg-1 Organization: Mark Brown (broonie@debian.org) "
                   "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12&upstream=zlib");
}

/* By the examples of the package URL specification, and as the scanners do that it does not cover. */
static void packages_of_rpm_are_named_by_who_makes_them(void **state)
{
    (void)state;
    static const struct {
        struct distribution distribution;
        struct package package;
        const char *expected;
    } rows[] = {
        { { "fedora", "25" },
          { PACKAGE_RPM, .name = "curl", .version = "7.50.3-1.fc25", .architecture = "i386" },
          "curl 7.50.3-1.fc25 - pkg:rpm/fedora/curl@7.50.3-1.fc25?arch=i386&distro=fedora-25" },
        { { NULL, NULL },
          { PACKAGE_RPM, .name = "centerim", .version = "1:4.22.10-1.el6", .architecture = "i686" },
          "centerim 1:4.22.10-1.el6 - pkg:rpm/centerim@4.22.10-1.el6?arch=i686&epoch=1" },
        { { "rhel", "9.4" },
          { PACKAGE_RPM, .name = "zlib", .version = "0:1.2.11-40.el9", .architecture = "x86_64",
            .source = "zlib-1.2.11-40.el9.src.rpm",
            .maintainer = "Red Hat, Inc. <http://bugzilla.redhat.com/bugzilla>" },
          "zlib 0:1.2.11-40.el9 Organization: Red Hat, Inc. "
          "pkg:rpm/redhat/zlib@1.2.11-40.el9?arch=x86_64&distro=rhel-9.4&epoch=0&"
          "upstream=zlib-1.2.11-40.el9.src.rpm" },
        { { "opensuse-tumbleweed", NULL },
          { PACKAGE_RPM, .name = "gpg-pubkey", .version = "5323552a-6112bcdc", .maintainer = " (nobody)" },
          "gpg-pubkey 5323552a-6112bcdc - pkg:rpm/opensuse/gpg-pubkey@5323552a-6112bcdc?distro=opensuse-tumbleweed" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error err = { 0 };
        AUTO(packages_release) struct packages packages = { 0 };
        AUTO(bytes_release) struct bytes out = BYTES(64 * 1024);
        AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);

        assert_true(packages_init(&packages, &err) && packages_add(&packages, &rows[i].package, &err));
        const struct spdx spdx = {
            .name = "r.example/a", .digest = "sha256:" HEX, .packages = &packages, .distribution = rows[i].distribution
        };
        assert_true(spdx_write(&out, &spdx, &err));
        const struct json *document = json_parse(arena, bytes_span(&out), &err);
        assert_non_null(document);
        assert_package(document, 1, rows[i].expected);
    }
}

static void names_cannot_leave_their_place(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(packages_release) struct packages packages = { 0 };
    AUTO(bytes_release) struct bytes out = BYTES(64 * 1024);
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);

    assert_true(packages_init(&packages, &err));
    assert_true(packages_read_apk(&packages, SPAN("P:a\"},{\xff?arch=x#\nV:1 2&b=c\nm:x <y\n"), &err));
    const struct spdx spdx = { .name = "", .digest = "sha256:" HEX, .packages = &packages };
    assert_true(spdx_write(&out, &spdx, &err));
    const struct json *document = json_parse(arena, bytes_span(&out), &err);
    assert_non_null(document);
    assert_package(document, 1,
                   "a\"},{\xef\xbf\xbd?arch=x# 1 2&b=c - pkg:apk/alpine/a%22%7D%2C%7B%FF%3Farch%3Dx%23@1%202%26b%3Dc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(databases_are_read),
        cmocka_unit_test(what_is_no_database_holds_no_packages),
        cmocka_unit_test(too_many_packages_are_refused),
        cmocka_unit_test(distributions_are_told),
        cmocka_unit_test(documents_name_packages_as_scanners_do),
        cmocka_unit_test(packages_of_rpm_are_named_by_who_makes_them),
        cmocka_unit_test(names_cannot_leave_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
