/* Records in a layout directory, which answers as a registry does; a real registry is met in tests/integration/reconcile_test.py. */
#include "shared/base/file.h"
#include "shared/record/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct place {
    char *directory;
    struct store *store;
    struct arena *arena;
};

static int begin(void **state)
{
    struct error err = { 0 };
    struct place *place = calloc(1, sizeof(*place));
    char image[512];

    place->directory = directory_make_temporary("record-test", &err);
    place->arena = arena_new(1024 * 1024);
    snprintf(image, sizeof(image), "oci:%s/images", place->directory);
    place->store = record_store(image, NULL, &err);
    if (!place->store)
        fail_msg("%s", err.message);
    *state = place;
    return 0;
}

static int end(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };

    store_free(place->store);
    arena_free(place->arena);
    directory_remove(place->directory, &err);
    free(place->directory);
    free(place);
    return 0;
}

static struct record read_back(struct place *place, const char *rule, const char *ref)
{
    struct error err = { 0 };
    struct record record;

    if (!record_read(place->store, rule, ref, place->arena, &record, &err))
        fail_msg("%s", err.message);
    return record;
}

static void what_was_written_is_read_for_this_rule_and_ref_only(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    struct record record = {
        .outcome = RECORD_RUNNING, .commit = A, .event = "e1", .sequence = "001", .at_ms = 1700000000123
    };

    assert_int_equal(read_back(place, "web", "refs/heads/main").outcome, RECORD_NONE);
    assert_true(record_write(place->store, "web", "refs/heads/main", &record, false, &err));
    record.outcome = RECORD_FAILED;
    record.commit = B;
    record.asked = A;
    assert_true(record_write(place->store, "web", "refs/heads/main", &record, true, &err));
    struct record got = read_back(place, "web", "refs/heads/main");
    assert_int_equal(got.outcome, RECORD_FAILED);
    assert_string_equal(got.commit, B);
    assert_string_equal(got.event, "e1");
    assert_string_equal(got.sequence, "001");
    assert_int_equal(got.at_ms, 1700000000123);
    assert_true(record_is_about(&got, A) && record_is_about(&got, B));
    assert_int_equal(read_back(place, "web", "refs/tags/main").outcome, RECORD_NONE);
    assert_int_equal(read_back(place, "api", "refs/heads/main").outcome, RECORD_NONE);
    assert_false(record_is_about(&(struct record){ .outcome = RECORD_NONE }, A));
}

static void the_refs_of_the_beginning_are_kept(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    struct ref items[] = { { "refs/heads/main", A, A }, { "refs/tags/v1", B, A } };
    const struct refs refs = { .items = items, .count = 2 };
    struct refs *none;
    bool has = true;

    assert_true(record_has_first(place->store, "web", &has, &err));
    assert_false(has);
    assert_true(record_read_first(place->store, "web", &none, &err));
    assert_null(none);
    assert_true(record_write_first(place->store, "web", &refs, &err));
    assert_true(record_has_first(place->store, "web", &has, &err) && has);
    AUTO(refs_free) struct refs *got = NULL;
    assert_true(record_read_first(place->store, "web", &got, &err));
    assert_int_equal(got->count, 2);
    assert_string_equal(refs_find(got, "refs/tags/v1")->direct, B);
    assert_string_equal(refs_find(got, "refs/tags/v1")->commit, A);
    assert_true(record_write_first(place->store, "empty", &(struct refs){ .count = 0 }, &err));
    AUTO(refs_free) struct refs *nothing = NULL;
    assert_true(record_read_first(place->store, "empty", &nothing, &err));
    assert_int_equal(nothing->count, 0);
}

/* The tag's name is not secret, and what stands there may be anybody's. */
static void what_is_not_a_record_reads_as_none(void **state)
{
    static const char *const manifests[] = {
        "{\"artifactType\":\"application/"
        "vnd.pushwright.build.v1\",\"annotations\":{\"dev.pushwright.outcome\":\"built\"}}",
        "{\"artifactType\":\"application/"
        "vnd.pushwright.build.v1\",\"annotations\":{\"dev.pushwright.outcome\":\"great\","
        "\"dev.pushwright.event\":\"e\",\"dev.pushwright.sequence\":\"1\",\"org.opencontainers.image.revision\":\"" A
        "\","
        "\"org.opencontainers.image.created\":\"2026-01-01T00:00:00Z\"}}",
        "{\"artifactType\":\"text/plain\",\"layers\":[]}",
        "{}",
    };
    struct place *place = *state;
    struct error err = { 0 };
    struct record record = { .outcome = RECORD_BUILT, .commit = A, .event = "e", .sequence = "1" };
    AUTO(bytes_release) struct bytes index = BYTES(64 * 1024);
    char path[600];

    assert_true(record_write(place->store, "web", "refs/heads/main", &record, true, &err));
    snprintf(path, sizeof(path), "%s/images/index.json", place->directory);
    assert_true(file_read(&index, path, &err));
    const char *name = strstr(bytes_text(&index), RECORD_TAG_PREFIX "-");
    assert_non_null(name);
    AUTO(free) char *tag = strndup(name, strcspn(name, "\""));
    for (size_t i = 0; i < sizeof(manifests) / sizeof(manifests[0]); i++) {
        struct descriptor ignored;
        if (!store_put_manifest(place->store, tag, MEDIA_OCI_MANIFEST, span_of(manifests[i]), &ignored, &err))
            fail_msg("%s", err.message);
        assert_int_equal(read_back(place, "web", "refs/heads/main").outcome, RECORD_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_for_this_rule_and_ref_only, begin, end),
        cmocka_unit_test_setup_teardown(the_refs_of_the_beginning_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(what_is_not_a_record_reads_as_none, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
