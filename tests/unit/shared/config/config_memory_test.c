#include "shared/base/file.h"
#include "shared/config/config.h"

#include "tests/unit/failing.h"

static struct bytes example = BYTES(1024 * 1024);

static bool parse(struct error *err)
{
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    AUTO(config_free) struct config *config = config_parse(bytes_span(&example), &mistakes, err);
    return config;
}

static void every_path_says_that_memory_is_out(void **state)
{
    (void)state;
    struct error err = { 0 };
    if (!file_read(&example, "templates/config/example.json", &err))
        fail_msg("%s", err.message);
    run_without_memory("a configuration", parse);
    bytes_release(&example);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_path_says_that_memory_is_out) };
    return cmocka_run_group_tests_name("shared/config/memory", tests, NULL, NULL);
}
