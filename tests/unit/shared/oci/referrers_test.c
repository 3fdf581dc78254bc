/* In a layout; or, where $PUSHWRIGHT_TEST_REGISTRY names one, at a registry, with and without a list of its own. */
#include "shared/oci/referrers.h"

#include "images.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "shared/base/file.h"
#include "shared/base/random.h"

#define SBOM "application/spdx+json"
#define SIGNATURE "application/vnd.example.signature"

struct fixture {
    char *directory; /* of the layout; NULL: a registry */
    struct store *store;
    struct descriptor subject;
    struct error err;
};

#define assert_ok(call, err)                                                                                           \
    do                                                                                                                 \
        if (!(call))                                                                                                   \
            fail_msg("%s", (err).message);                                                                             \
    while (0)

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *registry = getenv("PUSHWRIGHT_TEST_REGISTRY");
    static const struct registry_options options = { .push = true };
    AUTO(test_image_release) struct test_image image = { .config_blob = { .size = 0 } };
    char name[300];
    f->directory = registry ? NULL : directory_make_temporary("pushwright-referrers-test", &f->err);
    if (registry)
        snprintf(name, sizeof name, "%s/%s/web", registry, getenv("PUSHWRIGHT_TEST_REPOSITORY"));
    else
        snprintf(name, sizeof name, "oci:%s/web", f->directory);
    f->store = open_named(name, &options, &f->err);
    assert_non_null(f->store);
    char text[64];
    snprintf(text, sizeof text, "%llx", (unsigned long long)random_u64()); /* a subject of its own for each test */
    assert_ok(test_image_make(&image, text, &f->err) && test_image_put(f->store, &image, "v1", &f->subject, &f->err),
              f->err);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    store_free(f->store);
    if (f->directory)
        directory_remove(f->directory, &f->err);
    free(f->directory);
    free(f);
    return 0;
}

struct seen {
    size_t count;
    struct descriptor last;
    char note[40];
};

static bool see(void *context, const struct descriptor *manifest, const char *artifact_type,
                const struct json *annotations, struct error *err)
{
    struct seen *seen = context;
    const char *note = json_get_string(annotations, "note");
    (void)err;
    assert_true(strcmp(artifact_type, SBOM) == 0 || strcmp(artifact_type, SIGNATURE) == 0);
    seen->count++;
    seen->last = *manifest;
    snprintf(seen->note, sizeof seen->note, "%s", note ? note : "");
    return true;
}

static struct seen listed(struct fixture *f, const char *artifact_type)
{
    struct seen seen = { .count = 0 };
    assert_ok(oci_referrers_list(f->store, f->subject.digest, artifact_type, see, &seen, &f->err), f->err);
    return seen;
}

static struct descriptor push(struct fixture *f, const char *artifact_type, const char *text)
{
    const struct referrer_blob blob = { "text/plain", span_of(text) };
    const struct referrer_annotation note = { "note", text };
    const struct referrer_new referrer = { artifact_type, &blob, 1, &note, 1 };
    struct descriptor out;
    assert_ok(oci_referrers_push(f->store, &f->subject, &referrer, &out, &f->err), f->err);
    return out;
}

static void what_is_pushed_is_listed_and_read(void **state)
{
    struct fixture *f = *state;
    AUTO(bytes_release) struct bytes content = BYTES(100);
    assert_int_equal(listed(f, NULL).count, 0);
    const struct descriptor sbom = push(f, SBOM, "the sbom");
    (void)push(f, SIGNATURE, "one");
    (void)push(f, SIGNATURE, "two");
    assert_int_equal(listed(f, NULL).count, 3);
    assert_int_equal(listed(f, SIGNATURE).count, 2);
    struct seen seen = listed(f, SBOM);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last.digest, sbom.digest);
    assert_string_equal(seen.note, "the sbom");
    assert_ok(oci_referrers_read(f->store, f->subject.digest, &seen.last, &content, &f->err), f->err);
    assert_string_equal(bytes_text(&content), "the sbom");
}

static void the_same_twice_is_listed_once(void **state)
{
    struct fixture *f = *state;
    const struct descriptor first = push(f, SBOM, "same"), second = push(f, SBOM, "same");
    assert_string_equal(first.digest, second.digest);
    assert_int_equal(listed(f, NULL).count, 1);
}

static void a_manifest_about_something_else_is_refused(void **state)
{
    struct fixture *f = *state;
    AUTO(bytes_release) struct bytes content = BYTES(100);
    const struct descriptor sbom = push(f, SBOM, "text");
    assert_false(oci_referrers_read(f->store, sbom.digest, &sbom, &content, &f->err));
    assert_int_equal(f->err.kind, ERROR_INVALID);
    assert_int_equal(content.len, 0);
    assert_false(oci_referrers_list(f->store, "sha256:../..", NULL, see, NULL, &f->err));
    assert_int_equal(f->err.kind, ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_pushed_is_listed_and_read, begin, end),
        cmocka_unit_test_setup_teardown(the_same_twice_is_listed_once, begin, end),
        cmocka_unit_test_setup_teardown(a_manifest_about_something_else_is_refused, begin, end),
    };
    return cmocka_run_group_tests_name("shared/oci/referrers", tests, NULL, NULL);
}
