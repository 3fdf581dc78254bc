#include "runtime/local/carrier.h"
#include "runtime/local/journal.h"
#include "runtime/server.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A receiver that answers as it is told and remembers what it got. */
struct peer {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    int answers[8]; /* of the first requests; 0: 202 */
    unsigned got;
    char body[4096];
};

static void peer_handle(void *context, const struct request *request, struct reply *reply)
{
    struct peer *peer = context;
    pthread_mutex_lock(&peer->lock);
    int answer = peer->got < 8 ? peer->answers[peer->got] : 0;
    peer->got++;
    snprintf(peer->body, sizeof peer->body, "%.*s", SPAN_ARGS(request->body));
    pthread_mutex_unlock(&peer->lock);
    reply->status = answer ? answer : 202;
}

static void *peer_run(void *server)
{
    struct error err = { 0 };
    assert_true(server_run(server, &err));
    return NULL;
}

static void peer_start(struct peer *peer, const char *socket)
{
    struct error err = { 0 };
    char listen[300];
    snprintf(listen, sizeof listen, "unix:%s", socket);
    pthread_mutex_init(&peer->lock, NULL);
    peer->server = server_new(
        &(struct server_options){ .listen = listen, .handle = peer_handle, .context = peer, .workers = 2 }, &err);
    assert_non_null(peer->server);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer->server), 0);
}

static void peer_stop(struct peer *peer)
{
    server_stop(peer->server);
    pthread_join(peer->thread, NULL);
    server_free(peer->server);
}

static unsigned peer_got(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    unsigned got = peer->got;
    pthread_mutex_unlock(&peer->lock);
    return got;
}

struct fixture {
    char *directory;
    char socket[256];
    struct receiver receiver;
    struct carrier_options options;
    unsigned dead, taken; /* notices */
    char reason[256];
};

static const char *const types[] = { "t.one" };

static void count_notice(void *context, const struct carrier_notice *notice)
{
    struct fixture *f = context;
    if (!notice->by)
        return;
    if (notice->dead)
        __atomic_add_fetch(&f->dead, 1, __ATOMIC_SEQ_CST);
    else if (notice->status == 202)
        __atomic_add_fetch(&f->taken, 1, __ATOMIC_SEQ_CST);
    if (notice->reason)
        snprintf(f->reason, sizeof f->reason, "%s", notice->reason);
}

static int make(void **state)
{
    struct error err = { 0 };
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_make_temporary("carrier", &err);
    assert_non_null(f->directory);
    snprintf(f->socket, sizeof f->socket, "%s/peer.sock", f->directory);
    f->receiver = (struct receiver){ .name = "one",
                                     .url = "http://localhost/",
                                     .socket = f->socket,
                                     .types = types,
                                     .type_count = 1,
                                     .concurrency = 2,
                                     .timeout_ms = 2000 };
    f->options = (struct carrier_options){
        .state_dir = f->directory, .receivers = &f->receiver, .receiver_count = 1, .notice = count_notice, .context = f
    };
    *state = f;
    return 0;
}

static int unmake(void **state)
{
    struct error err = { 0 };
    struct fixture *f = *state;
    directory_remove(f->directory, &err);
    free(f->directory);
    free(f);
    return 0;
}

static struct carrier *begin(struct fixture *f)
{
    struct error err = { 0 };
    struct carrier *carrier = carrier_new(&f->options, &err);
    assert_non_null(carrier);
    assert_true(carrier_start(carrier, &err));
    return carrier;
}

static int post(struct carrier *carrier, const char *id, const char *type, bool again)
{
    char body[512];
    snprintf(body, sizeof body,
             "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/s\",\"type\":\"%s\",\"data\":{\"n\":1.10}}", id,
             type);
    const struct request_header headers[] = {
        { SPAN("Content-Type"), SPAN("application/cloudevents+json") },
        { SPAN("Pushwright-Again"), SPAN("true") },
    };
    const struct request request = { .method = SPAN("POST"),
                                     .path = SPAN("/"),
                                     .headers = headers,
                                     .header_count = again ? 2 : 1,
                                     .body = span_of(body) };
    struct reply reply = { .body = BYTES(4096) };
    carrier_handle(carrier, &request, &reply);
    bytes_release(&reply.body);
    return reply.status;
}

#define WAIT_FOR(condition)                                                                                            \
    do {                                                                                                               \
        int64_t until_ = clock_monotonic_ms() + 5000;                                                                  \
        while (!(condition) && clock_monotonic_ms() < until_)                                                          \
            poll(NULL, 0, 1);                                                                                          \
        assert_true(condition);                                                                                        \
    } while (0)

static void an_event_reaches_its_receiver_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { 0 };
    peer_start(&peer, f->socket);
    struct carrier *carrier = begin(f);
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    WAIT_FOR(f->taken == 1);
    assert_non_null(strstr(peer.body, "\"data\":{\"n\":1.10}"));
    carrier_free(carrier);
    peer_stop(&peer);
}

static void the_same_event_twice_is_one_unless_a_person_wants_it_again(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { 0 };
    peer_start(&peer, f->socket);
    struct carrier *carrier = begin(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(post(carrier, "1", "t.one", false), 202);
    assert_int_equal(post(carrier, "2", "t.one", false), 202);
    WAIT_FOR(f->taken == 2);
    assert_int_equal(post(carrier, "1", "t.one", true), 202);
    WAIT_FOR(f->taken == 3);
    assert_int_equal(peer_got(&peer), 3);
    carrier_free(carrier);
    peer_stop(&peer);
}

static void a_receiver_that_is_down_gets_it_when_it_is_back(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { 0 };
    struct carrier *carrier = begin(f);
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    poll(NULL, 0, 60);
    peer_start(&peer, f->socket);
    WAIT_FOR(f->taken == 1);
    carrier_free(carrier);
    peer_stop(&peer);
}

static void temporary_refusals_are_tried_again(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { .answers = { 503, 409, 500 } };
    peer_start(&peer, f->socket);
    struct carrier *carrier = begin(f);
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    WAIT_FOR(f->taken == 1);
    assert_int_equal(peer_got(&peer), 4);
    assert_int_equal(f->dead, 0);
    carrier_free(carrier);
    peer_stop(&peer);
}

static void a_final_refusal_becomes_a_dead_letter(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { .answers = { 400 } };
    peer_start(&peer, f->socket);
    struct carrier *carrier = begin(f);
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    WAIT_FOR(f->dead == 1);
    assert_int_equal(peer_got(&peer), 1);
    char folder[400];
    snprintf(folder, sizeof folder, "%s/dead", f->directory);
    DIR *dead = opendir(folder);
    size_t letters = 0;
    for (struct dirent *entry; (entry = readdir(dead));)
        letters += entry->d_name[0] != '.';
    closedir(dead);
    assert_int_equal(letters, 1);
    carrier_free(carrier);
    peer_stop(&peer);
}

static void what_was_accepted_survives_the_carrier(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { 0 };
    struct error err = { 0 };
    struct carrier *carrier = carrier_new(&f->options, &err); /* never started: it dies before it delivered */
    assert_non_null(carrier);
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    assert_int_equal(post(carrier, "2", "t.one", false), 202);
    carrier_free(carrier);
    peer_start(&peer, f->socket);
    carrier = begin(f);
    WAIT_FOR(f->taken == 2);
    carrier_free(carrier);
    carrier = begin(f); /* and what was taken is not delivered a second time */
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    assert_int_equal(post(carrier, "3", "t.one", false), 202);
    WAIT_FOR(f->taken == 3);
    assert_int_equal(peer_got(&peer), 3);
    carrier_free(carrier);
    peer_stop(&peer);
}

/* Many senders, a journal that is shortened again and again meanwhile and at the next start: each event arrives once. */
struct poster {
    struct carrier *carrier;
    int number, refused;
};

static void *post_some(void *context)
{
    struct poster *poster = context;
    for (int i = 0; i < 60; i++) {
        char id[32];
        snprintf(id, sizeof id, "%d-%d", poster->number, i);
        poster->refused += post(poster->carrier, id, "t.one", false) != 202;
        poster->refused += post(poster->carrier, "the same for all", "t.one", false) != 202;
    }
    return NULL;
}

static void a_journal_over_its_size_is_shortened_and_forgets_no_duplicate(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { 0 };
    peer_start(&peer, f->socket);
    f->options.journal_max = 8 * 1024;
    struct carrier *carrier = begin(f);
    struct poster posters[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        posters[i] = (struct poster){ carrier, i, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, post_some, &posters[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(posters[i].refused, 0);
    }
    WAIT_FOR(f->taken == 241);
    carrier_free(carrier);
    carrier = begin(f);
    assert_int_equal(post(carrier, "0-0", "t.one", false), 202);
    assert_int_equal(post(carrier, "the same for all", "t.one", false), 202);
    assert_int_equal(post(carrier, "new", "t.one", false), 202);
    WAIT_FOR(f->taken == 242);
    assert_int_equal(peer_got(&peer), 242);
    carrier_free(carrier);
    peer_stop(&peer);
    struct stat st;
    char path[300];
    snprintf(path, sizeof path, "%s/journal.jsonl", f->directory);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 100 * 1024); /* 242 events with their deliveries take more */
}

/* What is in the journal about the failures of one event. */
static bool count_failures(void *context, const struct journal_entry *entry, struct error *err)
{
    unsigned *counts = context;
    (void)err;
    counts[entry->kind]++;
    return true;
}

static void failures_are_on_record_once_for_each_reason(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct peer peer = { .answers = { 503, 503, 500, 500 } };
    unsigned counts[JOURNAL_KINDS] = { 0 };
    char path[300];
    f->receiver.timeout_ms = 60000; /* that time is up would be one reason more */
    peer_start(&peer, f->socket);
    struct carrier *carrier = begin(f);
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    WAIT_FOR(f->taken == 1);
    carrier_free(carrier);
    peer_stop(&peer);
    snprintf(path, sizeof path, "%s/journal.jsonl", f->directory);
    assert_true(journal_read(path, count_failures, counts, &err));
    assert_int_equal(counts[JOURNAL_FAILED], 2);
    assert_int_equal(counts[JOURNAL_TAKEN], 1);
}

static void who_fails_too_long_is_given_up(void **state)
{
    struct fixture *f = *state;
    f->options.give_up_after_ms = 100;
    struct carrier *carrier = begin(f); /* nobody listens */
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    WAIT_FOR(f->dead == 1);
    assert_true(strlen(f->reason) > 0);
    carrier_free(carrier);
}

static void held_deliveries_wait_for_the_next_start(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { 0 };
    peer_start(&peer, f->socket);
    struct carrier *carrier = begin(f);
    carrier_hold(carrier);
    assert_int_equal(post(carrier, "1", "t.one", false), 202);
    poll(NULL, 0, 50);
    assert_int_equal(peer_got(&peer), 0);
    carrier_free(carrier);
    carrier = begin(f);
    WAIT_FOR(f->taken == 1);
    carrier_free(carrier);
    peer_stop(&peer);
}

static void nobody_takes_it_and_it_is_kept_in_the_history_only(void **state)
{
    struct fixture *f = *state;
    struct peer peer = { 0 };
    peer_start(&peer, f->socket);
    struct carrier *carrier = begin(f);
    assert_int_equal(post(carrier, "1", "t.other", false), 202);
    assert_int_equal(post(carrier, "2", "t.one", false), 202);
    WAIT_FOR(f->taken == 1);
    assert_int_equal(peer_got(&peer), 1);
    carrier_free(carrier);
    peer_stop(&peer);
}

static void what_is_no_event_is_refused(void **state)
{
    struct fixture *f = *state;
    struct carrier *carrier = begin(f);
    const struct request get = { .method = SPAN("GET"), .path = SPAN("/") };
    const struct request_header json[] = { { SPAN("Content-Type"), SPAN("application/cloudevents+json") } };
    const struct request broken = {
        .method = SPAN("POST"), .path = SPAN("/"), .headers = json, .header_count = 1, .body = SPAN("{")
    };
    const struct request plain = { .method = SPAN("POST"), .path = SPAN("/"), .body = SPAN("hello") };
    const struct {
        const struct request *request;
        int status;
    } rows[] = { { &get, 405 }, { &broken, 400 }, { &plain, 415 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reply reply = { .body = BYTES(4096) };
        carrier_handle(carrier, rows[i].request, &reply);
        assert_int_equal(reply.status, rows[i].status);
        bytes_release(&reply.body);
    }
    carrier_free(carrier);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_reaches_its_receiver_byte_for_byte),
        TEST(the_same_event_twice_is_one_unless_a_person_wants_it_again),
        TEST(a_receiver_that_is_down_gets_it_when_it_is_back),
        TEST(temporary_refusals_are_tried_again),
        TEST(a_final_refusal_becomes_a_dead_letter),
        TEST(what_was_accepted_survives_the_carrier),
        TEST(a_journal_over_its_size_is_shortened_and_forgets_no_duplicate),
        TEST(failures_are_on_record_once_for_each_reason),
        TEST(who_fails_too_long_is_given_up),
        TEST(held_deliveries_wait_for_the_next_start),
        TEST(nobody_takes_it_and_it_is_kept_in_the_history_only),
        TEST(what_is_no_event_is_refused),
    };
    return cmocka_run_group_tests_name("runtime/local/carrier", tests, NULL, NULL);
}
