/* Against a registry that lies, breaks and stalls (tests/integration/registry_test.py): $PUSHWRIGHT_TEST_FAKE is its
 * host:port; the repository's name says what it does. Skipped without it. The script checks what the registry has
 * seen. */
#include "images.h"

#include "shared/oci/destination.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

enum { CONTENT_SIZE = 200000, PART_SIZE = 50 };

enum operation { RESOLVE, RESOLVE_DIGEST, GET, GET_DIGEST, BLOB, PUSH, MOUNT, ANNOUNCED };

#define SOME_DIGEST "sha256:0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"

struct row {
    const char *repository;
    enum operation operation;
    enum { ANONYMOUS, LOGIN, PROXIED, SECURE } access;
    enum error_kind kind; /* ERROR_NONE: it works */
    const char *want;     /* in the message */
};

static const struct row rows[] = {
    { "manifest-digest", GET, ANONYMOUS, ERROR_UNAVAILABLE, "lies: digest 'sha256:0b31b1c0" },
    { "manifest-other", GET_DIGEST, ANONYMOUS, ERROR_UNAVAILABLE, "lies: digest '" SOME_DIGEST "' was asked for" },
    { "manifest-type", GET, ANONYMOUS, ERROR_UNAVAILABLE, "lies: media type" },
    { "manifest-large", GET, ANONYMOUS, ERROR_TOO_LARGE, "body exceeds 4194304 bytes" },
    { "manifest-garbage", GET, ANONYMOUS, ERROR_INVALID, "manifest: line 1" },
    { "manifest-silent", RESOLVE, ANONYMOUS, ERROR_NONE, NULL },
    { "manifest-other", RESOLVE_DIGEST, ANONYMOUS, ERROR_UNAVAILABLE, "lies: digest" },
    { "manifest-half", GET, ANONYMOUS, ERROR_UNCERTAIN, "in the middle of the answer" },
    { "manifest-redirect", GET, LOGIN, ERROR_NONE, NULL },
    { "blob-good", BLOB, ANONYMOUS, ERROR_NONE, NULL },
    { "blob-short", BLOB, ANONYMOUS, ERROR_UNAVAILABLE, "has 199999 bytes instead of 200000" },
    { "blob-long", BLOB, ANONYMOUS, ERROR_UNAVAILABLE, "is longer than its 200000 bytes" },
    { "blob-other", BLOB, ANONYMOUS, ERROR_UNAVAILABLE, "lies: blob 'sha256:" },
    { "blob-broken-once", BLOB, ANONYMOUS, ERROR_NONE, NULL },
    { "blob-resume", BLOB, ANONYMOUS, ERROR_NONE, NULL },
    { "blob-resume-before", BLOB, ANONYMOUS, ERROR_NONE, NULL },
    { "blob-resume-beyond", BLOB, ANONYMOUS, ERROR_UNAVAILABLE, "begins at byte 100002, asked for was 100001" },
    { "blob-resume-other", BLOB, ANONYMOUS, ERROR_UNAVAILABLE, "lies: blob 'sha256:" },
    { "blob-broken", BLOB, ANONYMOUS, ERROR_UNCERTAIN, "in the middle of the answer" },
    { "blob-redirect", BLOB, LOGIN, ERROR_NONE, NULL },
    { "blob-redirect-loop", BLOB, ANONYMOUS, ERROR_DENIED, "redirected more than once" },
    { "blob-redirect-file", BLOB, ANONYMOUS, ERROR_INVALID, "'file' URLs are not called" },
    { "blob-redirect", BLOB, PROXIED, ERROR_DENIED, "leads to a private address" },
    { "busy-once", GET, ANONYMOUS, ERROR_NONE, NULL },
    { "busy", GET, ANONYMOUS, ERROR_BUSY, "429 too many requests (TOOMANYREQUESTS: slow down)" },
    { "down", GET, ANONYMOUS, ERROR_UNAVAILABLE, "503 service unavailable" },
    { "denied", PUSH, ANONYMOUS, ERROR_DENIED, "403 forbidden (DENIED: not yours?" },
    { "challenge-loop", GET, LOGIN, ERROR_DENIED, "401 unauthorized" },
    { "challenge-none", GET, LOGIN, ERROR_DENIED, "401 without a challenge that is understood" },
    { "challenge-elsewhere", GET, LOGIN, ERROR_NONE, NULL },
    { "challenge-elsewhere", GET, PROXIED, ERROR_DENIED, "token for 'challenge-elsewhere/web'" },
    { "basic", GET, ANONYMOUS, ERROR_DENIED, "a user name and password are wanted, and none are configured" },
    { "basic", PUSH, LOGIN, ERROR_NONE, NULL },
    { "token", PUSH, LOGIN, ERROR_NONE, NULL },
    { "token-expires", PUSH, LOGIN, ERROR_NONE, NULL },
    { "token-refused", PUSH, LOGIN, ERROR_DENIED, "token for 'token-refused/web': GET" },
    { "token-missing", PUSH, LOGIN, ERROR_UNAVAILABLE, "the token service's answer holds no token" },
    { "token-break", PUSH, LOGIN, ERROR_INVALID, "request header 'Authorization' holds a line break" },
    { "token-early", PUSH, LOGIN, ERROR_NONE, NULL },
    { "token-parts-expires", PUSH, LOGIN, ERROR_NONE, NULL },
    { "upload-down-once", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-parts", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-parts-short", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-parts-broken-once", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-parts-broken", PUSH, ANONYMOUS, ERROR_UNCERTAIN, "connection" },
    { "upload-parts-lost", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-parts-refused", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-parts-416", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-parts-elsewhere", PUSH, LOGIN, ERROR_NONE, NULL },
    { "upload-relative", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-elsewhere", PUSH, LOGIN, ERROR_NONE, NULL },
    { "upload-elsewhere", PUSH, PROXIED, ERROR_DENIED, "leads to a private address" },
    { "upload-broken-once", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-broken", PUSH, ANONYMOUS, ERROR_UNCERTAIN, "connection" },
    { "upload-refused", PUSH, ANONYMOUS, ERROR_INVALID,
      "400 bad request (DIGEST_INVALID: provided digest did not match)" },
    { "upload-no-mount", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "upload-nowhere", PUSH, ANONYMOUS, ERROR_UNAVAILABLE, "answer 202 without a Location" },
    { "mount-202-refused", MOUNT, LOGIN, ERROR_NONE, NULL },
    { "mount-401", MOUNT, ANONYMOUS, ERROR_NONE, NULL },
    { "token-mount", MOUNT, LOGIN, ERROR_NONE, NULL },
    { "token-announced", ANNOUNCED, LOGIN, ERROR_NONE, NULL },
    { "token-announced-refused", ANNOUNCED, LOGIN, ERROR_NONE, NULL },
    { "token-mount-refused", MOUNT, LOGIN, ERROR_NONE, NULL },
    { "tls-realm", GET, SECURE, ERROR_DENIED, "the token service '127.0.0.1' is not asked: it is not https" },
    { "tls-redirect", BLOB, SECURE, ERROR_DENIED, "answer 307: leads from https to http at '127.0.0.1'" },
    { "upload-downgraded", PUSH, SECURE, ERROR_NONE, NULL },
    { "put-busy-once", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "put-beside-another", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "put-down-once", PUSH, ANONYMOUS, ERROR_NONE, NULL },
    { "put-refused", PUSH, ANONYMOUS, ERROR_INVALID, "400 bad request (MANIFEST_INVALID: not like this)" },
    { "put-other", PUSH, ANONYMOUS, ERROR_UNAVAILABLE, "lies: took manifest" },
};

static bool count_bytes(void *context, const void *data, size_t len, struct error *err)
{
    (void)data, (void)err;
    *(size_t *)context += len;
    return true;
}

/* What the fake's blobs hold; the buffer is empty afterwards. */
static struct descriptor content_blob(struct bytes *content, struct error *err)
{
    bytes_clear(content);
    assert_true(bytes_reserve(content, CONTENT_SIZE, err));
    for (int i = 0; i < CONTENT_SIZE; i++)
        content->data[i] = (char)('a' + i % 23);
    content->len = CONTENT_SIZE;
    const struct descriptor blob = describe("x/y", bytes_span(content));
    bytes_clear(content);
    return blob;
}

static bool read_blob(struct store *store, struct error *err)
{
    AUTO(bytes_release) struct bytes content = BYTES(CONTENT_SIZE);
    size_t delivered = 0;
    const struct descriptor blob = content_blob(&content, err);
    if (!store_get_blob(store, &blob, count_bytes, &delivered, err))
        return false;
    assert_int_equal(delivered, CONTENT_SIZE);
    return true;
}

/* Push, so that there is a token already; then mount from a neighbour; then push on. */
static bool mount(struct store *store, const char *name, struct error *err)
{
    AUTO(test_image_release) struct test_image image = { .config_blob = { .size = 0 } };
    AUTO(test_image_release) struct test_image next = { .config_blob = { .size = 0 } };
    AUTO(reference_release) struct reference from = { .registry = NULL };
    struct descriptor out;
    bool done = false;
    if (!reference_parse(span_of(name), &from, err) || !test_image_make(&image, "one", err) ||
        !test_image_make(&next, "two", err) || !test_image_put(store, &image, "v1", &out, err))
        return false;
    memcpy(strrchr(from.repository, '/'), "/own", 4); /* "web" becomes "own": the same length */
    if (!store_mount_blob(store, &next.layer_blob, &from, &done, err))
        return false;
    assert_int_equal(done, strstr(name, "/token-mount/") != NULL);
    return test_image_put(store, &next, "v2", &out, err);
}

/* What will be mounted is said before the first request, then mounted and pushed. */
static bool announce(struct store *store, const char *name, struct error *err)
{
    AUTO(test_image_release) struct test_image image = { .config_blob = { .size = 0 } };
    AUTO(reference_release) struct reference from = { .registry = NULL };
    struct descriptor out;
    bool done = false;
    if (!reference_parse(span_of(name), &from, err) || !test_image_make(&image, "one", err))
        return false;
    memcpy(strrchr(from.repository, '/'), "/own", 4);
    if (!store_will_mount(store, &from, err) || !store_mount_blob(store, &image.layer_blob, &from, &done, err))
        return false;
    assert_int_equal(done, !strstr(name, "refused"));
    return test_image_put(store, &image, "v1", &out, err);
}

static bool operate(struct store *store, enum operation operation, const char *name, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    AUTO(test_image_release) struct test_image image = { .config_blob = { .size = 0 } };
    struct descriptor out;
    switch (operation) {
    case RESOLVE:
        return store_resolve(store, "v1", &out, err);
    case RESOLVE_DIGEST:
        return store_resolve(store, SOME_DIGEST, &out, err);
    case GET:
        return store_get_manifest(store, "v1", &body, &out, err);
    case GET_DIGEST:
        return store_get_manifest(store, SOME_DIGEST, &body, &out, err);
    case BLOB:
        return read_blob(store, err);
    case MOUNT:
        return mount(store, name, err);
    case ANNOUNCED:
        return announce(store, name, err);
    case PUSH:
        return test_image_make(&image, "hello", err) && test_image_put(store, &image, "v1", &out, err);
    }
    return false;
}

static bool run(const struct row *row, struct error *err)
{
    AUTO(secret_free) struct secret *password = secret_new(SPAN("open sesame"), err);
    const char *host = row->access == PROXIED  ? "registry.example"
                       : row->access == SECURE ? getenv("PUSHWRIGHT_TEST_FAKE_TLS")
                                               : getenv("PUSHWRIGHT_TEST_FAKE");
    const struct registry_login login = {
        .host = host,
        .username = row->access == LOGIN ? "ann" : NULL,
        .password = row->access == LOGIN ? password : NULL,
        .plain_http = row->access != SECURE,
        .ca_file = row->access == SECURE ? getenv("PUSHWRIGHT_TEST_CA") : NULL,
    };
    const struct registry_options options = { .logins = &login,
                                              .login_count = 1,
                                              .push = row->operation == PUSH,
                                              .part_size = strstr(row->repository, "parts") ? PART_SIZE : 0 };
    char name[200];
    snprintf(name, sizeof name, "%s/%s/web", host, row->repository);
    AUTO(store_free) struct store *store = open_named(name, &options, err);
    assert_non_null(store);
    return operate(store, row->operation, name, err);
}

/* A registry that is fine, behind a mirror that does what its path says. */
static void mirrors_are_asked_first_and_replaced(void **state)
{
    (void)state;
    static const char *const moods[] = { "mirror-fine", "mirror-empty", "down",       "denied",
                                         "blob-broken", "blob-short",   "blob-other", "manifest-other" };
    const char *fake = getenv("PUSHWRIGHT_TEST_FAKE");
    if (!fake)
        skip();
    for (size_t i = 0; i < sizeof moods / sizeof moods[0]; i++) {
        struct error err = { 0 };
        char mirror[200], name[200];
        const char *const mirrors[] = { mirror };
        const struct registry_login login = { .host = fake, .mirrors = mirrors, .mirror_count = 1 };
        const struct registry_options options = { .logins = &login, .login_count = 1, .use_mirrors = true };
        AUTO(bytes_release) struct bytes body = BYTES(CONTENT_SIZE);
        struct descriptor manifest;
        bool reads = strcmp(moods[i], "blob-other") == 0; /* what was streamed can't be taken back */
        snprintf(mirror, sizeof mirror, "%s/%s", fake, moods[i]);
        snprintf(name, sizeof name, "%s/blob-behind-%s/web", fake, moods[i]);
        AUTO(store_free) struct store *store = open_named(name, &options, &err);
        if (!store || !store_get_manifest(store, "v1", &body, &manifest, &err) ||
            !store_resolve(store, manifest.digest, &manifest, &err) || !(reads || read_blob(store, &err)))
            fail_msg("%s: %s", moods[i], err.message);
        const struct descriptor blob = content_blob(&body, &err);
        if (!store_read_blob(store, &blob, &body, &err))
            fail_msg("%s: %s", moods[i], err.message);
    }
}

/* Read twice from a registry that is fine, while the repository that it goes to does what its path says. */
static void a_destination_is_asked_first_and_done_without(void **state)
{
    (void)state;
    static const struct {
        const char *mood;
        bool has;
    } cases[] = { { "mirror-fine", true }, { "mirror-empty", false }, { "down", false },
                  { "denied", false },     { "basic", false },        { "blob-broken", false } };
    const char *fake = getenv("PUSHWRIGHT_TEST_FAKE");
    if (!fake)
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = { 0 };
        char name[200];
        const struct registry_options sending = { .push = true, .hasty = true };
        AUTO(reference_release) struct reference to = { 0 }, from = { 0 };
        AUTO(bytes_release) struct bytes body = BYTES(CONTENT_SIZE);
        snprintf(name, sizeof name, "%s/%s/destination/web", fake, cases[i].mood);
        assert_true(reference_parse(span_of(name), &to, &err));
        snprintf(name, sizeof name, "%s/blob-good/goes-to-%s/web", fake, cases[i].mood);
        assert_true(reference_parse(span_of(name), &from, &err));
        AUTO(destination_free) struct destination *destination = destination_new(&to, &sending, &err);
        const struct registry_options options = { .destination = destination };
        AUTO(store_free) struct store *store = open_named(name, &options, &err);
        const struct descriptor blob = content_blob(&body, &err);
        assert_true(store && destination_expect(destination, &from, blob.digest, &err));
        for (int reading = 0; reading < 2; reading++) {
            bytes_clear(&body);
            if (!store_read_blob(store, &blob, &body, &err))
                fail_msg("%s: %s", name, err.message);
            assert_int_equal(destination_has(destination, blob.digest), cases[i].has);
        }
    }
}

static void every_fault_is_named_or_overcome(void **state)
{
    (void)state;
    const char *fake = getenv("PUSHWRIGHT_TEST_FAKE");
    char proxy[200];
    if (!fake)
        skip();
    snprintf(proxy, sizeof proxy, "http://%s", fake);
    setenv("http_proxy", proxy, 1); /* not asked for loopback: only the rows that name another host go there */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        bool done = run(&rows[i], &err);
        if (done != (rows[i].kind == ERROR_NONE) || err.kind != rows[i].kind)
            fail_msg("%s: %s, %s", rows[i].repository, error_kind_name(err.kind), err.message);
        if (rows[i].want && !strstr(err.message, rows[i].want))
            fail_msg("%s: wanted \"%s\" in \"%s\"", rows[i].repository, rows[i].want, err.message);
        if (strstr(err.message, "sesame") || strstr(err.message, "c2VzYW1l"))
            fail_msg("%s: the password is in \"%s\"", rows[i].repository, err.message);
        if (rows[i].kind == ERROR_BUSY)
            assert_int_equal(err.retry_after_s, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_is_named_or_overcome),
        cmocka_unit_test(mirrors_are_asked_first_and_replaced),
        cmocka_unit_test(a_destination_is_asked_first_and_done_without),
    };
    return cmocka_run_group_tests_name("shared/oci/registry_faults", tests, NULL, NULL);
}
