#include "shared/config/template.h"

#include "tests/unit/shared/base/test.h"

/* 2026-09-01T12:00:00.999Z */
static const struct template_values branch_push = {
    .branch = { "feature/login", 13 },
    .sha = { "0123456789abcdef0123456789abcdef01234567", 40 },
    .build = { "web", 3 },
    .time_ms = 1788264000999,
};

static struct template_values tag_push(const char *name)
{
    struct template_values values = branch_push;
    values.branch = (struct span){ NULL, 0 };
    values.tag = span_of(name);
    return values;
}

static struct template_values push_of(const char *branch)
{
    struct template_values values = branch_push;
    values.branch = span_of(branch);
    return values;
}

static void placeholders_are_filled_in(void **state)
{
    (void)state;
    static const struct {
        const char *tmpl, *of_branch, *of_tag;
    } rows[] = {
        { "", "", "" },
        { "latest", "latest", "latest" },
        { "{branch}", "feature/login", "" },
        { "{tag}", "", "v1.2" },
        { "{ref}", "feature/login", "v1.2" },
        { "{sha}", "0123456789abcdef0123456789abcdef01234567", "0123456789abcdef0123456789abcdef01234567" },
        { "{sha:7}", "0123456", "0123456" },
        { "{sha:64}", "0123456789abcdef0123456789abcdef01234567", "0123456789abcdef0123456789abcdef01234567" },
        { "{time}", "20260901120000", "20260901120000" },
        { "a{build}-{sha:1}{sha:1}z", "aweb-00z", "aweb-00z" },
        { "{{{build}}}", "{web}", "{web}" },
        { "{{build}}", "{build}", "{build}" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes of_branch = BYTES(1000), of_tag = BYTES(1000);
        struct error err = { 0 };
        const struct template_values tag = tag_push("v1.2");
        assert_true(template_check(span_of(rows[i].tmpl), &err));
        assert_true(template_expand(&of_branch, span_of(rows[i].tmpl), &branch_push, &err));
        assert_string_equal(bytes_text(&of_branch), rows[i].of_branch);
        assert_true(template_expand(&of_tag, span_of(rows[i].tmpl), &tag, &err));
        assert_string_equal(bytes_text(&of_tag), rows[i].of_tag);
        bytes_release(&of_tag);
    }
}

static void a_ref_of_another_kind_is_neither_branch_nor_tag(void **state)
{
    AUTO(bytes_release) struct bytes out = BYTES(1000);
    struct template_values values = branch_push;
    struct error err = { 0 };
    (void)state;
    values.branch = (struct span){ NULL, 0 };
    values.other = SPAN("pull/1/head");
    assert_true(template_expand(&out, SPAN("<{branch}{tag}><{ref}>"), &values, &err));
    assert_string_equal(bytes_text(&out), "<><pull/1/head>");
    assert_false(template_tag(&out, SPAN("{branch}"), &values, &err));
    assert_string_equal(err.message,
                        "tag template '{branch}' gives an empty tag for what is neither a branch nor a tag");
}

static void a_wrong_template_says_what_is_meant(void **state)
{
    (void)state;
    static const struct {
        const char *tmpl, *says;
    } rows[] = {
        { "x{brnach}", "unknown placeholder '{brnach}': did you mean '{branch}'?" },
        { "{SHA}", "did you mean '{sha}'?" },
        { "{something}", "there are {branch}, {tag}, {ref}, {sha}, {sha:7}, {time} and {build}" },
        { "{}", "unknown placeholder '{}'" },
        { "{ref", "a '{' without its other half: write '{{'" },
        { "ref}", "a '}' without its other half: write '}}'" },
        { "{{}", "a '}' without" },
        { "{sha:}", "a number from 1 to 64 is missing" },
        { "{sha:0}", "a number from 1 to 64" },
        { "{sha:65}", "a number from 1 to 64" },
        { "{sha:007}", "a number from 1 to 64" },
        { "{sha:7x}", "a number from 1 to 64" },
        { "{sha:-1}", "a number from 1 to 64" },
        { "{ref:7}", "only {sha} can be cut" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes out = BYTES(1000);
        struct error err = { 0 };
        assert_true(bytes_append_text(&out, "kept", &err));
        assert_false(template_check(span_of(rows[i].tmpl), &err));
        assert_error(err, ERROR_INVALID, rows[i].says);
        err = (struct error){ 0 };
        assert_false(template_expand(&out, span_of(rows[i].tmpl), &branch_push, &err));
        assert_error(err, ERROR_INVALID, rows[i].says);
        assert_string_equal(bytes_text(&out), "kept");
    }
}

static void tag_of(struct bytes *out, const char *tmpl, struct template_values values)
{
    struct error err = { 0 };
    bytes_clear(out);
    if (!template_tag(out, span_of(tmpl), &values, &err))
        fail_msg("%s", err.message);
}

static void a_legal_tag_stays_as_it_is(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes tag = BYTES(1000);
    tag_of(&tag, "{branch}-{time}-{sha:7}", push_of("main"));
    assert_string_equal(bytes_text(&tag), "main-20260901120000-0123456");
    tag_of(&tag, "{tag}", tag_push("v1.2_x-Y"));
    assert_string_equal(bytes_text(&tag), "v1.2_x-Y");
    char longest[129] = "";
    memset(longest, 'a', 128);
    tag_of(&tag, "{branch}", push_of(longest));
    assert_string_equal(bytes_text(&tag), longest);
}

static bool is_legal(const char *tag)
{
    size_t len = strlen(tag);
    return len >= 1 && len <= 128 && tag[0] != '.' && tag[0] != '-' &&
           strspn(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static void any_ref_makes_a_legal_tag(void **state)
{
    (void)state;
    static const struct {
        const char *branch, *starts;
    } rows[] = {
        { "feature/login", "feature-login-" },
        { ".hidden", "_hidden-" },
        { "-x", "_x-" },
        { "/", "_-" },
        { "a b+c", "a-b-c-" },
        { "\xc3\xa9t\xc3\xa9", "_t--" },
        { "\xe6\x97\xa5\xe6\x9c\xac", "_-" },
        { "a@{0}", "a--0--" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes tag = BYTES(1000);
        tag_of(&tag, "{branch}", push_of(rows[i].branch));
        size_t start = strlen(rows[i].starts);
        if (strncmp(bytes_text(&tag), rows[i].starts, start) != 0 || tag.len != start + 8)
            fail_msg("'%s' gave '%s'", rows[i].branch, bytes_text(&tag));
        assert_true(is_legal(bytes_text(&tag)));
    }
}

static void different_refs_never_meet_in_one_tag(void **state)
{
    (void)state;
    char one[301] = "", two[301] = "";
    memset(one, 'a', 300);
    memset(two, 'a', 300);
    two[299] = 'b';
    const char *const pairs[][2] = {
        { "a/b", "a-b" }, { "a/b", "a+b" }, { ".a", "_a" }, { "\xc3\xa9", "\xc3\xa8" }, { one, two }
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        AUTO(bytes_release) struct bytes first = BYTES(1000), second = BYTES(1000);
        tag_of(&first, "{branch}", push_of(pairs[i][0]));
        tag_of(&second, "{branch}", push_of(pairs[i][1]));
        assert_string_not_equal(bytes_text(&first), bytes_text(&second));
        assert_true(is_legal(bytes_text(&first)) && is_legal(bytes_text(&second)));
        AUTO(bytes_release) struct bytes again = BYTES(1000);
        tag_of(&again, "{branch}", push_of(pairs[i][0]));
        assert_string_equal(bytes_text(&first), bytes_text(&again));
        bytes_release(&second);
    }
}

static void nothing_is_no_tag(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes out = BYTES(1000);
    struct error err = { 0 };
    const struct template_values tag = tag_push("v1");
    assert_false(template_tag(&out, SPAN("{tag}"), &branch_push, &err));
    assert_error(err, ERROR_INVALID, "tag template '{tag}' gives an empty tag for a branch");
    assert_false(template_tag(&out, SPAN("{branch}"), &tag, &err));
    assert_error(err, ERROR_INVALID, "for a tag");
    assert_false(template_tag(&out, SPAN("{x}"), &tag, &err));
    assert_error(err, ERROR_INVALID, "tag template '{x}': unknown placeholder");
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_are_filled_in),
        cmocka_unit_test(a_ref_of_another_kind_is_neither_branch_nor_tag),
        cmocka_unit_test(a_wrong_template_says_what_is_meant),
        cmocka_unit_test(a_legal_tag_stays_as_it_is),
        cmocka_unit_test(any_ref_makes_a_legal_tag),
        cmocka_unit_test(different_refs_never_meet_in_one_tag),
        cmocka_unit_test(nothing_is_no_tag),
    };
    return cmocka_run_group_tests_name("config/template", tests, NULL, NULL);
}
