/* The folder that a user copies, compiled as it is. "scaffold_test function ..." is that function itself, for tests of its events. */
int announce_main(int argc, char **argv);

#define FN_JSON "templates/function/fn.json"
#define main announce_main
#include "templates/function/function.c"
#undef main

#include "runtime/manifest.h"
#include "shared/base/file.h"
#include "tests/unit/runtime/running.h"

static int run_scaffold(void *context)
{
    (void)context;
    char *argv[] = { (char *)(uintptr_t)"announce", NULL };
    return announce_main(1, argv);
}

static void smallest_function_is_short(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(64 * 1024);
    struct error err = { 0 };
    size_t lines = 0;
    assert_true(file_read(&text, "templates/function/function.c", &err));
    for (const char *at = text.data; (at = strchr(at, '\n')); at++)
        lines++;
    assert_true(lines < 30);
}

static void its_manifest_is_compiled_in(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(64 * 1024);
    struct error err = { 0 };
    assert_true(file_read(&text, "templates/function/fn.json", &err));
    assert_string_equal(fn_json_text, bytes_text(&text));
    AUTO(manifest_free) struct manifest *manifest = manifest_parse(fn_json_text, &err);
    assert_non_null(manifest);
    assert_string_equal(manifest->name, "announce");
}

static void it_answers_an_event_with_an_event(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    static const char request[] =
        "POST / HTTP/1.1\r\nHost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /deploy\r\n"
        "ce-type: dev.cdevents.service.upgraded.0.3.0\r\nContent-Type: application/json\r\nContent-Length: 35\r\n\r\n"
        "{\"subject\":{\"id\":\"deployment/web\"}}";
    struct running running = start_running(
        run_scaffold, NULL, (const char *[]){ "PUSHWRIGHT_LISTEN=127.0.0.1:0", "PUSHWRIGHT_TRUST_PLATFORM=1", NULL });
    assert_int_equal(ask(running.port, request, answer), 200);
    assert_string_equal(header_in(answer, "ce-type"), "dev.cdeventsx.example-announcement.made.0.1.0");
    assert_string_equal(header_in(answer, "ce-subject"), "deployment/web");
    assert_string_equal(header_in(answer, "ce-source"), "/pushwright/announce");
    stop_running(&running, NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "function") == 0)
        return announce_main(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_function_is_short),
        cmocka_unit_test(its_manifest_is_compiled_in),
        cmocka_unit_test(it_answers_an_event_with_an_event),
    };
    return cmocka_run_group_tests_name("runtime/scaffold", tests, NULL, NULL);
}
