/* The build cache: what a key is made of, and that nothing on the disk is believed that is not whole. Keys are seen by what a build of a
 * directory finds again. */
#include "shared/base/file.h"
#include "shared/builder/cache_disk.h"
#include "shared/builder/engine.h"
#include "shared/sandbox/sandbox.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 512 };

static struct {
    char *directory;
    char context[PATH_SIZE], cache[PATH_SIZE];
    size_t cached; /* steps of the last build that were not made anew */
} place;

static int set_up(void **state)
{
    struct error err = { 0 };

    (void)state;
    place.directory = directory_make_temporary("cache-test", &err);
    assert_non_null(place.directory);
    snprintf(place.context, PATH_SIZE, "%s/context", place.directory);
    snprintf(place.cache, PATH_SIZE, "%s/cache", place.directory);
    assert_true(directory_make(place.context, 0755, &err));
    return 0;
}

static int tear_down(void **state)
{
    struct error err = { 0 };

    (void)state;
    assert_true(directory_remove(place.directory, &err));
    free(place.directory);
    return 0;
}

static void in_context(char out[static PATH_SIZE], const char *name)
{
    assert_true(snprintf(out, PATH_SIZE, "%s/%s", place.context, name) < PATH_SIZE);
}

static void put_bytes(const char *name, struct span content, mode_t mode, time_t time)
{
    const struct timespec times[2] = { { .tv_sec = time }, { .tv_sec = time } };
    struct error err = { 0 };
    char path[PATH_SIZE];

    in_context(path, name);
    assert_true(file_write_atomic(path, content, 0600, &err));
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put(const char *name, const char *content, mode_t mode, time_t time)
{
    put_bytes(name, span_of(content), mode, time);
}

static void on_event(void *context, const struct progress_event *event)
{
    (void)context;
    place.cached += event->what == PROGRESS_CACHED;
}

/* How a build differs from the plain one. */
struct how {
    const char *platform, *scope;
    struct dockerfile_pairs args;
    struct compression compression;
    bool no_cache;
    struct engine_secret secret;
};

/* How many steps were taken from the cache; the image's configuration in *config unless that is NULL. */
static size_t build(const char *dockerfile, const struct how *how, struct bytes *config)
{
    AUTO(context_release) struct context context = { 0 };
    AUTO(built_release) struct built built = { 0 };
    struct error err = { 0 };
    AUTO(progress_free) struct progress *progress = progress_new(on_event, NULL, &err);
    const struct engine_options options = {
        .context = &context,
        .progress = progress,
        .args = how->args,
        .cache_directory = place.cache,
        .no_cache = how->no_cache,
        .compression = how->compression,
        .run = { .cache_scope = how->scope, .secrets = &how->secret, .secret_count = 1 }
    };

    put("Dockerfile", dockerfile, 0644, 1);
    place.cached = 0;
    if (!context_of_directory(place.context, NULL, &context, &err))
        fail_msg("%s", err.message);
    AUTO(engine_free) struct engine *engine = engine_new(&options, &err);
    const char *platform = how->platform ? how->platform : "linux/amd64";
    if (!engine || !engine_build(engine, &platform, 1, &built, &err))
        fail_msg("%s", err.message);
    if (config)
        assert_true(bytes_append_span(config, bytes_span(&built.config), &err));
    return place.cached;
}

static const struct how plain = { .scope = "rule" };

static void begin(void)
{
    struct error err = { 0 };

    assert_true(directory_remove(place.cache, &err));
    assert_true(directory_remove(place.context, &err));
    assert_true(directory_make(place.context, 0755, &err));
    put("a", "alpha", 0644, 1000);
    put("b", "beta", 0644, 1000);
}

static void touch(void)
{
    put("a", "alpha", 0644, 2000);
}

static void change_mode(void)
{
    put("a", "alpha", 0755, 1000);
}

static void change_special_mode(void)
{
    put("a", "alpha", 04644, 1000);
}

static void change_content(void)
{
    put("a", "omega", 0644, 1000);
}

static void change_another(void)
{
    put("b", "gamma", 0644, 1000);
}

static void add_file(void)
{
    put("c", "", 0644, 1000);
}

/* The same bytes, divided in another way between names and contents. */
static void move_bytes(void)
{
    char path[PATH_SIZE];

    in_context(path, "a");
    assert_int_equal(unlink(path), 0);
    put("aa", "lpha", 0644, 1000);
}

static void link_instead(void)
{
    char path[PATH_SIZE];

    in_context(path, "a");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("alpha", path), 0);
}

static void nothing(void)
{
}

/* What is done between two builds, and whether the second one finds what the first has made. */
static void keys_hold_what_a_layer_follows_from_and_nothing_else(void **state)
{
    static const struct {
        const char *first, *second; /* NULL: the same */
        void (*between)(void);
        bool found;
    } rows[] = {
        { "COPY . /d/", NULL, nothing, false }, /* the Dockerfile is in it: see below */
        { "COPY a /d/", NULL, nothing, true },
        { "COPY a /d/", NULL, touch, true },
        { "COPY a /d/", NULL, change_mode, false },
        { "COPY a /d/", NULL, change_special_mode, false },
        { "COPY a /d/", NULL, change_content, false },
        { "COPY a /d/", NULL, change_another, true },
        { "COPY --exclude=b --exclude=Dockerfile . /d/", NULL, link_instead, false },
        { "COPY [ab]* /d/", NULL, add_file, true },
        { "COPY [a-c] /d/", NULL, add_file, false },
        { "COPY a* /d/", NULL, move_bytes, false },
        { "COPY a /d/", "COPY a /d", nothing, false },
        { "COPY a /d/", "COPY a /e/", nothing, false },
        { "COPY a /d/", "ADD a /d/", nothing, false },
        { "COPY a b /d/", "COPY b a /d/", nothing, false },
        { "COPY a /d/", "COPY --chown=1 a /d/", nothing, false },
        { "COPY --chown=1 a /d/", "COPY --chown=1:2 a /d/", nothing, false },
        { "COPY a /d/", "COPY --chmod=600 a /d/", nothing, false },
        { "COPY a /d/", "COPY --parents a /d/", nothing, false },
        { "COPY a /d/", "COPY --link a /d/", nothing, false },
        { "ADD a /d/", "ADD --unpack=false a /d/", nothing, false },
        { "COPY a /d/", "LABEL x=y\nCOPY a /d/", nothing, true },
        { "COPY a /d/", "ENV x=y\nCOPY a /d/", nothing, true },
        { "COPY a /d/", "ARG f=a\nCOPY $f /d/", nothing, true },
        { "COPY a /d/", "ARG f=a\nCOPY ${f} /d/", nothing, true },
        { "COPY <<x /d/\n1\nx", NULL, nothing, true },
        { "COPY <<x /d/\n1\nx", "COPY <<x /d/\n2\nx", nothing, false },
        { "COPY <<x /d/\n1\nx", "COPY <<y /d/\n1\ny", nothing, false },
        { "COPY --exclude=b . /d/", "COPY --exclude=a . /d/", nothing, false },
        { "COPY --exclude=b --exclude=Dockerfile . /d/", NULL, change_another, true },
        { "COPY --exclude=b --exclude=Dockerfile . /d/", NULL, change_content, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(bytes_release) struct bytes first = BYTES(4096), second = BYTES(4096);
        struct error err = { 0 };

        begin();
        assert_true(bytes_printf(&first, &err, "FROM scratch\n%s\n", rows[i].first));
        assert_true(bytes_printf(&second, &err, "FROM scratch\n%s\n", rows[i].second ? rows[i].second : rows[i].first));
        if (!rows[i].second && strcmp(rows[i].first, "COPY . /d/") == 0)
            assert_true(bytes_append_text(&second, "# another line\n", &err));
        assert_int_equal(build(first.data, &plain, NULL), 0);
        rows[i].between();
        if (build(second.data, &plain, NULL) != rows[i].found)
            fail_msg("'%s', then '%s', row %zu", rows[i].first, rows[i].second ? rows[i].second : "the same", i);
    }
}

static void platform_rule_compression_and_epoch_are_part_of_it(void **state)
{
    static const struct dockerfile_pair epoch = { "SOURCE_DATE_EPOCH", "5" }, unknown = { "X", "1" };
    static const struct {
        struct how how;
        bool found;
    } rows[] = {
        { { .scope = "rule" }, true },
        { { .scope = "rule", .args = { &unknown, 1 } }, true },
        { { .scope = "rule", .platform = "linux/arm64" }, false },
        { { .scope = "other" }, false },
        { { .scope = NULL }, false },
        { { .scope = "rule", .compression = { .kind = COMPRESSION_ZSTD } }, false },
        { { .scope = "rule", .compression = { .level = 9 } }, false },
        { { .scope = "rule", .args = { &epoch, 1 } }, false },
        { { .scope = "rule", .no_cache = true }, false },
    };

    (void)state;
    begin();
    assert_int_equal(build("FROM scratch\nCOPY a /\n", &plain, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (build("FROM scratch\nCOPY a /\n", &rows[i].how, NULL) != rows[i].found)
            fail_msg("row %zu", i);
    }
}

/* A step is known by all that stands below it, except where it does not look at that. */
static void a_record_of_another_parent_is_never_taken(void **state)
{
    (void)state;
    begin();
    assert_int_equal(build("FROM scratch\nCOPY a /\nCOPY b /\nCOPY --link a /l\n", &plain, NULL), 0);
    assert_int_equal(build("FROM scratch\nCOPY b /\n", &plain, NULL), 0);
    assert_int_equal(build("FROM scratch\nCOPY a /\nCOPY b /\nCOPY --link a /l\n", &plain, NULL), 3);
    change_content();
    assert_int_equal(build("FROM scratch\nCOPY a /\nCOPY b /\nCOPY --link b /m\n", &plain, NULL), 0);
    begin();
    assert_int_equal(build("FROM scratch\nCOPY --link a /l\n", &plain, NULL), 0);
    change_another();
    assert_int_equal(build("FROM scratch\nCOPY b /\nCOPY --link a /l\n", &plain, NULL), 1);
}

/* What is copied out of a stage is read from the layers in the cache; a stage that came out the same is as good as the old one. */
static void stages_in_the_cache_are_copied_from(void **state)
{
    static const char both[] = "FROM scratch AS one\nWORKDIR /w\nCOPY a b ./\nFROM scratch\nCOPY --from=one /w/b /\n";
    AUTO(bytes_release) struct bytes first = BYTES(65536), again = BYTES(65536);

    (void)state;
    begin();
    assert_int_equal(build(both, &plain, &first), 0);
    assert_int_equal(build(both, &plain, &again), 3);
    assert_true(span_equal(bytes_span(&first), bytes_span(&again)));
    change_content(); /* of what is not copied on */
    assert_int_equal(build(both, &plain, NULL), 2);
    assert_int_equal(
        build("FROM scratch AS one\nWORKDIR /w\nCOPY a b ./\nFROM scratch\nCOPY --from=one /w/a /w/b /d/\n", &plain,
              NULL),
        2);
}

/* What a command is given and may not tell is no part of what it makes; everything else that it can see is. */
static void secrets_are_no_part_of_a_key(void **state)
{
    static const char command[] = "[\"/busybox\", \"sh\", \"-c\", \"echo $S > /s\"]\n";
    static const struct {
        const char *run, *secret;
        size_t found;
    } rows[] = {
        { "RUN --mount=type=secret,id=s,env=S ", "one", 1 },
        { "RUN --mount=type=secret,id=s,env=S ", "two", 2 },
        { "RUN --mount=type=secret,id=s,env=S,required ", "two", 1 },
        { "RUN --mount=type=secret,id=s,env=T ", "two", 1 },
        { "RUN --mount=type=cache,target=/c ", "two", 1 },
        { "RUN --mount=type=cache,target=/c ", "two", 2 },
        { "RUN --mount=type=cache,target=/c,id=d ", "two", 1 },
        { "RUN --mount=type=tmpfs,target=/c ", "two", 1 },
        { "RUN ", "two", 1 },
        { "ENV S=x\nRUN ", "two", 1 },
        { "ARG S=x\nRUN ", "two", 2 },
        { "WORKDIR /w\nRUN ", "two", 1 },
    };
    AUTO(bytes_release) struct bytes busybox = BYTES(16 << 20);
    enum sandbox_mode mode;
    struct error err = { 0 };

    (void)state;
    if (!sandbox_probe(false, &mode, &err) || mode != SANDBOX_AS_ROOT || !file_read(&busybox, "/bin/busybox", &err))
        skip();
    begin();
    put_bytes("busybox", bytes_span(&busybox), 0755, 1000);
    assert_int_equal(build("FROM scratch\nCOPY --chmod=755 busybox /\n", &plain, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(bytes_release) struct bytes dockerfile = BYTES(4096);
        struct how how = { .scope = "rule", .secret = { "s", span_of(rows[i].secret) } };

        assert_true(
            bytes_printf(&dockerfile, &err, "FROM scratch\nCOPY --chmod=755 busybox /\n%s%s", rows[i].run, command));
        size_t found = build(dockerfile.data, &how, NULL);
        if (found != rows[i].found)
            fail_msg("%s: %zu", rows[i].run, found);
    }
}

/* ---- the disk ---- */

static int made_file(const char *content)
{
    char path[PATH_SIZE];

    put("layer", content, 0600, 1000);
    in_context(path, "layer");
    return open(path, O_RDONLY | O_CLOEXEC);
}

static struct cache_record record_of(char key, const char *content)
{
    struct cache_record record = { .layer.blob = { .media_type = MEDIA_OCI_LAYER_GZIP,
                                                   .size = (int64_t)strlen(content) } };

    memset(record.key, key, SHA256_HEX_SIZE - 1);
    strcpy(record.layer.blob.digest, "sha256:");
    sha256_hex_of(span_of(content), record.layer.blob.digest + 7);
    memcpy(record.layer.diff_id, record.layer.blob.digest, sizeof(record.layer.diff_id));
    memcpy(record.origin, record.layer.blob.digest, sizeof(record.origin));
    record.time_s = 1700000000;
    record.until_s = 1800000000;
    return record;
}

static bool of_that_time(void *context, const struct cache_record *record)
{
    return record->time_s == *(const int64_t *)context;
}

static void keep(char key, const char *content, int64_t bytes_max)
{
    struct cache_record record = record_of(key, content);
    AUTO(close) int fd = made_file(content);
    struct error err = { 0 };

    assert_true(cache_disk_keep(place.cache, bytes_max, &record, fd, &err));
}

static bool is_found(char key, const char *content)
{
    struct cache_record wanted = record_of(key, content), found;
    AUTO(close) int hold = -1;

    return cache_disk_find(place.cache, wanted.key, of_that_time, &wanted.time_s, &found, &hold) &&
           strcmp(found.layer.blob.digest, wanted.layer.blob.digest) == 0;
}

static void what_was_kept_is_found(void **state)
{
    (void)state;
    begin();
    assert_false(is_found('a', "content"));
    keep('a', "content", 100);
    keep('b', "more", 100);
    assert_true(is_found('a', "content"));
    assert_true(is_found('b', "more"));
    keep('c', "too large", 4);
    assert_false(is_found('c', "too large"));
}

static void what_is_not_wanted_stays_there(void **state)
{
    struct cache_record kept = record_of('a', "content"), found;
    int64_t another = 5;
    int hold = -1;

    (void)state;
    begin();
    keep('a', "content", 100);
    assert_false(cache_disk_find(place.cache, kept.key, of_that_time, &another, &found, &hold));
    assert_int_equal(hold, -1);
    assert_true(is_found('a', "content"));
}

static void a_layer_in_use_stays(void **state)
{
    struct cache_record wanted = record_of('a', "1234567890"), found;
    AUTO(close) int hold = -1;

    (void)state;
    begin();
    keep('a', "1234567890", 25);
    assert_true(cache_disk_find(place.cache, wanted.key, of_that_time, &wanted.time_s, &found, &hold));
    keep('b', "abcdefghij", 25);
    keep('c', "ABCDEFGHIJ", 25);
    assert_true(is_found('a', "1234567890"));
    assert_false(is_found('b', "abcdefghij"));
    assert_true(is_found('c', "ABCDEFGHIJ"));
}

/* A record that names a layer that is there, but by the key of another step. */
static void a_record_by_a_wrong_name_is_none(void **state)
{
    char from[2 * PATH_SIZE], to[2 * PATH_SIZE];
    struct cache_record a = record_of('a', "content"), b = record_of('b', "content");

    (void)state;
    begin();
    keep('a', "content", 100);
    snprintf(from, sizeof(from), "%s/records/%s", place.cache, a.key);
    snprintf(to, sizeof(to), "%s/records/%s", place.cache, b.key);
    assert_int_equal(link(from, to), 0);
    assert_false(is_found('b', "content"));
    assert_true(is_found('a', "content"));
}

static void a_link_is_no_layer(void **state)
{
    char path[2 * PATH_SIZE], elsewhere[PATH_SIZE];
    struct cache_record record = record_of('a', "content");

    (void)state;
    begin();
    keep('a', "content", 100);
    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", place.cache, record.layer.blob.digest + 7);
    in_context(elsewhere, "elsewhere");
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_false(is_found('a', "content"));
}

static void records_are_exactly_what_is_written(void **state)
{
    struct cache_record record = record_of('a', "content"), found;
    AUTO(bytes_release) struct bytes text = BYTES(CACHE_RECORD_MAX);
    struct error err = { 0 };

    (void)state;
    assert_true(cache_record_seal(&record, &text, &err));
    assert_true(cache_record_unseal(bytes_span(&text), &found));
    assert_memory_equal(&found, &record, sizeof(record));
    for (size_t i = 0; i < text.len; i++) {
        assert_false(cache_record_unseal((struct span){ text.data, i }, &found));
        text.data[i] ^= 1;
        assert_false(cache_record_unseal(bytes_span(&text), &found));
        text.data[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_hold_what_a_layer_follows_from_and_nothing_else),
        cmocka_unit_test(platform_rule_compression_and_epoch_are_part_of_it),
        cmocka_unit_test(a_record_of_another_parent_is_never_taken),
        cmocka_unit_test(stages_in_the_cache_are_copied_from),
        cmocka_unit_test(secrets_are_no_part_of_a_key),
        cmocka_unit_test(what_was_kept_is_found),
        cmocka_unit_test(what_is_not_wanted_stays_there),
        cmocka_unit_test(a_layer_in_use_stays),
        cmocka_unit_test(a_record_by_a_wrong_name_is_none),
        cmocka_unit_test(a_link_is_no_layer),
        cmocka_unit_test(records_are_exactly_what_is_written),
    };

    return cmocka_run_group_tests_name("shared/builder/cache", tests, set_up, tear_down);
}
