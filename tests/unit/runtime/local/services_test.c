/* The service agent with real images, made here: an OCI layout whose layers hold this test program (and what it needs), which
 * serves HTTP when it runs inside. */
#include "runtime/local/services.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/oci/store.h"
#include "shared/sandbox/sandbox.h"
#include "tests/unit/shared/sandbox/ordinary.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what runs inside ---- */

static void answer(int fd)
{
    char request[2048], body[1024], cwd[256];
    for (;;) {
        size_t len = 0;
        request[0] = '\0';
        while (!strstr(request, "\r\n\r\n")) {
            ssize_t n = read(fd, request + len, sizeof request - 1 - len);
            if (n <= 0)
                _exit(0);
            len += (size_t)n;
            request[len] = '\0';
        }
        if (strncmp(request, "GET /die", 8) == 0)
            kill(1, SIGUSR2);
        if (strncmp(request, "GET /slow", 9) == 0)
            usleep(300000);
        snprintf(body, sizeof body, "%s uid=%d cwd=%s\n", getenv("GREETING"), getuid(), getcwd(cwd, sizeof cwd));
        dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    }
}

static void on_die(int number)
{
    (void)number;
    _exit(3);
}

static int inside_serve(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGUSR2, on_die);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0)
        return 4;
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client >= 0 && fork() == 0) {
            close(fd);
            answer(client);
        }
        close(client);
    }
}

static int inside_main(char **args)
{
    if (strcmp(args[0], "serve") == 0)
        return inside_serve(80);
    if (strcmp(args[0], "fail") == 0)
        return printf("line one\ncannot start: no database\n"), fflush(stdout), 5;
    if (strcmp(args[0], "mute") == 0)
        return pause();
    if (strcmp(args[0], "well") == 0) /* a health check: well once asked for the third time */
        return open("/asked-1", O_CREAT | O_EXCL, 0600) >= 0 || open("/asked-2", O_CREAT | O_EXCL, 0600) >= 0;
    return 99;
}

/* ---- images ---- */

static char *base, layout[256];
static struct descriptor layer;
static char diff_id[DIGEST_TEXT_SIZE];

static void file_digest(const char *path, char out[static DIGEST_TEXT_SIZE], int64_t *size)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes content = BYTES(512 * 1024 * 1024);
    assert_true(file_read(&content, path, &err));
    memcpy(out, "sha256:", 7);
    sha256_hex_of(bytes_span(&content), out + 7);
    *size = (int64_t)content.len;
}

static struct store *layout_store(void)
{
    char text[300];
    struct error err = { 0 };
    struct reference reference = { 0 };
    snprintf(text, sizeof text, "oci:%s", layout);
    assert_true(reference_parse(span_of(text), &reference, &err));
    struct store *store = store_open(&reference, NULL, &err);
    if (!store)
        fail_msg("%s", err.message);
    reference_release(&reference);
    return store;
}

static int prepare(void **state)
{
    (void)state;
    struct error err = { 0 };
    char self[256], archive[300];
    int64_t size;
    /* Not the path behind it: an ordinary user may not get there. */
    snprintf(self, sizeof self, "/proc/%d/exe", (int)getpid());
    base = directory_make_temporary("services-test", &err);
    snprintf(layout, sizeof layout, "%s/images", base);
    setenv("SELF", self, 1);
    setenv("BASE", base, 1);
    if (system("mkdir -p $BASE/root/etc $BASE/root/bin && cp $SELF $BASE/root/bin/program &&"
               "echo web:x:1000:1000::/home/web:/bin/sh > $BASE/root/etc/passwd &&"
               "{ ldd $SELF 2>&1 | grep -o '/[^ ]*' | grep -v musl | xargs -r cp -L --parents -t $BASE/root; } &&"
               "tar -C $BASE/root --owner=0 --group=0 -cf $BASE/layer.tar . && gzip -1 -k -n $BASE/layer.tar") != 0)
        return -1;
    snprintf(archive, sizeof archive, "%s/layer.tar", base);
    file_digest(archive, diff_id, &size);
    snprintf(archive, sizeof archive, "%s/layer.tar.gz", base);
    file_digest(archive, layer.digest, &layer.size);
    snprintf(layer.media_type, sizeof layer.media_type, "%s", MEDIA_OCI_LAYER_GZIP);
    AUTO(store_free) struct store *store = layout_store();
    AUTO(close) int fd = open(archive, O_RDONLY);
    return store_put_blob_file(store, &layer, fd, &err) ? 0 : (print_message("%s\n", err.message), -1);
}

static int tidy(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool removed = sandbox_remove_tree(base, &err);
    if (!removed)
        print_message("%s\n", err.message);
    free(base);
    return removed ? 0 : -1;
}

static struct descriptor put_json(struct store *store, const char *text)
{
    struct error err = { 0 };
    struct descriptor blob = { .size = (int64_t)strlen(text) };
    snprintf(blob.media_type, sizeof blob.media_type, "%s", MEDIA_OCI_CONFIG);
    memcpy(blob.digest, "sha256:", 7);
    sha256_hex_of(span_of(text), blob.digest + 7);
    if (!store_put_blob(store, &blob, span_of(text), &err))
        fail_msg("%s", err.message);
    return blob;
}

/* `settings`: members of the configuration's "config". Returns the reference with its digest. */
static const char *make_image(const char *tag, const char *settings)
{
    static char references[8][600];
    static unsigned next;
    char config[2048], manifest[2048];
    struct error err = { 0 };
    struct descriptor put;
    AUTO(store_free) struct store *store = layout_store();
#if defined(__aarch64__)
    const char *architecture = "arm64";
#else
    const char *architecture = "amd64";
#endif
    snprintf(config, sizeof config,
             "{\"os\":\"linux\",\"architecture\":\"%s\",\"config\":{%s},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
             "\"%s\"]}}",
             architecture, settings, diff_id);
    struct descriptor blob = put_json(store, config);
    snprintf(
        manifest, sizeof manifest,
        "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld},"
        "\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld}]}",
        MEDIA_OCI_MANIFEST, MEDIA_OCI_CONFIG, blob.digest, (long long)blob.size, layer.media_type, layer.digest,
        (long long)layer.size);
    if (!store_put_manifest(store, tag, MEDIA_OCI_MANIFEST, span_of(manifest), &put, &err))
        fail_msg("%s", err.message);
    char *out = references[next++ % 8];
    snprintf(out, sizeof references[0], "oci:%s:%s@%s", layout, tag, put.digest);
    return out;
}

static const char *serving(const char *tag)
{
    char settings[512];
    snprintf(settings, sizeof settings,
             "\"Entrypoint\":[\"program\",\"inside\"],\"Cmd\":[\"serve\"],\"Env\":[\"GREETING=%s\"]", tag);
    return make_image(tag, settings);
}

/* ---- the agent ---- */

static char said[64 * 1024];
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

static void say(void *context, const char *text)
{
    (void)context;
    pthread_mutex_lock(&said_lock);
    size_t len = strlen(said);
    snprintf(said + len, sizeof said - len, "%s\n", text);
    pthread_mutex_unlock(&said_lock);
}

static int count_said(const char *part)
{
    int count = 0;
    pthread_mutex_lock(&said_lock);
    for (const char *at = strstr(said, part); at; at = strstr(at + 1, part))
        count++;
    pthread_mutex_unlock(&said_lock);
    return count;
}

static char state_dir[256];

static void new_state_dir(void)
{
    static int number;
    snprintf(state_dir, sizeof state_dir, "%s/state-%d", base, number++);
}

static struct services *agent_begin(void)
{
    struct error err = { 0 };
    const struct services_options options = { .state_dir = state_dir, .say = say };
    struct services *services = services_new(&options, &err);
    if (!services)
        fail_msg("%s", err.message);
    services_resume(services);
    return services;
}

struct answer {
    int status;
    char body[8192];
};

static struct answer call(struct services *services, const char *method, const char *path, const char *query,
                          const char *generation, const char *body)
{
    struct answer out = { 0 };
    const struct request_header header = { SPAN("If-Match"), span_of(generation) };
    const struct request request = {
        .method = span_of(method),
        .path = span_of(path),
        .query = span_of(query),
        .headers = &header,
        .header_count = generation ? 1 : 0,
        .body = span_of(body ? body : ""),
    };
    struct reply reply = { .status = 200 };
    services_handle(services, &request, &reply);
    out.status = reply.status;
    snprintf(out.body, sizeof out.body, "%s", bytes_text(&reply.body));
    bytes_release(&reply.body);
    bytes_release(&reply.headers);
    return out;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

static struct answer put(struct services *services, const char *generation, const char *image, const char *more)
{
    char body[2048];
    snprintf(body, sizeof body, "{\"image\":\"%s\"%s}", image, more);
    return call(services, "PUT", "/services/default/web", NULL, generation, body);
}

static struct answer wait_settled(struct services *services, const char *generation)
{
    char query[64];
    struct answer got;
    snprintf(query, sizeof query, "wait=%s&timeout=2000", generation);
    for (int i = 0; i < 30; i++) {
        got = call(services, "GET", "/services/default/web", query, NULL, NULL);
        if (!strstr(got.body, "\"state\":\"starting\""))
            break;
    }
    return got;
}

static unsigned deploy(struct services *services, const char *generation, const char *next, const char *image)
{
    struct answer got = put(services, generation, image, "");
    if (got.status != 202)
        fail_msg("%d %s", got.status, got.body);
    got = wait_settled(services, next);
    assert_has(got.body, "\"state\":\"running\"");
    const char *url = strstr(got.body, "\"url\":\"http://127.0.0.1:");
    assert_non_null(url);
    return (unsigned)atoi(url + strlen("\"url\":\"http://127.0.0.1:"));
}

/* ---- a client ---- */

static int dial(unsigned port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = 20 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The body of the answer, or "" for anything but a whole 200. */
static const char *exchange(int fd, const char *path, char out[static 1024])
{
    char request[128];
    size_t len = 0;
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: web\r\n\r\n", path);
    out[0] = '\0';
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        return "";
    for (;;) {
        char *body = strstr(out, "\r\n\r\n"), *size = strstr(out, "Content-Length: ");
        if (body && size && strlen(body + 4) == (size_t)atoi(size + 16))
            return strncmp(out, "HTTP/1.1 200", 12) == 0 ? body + 4 : "";
        ssize_t n = recv(fd, out + len, 1023 - len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return "";
        len += (size_t)n;
        out[len] = '\0';
    }
}

static void assert_page(unsigned port, const char *path, const char *part)
{
    char page[1024];
    int fd = dial(port);
    assert_true(fd >= 0);
    assert_has(exchange(fd, path, page), part);
    close(fd);
}

struct load {
    unsigned port;
    bool keep_alive;
    atomic_bool over;
    atomic_int good, bad;
    pthread_t thread;
};

static void *load_main(void *context)
{
    struct load *load = context;
    char page[1024];
    int fd = -1;
    while (!atomic_load(&load->over)) {
        if (fd < 0)
            fd = dial(load->port);
        bool good = fd >= 0 && strstr(exchange(fd, "/", page), "uid=0");
        atomic_fetch_add(good ? &load->good : &load->bad, 1);
        if (fd >= 0 && (!load->keep_alive || !good)) {
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* ---- tests ---- */

static void an_image_becomes_a_page(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    const char *image = make_image(
        "user", "\"Entrypoint\":[\"program\",\"inside\"],\"Cmd\":[\"serve\"],\"User\":\"web\",\"WorkingDir\":\"/srv\","
                "\"Env\":[\"GREETING=hello\"],\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}");
    struct answer got = put(services, NULL, image, ",\"annotations\":{\"pushwright.dev/sequence\":\"7\"}");
    assert_int_equal(got.status, 202);
    assert_has(got.body, "\"generation\":1,\"state\":\"starting\"");
    got = wait_settled(services, "1");
    assert_has(got.body, "\"annotations\":{\"pushwright.dev/sequence\":\"7\"}");
    assert_has(got.body, "\"state\":\"running\"");
    assert_null(strstr(got.body, "previousDigest"));
    assert_page((unsigned)atoi(strstr(got.body, "127.0.0.1:") + 10), "/", "hello uid=1000 cwd=/srv\n");
    assert_has(call(services, "GET", "/services", NULL, NULL, NULL).body,
               "{\"services\":[{\"namespace\":\"default\",\"name\":\"web\"");
}

static void what_is_asked_wrongly_is_refused(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    static const struct {
        const char *method, *path, *generation, *body;
        int status;
        const char *text;
    } rows[] = {
        { "GET", "/services/default/web", NULL, NULL, 404, "no such service" },
        { "DELETE", "/services/default/web", NULL, NULL, 404, "no such service" },
        { "GET", "/services/../web", NULL, NULL, 404, "want /services" },
        { "GET", "/services/default/Web", NULL, NULL, 404, "want /services" },
        { "GET", "/services/default/web/more", NULL, NULL, 404, "want /services" },
        { "GET", "/", NULL, NULL, 404, "want /services" },
        { "POST", "/services/default/web", NULL, NULL, 405, "no such method" },
        { "PUT", "/services/default/web", "x", "{}", 400, "If-Match: want a generation" },
        { "PUT", "/services/default/web", NULL, "{}", 400, "image: missing" },
        { "PUT", "/services/default/web", NULL, "{\"image\":\"nginx:1\"}", 400, "a digest is needed" },
        { "PUT", "/services/default/web", NULL, "no", 400, "" },
        { "PUT", "/services/default/web", "3",
          "{\"image\":\"nginx@sha256:0123456789012345678901234567890123456789012345678901234567890123\"}", 409,
          "there is no such service" },
        { "PUT", "/services/default/web", NULL,
          "{\"image\":\"nginx@sha256:0123456789012345678901234567890123456789012345678901234567890123\","
          "\"containerPort\":65536}",
          400, "containerPort: want a number from 0 to 65535" },
        { "PUT", "/services/default/web", NULL,
          "{\"image\":\"nginx@sha256:0123456789012345678901234567890123456789012345678901234567890123\","
          "\"servicePort\":\"here\"}",
          400, "servicePort: 'here' is no port" },
        { "PUT", "/services/default/web", NULL,
          "{\"image\":\"nginx@sha256:0123456789012345678901234567890123456789012345678901234567890123\","
          "\"annotations\":[]}",
          400, "annotations: want an object" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer got = call(services, rows[i].method, rows[i].path, NULL, rows[i].generation, rows[i].body);
        if (got.status != rows[i].status)
            fail_msg("row %zu: %d %s", i, got.status, got.body);
        assert_has(got.body, rows[i].text);
    }
}

static void a_generation_guards_the_service(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    const char *image = serving("guard");
    deploy(services, "0", "1", image);
    assert_int_equal(put(services, NULL, image, "").status, 409);
    struct answer got = put(services, "2", image, "");
    assert_int_equal(got.status, 409);
    assert_has(got.body, "\"generation\":1");
    /* the same program with another note is not started anew */
    got = put(services, "1", image, ",\"annotations\":{\"note\":\"x\"}");
    assert_int_equal(got.status, 202);
    assert_has(got.body, "\"generation\":2,\"state\":\"running\"");
    assert_has(got.body, "\"annotations\":{\"note\":\"x\"}");
}

static void replacing_refuses_nobody(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    const char *images[] = { serving("one"), serving("two") };
    struct load loads[2] = { { .keep_alive = false }, { .keep_alive = true } };
    unsigned port = deploy(services, "0", "1", images[0]);
    char page[1024];
    int slow = dial(port);
    for (int i = 0; i < 2; i++) {
        loads[i].port = port;
        pthread_create(&loads[i].thread, NULL, load_main, &loads[i]);
    }
    for (int generation = 1; generation <= 6; generation++) {
        char now[24], next[24];
        snprintf(now, sizeof now, "%d", generation);
        snprintf(next, sizeof next, "%d", generation + 1);
        if (generation == 1)
            assert_int_equal(send(slow, "GET /slow HTTP/1.1\r\n\r\n", 22, 0), 22);
        assert_int_equal(deploy(services, now, next, images[generation % 2]), port);
        assert_page(port, "/", generation % 2 ? "two" : "one");
        usleep(20000);
    }
    ssize_t len = recv(slow, page, sizeof page - 1, 0);
    close(slow);
    assert_true(len > 0);
    page[len] = '\0';
    assert_has(page, "one uid="); /* of the version that it was asked of */
    for (int i = 0; i < 2; i++) {
        atomic_store(&loads[i].over, true);
        pthread_join(loads[i].thread, NULL);
        print_message("%s: %d answers, %d failures\n", loads[i].keep_alive ? "kept alive" : "new connections",
                      loads[i].good, loads[i].bad);
        assert_int_equal(loads[i].bad, 0);
        assert_true(loads[i].good > 10);
    }
    assert_has(wait_settled(services, "7").body, "\"previousDigest\":\"sha256:");
}

static void a_version_that_does_not_come_up_leaves_the_old_one(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    static const struct {
        const char *tag, *settings, *more, *reason;
    } rows[] = {
        { "fails", "\"Cmd\":[\"program\",\"inside\",\"fail\"]", "",
          "exited with status 5; it said: line one cannot start: no database" },
        { "mute", "\"Cmd\":[\"program\",\"inside\",\"mute\"]", ",\"readyTimeoutSeconds\":1",
          "it did not listen on port 80 within 1 s" },
        { "absent", "\"Cmd\":[\"nothing\"]", "", "run 'nothing' (looked up in PATH): No such file or directory" },
        { "empty", "\"Env\":[]", "", "the image says no command" },
        { "unwell",
          "\"Cmd\":[\"program\",\"inside\",\"serve\"],\"Healthcheck\":{\"Test\":[\"CMD\",\"program\",\"inside\","
          "\"fail\"]}",
          ",\"readyTimeoutSeconds\":1", "its health check did not succeed within 1 s" },
    };
    unsigned port = deploy(services, "0", "1", serving("good"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char now[24], next[24];
        snprintf(now, sizeof now, "%zu", i + 1);
        snprintf(next, sizeof next, "%zu", i + 2);
        assert_int_equal(put(services, now, make_image(rows[i].tag, rows[i].settings), rows[i].more).status, 202);
        struct answer got = wait_settled(services, next);
        assert_has(got.body, "\"state\":\"failed\"");
        assert_has(got.body, rows[i].reason);
        assert_has(got.body, "\"runningDigest\":\"sha256:");
        assert_page(port, "/", "good");
    }
}

static void an_image_that_is_not_there_is_said(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    char image[400];
    snprintf(image, sizeof image, "oci:%s:x@sha256:0123456789012345678901234567890123456789012345678901234567890123",
             layout);
    assert_int_equal(put(services, NULL, image, "").status, 202);
    struct answer got = wait_settled(services, "1");
    assert_has(got.body, "\"state\":\"failed\"");
    assert_null(strstr(got.body, "\"url\""));
    assert_has(got.body, "\"reason\":\"");
}

static void a_health_check_is_waited_for(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    const char *image = make_image(
        "health", "\"Cmd\":[\"program\",\"inside\",\"serve\"],\"Env\":[\"GREETING=well\"],"
                  "\"Healthcheck\":{\"Test\":[\"CMD\",\"program\",\"inside\",\"well\"],\"Timeout\":1000000000}");
    assert_page(deploy(services, "0", "1", image), "/", "well");
}

static void one_that_dies_is_started_again(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    said[0] = '\0';
    unsigned port = deploy(services, "0", "1", serving("phoenix"));
    for (int i = 0; i < 3; i++) {
        char page[1024];
        int fd = dial(port);
        exchange(fd, "/die", page);
        close(fd);
        for (int patience = 0; patience < 2000 && count_said("starting it again") <= i; patience++)
            usleep(10000);
        assert_page(port, "/", "phoenix"); /* waits rather than being refused */
    }
    assert_has(wait_settled(services, "1").body, "\"state\":\"running\"");
    assert_has(said, "exited with status 3; starting it again");
}

static void an_agent_that_is_killed_leaves_nothing_and_goes_on(void **state)
{
    (void)state;
    new_state_dir();
    const char *image = serving("lasting");
    int pipes[2];
    unsigned port = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t agent = fork();
    if (agent == 0) {
        struct services *services = agent_begin();
        unsigned chosen = deploy(services, "0", "1", image);
        _exit(write(pipes[1], &chosen, sizeof chosen) == sizeof chosen ? pause() : 1);
    }
    assert_int_equal(read(pipes[0], &port, sizeof port), sizeof port);
    close(pipes[0]);
    close(pipes[1]);
    assert_page(port, "/", "lasting");
    int open_one = dial(port);
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    char end;
    assert_true(recv(open_one, &end, 1, 0) <= 0); /* the instance went with it */
    close(open_one);
    assert_int_equal(dial(port), -1);

    /* what it has unpacked is enough to go on, without the registry */
    char hidden[300];
    snprintf(hidden, sizeof hidden, "%s-hidden", layout);
    assert_int_equal(rename(layout, hidden), 0);
    struct services *services = agent_begin();
    assert_page(port, "/", "lasting");
    struct answer got = wait_settled(services, "1");
    assert_has(got.body, "\"state\":\"running\"");
    services_free(services);
    assert_int_equal(dial(port), -1);
    assert_int_equal(rename(hidden, layout), 0);
}

static int count_entries(const char *directory)
{
    char path[400];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", state_dir, directory);
    AUTO(closedir) DIR *dir = opendir(path);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    return count;
}

static void what_no_service_needs_is_removed(void **state)
{
    (void)state;
    new_state_dir();
    AUTO(services_free) struct services *services = agent_begin();
    static const char *const tags[] = { "t1", "t2", "t3", "t4" };
    for (int i = 0; i < 4; i++) {
        char now[24], next[24];
        snprintf(now, sizeof now, "%d", i);
        snprintf(next, sizeof next, "%d", i + 1);
        deploy(services, now, next, serving(tags[i]));
    }
    for (int patience = 0; patience < 1000 && count_entries("instances") > 1; patience++)
        usleep(10000); /* until the older ones have ended */
    assert_int_equal(count_entries("instances"), 1);
    deploy(services, "4", "5", serving("t5"));
    for (int patience = 0; patience < 1000 && count_entries("images") > 2; patience++)
        usleep(10000);
    assert_int_equal(count_entries("images"), 2); /* what runs, and what was still ending */
    assert_int_equal(count_entries("layers"), 2); /* theirs is the same, and the empty one */
}

static void one_agent_at_a_time(void **state)
{
    (void)state;
    new_state_dir();
    struct error err = { 0 };
    const struct services_options options = { .state_dir = state_dir, .say = say };
    AUTO(services_free) struct services *services = agent_begin();
    assert_null(services_new(&options, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_has(err.message, "is in use by another agent");
}

static void a_deleted_service_is_gone(void **state)
{
    (void)state;
    new_state_dir();
    const char *image = serving("gone");
    struct services *services = agent_begin();
    unsigned port = deploy(services, "0", "1", image);
    assert_int_equal(call(services, "DELETE", "/services/default/web", NULL, NULL, NULL).status, 204);
    assert_int_equal(call(services, "GET", "/services/default/web", NULL, NULL, NULL).status, 404);
    int fd = 0;
    for (int i = 0; i < 500 && (fd = dial(port)) >= 0; i++) {
        close(fd);
        usleep(10000);
    }
    assert_int_equal(fd, -1);
    services_free(services);
    services = agent_begin();
    assert_int_equal(call(services, "GET", "/services/default/web", NULL, NULL, NULL).status, 404);
    services_free(services);
}

static void a_port_that_is_taken_is_said(void **state)
{
    (void)state;
    new_state_dir();
    char more[64];
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    AUTO(close) int taken = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(taken, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(taken, 1), 0);
    getsockname(taken, (struct sockaddr *)&address, &size);
    AUTO(services_free) struct services *services = agent_begin();
    snprintf(more, sizeof more, ",\"servicePort\":\"127.0.0.1:%u\"", ntohs(address.sin_port));
    assert_int_equal(put(services, NULL, serving("port"), more).status, 202);
    struct answer got = wait_settled(services, "1");
    assert_has(got.body, "\"state\":\"failed\"");
    assert_has(got.body, "in use");
}

static int run_tests(const char *name)
{
    struct error err = { 0 };
    enum sandbox_mode mode;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_becomes_a_page),
        cmocka_unit_test(what_is_asked_wrongly_is_refused),
        cmocka_unit_test(a_generation_guards_the_service),
        cmocka_unit_test(replacing_refuses_nobody),
        cmocka_unit_test(a_version_that_does_not_come_up_leaves_the_old_one),
        cmocka_unit_test(an_image_that_is_not_there_is_said),
        cmocka_unit_test(a_health_check_is_waited_for),
        cmocka_unit_test(one_that_dies_is_started_again),
        cmocka_unit_test(an_agent_that_is_killed_leaves_nothing_and_goes_on),
        cmocka_unit_test(what_no_service_needs_is_removed),
        cmocka_unit_test(one_agent_at_a_time),
        cmocka_unit_test(a_deleted_service_is_gone),
        cmocka_unit_test(a_port_that_is_taken_is_said),
    };
    if (!sandbox_probe(true, &mode, &err)) {
        printf("1..1\nok 1 - %s # SKIP %s\n", name, err.message);
        return 0;
    }
    return _cmocka_run_group_tests(name, tests, sizeof tests / sizeof tests[0], prepare, tidy);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "inside") == 0)
        return inside_main(argv + 2);
    signal(SIGPIPE, SIG_IGN);
    return run_as_both(run_tests, "runtime/local/services");
}
