#include "shared/target/image.h"
#include "shared/target/workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ONE "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define TWO "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define NAME "registry.example/acme/web"

static struct arena *arena;

static int begin(void **state)
{
    (void)state;
    arena = arena_new(64 * 1024);
    return arena ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void assert_text(const char *got, const char *want)
{
    if (!want)
        assert_null(got);
    else
        assert_string_equal(got, want);
}

static void names_are_the_same_by_digest_or_else_by_tag(void **state)
{
    (void)state;
    static const struct {
        const char *stands, *image;
        bool same;
    } rows[] = {
        { NAME ":1@" ONE, NAME ":1@" ONE, true },
        { NAME "@" ONE, NAME ":1@" ONE, true },
        { "mirror.example/web@" ONE, NAME ":1@" ONE, true },
        { NAME ":1", NAME ":1@" ONE, true },
        { "nginx", "docker.io/library/nginx:latest@" ONE, true },
        { "nginx:1", "nginx:1", true },
        { NAME ":1@" TWO, NAME ":1@" ONE, false },
        { NAME ":2", NAME ":1@" ONE, false },
        { "other.example/acme/web:1", NAME ":1@" ONE, false },
        { "no image at all!", NAME ":1@" ONE, false },
        { "no image at all!", "no image at all!", true },
        { NULL, NAME ":1", false },
        { NAME ":1", NULL, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(image_same(rows[i].stands, rows[i].image), rows[i].same);
}

static void images_are_written_as_the_target_wants(void **state)
{
    (void)state;
    static const struct {
        enum image_form form;
        const char *image, *stands, *want;
    } rows[] = {
        { IMAGE_TAG_DIGEST, NAME ":1@" ONE, NULL, NAME ":1@" ONE },
        { IMAGE_TAG, NAME ":1@" ONE, NULL, NAME ":1" },
        { IMAGE_TAG, NAME ":1@" ONE, NAME ":0", NAME ":1" },
        { IMAGE_TAG, NAME ":1@" ONE, NAME ":1", NAME ":1@" ONE },
        { IMAGE_DIGEST, NAME ":1@" ONE, NULL, NAME "@" ONE },
        { IMAGE_DIGEST, "localhost:5000/web@" ONE, NULL, "localhost:5000/web@" ONE },
        { IMAGE_TAG, "localhost:5000/web@" ONE, NULL, "localhost:5000/web@" ONE },
        { IMAGE_DIGEST, "nginx:1.25", NULL, "nginx:1.25" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(image_write(arena, rows[i].form, rows[i].image, rows[i].stands), rows[i].want);
}

static void what_was_given_up_is_remembered_up_to_a_bound(void **state)
{
    (void)state;
    const char *list = NULL;
    assert_false(bad_has(NULL, ONE));
    list = bad_with(arena, list, ONE);
    list = bad_with(arena, list, TWO);
    assert_string_equal(list, TWO " " ONE);
    assert_string_equal(bad_with(arena, list, ONE), ONE " " TWO);
    assert_true(bad_has(list, ONE));
    assert_false(bad_has(list, "sha256:1"));
    assert_null(bad_without(arena, ONE, ONE));
    assert_string_equal(bad_without(arena, list, TWO), ONE);
    for (int i = 0; i < 20; i++)
        list = bad_with(arena, list, arena_printf(arena, "sha256:%d", i));
    assert_true(bad_has(list, "sha256:19") && bad_has(list, "sha256:10"));
    assert_false(bad_has(list, "sha256:9") || bad_has(list, ONE));
}

/* From what a cluster tells to what was asked for, what became of it, and what serves. */
static void a_workload_is_seen_as_what_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        struct workload told;
        enum rollout rollout;
        const char *image, *running, *reason;
        bool foreign;
    } rows[] = {
        /* nobody of us was here */
        { { .rollout = ROLLOUT_RUNNING, .image = "nginx:1" }, ROLLOUT_RUNNING, "nginx:1", "nginx:1", NULL, false },
        { { .rollout = ROLLOUT_STARTING, .image = "nginx:1" }, ROLLOUT_STARTING, "nginx:1", NULL, NULL, false },
        { { .rollout = ROLLOUT_STARTING, .image = "nginx:1", .serves = true },
          ROLLOUT_STARTING,
          "nginx:1",
          "nginx:1",
          NULL,
          false },
        /* what we asked for */
        { { .rollout = ROLLOUT_RUNNING,
            .image = NAME ":2",
            .marks = { .image = NAME ":2@" TWO, .good = NAME ":1@" ONE } },
          ROLLOUT_RUNNING,
          NAME ":2@" TWO,
          NAME ":2@" TWO,
          NULL,
          false },
        { { .rollout = ROLLOUT_STARTING,
            .image = NAME ":2@" TWO,
            .serves = true,
            .marks = { .image = NAME ":2@" TWO, .good = NAME ":1@" ONE } },
          ROLLOUT_STARTING,
          NAME ":2@" TWO,
          NAME ":1@" ONE,
          NULL,
          false },
        { { .rollout = ROLLOUT_FAILED,
            .image = NAME ":2@" TWO,
            .reason = "crashed",
            .marks = { .image = NAME ":2@" TWO, .good = NAME ":1@" ONE } },
          ROLLOUT_FAILED,
          NAME ":2@" TWO,
          NAME ":1@" ONE,
          "crashed",
          false },
        /* given up: what was there before comes back, is back, does not come back, or there was nothing */
        { { .rollout = ROLLOUT_STARTING,
            .image = NAME ":1@" ONE,
            .marks = { .image = NAME ":2@" TWO, .good = NAME ":1@" ONE, .reason = "crashed" } },
          ROLLOUT_STARTING,
          NAME ":2@" TWO,
          NAME ":1@" ONE,
          NULL,
          false },
        { { .rollout = ROLLOUT_RUNNING,
            .image = NAME ":1@" ONE,
            .marks = { .image = NAME ":2@" TWO, .good = NAME ":1@" ONE, .reason = "crashed" } },
          ROLLOUT_FAILED,
          NAME ":2@" TWO,
          NAME ":1@" ONE,
          "crashed",
          false },
        { { .rollout = ROLLOUT_FAILED,
            .image = NAME ":1@" ONE,
            .reason = "no room",
            .marks = { .image = NAME ":2@" TWO, .good = NAME ":1@" ONE, .reason = "crashed" } },
          ROLLOUT_FAILED,
          NAME ":2@" TWO,
          NAME ":1@" ONE,
          "crashed; and what was there before does not come up either: no room",
          false },
        { { .rollout = ROLLOUT_STARTING,
            .image = NAME ":2@" TWO,
            .marks = { .image = NAME ":2@" TWO, .reason = "crashed" } },
          ROLLOUT_FAILED,
          NAME ":2@" TWO,
          NULL,
          "crashed",
          false },
        /* somebody else was here since */
        { { .rollout = ROLLOUT_RUNNING,
            .image = "nginx:1",
            .marks = { .image = NAME ":2@" TWO, .good = NAME ":1@" ONE, .reason = "crashed" } },
          ROLLOUT_RUNNING,
          "nginx:1",
          "nginx:1",
          NULL,
          true },
        /* a target that keeps the old one says what runs */
        { { .rollout = ROLLOUT_FAILED,
            .image = NAME ":2@" TWO,
            .kept = true,
            .running_image = NAME ":1@" ONE,
            .reason = "exit 1",
            .marks = { .image = NAME ":2@" TWO } },
          ROLLOUT_FAILED,
          NAME ":2@" TWO,
          NAME ":1@" ONE,
          "exit 1",
          false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct workload seen = rows[i].told;
        struct error err = { 0 };
        assert_true(workload_view(&seen, arena, &err));
        assert_int_equal(seen.rollout, rows[i].rollout);
        assert_text(seen.image, rows[i].image);
        assert_text(seen.digest, image_digest(rows[i].image));
        assert_text(seen.running_image, rows[i].running);
        assert_text(seen.reason, rows[i].reason);
        assert_int_equal(seen.foreign, rows[i].foreign);
    }
}

static void a_time_that_is_none_has_no_age(void **state)
{
    (void)state;
    static const char *const none[] = { NULL, "", "-1", "12x", " 12", "9223372036854775807", "0x10" };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(mark_age_ms(none[i]), -1);
    assert_true(mark_age_ms("0") > 0);
    assert_int_equal(mark_age_ms("999999999999999"), 0);
}

static void marks_are_read_by_their_names(void **state)
{
    (void)state;
    struct error err = { 0 };
    struct marks marks;
    const struct json *annotations =
        json_parse(arena,
                   SPAN("{\"pushwright.dev/event\":\"e1\",\"pushwright.dev/bad\":\"\",\"pushwright.dev/told\":7,"
                        "\"kubernetes.io/change-cause\":\"because\",\"other\":\"x\"}"),
                   &err);
    assert_true(marks_read(arena, annotations, &marks, &err));
    assert_string_equal(marks.event, "e1");
    assert_string_equal(marks.cause, "because");
    assert_null(marks.bad);
    assert_null(marks.told);
    assert_true(marks_read(arena, NULL, &marks, &err));
    assert_null(marks.event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_the_same_by_digest_or_else_by_tag, begin, end),
        cmocka_unit_test_setup_teardown(images_are_written_as_the_target_wants, begin, end),
        cmocka_unit_test_setup_teardown(what_was_given_up_is_remembered_up_to_a_bound, begin, end),
        cmocka_unit_test_setup_teardown(a_workload_is_seen_as_what_was_asked_for, begin, end),
        cmocka_unit_test(a_time_that_is_none_has_no_age),
        cmocka_unit_test_setup_teardown(marks_are_read_by_their_names, begin, end),
    };
    return cmocka_run_group_tests_name("shared/target/workload", tests, NULL, NULL);
}
