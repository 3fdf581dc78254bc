#include "shared/config/suggest.h"

#include "tests/unit/shared/base/test.h"

static void the_nearest_word_is_meant(void **state)
{
    (void)state;
    static const char *const words[] = { "branches", "tags", "paths", "secret", "signingSecret", "x" };
    static const struct {
        const char *word, *meant;
    } rows[] = {
        { "branch", "branches" },
        { "brnaches", "branches" },
        { "TAGS", "tags" },
        { "tag", "tags" },
        { "path", "paths" },
        { "secrets", "secret" },
        { "signing_secret", "signingSecret" },
        { "pipeline", NULL },
        { "", NULL },
        { "zzzz", NULL },
        { "0123456789012345678901234567890123456789012345678901234567890123456789", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *meant = suggest_word(span_of(rows[i].word), words, COUNT(words));
        if (!meant != !rows[i].meant || (meant && strcmp(meant, rows[i].meant) != 0))
            fail_msg("'%s': %s", rows[i].word, meant ? meant : "nothing");
    }
    assert_null(suggest_word(SPAN("tags"), words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_nearest_word_is_meant) };
    return cmocka_run_group_tests_name("config/suggest", tests, NULL, NULL);
}
