#include "shared/attest/tagged.h"

#include "shared/base/file.h"
#include "shared/base/json.h"
#include "tests/unit/shared/base/test.h"

#define SUBJECT "sha256:7a6708975c41af22fef6e88fbb408e9edf95d560730a1434d2c6258c3bd9f74e"

struct fixture {
    char *directory;
    struct store *store;
    struct error err;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    AUTO(reference_release) struct reference reference = { 0 };
    char name[300];

    f->directory = directory_make_temporary("pushwright-tagged-test", &f->err);
    snprintf(name, sizeof(name), "oci:%s/web", f->directory);
    assert_true(reference_parse(span_of(name), &reference, &f->err));
    f->store = store_open(&reference, NULL, &f->err);
    assert_non_null(f->store);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    store_free(f->store);
    assert_true(directory_remove(f->directory, &f->err));
    free(f->directory);
    free(f);
    return 0;
}

static bool add(struct fixture *f, const char *content, const char *signature)
{
    const struct tagged_layer layer = { "application/x-test", span_of(content), signature, "https://example.com/p" };

    return tagged_add(f->store, SUBJECT, "sig", &layer, &f->err);
}

/* "content digest's first digits:signature ..." of what stands behind the tag. */
static void assert_layers(struct fixture *f, const char *expected)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    AUTO(bytes_release) struct bytes told = BYTES(1024);
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    struct descriptor ignored;

    assert_true(store_get_manifest(f->store,
                                   "sha256-7a6708975c41af22fef6e88fbb408e9edf95d560730a1434d2c6258c3bd9f74e.sig", &body,
                                   &ignored, &f->err));
    const struct json *manifest = json_parse(arena, bytes_span(&body), &f->err);
    for (const struct json *l = json_first(json_get(manifest, "layers")); l; l = json_next(l))
        assert_true(bytes_printf(&told, &f->err, "%.6s:%s ", json_get_string(l, "digest") + 7,
                                 json_get_string(json_get(l, "annotations"), "dev.cosignproject.cosign/signature")));
    assert_string_equal(bytes_text(&told), expected);
}

static void signatures_stand_behind_each_other(void **state)
{
    struct fixture *f = *state;

    assert_true(add(f, "a", "one"));
    assert_layers(f, "ca9781:one ");
    assert_true(add(f, "a", "two"));
    assert_true(add(f, "b", "one"));
    assert_layers(f, "ca9781:one ca9781:two 3e23e8:one ");
}

static void several_are_entered_at_once_and_only_the_new_ones(void **state)
{
    struct fixture *f = *state;
    const struct tagged_layer layers[] = { { "application/x-test", SPAN("a"), "one", NULL },
                                           { "application/x-test", SPAN("b"), "two", "https://example.com/p" } };
    struct tagged_entry entries[COUNT(layers)];

    assert_true(add(f, "a", "one"));
    for (size_t i = 0; i < COUNT(layers); i++)
        assert_true(tagged_put(f->store, &layers[i], &entries[i], &f->err));
    assert_layers(f, "ca9781:one ");
    assert_true(tagged_enter(f->store, SUBJECT, "sig", entries, COUNT(entries), &f->err));
    assert_true(tagged_enter(f->store, SUBJECT, "sig", entries, COUNT(entries), &f->err));
    assert_layers(f, "ca9781:one 3e23e8:two ");
}

static void the_same_signature_stands_there_once(void **state)
{
    struct fixture *f = *state;

    assert_true(add(f, "a", "one"));
    assert_true(add(f, "b", ""));
    assert_true(add(f, "a", "one"));
    assert_true(add(f, "b", ""));
    assert_layers(f, "ca9781:one 3e23e8: ");
}

static void what_stands_there_may_be_anything(void **state)
{
    struct fixture *f = *state;
    static const char *const bodies[] = { "{\"schemaVersion\":2,\"layers\":\"none\"}",
                                          "{\"layers\":[1,{\"digest\":2}]}", "[]" };
    struct descriptor ignored;

    for (size_t i = 0; i < COUNT(bodies); i++) {
        assert_true(store_put_manifest(f->store,
                                       "sha256-7a6708975c41af22fef6e88fbb408e9edf95d560730a1434d2c6258c3bd9f74e.sig",
                                       MEDIA_OCI_MANIFEST, span_of(bodies[i]), &ignored, &f->err));
        (void)add(f, "a", "one"); /* whatever becomes of it, it is no crash */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(signatures_stand_behind_each_other, begin, end),
        cmocka_unit_test_setup_teardown(several_are_entered_at_once_and_only_the_new_ones, begin, end),
        cmocka_unit_test_setup_teardown(the_same_signature_stands_there_once, begin, end),
        cmocka_unit_test_setup_teardown(what_stands_there_may_be_anything, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
