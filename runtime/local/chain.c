#include "runtime/local/chain.h"

#include "runtime/local/program.h"
#include "runtime/local/services.h"
#include "runtime/local/supervisor.h"
#include "runtime/server.h"
#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/random.h"
#include "shared/config/config.h"
#include "shared/http/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    ARENA_MAX = 4 * 1024 * 1024,
    COURIERS_MAX = 8,   /* deliveries at once to one function of this machine */
    READY_MS = 10000,
    STOP_GRACE_MS = 10000,
    SOCKET_PATH_MAX = 107, /* sun_path */
};

static const char *const function_names[] = { "webhook", "build", "trigger", "deploy" };
enum { FUNCTION_COUNT = sizeof function_names / sizeof function_names[0] };

/* A server of ours on a unix socket, with the thread that runs it. */
struct door {
    struct server *server;
    pthread_t thread;
    bool open;
};

struct chain {
    struct chain_options options;
    struct arena *arena;
    struct config *config;
    struct registry_logins *logins;
    const char *programs[FUNCTION_COUNT];
    struct manifest *manifests[FUNCTION_COUNT];
    struct receiver receivers[FUNCTION_COUNT];
    struct child children[FUNCTION_COUNT];
    struct carrier *carrier;
    struct services *services;
    struct supervisor *supervisor;
    struct door sink, platform;
};

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

/* --- the two sockets ---------------------------------------------------------------------------------------------- */

static void to_carrier(void *context, const struct request *request, struct reply *reply)
{
    carrier_handle(((struct chain *)context)->carrier, request, reply);
}

static void to_services(void *context, const struct request *request, struct reply *reply)
{
    services_handle(((struct chain *)context)->services, request, reply);
}

static void *run_server(void *server)
{
    struct error err = { 0 };
    (void)server_run(server, &err);
    return NULL;
}

static bool door_open(struct door *door, struct chain *chain, const char *socket_name,
                      void (*handle)(void *, const struct request *, struct reply *), struct error *err)
{
    const struct server_options options = {
        .listen = arena_printf(chain->arena, "unix:%s/run/%s", chain->options.state_dir, socket_name),
        .workers = 8,
        .body_max = 2 * EVENT_MAX,
        .handle = handle,
        .context = chain,
        .drain_timeout_ms = 1000,
    };
    door->server = server_new(&options, err);
    if (!door->server)
        return false;
    int failed = pthread_create(&door->thread, NULL, run_server, door->server);
    door->open = failed == 0;
    return door->open || error_set_errno(err, failed, "cannot start a thread");
}

static void door_close(struct door *door)
{
    if (door->open) {
        server_stop(door->server);
        pthread_join(door->thread, NULL);
        door->open = false;
    }
    server_free(TAKE(door->server));
}

/* --- the functions ------------------------------------------------------------------------------------------------ */

static bool ask_manifests(struct chain *chain, struct error *err)
{
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        chain->programs[i] = arena_printf(chain->arena, "%s/%s", chain->options.program_dir, function_names[i]);
        if (!chain->programs[i])
            return out_of_memory(err);
        const struct manifest *m = chain->manifests[i] = program_manifest(chain->programs[i], err);
        if (!m)
            return false;
        chain->receivers[i] = (struct receiver){
            .name = function_names[i],
            .socket = arena_printf(chain->arena, "%s/run/%s.sock", chain->options.state_dir, function_names[i]),
            .types = m->in.items,
            .type_count = m->in.count,
            .concurrency = m->concurrency < COURIERS_MAX ? m->concurrency : COURIERS_MAX,
            .timeout_ms = m->timeout_s * 1000 + 5000, /* the function gives up first, and says why */
        };
        if (!chain->receivers[i].socket)
            return out_of_memory(err);
    }
    return true;
}

/* The chain's key is made once and stays: events on disk were signed under it. */
static bool chain_key(struct chain *chain, const char **path, struct error *err)
{
    uint8_t raw[32];
    char text[2 * sizeof raw + 1];
    *path = arena_printf(chain->arena, "%s/chain.key", chain->options.state_dir);
    if (!*path)
        return out_of_memory(err);
    if (access(*path, R_OK) == 0)
        return true;
    random_bytes(raw, sizeof raw);
    hex_encode(text, raw, sizeof raw);
    return file_write_atomic(*path, span_of(text), 0600, err);
}

/* Everything a function is told stands in its environment; PATH and HOME are not among it. Variables that the configuration
 * names for its secrets, proxies and certificates come from ours. */
static char **environment_of(struct chain *chain, size_t function, const char *key_path)
{
    extern char **environ;
    size_t inherited = 0, count = 0;
    while (environ[inherited])
        inherited++;
    char **out = arena_take(chain->arena, (inherited + 10) * sizeof *out);
    const char *state = chain->options.state_dir;
    if (!out)
        return NULL;
    for (size_t i = 0; i < inherited; i++)
        if (strncmp(environ[i], "PUSHWRIGHT_", 11) != 0 && strncmp(environ[i], "K_", 2) != 0 &&
            strncmp(environ[i], "PORT=", 5) != 0)
            out[count++] = environ[i];
    out[count++] = chain->manifests[function]->serves_http
                       ? arena_printf(chain->arena, "PUSHWRIGHT_LISTEN=%s", chain->options.listen)
                       : arena_printf(chain->arena, "PUSHWRIGHT_LISTEN=unix:%s", chain->receivers[function].socket);
    out[count++] = arena_printf(chain->arena, "PUSHWRIGHT_CONFIG=%s", chain->options.config_path);
    out[count++] = arena_printf(chain->arena, "PUSHWRIGHT_CHAIN_KEY_FILE=%s", key_path);
    out[count++] = arena_printf(chain->arena, "PUSHWRIGHT_SINK=unix:%s/run/sink.sock", state);
    out[count++] = arena_printf(chain->arena, "PUSHWRIGHT_LOCAL_PLATFORM=unix:%s/run/platform.sock", state);
    out[count++] = arena_printf(chain->arena, "PUSHWRIGHT_CACHE_DIR=%s/cache", state);
    return out;
}

static bool prepare_children(struct chain *chain, struct error *err)
{
    const char *key_path;
    if (!chain_key(chain, &key_path, err))
        return error_wrap(err, "the chain's key");
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        char **argv = arena_take(chain->arena, 2 * sizeof *argv);
        char *log = arena_printf(chain->arena, "%s/log/%s.log", chain->options.state_dir, function_names[i]);
        char **environment = environment_of(chain, i, key_path);
        if (!argv || !log || !environment)
            return out_of_memory(err);
        argv[0] = arena_dup(chain->arena, span_of(chain->programs[i]));
        chain->children[i] = (struct child){ function_names[i], argv, environment, log };
    }
    return true;
}

static void child_ended(void *context, const struct child *child, int status, long restart_in_ms)
{
    struct chain *chain = context;
    char text[512];
    snprintf(text, sizeof text, "%s ended (%s %d), starts again in %ld ms; its log: %s", child->name,
             WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
             restart_in_ms, child->log);
    chain->options.say(chain->options.context, text);
}

static bool answers(struct chain *chain, struct http_client *client, size_t i, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { 0 };
    bool outside = chain->manifests[i]->serves_http;
    const struct http_request request = {
        .method = "GET",
        .url = arena_printf(chain->arena, "http://%s/healthz", outside ? chain->options.listen : "localhost"),
        .unix_socket = outside ? NULL : chain->receivers[i].socket,
        .timeout_ms = 1000,
    };
    return request.url && http_call(client, &request, &response, err) && response.status == 200;
}

static bool wait_until_ready(struct chain *chain, struct error *err)
{
    AUTO(http_client_free) struct http_client *client = http_client_new(NULL, err);
    int64_t until = clock_monotonic_ms() + READY_MS;
    for (size_t i = 0; client && i < FUNCTION_COUNT;) {
        struct error why = { 0 };
        if (answers(chain, client, i, &why)) {
            i++;
            continue;
        }
        if (clock_monotonic_ms() > until)
            return error_set(err, ERROR_UNAVAILABLE, "%s does not answer; see %s", function_names[i],
                             chain->children[i].log);
        poll(NULL, 0, 1);
    }
    return client != NULL;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static bool make_directories(struct chain *chain, struct error *err)
{
    static const char *const names[] = { "", "/run", "/log", "/cache" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = arena_printf(chain->arena, "%s%s", chain->options.state_dir, names[i]);
        if (!path)
            return out_of_memory(err);
        if (!directory_make(path, 0700, err))
            return false;
    }
    if (strlen(chain->options.state_dir) + sizeof "/run/platform.sock" > SOCKET_PATH_MAX)
        return error_set(err, ERROR_INVALID, "the state directory's path '%s' is too long for a socket's name: choose a shorter one",
                         chain->options.state_dir);
    return true;
}

static void service_says(void *context, const char *text)
{
    struct chain *chain = context;
    chain->options.say(chain->options.context, text);
}

static bool open_platform(struct chain *chain, struct error *err)
{
    chain->logins = config_registry_logins(chain->config, err);
    if (!chain->logins)
        return false;
    const struct services_options options = {
        .state_dir = chain->options.state_dir,
        .registry = registry_logins_options(chain->logins, false),
        .say = service_says,
        .context = chain,
    };
    chain->services = services_new(&options, err);
    return chain->services && door_open(&chain->platform, chain, "platform.sock", to_services, err);
}

static bool open_carrier(struct chain *chain, struct error *err)
{
    const struct carrier_options options = {
        .state_dir = chain->options.state_dir,
        .receivers = chain->receivers,
        .receiver_count = FUNCTION_COUNT,
        .notice = chain->options.notice,
        .context = chain->options.context,
    };
    chain->carrier = carrier_new(&options, err);
    return chain->carrier && door_open(&chain->sink, chain, "sink.sock", to_carrier, err);
}

static bool begin(struct chain *chain, struct error *err)
{
    chain->config = config_load(chain->options.config_path, err);
    if (!chain->config || !make_directories(chain, err) || !ask_manifests(chain, err) || !open_carrier(chain, err) ||
        !open_platform(chain, err) || !prepare_children(chain, err))
        return false;
    services_resume(chain->services);
    const struct supervisor_options options = {
        .children = chain->children,
        .child_count = FUNCTION_COUNT,
        .ended = child_ended,
        .context = chain,
    };
    chain->supervisor = supervisor_new(&options, err);
    return chain->supervisor && wait_until_ready(chain, err) && carrier_start(chain->carrier, err);
}

struct chain *chain_new(const struct chain_options *options, struct error *err)
{
    AUTO(chain_free) struct chain *chain = calloc(1, sizeof *chain);
    if (!chain || !(chain->arena = arena_new(ARENA_MAX))) {
        out_of_memory(err);
        return NULL;
    }
    chain->options = *options;
    signal(SIGPIPE, SIG_IGN);
    return begin(chain, err) ? TAKE(chain) : NULL;
}

void chain_free(struct chain *chain)
{
    if (!chain)
        return;
    /* The functions first: what they still send is taken, what they were given and did not finish stays in the journal. */
    if (chain->supervisor)
        supervisor_stop(chain->supervisor, STOP_GRACE_MS);
    if (chain->carrier)
        carrier_stop(chain->carrier);
    door_close(&chain->sink);
    door_close(&chain->platform);
    services_free(chain->services);
    supervisor_free(chain->supervisor);
    carrier_free(chain->carrier);
    registry_logins_free(chain->logins);
    for (size_t i = 0; i < FUNCTION_COUNT; i++)
        manifest_free(chain->manifests[i]);
    config_free(chain->config);
    arena_free(chain->arena);
    free(chain);
}
