#include "runtime/local/journal.h"
#include "shared/base/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

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
    size_t count[JOURNAL_KINDS];
    char event[4096], to[64], reason[64], key[SHA256_HEX_SIZE];
    int64_t attempts;
};

static bool note(void *context, const struct journal_entry *entry, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    seen->count[entry->kind]++;
    snprintf(seen->key, sizeof seen->key, "%s", entry->key);
    if (entry->kind == JOURNAL_ACCEPTED) {
        snprintf(seen->event, sizeof seen->event, "%.*s", SPAN_ARGS(entry->event));
        snprintf(seen->to, sizeof seen->to, "%s", entry->to_count > 0 ? entry->to[0] : "");
    }
    if (entry->reason)
        snprintf(seen->reason, sizeof seen->reason, "%s", entry->reason);
    seen->attempts = entry->attempts;
    return true;
}

static const char *const to_build[] = { "build" };

static struct event event_with(const char *id, const char *data)
{
    return (struct event){
        .id = id, .source = "/test", .type = "t", .datacontenttype = "application/json", .data = span_of(data)
    };
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

static bool settle(struct journal *journal, const char *key, enum journal_kind kind, const char *reason,
                   struct error *err)
{
    struct journal_entry entry = {
        .kind = kind, .by = "build", .status = 202, .attempts = 3, .reason = reason, .file = "/x"
    };
    memcpy(entry.key, key, sizeof entry.key);
    return journal_settle(journal, &entry, err);
}

static void what_was_accepted_is_read_back(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    write_one(f->path, "1", "{\"n\":12345678901234567890.10}");
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.count[JOURNAL_ACCEPTED], 1);
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
        assert_true(settle(journal, key, JOURNAL_TAKEN, NULL, &err));
        assert_true(settle(journal, key, JOURNAL_FAILED, "later", &err));
        assert_true(settle(journal, key, JOURNAL_DEAD, "bad \"event\"", &err));
    }
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.count[JOURNAL_TAKEN], 1);
    assert_int_equal(seen.count[JOURNAL_FAILED], 1);
    assert_int_equal(seen.count[JOURNAL_DEAD], 1);
    assert_int_equal(seen.attempts, 3);
    assert_string_equal(seen.key, key);
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
        assert_int_equal(seen.count[JOURNAL_ACCEPTED], 1);
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
    assert_int_equal(seen.count[JOURNAL_ACCEPTED], 2);
}

/* Old events shrink to their keys, but not those that wait, nor the newest; what was appended later is there too. */
static void a_compacted_journal_keeps_what_matters(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    char keys[10][SHA256_HEX_SIZE];
    AUTO(keyset_free) struct keyset *waiting = keyset_new();
    AUTO(journal_free) struct journal *journal = journal_open(f->path, note, &seen, &err);
    assert_non_null(journal);
    int64_t size_before_last = 0;
    for (int i = 0; i < 10; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        struct event event = event_with(id, "\"some data that take room, as data do in every event that is worth it\"");
        event_key(&event, keys[i]);
        size_before_last = journal_size(journal);
        assert_true(journal_accept(journal, &event, to_build, 1, &err));
        if (i != 3)
            assert_true(settle(journal, keys[i], JOURNAL_TAKEN, NULL, &err));
    }
    assert_true(keyset_add(waiting, keys[3], &err));
    int64_t before = journal_size(journal);
    assert_true(journal_compact(journal, before - size_before_last, waiting, &err));
    assert_true(journal_size(journal) < before);
    assert_true(
        journal_accept(journal, &(struct event){ .id = "new", .source = "/test", .type = "t" }, to_build, 1, &err));
    seen = (struct seen){ 0 };
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.count[JOURNAL_ACCEPTED], 3); /* the fourth, the tenth, the new one */
    assert_int_equal(seen.count[JOURNAL_KNOWN], 8);
    assert_int_equal(seen.count[JOURNAL_TAKEN], 1);
    /* Once more: what is known stays so. */
    assert_true(journal_compact(journal, 0, waiting, &err));
    seen = (struct seen){ 0 };
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.count[JOURNAL_ACCEPTED], 1);
    assert_int_equal(seen.count[JOURNAL_KNOWN], 10);
}

static void keys_are_forgotten_after_a_week(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    static const char old[] = "{\"at\":\"2020-01-01T00:00:00Z\",\"known\":"
                              "\"0123456789012345678901234567890123456789012345678901234567890123\"}\n";
    AUTO(keyset_free) struct keyset *nothing = keyset_new();
    assert_true(file_write_atomic(f->path, span_of(old), 0600, &err));
    AUTO(journal_free) struct journal *journal = journal_open(f->path, note, &seen, &err);
    assert_int_equal(seen.count[JOURNAL_KNOWN], 1);
    assert_true(journal_compact(journal, 0, nothing, &err));
    assert_int_equal(journal_size(journal), 0);
}

/* The file-size limit stands for a full disk. */
static void a_journal_that_cannot_be_compacted_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    struct rlimit before, small;
    AUTO(keyset_free) struct keyset *nothing = keyset_new();
    write_one(f->path, "1", "1");
    write_one(f->path, "2", "2");
    AUTO(journal_free) struct journal *journal = journal_open(f->path, note, &seen, &err);
    int64_t size = journal_size(journal);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool compacted = journal_compact(journal, 0, nothing, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(compacted);
    assert_non_null(strstr(err.message, "shorten journal"));
    assert_int_equal(journal_size(journal), size);
    char beside[300];
    snprintf(beside, sizeof beside, "%s.new", f->path);
    assert_int_equal(access(beside, F_OK), -1);
    seen = (struct seen){ 0 };
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.count[JOURNAL_ACCEPTED], 2);
}

struct sender {
    struct journal *journal;
    int number;
};

static void *send_some(void *context)
{
    const struct sender *sender = context;
    for (int i = 0; i < 50; i++) {
        struct error err = { 0 };
        char id[32];
        snprintf(id, sizeof id, "%d-%d", sender->number, i);
        struct event event = event_with(id, "1");
        if (!journal_accept(sender->journal, &event, to_build, 1, &err))
            return context;
    }
    return NULL;
}

static void threads_that_accept_at_once_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    struct sender senders[6];
    pthread_t threads[6];
    AUTO(keyset_free) struct keyset *nothing = keyset_new();
    AUTO(journal_free) struct journal *journal = journal_open(f->path, note, &seen, &err);
    for (int i = 0; i < 6; i++) {
        senders[i] = (struct sender){ journal, i };
        assert_int_equal(pthread_create(&threads[i], NULL, send_some, &senders[i]), 0);
    }
    assert_true(journal_compact(journal, INT64_MAX / 2, nothing, &err)); /* in between */
    for (int i = 0; i < 6; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    assert_true(journal_read(f->path, note, &seen, &err));
    assert_int_equal(seen.count[JOURNAL_ACCEPTED], 300);
}

static void a_damaged_line_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct seen seen = { 0 };
    static const char *const damaged[] = { "rubbish\n", "{}\n", "{\"at\":\"x\"}\n",
                                           "{\"at\":\"x\",\"taken\":\"short\"}\n" };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        assert_true(file_write_atomic(f->path, span_of(damaged[i]), 0600, &err));
        assert_null(journal_open(f->path, note, &seen, &err));
        assert_non_null(strstr(err.message, "is damaged in line 1"));
    }
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
        cmocka_unit_test_setup_teardown(a_torn_last_line_is_cut_off_wherever_it_was_torn, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(a_second_chain_is_turned_away, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_full_disk_is_an_error_and_leaves_no_half_line, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(a_compacted_journal_keeps_what_matters, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(keys_are_forgotten_after_a_week, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_journal_that_cannot_be_compacted_stays_as_it_is, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(threads_that_accept_at_once_lose_nothing, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_damaged_line_is_named, make_directory, remove_directory),
        cmocka_unit_test(equal_events_have_equal_keys_and_only_they),
    };
    return cmocka_run_group_tests_name("runtime/local/journal", tests, NULL, NULL);
}
