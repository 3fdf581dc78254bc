/* Against real git: repositories made by the git command, served by `git http-backend` (tests/lib/git_http.py). */
#include "shared/git/git.h"

#include "shared/base/file.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct {
    char *directory;
    pid_t server;
    int server_stdin;
    unsigned port, tls_port;
    char certificate[512];              /* its own authority; key and certificate in one file */
    char commits[4][GIT_OID_TEXT_SIZE]; /* of main: first ... last; [3] stands on no branch */
} world;

__attribute__((format(printf, 2, 3))) static void shell(char *out, const char *format, ...)
{
    char command[4096], full[5000];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    snprintf(full, sizeof(full),
             "set -e; cd '%s'; export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b"
             " GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='1700000000 +0000'"
             " GIT_COMMITTER_DATE='1700000000 +0000'; %s",
             world.directory, command);
    FILE *pipe = popen(full, "r");
    char text[512] = "";
    assert_non_null(pipe);
    if (!fgets(text, sizeof(text), pipe))
        text[0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    int status = pclose(pipe);
    if (status != 0)
        fail_msg("%s: status %d", command, status);
    if (out)
        snprintf(out, GIT_OID_TEXT_SIZE, "%.64s", text);
}

static unsigned read_port(FILE *answer)
{
    char line[64] = "";
    unsigned port = 0;

    if (!fgets(line, sizeof(line), answer) || sscanf(line, "port %u", &port) != 1)
        fail_msg("tests/lib/git_http.py did not start");
    return port;
}

static void start_server(void)
{
    int in[2], out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    world.server = fork();
    assert_true(world.server >= 0);
    if (world.server == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "tests/lib/git_http.py", world.directory,
               *world.certificate ? world.certificate : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    world.server_stdin = in[1];
    FILE *answer = fdopen(out[0], "r");
    world.port = read_port(answer);
    if (*world.certificate)
        world.tls_port = read_port(answer);
    fclose(answer);
}

static int set_up(void **state)
{
    char made[GIT_OID_TEXT_SIZE];
    struct error err = { 0 };

    (void)state;
    world.directory = directory_make_temporary("git-test", &err);
    assert_non_null(world.directory);
    setenv("TMPDIR", world.directory, 1); /* what others left in theirs is not ours to count */
    shell(NULL, "git init -q -b main w; cd w; mkdir -p src/deep; echo one >a; echo '#!/bin/sh' >run; chmod 755 run;"
                " ln -s a link; echo x >src/deep/x; git add .; git commit -qm first");
    shell(world.commits[0], "cd w; git rev-parse HEAD");
    for (int i = 1; i <= 2; i++) {
        shell(NULL, "cd w; echo %d >a; git commit -qam 'change %d'", i, i);
        shell(world.commits[i], "cd w; git rev-parse HEAD");
    }
    shell(NULL, "cd w; git tag -a -m t v1 HEAD~1; git tag blob $(git rev-parse HEAD:a)");
    shell(NULL, "cd w; git checkout -q --orphan other; git commit -qm other");
    shell(world.commits[3], "cd w; git rev-parse HEAD");
    shell(NULL, "cd w; git checkout -q main; git clone -q --bare . ../w.git; cp -r ../w.git ../open.git;"
                " git -C ../open.git config uploadpack.allowAnySHA1InWant true;"
                " git -C ../open.git update-ref -d refs/heads/other; git -C ../w.git update-ref -d refs/heads/other");
    shell(made, "if command -v openssl >/dev/null; then openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem"
                " -out pair.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null;"
                " cat key.pem >>pair.pem; echo made; fi");
    if (*made)
        snprintf(world.certificate, sizeof(world.certificate), "%s/pair.pem", world.directory);
    start_server();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(world.server_stdin);
    waitpid(world.server, NULL, 0);
    directory_remove(world.directory, &(struct error){ 0 });
    free(world.directory);
    return 0;
}

static const char *url(const char *path)
{
    static char text[4][512];
    static unsigned next;
    char *out = text[next++ % 4];

    snprintf(out, sizeof(text[0]), "http://127.0.0.1:%u/%s", world.port, path);
    return out;
}

static const char *file_url(const char *path)
{
    static char text[512];

    snprintf(text, sizeof(text), "file://%s/%s", world.directory, path);
    return text;
}

struct seen {
    char text[2000];
    char a[GIT_OID_TEXT_SIZE];
};

static bool note_entry(void *context, const struct git_entry *entry, struct error *err)
{
    struct seen *seen = context;
    size_t len = strlen(seen->text);

    (void)err;
    snprintf(seen->text + len, sizeof(seen->text) - len, "%o %s;", (unsigned)entry->mode, entry->path);
    if (strcmp(entry->path, "a") == 0)
        snprintf(seen->a, sizeof(seen->a), "%s", entry->oid);
    return true;
}

static void check_snapshot(struct git_snapshot *snapshot, const char *commit, const char *content)
{
    AUTO(bytes_release) struct bytes blob = BYTES(100);
    struct error err = { 0 };
    struct seen seen = { 0 };
    int64_t size = 0;

    assert_string_equal(git_snapshot_commit(snapshot), commit);
    assert_int_equal(git_snapshot_time_s(snapshot), 1700000000);
    assert_true(git_snapshot_walk(snapshot, 100, note_entry, &seen, &err));
    assert_string_equal(seen.text, "100644 a;120000 link;100755 run;40000 src;40000 src/deep;100644 src/deep/x;");
    assert_true(git_snapshot_blob_size(snapshot, seen.a, &size, &err));
    assert_int_equal(size, (int64_t)strlen(content));
    assert_true(git_snapshot_blob_read(snapshot, seen.a, &blob, &err));
    assert_string_equal(bytes_text(&blob), content);

    AUTO(bytes_release) struct bytes tight = BYTES(1);
    assert_false(git_snapshot_blob_read(snapshot, seen.a, &tight, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_false(git_snapshot_walk(snapshot, 3, note_entry, &seen, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
}

static void tips_are_told(void **state)
{
    const char *places[] = { url("w.git"), url("moved/w.git"), file_url("w.git") };
    char commit[GIT_OID_TEXT_SIZE];
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct git_remote_options remote = { .url = places[i] };

        assert_true(git_tip(&remote, "refs/heads/main", commit, &err));
        assert_string_equal(commit, world.commits[2]);
        assert_true(git_tip(&remote, "refs/tags/v1", commit, &err)); /* annotated: peeled */
        assert_string_equal(commit, world.commits[1]);
        assert_true(git_tip(&remote, "refs/heads/mai", commit, &err)); /* no such ref */
        assert_string_equal(commit, "");
        assert_null(git_fetch(&remote, "refs/heads/mai", NULL, &err));
        assert_int_equal(err.kind, ERROR_NOT_FOUND);
        assert_non_null(strstr(err.message, "has no ref 'refs/heads/mai'"));
    }
}

static void names_that_people_use_are_found(void **state)
{
    static const struct {
        const char *said, *ref;
        int commit;
    } rows[] = { { "main", "refs/heads/main", 2 },
                 { "v1", "refs/tags/v1", 1 },
                 { "tags/v1", "refs/tags/v1", 1 },
                 { "refs/heads/v1", "", 0 },
                 { "mai", "", 0 },
                 { "HEAD", "HEAD", 2 },
                 { "refs/tags/v1", "refs/tags/v1", 1 } };
    const char *places[] = { url("w.git"), file_url("w.git") };
    char commit[GIT_OID_TEXT_SIZE];
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct git_remote_options remote = { .url = places[i] };
        AUTO(bytes_release) struct bytes ref = BYTES(GIT_PATH_MAX);

        for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++) {
            if (!git_resolve(&remote, rows[j].said, &ref, commit, &err))
                fail_msg("%s: %s", rows[j].said, err.message);
            assert_string_equal(bytes_text(&ref), rows[j].ref);
            assert_string_equal(commit, *rows[j].ref ? world.commits[rows[j].commit] : "");
        }
        assert_false(git_resolve(&remote, "a..b", &ref, commit, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
    }
}

static void the_tip_is_fetched(void **state)
{
    const char *places[] = { url("w.git"), url("moved/w.git"), file_url("w.git"), file_url("w") };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct git_remote_options remote = { .url = places[i] };
        AUTO(git_snapshot_free) struct git_snapshot *tip = git_fetch(&remote, "refs/heads/main", NULL, &err);
        AUTO(git_snapshot_free)
        struct git_snapshot *same = git_fetch(&remote, "refs/heads/main", world.commits[2], &err);
        AUTO(git_snapshot_free) struct git_snapshot *tag = git_fetch(&remote, "refs/tags/v1", NULL, &err);

        if (!tip || !same || !tag)
            fail_msg("%s: %s", places[i], err.message);
        check_snapshot(tip, world.commits[2], "2\n");
        check_snapshot(same, world.commits[2], "2\n");
        check_snapshot(tag, world.commits[1], "1\n");
        assert_string_equal(git_snapshot_message(tip), "change 2\n");
    }
}

static void what_it_was_fetched_by_is_known(void **state)
{
    static const struct {
        const char *ref, *known;
        unsigned commit; /* asked for, and got */
    } rows[] = { { "refs/heads/main", "refs/heads/main", 2 },
                 { "HEAD", "refs/heads/main", 2 },
                 { "refs/heads/main", "refs/heads/main", 0 },
                 { "refs/tags/v1", "refs/tags/v1", 1 } };
    const char *places[] = { url("open.git"), file_url("w.git") };
    char tag[GIT_OID_TEXT_SIZE];
    struct error err = { 0 };

    (void)state;
    shell(tag, "cd w; git rev-parse refs/tags/v1");
    for (size_t i = 0; i < 2; i++) {
        struct git_remote_options remote = { .url = places[i] };
        for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++) {
            const char *commit = world.commits[rows[j].commit];
            AUTO(git_snapshot_free) struct git_snapshot *snapshot = git_fetch(&remote, rows[j].ref, commit, &err);
            AUTO(bytes_release) struct bytes text = BYTES(4096);
            enum git_kind kind;
            int64_t size;

            if (!snapshot)
                fail_msg("%s: %s: %s", places[i], rows[j].ref, err.message);
            assert_string_equal(git_snapshot_ref(snapshot), rows[j].known);
            assert_string_equal(git_snapshot_pointed(snapshot), rows[j].commit == 1 ? tag : commit);
            assert_true(git_snapshot_object_header(snapshot, git_snapshot_pointed(snapshot), &kind, &size, &err));
            assert_int_equal(kind, rows[j].commit == 1 ? GIT_KIND_TAG : GIT_KIND_COMMIT);
            assert_true(git_snapshot_object_read(snapshot, git_snapshot_pointed(snapshot), &text, &err));
            assert_int_equal(text.len, size);
            assert_non_null(strstr(text.data, rows[j].commit == 1 ? "\ntype commit\n" : "\ncommitter "));
            text.max = text.len + 1;
            assert_false(git_snapshot_object_read(snapshot, git_snapshot_pointed(snapshot), &text, &err));
            assert_int_equal(err.kind, ERROR_TOO_LARGE);
            assert_false(git_snapshot_object_read(snapshot, "1111111111111111111111111111111111111111", &text, &err));
        }
        AUTO(git_snapshot_free) struct git_snapshot *by_id = git_fetch(&remote, NULL, world.commits[1], &err);
        assert_non_null(by_id);
        assert_null(git_snapshot_ref(by_id));
        assert_string_equal(git_snapshot_pointed(by_id), world.commits[1]);
    }
}

static void an_older_commit_of_the_ref_is_found(void **state)
{
    const char *places[] = { url("w.git"), url("open.git"), file_url("w.git") };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct git_remote_options remote = { .url = places[i] };
        AUTO(git_snapshot_free)
        struct git_snapshot *old = git_fetch(&remote, "refs/heads/main", world.commits[0], &err);

        if (!old)
            fail_msg("%s: %s", places[i], err.message);
        check_snapshot(old, world.commits[0], "one\n");
    }
}

static void the_id_of_an_annotated_tag_means_its_commit(void **state)
{
    const char *places[] = { url("w.git"), file_url("w.git") };
    char tag[GIT_OID_TEXT_SIZE];
    struct error err = { 0 };

    (void)state;
    shell(tag, "cd w; git rev-parse refs/tags/v1");
    assert_string_not_equal(tag, world.commits[1]);
    for (size_t i = 0; i < 2; i++) {
        struct git_remote_options remote = { .url = places[i] };
        AUTO(git_snapshot_free) struct git_snapshot *snapshot = git_fetch(&remote, "refs/tags/v1", tag, &err);

        if (!snapshot)
            fail_msg("%s: %s", places[i], err.message);
        check_snapshot(snapshot, world.commits[1], "1\n");
    }
}

static void history_is_deepened_until_the_commit_is_found(void **state)
{
    char first[GIT_OID_TEXT_SIZE];
    struct error err = { 0 };

    (void)state;
    shell(NULL, "git init -q -b main long; cd long; for i in $(seq 60); do git commit -q --allow-empty -m $i; done;"
                " git clone -q --bare . ../long.git");
    shell(first, "cd long; git rev-list HEAD | tail -1");
    struct git_remote_options remote = { .url = url("long.git") };
    AUTO(git_snapshot_free) struct git_snapshot *old = git_fetch(&remote, "refs/heads/main", first, &err);
    if (!old)
        fail_msg("%s", err.message);
    assert_string_equal(git_snapshot_message(old), "1\n");
    assert_null(git_fetch(&remote, "refs/heads/main", world.commits[0], &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void a_commit_beside_the_ref_is_refused(void **state)
{
    const char *places[] = { url("w.git"), url("open.git"), file_url("w.git") };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct git_remote_options remote = { .url = places[i] };

        assert_null(git_fetch(&remote, "refs/heads/main", world.commits[3], &err));
        assert_int_equal(err.kind, ERROR_NOT_FOUND);
        assert_non_null(strstr(err.message, "is not reachable from 'refs/heads/main'"));
    }
}

static void a_commit_alone_needs_a_server_that_gives_it(void **state)
{
    struct git_remote_options open = { .url = url("open.git") }, closed = { .url = url("w.git") };
    struct error err = { 0 };
    AUTO(git_snapshot_free) struct git_snapshot *inner = git_fetch(&open, NULL, world.commits[0], &err);
    AUTO(git_snapshot_free) struct git_snapshot *tip = git_fetch(&closed, NULL, world.commits[2], &err);

    (void)state;
    if (!inner || !tip)
        fail_msg("%s", err.message);
    check_snapshot(inner, world.commits[0], "one\n");
    check_snapshot(tip, world.commits[2], "2\n");
    assert_null(git_fetch(&closed, NULL, world.commits[0], &err));
    assert_int_equal(err.kind, ERROR_UNSUPPORTED);
    assert_null(git_fetch(&open, NULL, "0123456789012345678901234567890123456789", &err));
    if (err.kind != ERROR_NOT_FOUND)
        fail_msg("%s: %s", error_kind_name(err.kind), err.message);
}

static void tokens_are_given_once(void **state)
{
    struct error err = { 0 };
    AUTO(secret_free) struct secret *right = secret_new(SPAN("sesame"), &err);
    AUTO(secret_free) struct secret *wrong = secret_new(SPAN("guess-me-not"), &err);
    struct git_remote_options remote = { .url = url("private/w.git"), .token = right };
    char commit[GIT_OID_TEXT_SIZE];
    AUTO(git_snapshot_free) struct git_snapshot *tip = git_fetch(&remote, "refs/heads/main", NULL, &err);
    AUTO(git_snapshot_free) struct git_snapshot *old = git_fetch(&remote, "refs/heads/main", world.commits[0], &err);

    (void)state;
    if (!tip || !old)
        fail_msg("%s", err.message);
    check_snapshot(tip, world.commits[2], "2\n");

    remote.token = wrong;
    assert_false(git_tip(&remote, "refs/heads/main", commit, &err));
    assert_int_equal(err.kind, ERROR_DENIED);
    assert_non_null(strstr(err.message, "refuses the configured token"));
    assert_null(strstr(err.message, "guess-me-not"));

    remote.token = NULL;
    assert_null(git_fetch(&remote, "refs/heads/main", NULL, &err));
    assert_int_equal(err.kind, ERROR_DENIED);
    assert_non_null(strstr(err.message, "no token is configured"));
}

static void certificates_are_checked(void **state)
{
    char place[128], commit[GIT_OID_TEXT_SIZE];
    struct error err = { 0 };
    struct git_remote_options remote = { .url = place, .ca_file = world.certificate };

    (void)state;
    if (!world.tls_port) {
        print_message("openssl is not installed, no certificate to check\n");
        skip();
    }
    snprintf(place, sizeof(place), "https://localhost:%u/w.git", world.tls_port);
    for (int i = 0; i < 2; i++) { /* trust is set anew each time the file changes */
        AUTO(git_snapshot_free) struct git_snapshot *tip = git_fetch(&remote, "refs/heads/main", NULL, &err);
        if (!tip)
            fail_msg("%s", err.message);
        check_snapshot(tip, world.commits[2], "2\n");

        struct git_remote_options other = { .url = place };
        setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt", 1);
        assert_false(git_tip(&other, "refs/heads/main", commit, &err));
        assert_true(err.kind == ERROR_DENIED || strstr(err.message, "certificates '"));
    }
    /* Right authority, wrong host. */
    snprintf(place, sizeof(place), "https://127.0.0.1:%u/w.git", world.tls_port);
    assert_false(git_tip(&remote, "refs/heads/main", commit, &err));
    assert_int_equal(err.kind, ERROR_DENIED);

    remote.ca_file = "/no/such/file";
    assert_false(git_tip(&remote, "refs/heads/main", commit, &err));
    assert_int_equal(err.kind, ERROR_INTERNAL);
    assert_non_null(strstr(err.message, "/no/such/file"));
}

static struct {
    int asked;
    bool answer;
} door;

static bool on_address(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

    /* "localhost" may have an address of the other kind, on which nobody listens. */
    door.asked += address->sa_family == AF_INET && ntohl(v4->sin_addr.s_addr) == INADDR_LOOPBACK;
    return door.answer;
}

/* Whatever a name stood for before: what is connected to is asked for, for TLS too, and again for each connection. */
static void an_address_is_asked_for_where_it_is_connected_to(void **state)
{
    const unsigned ports[] = { world.port, world.tls_port };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char place[128], commit[GIT_OID_TEXT_SIZE];
        struct error err = { 0 };
        struct git_remote_options remote = { .url = place, .ca_file = world.certificate, .connectable = on_address };

        if (!ports[i])
            continue; /* no openssl */
        snprintf(place, sizeof(place), "%s://localhost:%u/w.git", i ? "https" : "http", ports[i]);
        door.asked = 0;
        door.answer = false;
        assert_false(git_tip(&remote, "refs/heads/main", commit, &err));
        assert_int_equal(err.kind, ERROR_DENIED);
        assert_non_null(strstr(err.message, "own network"));
        assert_int_equal(door.asked, 1);
        door.answer = true;
        AUTO(git_snapshot_free) struct git_snapshot *tip = git_fetch(&remote, "refs/heads/main", NULL, &err);
        assert_non_null(tip);
        assert_int_in_range(door.asked, 2, 10);
        remote.connectable = NULL;
        assert_true(git_tip(&remote, "refs/heads/main", commit, &err));
    }
}

static void answers_of_the_server_are_told_by_kind(void **state)
{
    static const struct {
        const char *path;
        enum error_kind kind;
    } rows[] = {
        { "status/403/x.git", ERROR_DENIED },      { "status/404/x.git", ERROR_NOT_FOUND },
        { "nothing.git", ERROR_NOT_FOUND },        { "status/429/x.git", ERROR_BUSY },
        { "status/500/x.git", ERROR_UNAVAILABLE }, { "away/w.git", ERROR_UNAVAILABLE },
    };
    char commit[GIT_OID_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct git_remote_options remote = { .url = url(rows[i].path) };
        struct error err = { 0 };

        assert_false(git_tip(&remote, "refs/heads/main", commit, &err));
        if (err.kind != rows[i].kind)
            fail_msg("%s: %s: %s", rows[i].path, error_kind_name(err.kind), err.message);
    }
    struct error err = { 0 };
    assert_false(
        git_tip(&(struct git_remote_options){ .url = "http://127.0.0.1:1/x.git" }, "refs/heads/main", commit, &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_false(git_tip(&(struct git_remote_options){ .url = file_url("nothing") }, "refs/heads/main", commit, &err));
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void what_is_asked_for_is_checked(void **state)
{
    static const struct {
        const char *url, *ref, *commit, *text;
    } rows[] = {
        { "ssh://host/x.git", "refs/heads/a", NULL, "must begin with https://" },
        { "-upload-pack=evil", "refs/heads/a", NULL, "must begin with https://" },
        { "https://user:w0rd9@host/x", "refs/heads/a", NULL, "must not hold a user or password" },
        { "https:///x", "refs/heads/a", NULL, "names no host" },
        { "https://host/a b", "refs/heads/a", NULL, "blank or control character" },
        { "https://host/x", "main", NULL, "not the full name of a ref" },
        { "https://host/x", "refs/heads/a..b", NULL, "not the full name of a ref" },
        { "https://host/x", "refs/heads/a", "HEAD", "not a commit id" },
        { "https://host/x", NULL, NULL, "neither a ref nor a commit" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct git_remote_options remote = { .url = rows[i].url };
        struct error err = { 0 };

        assert_null(git_fetch(&remote, rows[i].ref, rows[i].commit, &err));
        assert_int_equal(err.kind, ERROR_INVALID);
        if (!strstr(err.message, rows[i].text))
            fail_msg("row %zu: %s", i, err.message);
        assert_null(strstr(err.message, "w0rd9"));
    }
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static void transfers_end_at_their_ceilings(void **state)
{
    struct git_remote_options remote = { .url = url("w.git"), .bytes_max = 100 };
    struct error err = { 0 };

    (void)state;
    assert_null(git_fetch(&remote, "refs/heads/main", NULL, &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    remote = (struct git_remote_options){ .url = url("w.git"), .cancelled = always };
    assert_null(git_fetch(&remote, "refs/heads/main", NULL, &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_non_null(strstr(err.message, "cancelled"));
}

/* Trees that git itself would not make, written object by object. */
static void hostile_trees_are_refused(void **state)
{
    static const struct {
        const char *entries; /* printf(1) format; B: a blob's raw id, T: a tree's */
        const char *text;
    } rows[] = {
        { "100644 ..\\0B", "hostile name '..'" },       { "100644 .\\0B", "hostile name '.'" },
        { "40000 .git\\0T", "hostile name '.git'" },    { "40000 .GiT\\0T", "hostile name '.GiT'" },
        { "100644 a/b\\0B", "hostile name 'a/b'" },     { "100644 /etc\\0B", "hostile name '/etc'" },
        { "100644 a\\0B100644 a\\0B", "stands twice" }, { "100644 b\\0B100644 a\\0B", "out of order" },
    };

    (void)state;
    shell(NULL, "git init -q --bare evil.git; cd evil.git; echo x | git hash-object -w --stdin >/dev/null;"
                " printf '100644 x\\0%%b' $(git hash-object --stdin </dev/null | sed 's/../\\\\x&/g') >/dev/null");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char commit[GIT_OID_TEXT_SIZE];
        struct error err = { 0 };
        struct seen seen = { 0 };

        shell(commit,
              "cd evil.git; b=$(echo x | git hash-object -w --stdin);"
              " t=$(printf '100644 blob %%s\\tx\\n' $b | git mktree);"
              " tree=$(python3 -c 'import sys; b, t = (bytes.fromhex(x) for x in sys.argv[1:3]);"
              " sys.stdout.buffer.write(sys.argv[3].encode().replace(b\"\\\\0B\", b\"\\0\" + b).replace(b\"\\\\0T\", "
              "b\"\\0\" + t))'"
              " $b $t '%s' | git hash-object -t tree --literally -w --stdin);"
              " c=$(git commit-tree -m evil $tree); git update-ref refs/heads/evil%zu $c; echo $c",
              rows[i].entries, i);
        struct git_remote_options remote = { .url = file_url("evil.git") };
        AUTO(git_snapshot_free) struct git_snapshot *snapshot = git_fetch(&remote, NULL, commit, &err);
        bool walked = snapshot && git_snapshot_walk(snapshot, 100, note_entry, &seen, &err);

        assert_false(walked);
        assert_int_equal(err.kind, ERROR_INVALID);
        if (!strstr(err.message, rows[i].text) && !strstr(err.message, "tree"))
            fail_msg("row %zu: %s", i, err.message);
    }
}

static void nothing_is_left_in_the_temporary_directory(void **state)
{
    char count[GIT_OID_TEXT_SIZE];

    (void)state;
    shell(count, "ls -d ${TMPDIR:-/tmp}/pushwright-git-* 2>/dev/null | wc -l");
    assert_string_equal(count, "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tips_are_told),
        cmocka_unit_test(names_that_people_use_are_found),
        cmocka_unit_test(the_tip_is_fetched),
        cmocka_unit_test(what_it_was_fetched_by_is_known),
        cmocka_unit_test(an_older_commit_of_the_ref_is_found),
        cmocka_unit_test(the_id_of_an_annotated_tag_means_its_commit),
        cmocka_unit_test(history_is_deepened_until_the_commit_is_found),
        cmocka_unit_test(a_commit_beside_the_ref_is_refused),
        cmocka_unit_test(a_commit_alone_needs_a_server_that_gives_it),
        cmocka_unit_test(tokens_are_given_once),
        cmocka_unit_test(certificates_are_checked),
        cmocka_unit_test(an_address_is_asked_for_where_it_is_connected_to),
        cmocka_unit_test(answers_of_the_server_are_told_by_kind),
        cmocka_unit_test(what_is_asked_for_is_checked),
        cmocka_unit_test(transfers_end_at_their_ceilings),
        cmocka_unit_test(hostile_trees_are_refused),
        cmocka_unit_test(nothing_is_left_in_the_temporary_directory),
    };

    return cmocka_run_group_tests_name("shared/git/git", tests, set_up, tear_down);
}
