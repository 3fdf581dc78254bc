#include "functions/webhook/push.h"

#include "shared/base/bytes.h"
#include "tests/unit/functions/test.h"

#define OLD "1111111111111111111111111111111111111111"
#define NEW "2222222222222222222222222222222222222222"
#define TAG "3333333333333333333333333333333333333333"
#define ZERO "0000000000000000000000000000000000000000"

#define COMMIT(id, message)                                                                                            \
    "{\"id\":\"" id "\",\"message\":\"" message "\",\"timestamp\":\"2026-09-20T10:00:00+02:00\"}"
#define ENDS(before, after) "\"before\":\"" before "\",\"after\":\"" after "\""
#define REPOSITORY                                                                                                     \
    "\"repository\":{\"full_name\":\"acme/web\",\"html_url\":\"https://h/acme/web\",\"pushed_at\":1790000000}"
#define PROJECT "\"project\":{\"path_with_namespace\":\"acme/web\",\"web_url\":\"https://h/acme/web\"}"
#define HEAD(id) "\"head_commit\":" COMMIT(id, "head")
#define REF(ref) "\"ref\":\"" ref "\""

static struct change read_well(struct arena *arena, enum source_kind kind, const char *event, const char *json)
{
    struct error err = { 0 };
    struct change change;
    if (!push_read(arena, kind, span_of(event), span_of(json), &change, &err))
        fail_msg("%s: %s", json, err.message);
    return change;
}

/* --- what hosts send ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    enum source_kind kind;
    const char *event, *json;
    const char *is, *ref, *before, *commit, *message, *sender; /* is: change_kind() */
    int64_t commits;
    bool list_complete;
} rows[] = {
    { "GitHub: push", SOURCE_GITHUB, "push",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," REPOSITORY "," HEAD(
          NEW) ",\"sender\":{\"login\":\"ann\"},\"commits\":[{},{}]}",
      "branch-push", "refs/heads/main", OLD, NEW, "head", "ann", 2, true },
    { "GitHub: forced", SOURCE_GITHUB, "push",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," REPOSITORY "," HEAD(NEW) ",\"forced\":true,\"commits\":[{}]}",
      "branch-push", "refs/heads/main", OLD, NEW, "head", NULL, 1, false },
    { "GitHub: new branch", SOURCE_GITHUB, "push",
      "{" REF("refs/heads/a/b") "," ENDS(ZERO, NEW) "," REPOSITORY "," HEAD(NEW) ",\"commits\":[{}]}", "branch-create",
      "refs/heads/a/b", NULL, NEW, "head", NULL, 1, false },
    { "GitHub: deleted branch", SOURCE_GITHUB, "push",
      "{" REF("refs/heads/main") "," ENDS(OLD, ZERO) "," REPOSITORY ",\"head_commit\":null,\"commits\":[]}",
      "branch-delete", "refs/heads/main", OLD, NULL, NULL, NULL, 0, false },
    { "GitHub: annotated tag", SOURCE_GITHUB, "push",
      "{" REF("refs/tags/v1") "," ENDS(ZERO, TAG) "," REPOSITORY "," HEAD(NEW) ",\"commits\":[]}", "tag-create",
      "refs/tags/v1", NULL, NEW, "head", NULL, 0, false },
    { "GitHub: 2012", SOURCE_GITHUB, "push",
      "{" REF("refs/heads/main") "," ENDS(
          OLD, NEW) ",\"repository\":{\"name\":\"web\",\"owner\":{\"name\":\"acme\"}},\"commits\":[{}]}",
      "branch-push", "refs/heads/main", OLD, NEW, NULL, NULL, 1, true },
    { "GitLab: push", SOURCE_GITLAB, "Push Hook",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," PROJECT ",\"checkout_sha\":\"" NEW
                                                    "\",\"user_username\":\"ann\",\"total_commits_count\":2,"
                                                    "\"commits\":[" COMMIT(NEW, "last") "," COMMIT(OLD, "first") "]}",
      "branch-push", "refs/heads/main", OLD, NEW, "last", "ann", 2, true },
    { "GitLab: more than it lists", SOURCE_GITLAB, "Push Hook",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," PROJECT
                                                    ",\"total_commits_count\":21,\"commits\":[" COMMIT(NEW, "m") "]}",
      "branch-push", "refs/heads/main", OLD, NEW, "m", NULL, 21, false },
    { "GitLab: no count", SOURCE_GITLAB, "Push Hook",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," PROJECT ",\"commits\":[" COMMIT(NEW, "m") "]}", "branch-push",
      "refs/heads/main", OLD, NEW, "m", NULL, 1, false },
    { "GitLab: annotated tag", SOURCE_GITLAB, "Tag Push Hook",
      "{" REF("refs/tags/v1") "," ENDS(ZERO, TAG) "," PROJECT ",\"checkout_sha\":\"" NEW "\",\"commits\":[]}",
      "tag-create", "refs/tags/v1", NULL, NEW, NULL, NULL, 0, false },
    { "GitLab: deleted tag", SOURCE_GITLAB, "Tag Push Hook",
      "{" REF("refs/tags/v1") "," ENDS(OLD, ZERO) "," PROJECT ",\"checkout_sha\":null}", "tag-delete", "refs/tags/v1",
      OLD, NULL, NULL, NULL, 0, false },
    { "GitLab: system hook", SOURCE_GITLAB, "System Hook",
      "{\"event_name\":\"push\"," REF("refs/heads/main") "," ENDS(OLD, NEW) "," PROJECT "}", "branch-push",
      "refs/heads/main", OLD, NEW, NULL, NULL, 0, false },
    { "Gitea: push", SOURCE_GITEA, "push",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," REPOSITORY
                                                    "," HEAD(NEW) ",\"total_commits\":1,\"commits\":[{}]}",
      "branch-push", "refs/heads/main", OLD, NEW, "head", NULL, 1, true },
    { "Gitea: more than it lists", SOURCE_GITEA, "push",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," REPOSITORY
                                                    "," HEAD(NEW) ",\"total_commits\":16,\"commits\":[{}]}",
      "branch-push", "refs/heads/main", OLD, NEW, "head", NULL, 16, false },
    { "Gitea: new tag", SOURCE_GITEA, "create",
      "{" REF("v1") ",\"ref_type\":\"tag\",\"sha\":\"" NEW "\"," REPOSITORY "}", "tag-create", "refs/tags/v1", NULL,
      NEW, NULL, NULL, 0, false },
    { "Gitea: deleted branch", SOURCE_GITEA, "delete", "{" REF("a/b") ",\"ref_type\":\"branch\"," REPOSITORY "}",
      "branch-delete", "refs/heads/a/b", NULL, NULL, NULL, NULL, 0, false },
    { "Forgejo: push", SOURCE_FORGEJO, "push",
      "{" REF("refs/heads/main") "," ENDS(OLD, NEW) "," REPOSITORY "," HEAD(NEW) "}", "branch-push", "refs/heads/main",
      OLD, NEW, "head", NULL, 0, false },
};

static void pushes_of_every_host_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
        const struct change c = read_well(arena, rows[i].kind, rows[i].event, rows[i].json);
        const char *what = rows[i].what;
        assert_text(c.ignored, NULL, what);
        assert_text(change_kind(&c), rows[i].is, what);
        assert_text(c.repository, "acme/web", what);
        assert_text(c.ref, rows[i].ref, what);
        assert_text(c.name, strchr(rows[i].ref + 5, '/') + 1, what);
        assert_text(c.before, rows[i].before, what);
        assert_text(c.commit, rows[i].commit, what);
        assert_text(c.message, rows[i].message, what);
        assert_text(c.sender, rows[i].sender, what);
        if (c.commits != rows[i].commits || c.list_complete != rows[i].list_complete)
            fail_msg("%s: %d commits, %s", what, (int)c.commits, c.list_complete ? "complete" : "not complete");
    }
}

static void what_is_no_push_is_ignored_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        enum source_kind kind;
        const char *event, *json, *reason;
    } ignored[] = {
        { SOURCE_GITHUB, "ping", "{}", "pong" },
        { SOURCE_GITHUB, "create", "{}", "the push event tells" },
        { SOURCE_GITHUB, "issues", "{}", "'issues' is not a push" },
        { SOURCE_GITHUB, "Push Hook", "{}", "is not a push" },
        { SOURCE_GITHUB, "", "{}", "names no event" },
        { SOURCE_GITHUB, NULL, "{}", "names no event" },
        { SOURCE_GITLAB, "push", "{}", "is not a push" },
        { SOURCE_GITLAB, "System Hook", "{}", "the system hook '' is not a push" },
        { SOURCE_GITLAB, "System Hook", "{\"event_name\":\"key_create\"}", "'key_create' is not a push" },
        { SOURCE_GITEA, "create", "{" REF("a") ",\"ref_type\":\"branch\",\"sha\":\"" NEW "\"," REPOSITORY "}",
          "new branches" },
        { SOURCE_GITHUB, "push", "{" REF("refs/notes/commits") "," ENDS(OLD, NEW) "," REPOSITORY "}",
          "neither a branch nor a tag" },
    };
    for (size_t i = 0; i < COUNT(ignored); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
        const struct change c = read_well(arena, ignored[i].kind, ignored[i].event, ignored[i].json);
        if (!c.ignored || !strstr(c.ignored, ignored[i].reason))
            fail_msg("row %zu: '%s'", i, c.ignored ? c.ignored : "(none)");
    }
}

static void what_is_wrong_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        enum source_kind kind;
        const char *event, *json, *piece;
        enum error_kind error;
    } wrong[] = {
        { SOURCE_GITHUB, "push", "", "the body: line 1 column 1", ERROR_INVALID },
        { SOURCE_GITHUB, "issues", "{\"a\":}", "the body: line 1 column 6", ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{}", "names no repository", ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REPOSITORY "}", "names no ref", ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REPOSITORY "," REF("main") "," ENDS(OLD, NEW) "}", "'main' is not the name",
          ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REPOSITORY "," REF("refs/heads/a") "}", "\"before\" and \"after\"",
          ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REPOSITORY "," REF("refs/heads/a") ",\"before\":\"" OLD "\",\"after\":null}",
          "\"before\" and \"after\"", ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REPOSITORY "," REF("refs/heads/a") "," ENDS(ZERO, ZERO) "}", "names no commit",
          ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REPOSITORY "," REF("refs/heads/a") "," ENDS(OLD, "main") "}",
          "'main' is not a commit", ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REPOSITORY "," REF("refs/heads/a") "," ENDS(OLD, "000") "}",
          "'000' is not a commit", ERROR_INVALID },
        { SOURCE_GITHUB, "push", "{" REF("a") "," REF("b") "}", "stands twice", ERROR_INVALID },
        { SOURCE_GITLAB, "Push Hook",
          "{" PROJECT "," REF("refs/heads/a") "," ENDS(OLD, NEW) ",\"commits\":[{\"id\":\"a\",\"id\":\"b\"}]}",
          "stands twice", ERROR_INVALID },
        { SOURCE_GITLAB, "Push Hook", "{" PROJECT "," REF("refs/heads/a") "," ENDS(OLD, NEW) ",\"checkout_sha\":\"x\"}",
          "'x' is not a commit", ERROR_INVALID },
        { SOURCE_GITEA, "create", "{" REPOSITORY "," REF("v1") ",\"ref_type\":\"tag\"}", "names no commit",
          ERROR_INVALID },
        { SOURCE_GITEA, "create", "{" REPOSITORY "," REF("../v1") ",\"ref_type\":\"tag\",\"sha\":\"" NEW "\"}",
          "not the name of a ref", ERROR_INVALID },
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
        struct error err = { 0 };
        struct change change;
        if (push_read(arena, wrong[i].kind, span_of(wrong[i].event), span_of(wrong[i].json), &change, &err))
            fail_msg("row %zu was taken", i);
        assert_error(err, wrong[i].error, wrong[i].piece);
    }
}

/* --- messages and times ------------------------------------------------------------------------------------------- */

static struct change read_message(struct arena *arena, struct bytes *json, const char *unit, size_t times)
{
    struct error err = { 0 };
    bytes_clear(json);
    assert_true(bytes_append_text(
        json, "{" REF("refs/heads/a") "," ENDS(OLD, NEW) "," REPOSITORY ",\"head_commit\":{\"message\":\"", &err));
    for (size_t i = 0; i < times; i++)
        assert_true(bytes_append_text(json, unit, &err));
    assert_true(bytes_append_text(json, "\"}}", &err));
    return read_well(arena, SOURCE_GITHUB, "push", bytes_text(json));
}

static void of_a_long_message_the_beginning_is_kept_in_whole_characters(void **state)
{
    (void)state;
    static const struct {
        const char *unit;  /* as it stands in the JSON */
        const char *meant; /* what it means */
    } units[] = { { "x", "x" },    { "é", "é" },       { "€", "€" },
                  { "\\n", "\n" }, { "\\u00e9", "é" }, { "\\ud83d\\ude00", "😀" },
                  { "\\\\", "\\" } };
    AUTO(bytes_release) struct bytes json = BYTES(4 << 20);
    for (size_t i = 0; i < COUNT(units); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(4 << 20);
        size_t n = strlen(units[i].meant), raw = strlen(units[i].unit);
        const struct change all = read_message(arena, &json, units[i].unit, 1000);
        assert_int_equal(strlen(all.message), 1000 * n);
        const struct change cut = read_message(arena, &json, units[i].unit, 100000);
        assert_non_null(cut.message);
        size_t len = strlen(cut.message);
        assert_true(len % n == 0 && len <= MESSAGE_MAX && len / n + 2 > MESSAGE_MAX / raw);
        assert_true(span_is_utf8(span_of(cut.message)));
    }
}

static void a_message_that_no_text_can_hold_is_left_out(void **state)
{
    (void)state;
    static const char *const units[] = { "\\u0000", "\\ud800",      "\\ud800x",
                                         "\\udc00", "\\ud800aéééé", "\\ud83d\\\\ude00é" };
    AUTO(bytes_release) struct bytes json = BYTES(4 << 20);
    for (size_t i = 0; i < COUNT(units); i++)
        for (size_t times = 1; times < 100000; times *= 99) {
            AUTO(arena_free) struct arena *arena = arena_new(4 << 20);
            const struct change c = read_message(arena, &json, units[i], times);
            assert_null(c.message);
            assert_string_equal(c.commit, NEW);
        }
}

static void times_are_those_of_the_push_and_the_commit(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct change c = read_well(arena, rows[0].kind, rows[0].event, rows[0].json);
    assert_true(c.pushed_ms == 1790000000000 && c.commit_ms == 1789891200000);
    c = read_well(arena, rows[6].kind, rows[6].event, rows[6].json);
    assert_true(c.pushed_ms == 0 && c.commit_ms == 1789891200000);
    static const char *const silly[] = { "-5",  "0", "4102444800", "999999999999999999", "1e400", "\"2026-09-20\"",
                                         "null" };
    for (size_t i = 0; i < COUNT(silly); i++) {
        char json[1000];
        snprintf(json, sizeof json,
                 "{" REF("refs/heads/a") "," ENDS(OLD, NEW) ",\"repository\":{\"full_name\":\"a/b\",\"pushed_at\":%s}}",
                 silly[i]);
        c = read_well(arena, SOURCE_GITHUB, "push", json);
        if (c.pushed_ms < 0 || c.pushed_ms > 1000)
            fail_msg("%s: %lld", silly[i], (long long)c.pushed_ms);
    }
}

static void names_have_a_longest(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    char name[REF_MAX + 2] = "", json[4096];
    memset(name, 'x', REF_MAX + 1);
    snprintf(json, sizeof json, "{" REF("refs/heads/a") "," ENDS(OLD, NEW) ",\"repository\":{\"full_name\":\"%s\"}}",
             name);
    struct error err = { 0 };
    struct change change;
    assert_false(push_read(arena, SOURCE_GITHUB, SPAN("push"), span_of(json), &change, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

static void a_new_tag_of_gitea_is_one_delivery(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    const struct change created = read_well(arena, SOURCE_GITEA, "create",
                                            "{" REF("v1") ",\"ref_type\":\"tag\",\"sha\":\"" NEW "\"," REPOSITORY "}");
    const struct change pushed =
        read_well(arena, SOURCE_GITEA, "push", "{" REF("refs/tags/v1") "," ENDS(ZERO, NEW) "," REPOSITORY "}");
    assert_string_equal(created.delivery, pushed.delivery);
    const struct change branch =
        read_well(arena, SOURCE_GITEA, "push", "{" REF("refs/heads/v1") "," ENDS(ZERO, NEW) "," REPOSITORY "}");
    assert_null(branch.delivery);
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

static void paths_match_wherever_a_commit_lists_them(void **state)
{
    (void)state;
    static const struct {
        const char *commits;
        bool complete, touches;
    } cases[] = {
        { "[{\"added\":[\"src/a\"]}]", true, true },
        { "[{\"modified\":[\"src/a\"]}]", true, true },
        { "[{\"removed\":[\"x\",\"src/a/b\"]}]", true, true },
        { "[{\"added\":[\"x\"]},{\"added\":[\"src/a\"]}]", true, true },
        { "[{\"added\":[\"x\"],\"modified\":[],\"removed\":[]}]", true, false },
        { "[{\"added\":[\"src\",\"srcs/a\",\"a/src/b\"]}]", true, false },
        { "[{\"added\":[\"s\\u0072c/a\"]}]", true, true },
        { "[{\"added\":[\"x\\u0000\"]}]", true, true }, /* not to be read: might be any */
        { "[{\"added\":[\"x\"]},{}]", true, true },     /* a commit without lists: might be any */
        { "[{\"added\":null}]", true, true },
        { "[{\"added\":[]}]", true, false },
        { "[{\"added\":[5,null,{}]}]", true, false },
        { "[]", true, false },
        { "[{\"added\":[\"x\"]}]", false, true },
    };
    AUTO(patterns_free) struct patterns *patterns = patterns_new();
    struct error err = { 0 };
    assert_true(patterns_add_glob(patterns, SPAN("src/**"), &err));
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool touches = !cases[i].touches;
        const struct change change = { .list = span_of(cases[i].commits), .list_complete = cases[i].complete };
        assert_true(push_touches(&change, patterns, &touches, &err));
        if (touches != cases[i].touches)
            fail_msg("%s", cases[i].commits);
    }
}

static void a_list_as_long_as_github_makes_it_may_be_cut(void **state)
{
    (void)state;
    AUTO(patterns_free) struct patterns *patterns = patterns_new();
    struct error err = { 0 };
    assert_true(patterns_add_glob(patterns, SPAN("src/**"), &err));
    for (size_t listed = 2999; listed <= 3000; listed++) {
        AUTO(bytes_release) struct bytes json = BYTES(1 << 20);
        assert_true(bytes_append_text(&json, "[{\"removed\":[\"y\"],\"added\":[\"z\"", &err));
        for (size_t i = 2; i < listed; i++)
            assert_true(bytes_append_text(&json, ",\"x\"", &err));
        assert_true(bytes_append_text(&json, "]},{\"added\":[]}]", &err));
        bool touches = false;
        const struct change change = { .list = bytes_span(&json), .list_complete = true };
        assert_true(push_touches(&change, patterns, &touches, &err));
        assert_int_equal(touches, listed == 3000);
    }
}

static void a_pattern_that_takes_too_long_is_an_error(void **state)
{
    (void)state;
    AUTO(patterns_free) struct patterns *patterns = patterns_new();
    struct error err = { 0 };
    bool touches = true;
    assert_true(patterns_add_regex(patterns, SPAN("^(a+)+$"), &err));
    const struct change change = {
        .list = SPAN("[{\"added\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"]}]"),
        .list_complete = true
    };
    assert_false(push_touches(&change, patterns, &touches, &err));
    assert_error(err, ERROR_INVALID, "takes too long");
    assert_true(touches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_of_every_host_are_read),
        cmocka_unit_test(what_is_no_push_is_ignored_with_the_reason),
        cmocka_unit_test(what_is_wrong_is_refused_with_the_reason),
        cmocka_unit_test(of_a_long_message_the_beginning_is_kept_in_whole_characters),
        cmocka_unit_test(a_message_that_no_text_can_hold_is_left_out),
        cmocka_unit_test(times_are_those_of_the_push_and_the_commit),
        cmocka_unit_test(names_have_a_longest),
        cmocka_unit_test(a_new_tag_of_gitea_is_one_delivery),
        cmocka_unit_test(paths_match_wherever_a_commit_lists_them),
        cmocka_unit_test(a_list_as_long_as_github_makes_it_may_be_cut),
        cmocka_unit_test(a_pattern_that_takes_too_long_is_an_error),
    };
    return cmocka_run_group_tests_name("functions/webhook/push", tests, NULL, NULL);
}
