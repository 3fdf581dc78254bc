/* What servers tell, by hand: every form of it, and what no server should. Repositories on this machine are made by git. Servers over
 * HTTP are met in tests/integration/reconcile_test.py. */
#include "shared/base/file.h"
#include "shared/gitrefs/listing.h"
#include "shared/gitrefs/pktline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SERVICE "001e# service=git-upload-pack\n0000"

/* "0000" for NULL. */
static void write_lines(struct bytes *out, const char *const *lines, size_t count)
{
    struct error err = { 0 };

    for (size_t i = 0; i < count; i++)
        assert_true(lines[i] ? packet_write(out, lines[i], &err) : packet_write_mark(out, PACKET_FLUSH, &err));
}

static void expect(const struct refs *refs, const char *name, const char *direct, const char *commit)
{
    const struct ref *ref = refs_find(refs, name);

    if (!ref)
        fail_msg("no %s", name);
    assert_string_equal(ref->direct, direct);
    assert_string_equal(ref->commit, commit);
}

static void protocol_0_tells_all_at_once(void **state)
{
    static const char capabilities[] = A " HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2.39";
    static const char *const lines[] = { B " refs/heads/main", A " refs/pull/1/head", A " refs/tags/v1",
                                         B " refs/tags/v1^{}", NULL };
    AUTO(bytes_release) struct bytes body = BYTES(4096);
    struct error err = { 0 };
    AUTO(listing_free) struct listing *listing = listing_new(&err);
    bool commands = true;

    (void)state;
    assert_true(bytes_printf(&body, &err, SERVICE "%04zx", sizeof(capabilities) + 4));
    assert_true(bytes_append(&body, capabilities, sizeof(capabilities) - 1, &err) &&
                bytes_append_char(&body, '\n', &err));
    write_lines(&body, lines, sizeof(lines) / sizeof(lines[0]));
    if (!listing_read_advertisement(listing, bytes_span(&body), &commands, &err))
        fail_msg("%s", err.message);
    listing_settle(listing);
    assert_false(commands);
    assert_int_equal(listing->refs.count, 2);
    assert_string_equal(listing->refs.head, "refs/heads/main");
    expect(&listing->refs, "refs/heads/main", B, B);
    expect(&listing->refs, "refs/tags/v1", A, B);
    assert_null(refs_find(&listing->refs, "refs/pull/1/head"));
}

static void protocol_2_is_asked_for_them(void **state)
{
    static const char *const offer[] = { "version 2", "agent=git/2.39", "ls-refs=unborn", "fetch=shallow", NULL };
    static const char *const answer[] = { B " HEAD symref-target:refs/heads/main",
                                          B " refs/heads/main",
                                          A " refs/heads/main^2",
                                          B " refs/heads/also\x7fnot",
                                          A " refs/tags/v1 peeled:" B,
                                          NULL };
    AUTO(bytes_release) struct bytes body = BYTES(4096);
    AUTO(bytes_release) struct bytes told = BYTES(4096);
    struct error err = { 0 };
    AUTO(listing_free) struct listing *listing = listing_new(&err);
    bool commands = false;

    (void)state;
    write_lines(&body, offer, sizeof(offer) / sizeof(offer[0]));
    assert_true(listing_read_advertisement(listing, bytes_span(&body), &commands, &err));
    assert_true(commands);
    write_lines(&told, answer, sizeof(answer) / sizeof(answer[0]));
    assert_true(listing_read_answer(listing, bytes_span(&told), &err));
    listing_settle(listing);
    assert_int_equal(listing->refs.count, 3);
    assert_string_equal(listing->refs.head, "refs/heads/main");
    expect(&listing->refs, "refs/tags/v1", A, B);
}

static void an_empty_repository_has_no_refs(void **state)
{
    struct error err = { 0 };
    AUTO(listing_free) struct listing *listing = listing_new(&err);
    bool commands;

    (void)state;
    assert_true(listing_read_advertisement(listing, SPAN(SERVICE "0000"), &commands, &err));
    assert_true(listing_read_answer(listing, SPAN("002aunborn HEAD symref-target:refs/heads/m0000"), &err));
    assert_int_equal(listing->refs.count, 0);
}

static void what_is_not_the_protocol_is_refused(void **state)
{
    static const struct {
        const char *body, *says;
    } rows[] = {
        { "<html>", "not git's protocol" },
        { "0003", "not git's protocol" },
        { "00zz", "not git's protocol" },
        { "ffff" A, "in the middle of a packet" },
        { SERVICE "003f" A " refs/heads/a", "in the middle of a packet" },
        { SERVICE "003d" A " refs/heads/main\n", "has no end" },
        { SERVICE "000bno ref\n0000", "object's name" },
        { SERVICE "0008abc\n0000", "names no ref" },
        { "000eversion 2\n0000", "does not list its refs" },
        { "0022ERR Repository does not exist\n", "the server says: Repository does not exist" },
        { "000fERR a\x1b[2Jbc", "the server says: what no text" },
        { "", "has no end" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = { 0 };
        AUTO(listing_free) struct listing *listing = listing_new(&err);
        bool commands;
        if (listing_read_advertisement(listing, span_of(rows[i].body), &commands, &err))
            fail_msg("'%s' was taken", rows[i].body);
        assert_int_equal(err.kind, ERROR_INVALID);
        if (!strstr(err.message, rows[i].says))
            fail_msg("'%s': %s", rows[i].body, err.message);
    }
}

static void their_number_has_a_ceiling(void **state)
{
    struct error err = { 0 };
    AUTO(listing_free) struct listing *listing = listing_new(&err);
    char name[64];
    bool good = true;

    (void)state;
    for (int i = 0; good && i <= REFS_MAX; i++) {
        snprintf(name, sizeof(name), "refs/heads/%d", i);
        good = listing_add(listing, SPAN(A), span_of(name), (struct span){ NULL, 0 }, &err);
    }
    assert_false(good);
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_int_equal(listing->refs.count, REFS_MAX);
}

/* --- on this machine ------------------------------------------------------------------------------------------------ */

static void read_line(const char *directory, const char *command, char out[static 128])
{
    char whole[2048];

    snprintf(whole, sizeof(whole),
             "cd '%s' && export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b"
             " GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b && { %s; }",
             directory, command);
    FILE *pipe = popen(whole, "r");
    assert_non_null(pipe);
    if (!fgets(out, 128, pipe))
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (pclose(pipe) != 0)
        fail_msg("failed: %s", command);
}

static void a_repository_of_this_machine_is_read_as_files(void **state)
{
    struct error err = { 0 };
    AUTO(free) char *directory = directory_make_temporary("refs-test", &err);
    char first[128], tag[128], second[128], url[512], none[128];

    (void)state;
    read_line(
        directory,
        "git init -q -b main w && cd w && git commit -q --allow-empty -m 1 && git branch release/1.0 && git tag plain"
        " && git tag -a -m t v1 && git rev-parse HEAD",
        first);
    read_line(directory, "cd w && git rev-parse v1", tag);
    read_line(directory, "cd w && git pack-refs --all && git commit -q --allow-empty -m 2 && git rev-parse HEAD",
              second);
    read_line(directory, "git clone -q --bare w 'w ü.git' && ln -s /etc/passwd 'w ü.git/refs/heads/evil'", none);
    for (int bare = 0; bare <= 1; bare++) {
        snprintf(url, sizeof(url), bare ? "file://%s/w%%20%%C3%%BC.git" : "%s/w", directory);
        AUTO(refs_free) struct refs *refs = refs_list(&(struct refs_options){ .url = url }, &err);
        if (!refs)
            fail_msg("%s", err.message);
        assert_int_equal(refs->count, 4);
        assert_string_equal(refs->head, "refs/heads/main");
        expect(refs, "refs/heads/main", second, second);
        expect(refs, "refs/heads/release/1.0", first, first);
        expect(refs, "refs/tags/plain", first, first);
        expect(refs, "refs/tags/v1", tag, first);
    }
    snprintf(url, sizeof(url), "%s/none", directory);
    assert_null(refs_list(&(struct refs_options){ .url = url }, &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_null(refs_list(&(struct refs_options){ .url = directory }, &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    directory_remove(directory, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocol_0_tells_all_at_once),
        cmocka_unit_test(protocol_2_is_asked_for_them),
        cmocka_unit_test(an_empty_repository_has_no_refs),
        cmocka_unit_test(what_is_not_the_protocol_is_refused),
        cmocka_unit_test(their_number_has_a_ceiling),
        cmocka_unit_test(a_repository_of_this_machine_is_read_as_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
