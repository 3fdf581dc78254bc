#include "runtime/local/journal.h"
#include "shared/base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>

#include <cmocka.h>

struct fixture {
    char *directory;
    char path[256];
};

static int make_directory(void **state)
{
    struct error err = { 0 };
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_make_temporary("journal", &err);
    assert_non_null(f->directory);
    snprintf(f->path, sizeof f->path, "%s/journal.jsonl", f->directory);
    *state = f;
    return 0;
}

static int remove_directory(void **state)
{
    struct error err = { 0 };
    struct fixture *f = *state;
    assert_true(directory_remove(f->directory, &err));
    free(f->directory);
    free(f);
    return 0;
}

/* What a reading gave, line by line. */
struct seen {
    size_t accepted, taken, dead;
    char event[4096], to[64], reason[64];
};

static bool note(void *context, const struct journal_entry *entry, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    if (!entry->by) {
        seen->accepted++;
        snprintf(seen->event, sizeof seen->event, "%.*s", SPAN_ARGS(entry->event));
        snprintf(seen->to, sizeof seen->to, "%s", entry->to_count > 0 ? entry->to[0] : "");
    } else if (entry->dead) {
        seen->dead++;
        snprintf(seen->reason, sizeof seen->reason, "%s", entry->reason);
    } else
        seen->taken++;
    return true;
}

static const char *const to_build[] = { "build" };

static struct event event_with(const char *id, const char *data)
{
    return (struct event){ .id = id, .source = "/test", .type = "t", .datacontenttype = "application/json", .data = span_of(data) };
}

static void write_one(const char *path, const char *id, const char *data)
{
    struct error err = { 0 };
    struct seen seen = { 0 };
    struct event event = event_with(id, data);
    AUTO(journal_free) struct journal *journal = journal_open(path, note, &seen, &err);
    assert_non_null(journal);
    assert_true(journal_accept(journal, &event, to_build, 1, &err));
}

static void what_was_accepted_is_read_back(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    write_one(f->path, "1", "{\"n\":12345678901234567890.10}");
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.accepted, 1);
    assert_string_equal(seen.to, "build");
    assert_non_null(strstr(seen.event, "{\"n\":12345678901234567890.10}"));
}

static void data_with_line_breaks_keep_every_byte(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    write_one(f->path, "1", "{\n  \"a\": 1,\r\n\t\"b\": \"\\u00e4\"\n}");
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_non_null(strstr(seen.event, "{\n  \"a\": 1,\r\n\t\"b\": \"\\u00e4\"\n}"));
}

static void deliveries_and_dead_letters_are_told(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    char key[SHA256_HEX_SIZE];
    struct event event = event_with("1", "1");
    event_key(&event, key);
    {
        AUTO(journal_free) struct journal *journal = journal_open(f->path, note, &seen, &err);
        assert_true(journal_accept(journal, &event, to_build, 1, &err));
        assert_true(journal_taken(journal, key, "build", 202, 3, 17, &err));
        assert_true(journal_dead(journal, key, "deploy", 400, "bad \"event\"", "/x", &err));
    }
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.taken, 1);
    assert_int_equal(seen.dead, 1);
    assert_string_equal(seen.reason, "bad \"event\"");
}

/* A crash may cut the last line anywhere: it was never acknowledged, and what stands before it is whole. */
static void a_torn_last_line_is_cut_off_wherever_it_was_torn(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes whole = BYTES(64 * 1024);
    write_one(f->path, "1", "1");
    write_one(f->path, "2", "2");
    assert_true(file_read(&whole, f->path, &err));
    const char *second = memchr(whole.data, '\n', whole.len);
    size_t first_length = (size_t)(second - whole.data) + 1;
    for (size_t n = first_length; n < whole.len; n++) {
        struct seen seen = { 0 };
        assert_true(file_write_atomic(f->path, (struct span){ whole.data, n }, 0600, &err));
        AUTO(journal_free) struct journal *journal = journal_open(f->path, note, &seen, &err);
        assert_non_null(journal);
        assert_int_equal(seen.accepted, 1);
        assert_int_equal(journal_size(journal), (int64_t)first_length);
    }
}

static void a_second_chain_is_turned_away(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    AUTO(journal_free) struct journal *first = journal_open(f->path, note, &seen, &err);
    assert_non_null(first);
    assert_null(journal_open(f->path, note, &seen, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.message, "is another chain running"));
}

/* The file-size limit stands for a full disk: the write fails half-way. */
static void a_full_disk_is_an_error_and_leaves_no_half_line(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    struct rlimit before, small;
    struct event event = event_with("2", "{\"text\":\"much longer than the few bytes that are left\"}");
    write_one(f->path, "1", "1");
    AUTO(journal_free) struct journal *journal = journal_open(f->path, note, &seen, &err);
    assert_non_null(journal);
    int64_t size = journal_size(journal);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = (rlim_t)size + 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool accepted = journal_accept(journal, &event, to_build, 1, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(accepted);
    assert_non_null(strstr(err.message, "journal"));
    assert_true(journal_accept(journal, &event, to_build, 1, &err));
    seen = (struct seen){ 0 };
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.accepted, 2);
}

static void equal_events_have_equal_keys_and_only_they(void **state)
{
    char a[SHA256_HEX_SIZE], b[SHA256_HEX_SIZE];
    (void)state;
    event_key(&(struct event){ .source = "ab", .id = "c" }, a);
    event_key(&(struct event){ .source = "a", .id = "bc" }, b);
    assert_string_not_equal(a, b);
    event_key(&(struct event){ .source = "a", .id = "bc", .type = "other" }, a);
    assert_string_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_accepted_is_read_back, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(data_with_line_breaks_keep_every_byte, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(deliveries_and_dead_letters_are_told, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_torn_last_line_is_cut_off_wherever_it_was_torn, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_second_chain_is_turned_away, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_full_disk_is_an_error_and_leaves_no_half_line, make_directory, remove_directory),
        cmocka_unit_test(equal_events_have_equal_keys_and_only_they),
    };
    return cmocka_run_group_tests_name("runtime/local/journal", tests, NULL, NULL);
}
