#include "runtime/local/chain.h"

#include "runtime/local/handed.h"
#include "runtime/local/program.h"
#include "runtime/local/services.h"
#include "runtime/local/supervisor.h"
#include "runtime/local/timer.h"
#include "runtime/server.h"
#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/config/config.h"
#include "shared/http/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    ARENA_MAX = 4 * 1024 * 1024,
    COURIERS_MAX = 8, /* deliveries at once to one function of this machine */
    READY_MS = 10000,
    STOP_GRACE_MS = 10000, /* a second more than the functions are told to take */
    LAST_WORDS_MAX = 4096,
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
    const char *sockets[FUNCTION_COUNT];
    struct receiver receivers[FUNCTION_COUNT];
    struct child children[FUNCTION_COUNT];
    struct carrier *carrier;
    struct services *services;
    struct supervisor *supervisor;
    struct timer *timer;
    struct timer_target ticks[FUNCTION_COUNT];
    struct door sink, platform;
    pthread_mutex_t lock; /* the two below */
    bool is_up;           /* until then, a function that exits is the end of starting */
    struct error ended;
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

/* "8080" stands for every address of this machine. */
static bool place_of(struct chain *chain, size_t function, const char *path, struct timer_target *out)
{
    const char *listen = chain->options.listen;
    bool outside = chain->manifests[function]->serves_http;
    bool by_socket = !outside || strncmp(listen, "unix:", 5) == 0;
    const char *host = by_socket ? "localhost" : listen, *before = by_socket || strchr(host, ':') ? "" : "127.0.0.1:";
    *out = (struct timer_target){
        .url = arena_printf(chain->arena, "http://%s%s%s", before, host, path),
        .unix_socket = !by_socket ? NULL
                       : outside  ? listen + 5
                                  : chain->sockets[function],
    };
    return out->url != NULL;
}

static bool ask_manifests(struct chain *chain, struct error *err)
{
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        chain->programs[i] = arena_printf(chain->arena, "%s/%s", chain->options.program_dir, function_names[i]);
        if (!chain->programs[i])
            return out_of_memory(err);
        const struct manifest *m = chain->manifests[i] = program_manifest(chain->programs[i], err);
        if (!m)
            return error_wrap(err, "the function binaries, looked for in '%s'", chain->options.program_dir);
        struct timer_target place;
        chain->sockets[i] = arena_printf(chain->arena, "%s/run/%s.sock", chain->options.state_dir, function_names[i]);
        if (!chain->sockets[i] || !place_of(chain, i, "/", &place))
            return out_of_memory(err);
        chain->receivers[i] = (struct receiver){
            .name = function_names[i],
            .url = place.url,
            .socket = place.unix_socket,
            .types = m->in.items,
            .type_count = m->in.count,
            .concurrency = m->concurrency < COURIERS_MAX ? m->concurrency : COURIERS_MAX,
            .timeout_ms = m->timeout_s * 1000 + 5000, /* the function gives up first, and says why */
        };
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
    if (access(*path, F_OK) == 0)
        return true;
    if (errno != ENOENT)
        return error_set_errno(err, errno, "cannot look at '%s'", *path);
    random_bytes(raw, sizeof raw);
    hex_encode(text, raw, sizeof raw);
    return file_write_atomic(*path, span_of(text), 0600, err);
}

static char **environment_of(struct chain *chain, size_t function, const char *key_path)
{
    extern char **environ;
    enum { OURS = 8 };
    size_t inherited = 0, count = 0;
    while (environ[inherited])
        inherited++;
    char **out = arena_take(chain->arena, (inherited + OURS + 1) * sizeof *out);
    struct arena *arena = chain->arena;
    const char *state = chain->options.state_dir;
    if (!out)
        return NULL;
    char *const ours[OURS] = {
        chain->manifests[function]->serves_http
            ? arena_printf(arena, "PUSHWRIGHT_LISTEN=%s", chain->options.listen)
            : arena_printf(arena, "PUSHWRIGHT_LISTEN=unix:%s", chain->sockets[function]),
        arena_printf(arena, "PUSHWRIGHT_CONFIG=%s", chain->options.config_path),
        arena_printf(arena, "PUSHWRIGHT_CHAIN_KEY_FILE=%s", key_path),
        arena_printf(arena, "PUSHWRIGHT_SINK=unix:%s/run/sink.sock", state),
        arena_printf(arena, "PUSHWRIGHT_LOCAL_PLATFORM=unix:%s/run/platform.sock", state),
        arena_printf(arena, "PUSHWRIGHT_CACHE_DIR=%s/cache", state),
        arena_printf(arena, "PUSHWRIGHT_DRAIN_SECONDS=%d", STOP_GRACE_MS / 1000 - 1),
        arena_printf(arena, "PUSHWRIGHT_PLATFORM=http"),
    };
    for (size_t i = 0; i < inherited; i++)
        if (handed_is(chain->config, chain->manifests[function], environ[i]))
            out[count++] = environ[i];
    for (size_t i = 0; i < OURS; i++)
        if (!(out[count++] = ours[i]))
            return NULL;
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

/* --- a function that ended ------------------------------------------------------------------------------------------ */

static bool read_tail(const char *path, struct bytes *out)
{
    struct error ignored = { 0 };
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    off_t from = end > LAST_WORDS_MAX ? end - LAST_WORDS_MAX : 0;
    if (end < 0 || !bytes_reserve(out, LAST_WORDS_MAX, &ignored))
        return false;
    ssize_t n = pread(fd, out->data, LAST_WORDS_MAX, from);
    if (n > 0)
        out->len = (size_t)n;
    return n > 0;
}

/* What a function says before it exits is the last line of its log: JSON with a "message", or plain text. */
static bool last_words(const char *log, struct bytes *out, struct error *err)
{
    AUTO(bytes_release) struct bytes tail = BYTES(LAST_WORDS_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    struct error not_json = { 0 };
    if (!arena || !read_tail(log, &tail))
        return true;
    struct span text = span_trim(bytes_span(&tail));
    struct span line = { text.data + span_find_last(text, '\n') + 1, 0 };
    line.len = text.len - (size_t)(line.data - text.data);
    const char *message = json_get_string(json_parse(arena, line, &not_json), "message");
    return bytes_append_span(out, message ? span_of(message) : line, err);
}

/* "webhook ended (exit 1): cannot listen ..." */
static void describe_end(const struct child *child, int status, const struct error *why, struct error *out)
{
    AUTO(bytes_release) struct bytes words = BYTES(LAST_WORDS_MAX);
    struct error ignored = { 0 };
    if (why)
        error_set(out, why->kind, "%s: %s", child->name, why->message);
    else if (WIFSIGNALED(status))
        error_set(out, ERROR_INTERNAL, "%s was ended by signal %d", child->name, WTERMSIG(status));
    else if (last_words(child->log, &words, &ignored))
        error_set(out, ERROR_INTERNAL, "%s ended with %d: %.600s", child->name, WEXITSTATUS(status),
                  bytes_text(&words));
}

static void child_ended(void *context, const struct child *child, int status, const struct error *why,
                        long restart_in_ms)
{
    struct chain *chain = context;
    struct error ended = { 0 };
    char text[sizeof ended.message + 512];
    describe_end(child, status, why, &ended);
    /* Who exits while the chain starts has something to say, and would say it again; who is killed may do better next time. */
    bool in_vain = why || WIFEXITED(status);
    pthread_mutex_lock(&chain->lock);
    bool ends_start = !chain->is_up && in_vain;
    if (ends_start && !chain->ended.kind)
        chain->ended = ended;
    pthread_mutex_unlock(&chain->lock);
    if (ends_start)
        return;
    snprintf(text, sizeof text, "%s (starts again in %ld ms; its log: %s)", ended.message, restart_in_ms, child->log);
    chain->options.say(chain->options.context, text);
}

/* --- until they answer ---------------------------------------------------------------------------------------------- */

static bool ended_early(struct chain *chain, struct error *err)
{
    pthread_mutex_lock(&chain->lock);
    bool ended = chain->ended.kind != ERROR_NONE;
    if (ended)
        *err = chain->ended;
    pthread_mutex_unlock(&chain->lock);
    return ended;
}

static bool answers(struct http_client *client, const struct timer_target *place)
{
    struct error not_yet = { 0 };
    AUTO(http_response_release) struct http_response response = { 0 };
    const struct http_request request = {
        .method = "GET", .url = place->url, .unix_socket = place->unix_socket, .timeout_ms = 1000
    };
    return http_call(client, &request, &response, &not_yet) && response.status == 200;
}

static bool wait_for_function(struct chain *chain, struct http_client *client, size_t i, int64_t until,
                              struct error *err)
{
    struct timer_target health;
    if (!place_of(chain, i, "/healthz", &health))
        return out_of_memory(err);
    while (!answers(client, &health)) {
        if (ended_early(chain, err))
            return false;
        if (clock_monotonic_ms() > until)
            return error_set(err, ERROR_UNAVAILABLE, "%s does not answer; its log: %s", function_names[i],
                             chain->children[i].log);
        poll(NULL, 0, 1);
    }
    return true;
}

static bool wait_until_ready(struct chain *chain, struct error *err)
{
    AUTO(http_client_free) struct http_client *client = http_client_new(NULL, err);
    int64_t until = clock_monotonic_ms() + READY_MS;
    if (!client)
        return false;
    for (size_t i = 0; i < FUNCTION_COUNT; i++)
        if (!wait_for_function(chain, client, i, until, err))
            return false;
    if (ended_early(chain, err))
        return false;
    pthread_mutex_lock(&chain->lock);
    chain->is_up = true;
    pthread_mutex_unlock(&chain->lock);
    return true;
}

/* Found out here, so that it is said here, and not by a function that dies of it again and again. */
static bool check_listen(struct chain *chain, struct error *err)
{
    const char *listen = chain->options.listen;
    if (strncmp(listen, "unix:", 5) == 0)
        return true;
    AUTO(server_free) struct server *probe = server_new(&(struct server_options){ .listen = listen }, err);
    if (!probe)
        return error_wrap(err, "the address of webhook (--listen names another)");
    size_t length = strlen(listen);
    if (strcmp(listen, "0") == 0 || (length > 2 && strcmp(listen + length - 2, ":0") == 0))
        return error_set(err, ERROR_INVALID, "'%s' names no port: git hosts would not find it again", listen);
    return true;
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
        return error_set(err, ERROR_INVALID,
                         "the state directory's path '%s' is too long for a socket's name: choose a shorter one",
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
        .registry = registry_logins_options(chain->logins),
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

/* The functions whose fn.json asks for it. */
static bool start_timer(struct chain *chain, struct error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        if (!manifest_lists(&chain->manifests[i]->timer, TIMER_EVENT))
            continue;
        if (!place_of(chain, i, "/", &chain->ticks[count++]))
            return out_of_memory(err);
    }
    if (count == 0 || chain->options.reconcile_s == 0)
        return true;
    chain->timer = timer_new(chain->ticks, count, chain->options.reconcile_s, err);
    return chain->timer != NULL;
}

static bool begin(struct chain *chain, struct error *err)
{
    chain->config = config_load(chain->options.config_path, err);
    if (!chain->config || !make_directories(chain, err) || !ask_manifests(chain, err) || !open_carrier(chain, err) ||
        !check_listen(chain, err) || !open_platform(chain, err) || !prepare_children(chain, err))
        return false;
    services_resume(chain->services);
    const struct supervisor_options options = {
        .children = chain->children,
        .child_count = FUNCTION_COUNT,
        .ended = child_ended,
        .context = chain,
    };
    chain->supervisor = supervisor_new(&options, err);
    return chain->supervisor && wait_until_ready(chain, err) && carrier_start(chain->carrier, err) &&
           start_timer(chain, err);
}

struct chain *chain_new(const struct chain_options *options, struct error *err)
{
    AUTO(chain_free) struct chain *chain = calloc(1, sizeof *chain);
    if (chain)
        pthread_mutex_init(&chain->lock, NULL);
    if (!chain || !(chain->arena = arena_new(ARENA_MAX))) {
        out_of_memory(err);
        return NULL;
    }
    chain->options = *options;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored, as some parents leave it, nobody could wait for the functions */
    return begin(chain, err) ? TAKE(chain) : NULL;
}

void chain_free(struct chain *chain)
{
    if (!chain)
        return;
    /* Nothing more is handed out; what the functions still send is taken; what they do not finish stays in the journal. */
    timer_hold(chain->timer);
    if (chain->carrier)
        carrier_hold(chain->carrier);
    if (chain->supervisor)
        supervisor_stop(chain->supervisor, STOP_GRACE_MS);
    timer_free(chain->timer);
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
    pthread_mutex_destroy(&chain->lock);
    arena_free(chain->arena);
    free(chain);
}
