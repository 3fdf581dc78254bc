/* What listeners of a build hear, and that no secret is in it. */
#include "shared/builder/run_output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct heard {
    struct bytes text;
};

static void hear(void *context, const struct progress_event *event)
{
    struct heard *heard = context;
    struct error err = { 0 };
    struct progress_event still = *event;

    still.since_ms = 1234;
    assert_true(progress_line(&still, &heard->text, &err));
    assert_true(bytes_append_char(&heard->text, '\n', &err));
}

static struct progress *listen(struct heard *heard)
{
    struct error err = { 0 };

    bytes_init(&heard->text, 1 << 20);
    return progress_new(hear, heard, &err);
}

static void steps_are_told_as_buildkit_tells_them(void **state)
{
    (void)state;
    struct heard heard;
    AUTO(progress_free) struct progress *progress = listen(&heard);
    struct progress_step one, two;
    struct error failed = { .kind = ERROR_INVALID, .message = "exit code: 1" };

    progress_begin(progress, &one, "[1/2] FROM base");
    progress_begin(progress, &two, "[2/2] RUN false");
    progress_say(&two, "a line");
    progress_cached(&one);
    progress_end(&one, NULL);
    progress_end(&one, NULL);
    progress_end(&two, &failed);
    assert_string_equal(bytes_text(&heard.text), "#1 [1/2] FROM base\n#2 [2/2] RUN false\n#2 1.234 a line\n#1 CACHED\n"
                                                 "#2 ERROR: exit code: 1\n");
    bytes_release(&heard.text);
}

static void nobody_need_listen(void **state)
{
    (void)state;
    struct progress_step step;

    progress_begin(NULL, &step, "name");
    progress_say(&step, "line");
    progress_end(&step, NULL);
}

static void secrets_are_masked_wherever_they_stand(void **state)
{
    (void)state;
    struct heard heard;
    AUTO(progress_free) struct progress *progress = listen(&heard);
    struct progress_step step;
    struct error err = { 0 }, failed = { .kind = ERROR_INVALID, .message = "cannot log in with hunter2hunter2" };

    assert_true(progress_hide(progress, SPAN("hunter2"), &err));
    assert_true(progress_hide(progress, SPAN("hunter2hunter2\n"), &err));
    assert_true(progress_hide(progress, SPAN("-----BEGIN-----\nline of a key\nx\n"), &err));
    progress_begin(progress, &step, "RUN login hunter2");
    progress_say(&step, "hunter2 and hunter2hunter2hunter2, hunter");
    progress_say(&step, "line of a key; x");
    progress_end(&step, &failed);
    assert_string_equal(bytes_text(&heard.text), "#1 RUN login ***\n#1 1.234 *** and ******, hunter\n#1 1.234 ***; x\n"
                                                 "#1 ERROR: cannot log in with ***\n");
    bytes_release(&heard.text);
}

static void passwords_of_urls_are_masked(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        { "ADD https://ann:hunter2@example.com/f /", "ADD https://ann:***@example.com/f /" },
        { "clone 'http://:p@ss@a/x' and git://u:secret@b", "clone 'http://:***@a/x' and git://u:***@b" },
        { "https://ann@example.com:8080/a:b@c https://h:80/", "https://ann@example.com:8080/a:b@c https://h:80/" },
        { "://", "://" },
        { "x://a:secret", "x://a:secret" },
        { "x://a:secret@", "x://a:***@" },
    };
    struct heard heard;
    AUTO(progress_free) struct progress *progress = listen(&heard);

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        AUTO(free) char *text = strdup(texts[i][0]);
        size_t len = strlen(text);
        progress_mask(progress, text, &len);
        text[len] = '\0';
        assert_string_equal(text, texts[i][1]);
    }
    bytes_release(&heard.text);
}

/* Whatever the pieces in which it is written, and where an endless line is cut. */
static void secrets_split_over_writes_are_masked(void **state)
{
    (void)state;
    for (size_t before = RUN_LINE_MAX - 12; before < RUN_LINE_MAX + 4; before++) {
        struct heard heard;
        AUTO(progress_free) struct progress *progress = listen(&heard);
        struct progress_step step;
        struct error err = { 0 };
        AUTO(free) char *filler = calloc(1, before);

        assert_true(progress_hide(progress, SPAN("correct-horse"), &err));
        progress_begin(progress, &step, "step");
        AUTO(run_output_free) struct run_output *output = run_output_new(&step, &err);
        memset(filler, 'x', before);
        assert_int_equal(write(run_output_write_end(output), filler, before), before);
        run_output_read(output);
        assert_int_equal(write(run_output_write_end(output), "correct-", 8), 8);
        run_output_read(output);
        assert_int_equal(write(run_output_write_end(output), "horse tail\n", 11), 11);
        run_output_end(output);
        assert_null(strstr(bytes_text(&heard.text), "correct-"));
        assert_null(strstr(bytes_text(&heard.text), "horse"));
        assert_non_null(strstr(bytes_text(&heard.text), " tail\n"));
        bytes_release(&heard.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_told_as_buildkit_tells_them),  cmocka_unit_test(nobody_need_listen),
        cmocka_unit_test(secrets_are_masked_wherever_they_stand), cmocka_unit_test(passwords_of_urls_are_masked),
        cmocka_unit_test(secrets_split_over_writes_are_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
