#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/json.h"

#include "tests/unit/failing.h"

static bool grow_a_buffer(struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(1024 * 1024);
    for (int i = 0; i < 300; i++)
        if (!bytes_printf(&text, err, "%d %s ", i, "and some more"))
            return false;
    return base64_encode(&text, SPAN("bytes of any kind"), err);
}

static bool read_a_file(struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(1024 * 1024);
    return file_read(&text, "/proc/self/cmdline", err) && file_read(&text, "/proc/self/status", err);
}

static bool read_json(struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    AUTO(bytes_release) struct bytes text = BYTES(1024 * 1024);
    struct json_writer w = json_writer_on(&text);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    json_open_object(&w, NULL);
    for (int i = 0; i < 600; i++) {
        char key[20];
        snprintf(key, sizeof key, "key-%d", i);
        json_open_array(&w, key);
        json_add_string(&w, NULL, "a \"text\" \t");
        json_add_integer(&w, NULL, i);
        json_close_array(&w);
    }
    json_close_object(&w);
    return json_writer_end(&w, err) && json_parse(arena, bytes_span(&text), err);
}

static void every_path_says_that_memory_is_out(void **state)
{
    (void)state;
    run_without_memory("a buffer", grow_a_buffer);
    run_without_memory("a file", read_a_file);
    run_without_memory("JSON", read_json);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_path_says_that_memory_is_out) };
    return cmocka_run_group_tests_name("shared/base/memory", tests, NULL, NULL);
}
