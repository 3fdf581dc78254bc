#include "shared/oci/reference.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HEX "0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"
#define SHA "sha256:" HEX
#define A255                                                                                                           \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                            \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                            \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void assert_part(const char *have, const char *want)
{
    if (want)
        assert_string_equal(have, want);
    else
        assert_null(have);
}

static void names_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *registry, *repository, *tag, *digest, *name;
    } rows[] = {
        { "nginx", "docker.io", "library/nginx", NULL, NULL, "docker.io/library/nginx" },
        { "nginx:1.25", "docker.io", "library/nginx", "1.25", NULL, "docker.io/library/nginx" },
        { "acme/web", "docker.io", "acme/web", NULL, NULL, "docker.io/acme/web" },
        { "docker.io/nginx", "docker.io", "library/nginx", NULL, NULL, "docker.io/library/nginx" },
        { "index.docker.io/acme/web", "docker.io", "acme/web", NULL, NULL, "docker.io/acme/web" },
        { "localhost/web", "localhost", "web", NULL, NULL, "localhost/web" },
        { "localhost:5000/web:v1", "localhost:5000", "web", "v1", NULL, "localhost:5000/web" },
        { "registry.example.com/acme/web:1.2@" SHA, "registry.example.com", "acme/web", "1.2", SHA,
          "registry.example.com/acme/web" },
        { "r.example/a/b/c@" SHA, "r.example", "a/b/c", NULL, SHA, "r.example/a/b/c" },
        { "[2001:db8::1]:5000/web", "[2001:db8::1]:5000", "web", NULL, NULL, "[2001:db8::1]:5000/web" },
        { "[::1]/web", "[::1]", "web", NULL, NULL, "[::1]/web" },
        { "Upper/web", "Upper", "web", NULL, NULL, "Upper/web" },
        { "a__b/c---d/e.f_g", "docker.io", "a__b/c---d/e.f_g", NULL, NULL, "docker.io/a__b/c---d/e.f_g" },
        { "r.example/" A255, "r.example", A255, NULL, NULL, "r.example/" A255 },
        { "oci:/var/lib/images/web:1.2", NULL, "/var/lib/images/web", "1.2", NULL, "oci:/var/lib/images/web" },
        { "oci:images/", NULL, "images", NULL, NULL, "oci:images" },
        { "oci:/a:b/c", NULL, "/a:b/c", NULL, NULL, "oci:/a:b/c" },
        { "oci:/x@" SHA, NULL, "/x", NULL, SHA, "oci:/x" },
        { "oci:/", NULL, "/", NULL, NULL, "oci:/" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        AUTO(reference_release) struct reference r = { 0 };
        AUTO(bytes_release) struct bytes name = BYTES(1000);
        assert_true(reference_parse(span_of(rows[i].text), &r, &err));
        assert_part(r.registry, rows[i].registry);
        assert_part(r.repository, rows[i].repository);
        assert_part(r.tag, rows[i].tag);
        assert_part(r.digest, rows[i].digest);
        assert_int_equal(reference_is_layout(&r), rows[i].registry == NULL);
        assert_true(reference_name(&name, &r, &err));
        assert_string_equal(bytes_text(&name), rows[i].name);
    }
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "", "image name is empty" },
        { "r.example/Acme/web", "repository name must be lower case" },
        { "WEB", "repository name must be lower case" },
        { "-web", "repository name is malformed" },
        { "web-", "repository name is malformed" },
        { "a..b", "repository name is malformed" },
        { "a___b", "repository name is malformed" },
        { "a._b", "repository name is malformed" },
        { "a//b", "repository name is malformed" },
        { "r.example/", "repository name is malformed" },
        { "r.example/../x", "repository name is malformed" },
        { "we b", "repository name is malformed" },
        { "r.example/a" A255, "longer than 255" },
        { "web:", "tag must be" },
        { "web:.x", "tag must be" },
        { "web:a/b", "registry host is malformed" },
        { "web:a b", "tag must be" },
        { "web@sha256:123", "digest must be sha256:" },
        { "web@", "digest must be sha256:" },
        { "web@" SHA "0", "digest must be sha256:" },
        { "-r.example/web", "registry host is malformed" },
        { "r.example:/web", "registry host is malformed" },
        { "r.example:x/web", "registry host is malformed" },
        { "r..example/web", "registry host is malformed" },
        { "user@r.example/web", "digest must be sha256:" },
        { "http://r.example/web", "registry host is malformed" },
        { HEX, "a bare image id" },
        { "oci:", "layout directory is missing" },
        { "oci:/a\nb", "control character" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        struct reference r = { 0 };
        assert_false(reference_parse(span_of(rows[i].text), &r, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        assert_non_null(strstr(err.message, rows[i].want));
        assert_null(r.repository);
    }
    struct error err = { 0 };
    struct reference r = { 0 };
    assert_false(reference_parse(SPAN("web\0x"), &r, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
}

static void tags_and_digests_are_checked(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes long_tag = BYTES(200);
    struct error err = { 0 };
    for (int i = 0; i < 128; i++)
        assert_true(bytes_append_char(&long_tag, 'a', &err));
    assert_true(reference_tag_is_legal(bytes_span(&long_tag)));
    assert_true(bytes_append_char(&long_tag, 'a', &err));
    assert_false(reference_tag_is_legal(bytes_span(&long_tag)));
    assert_true(reference_tag_is_legal(SPAN("_1.0-Rc")));
    assert_false(reference_tag_is_legal(SPAN("")));
    assert_false(reference_tag_is_legal(SPAN("-x")));
    assert_false(reference_tag_is_legal(SPAN("a\0b")));
    assert_true(digest_is_legal(SPAN(SHA)));
    assert_false(digest_is_legal(SPAN("sha256:0B31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427")));
    assert_false(digest_is_legal(SPAN("sha512:" HEX)));
    assert_false(digest_is_legal(SPAN(HEX)));
}

static void package_urls_go_there_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tag, *purl;
    } rows[] = {
        { "registry.example/acme/shop", "v1.4.0",
          "pkg:oci/shop@sha256%3A" HEX "?repository_url=registry.example%2Facme%2Fshop&tag=v1.4.0" },
        { "nginx", NULL, "pkg:oci/nginx@sha256%3A" HEX "?repository_url=docker.io%2Flibrary%2Fnginx" },
        { "localhost:5000/a", "x", "pkg:oci/a@sha256%3A" HEX "?repository_url=localhost%3A5000%2Fa&tag=x" },
        { "oci:/var/My dir/Web", "x",
          "pkg:oci/web@sha256%3A" HEX "?repository_url=oci%3A%2Fvar%2FMy%20dir%2FWeb&tag=x" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        AUTO(reference_release) struct reference r = { 0 };
        AUTO(reference_release) struct reference back = { 0 };
        AUTO(bytes_release) struct bytes purl = BYTES(1000);
        assert_true(reference_parse(span_of(rows[i].name), &r, &err));
        assert_true(reference_purl(&purl, &r, SHA, rows[i].tag, &err));
        assert_string_equal(bytes_text(&purl), rows[i].purl);
        assert_true(reference_from_purl(bytes_span(&purl), &back, &err));
        assert_part(back.registry, r.registry);
        assert_part(back.repository, r.repository);
        assert_part(back.tag, rows[i].tag);
        assert_part(back.digest, SHA);
    }
}

static void package_urls_of_others_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *purl, *want; /* NULL: fine */
    } rows[] = {
        { "pkg:oci/web?repository_url=r.example/acme/web&arch=amd64&tag=1", NULL },
        { "pkg:oci/web@sha256%3A" HEX, "names no repository_url" },
        { "pkg:oci/web@1.0?repository_url=r.example/web", "not a sha256 digest" },
        { "pkg:golang/web?repository_url=r.example/web", "not a package URL of type oci" },
        { "pkg:oci/web?repository_url=r.example/web&tag=%2E%2E", "tag is malformed" },
        { "pkg:oci/web?repository_url=r.example/web&tag=", "tag is malformed" },
        { "pkg:oci/web?repository_url=r.example/web:1&tag=2", "holds a tag or digest" },
        { "pkg:oci/web?repository_url=r.example/WEB", "repository_url: repository name must be lower case" },
        { "pkg:oci/web?repository_url=a&repository_url=b", "stands twice" },
        { "pkg:oci/web?repository_url=%zz", "hexadecimal" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        AUTO(reference_release) struct reference r = { 0 };
        assert_int_equal(reference_from_purl(span_of(rows[i].purl), &r, &err), rows[i].want == NULL);
        if (rows[i].want)
            assert_non_null(strstr(err.message, rows[i].want));
    }
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes purl = BYTES(1000);
    const struct reference r = { .registry = (char[]){ "r" }, .repository = (char[]){ "x" } };
    assert_false(reference_purl(&purl, &r, "sha256:short", NULL, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_int_equal(purl.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_apart),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(tags_and_digests_are_checked),
        cmocka_unit_test(package_urls_go_there_and_back),
        cmocka_unit_test(package_urls_of_others_are_read_strictly),
    };
    return cmocka_run_group_tests_name("shared/oci/reference", tests, NULL, NULL);
}
