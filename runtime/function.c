#include "runtime/function.h"

#include "runtime/call.h"
#include "runtime/keys.h"
#include "runtime/oneshot.h"
#include "runtime/outcome.h"
#include "runtime/platform.h"
#include "runtime/report.h"
#include "runtime/serve.h"
#include "runtime/version.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/config/config.h"

#include <signal.h>
#include <string.h>

enum { DRAIN_DEFAULT_S = 30, DRAIN_MAX_S = 3600, SOURCE_MAX = 2048 };

/* --- stopping ------------------------------------------------------------------------------------------------------------- */

static _Atomic int64_t stop_ms;

int64_t stop_requested_ms(void)
{
    return atomic_load(&stop_ms);
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    int64_t never = 0;
    atomic_compare_exchange_strong(&stop_ms, &never, clock_monotonic_ms());
    serve_stop();
}

/* Who presses Ctrl-C a second time means it. */
static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
    sigaction(SIGTERM, &action, NULL);
    action.sa_flags |= (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* --- setting up ----------------------------------------------------------------------------------------------------------- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool deliver_to_sink(void *context, const struct event *event, const struct sink_failure *first,
                            int64_t budget_ms, int *status, struct error *err)
{
    return sink_deliver_within(context, event, first, budget_ms, status, err);
}

/* What the platform allows for the end, else a default. */
static int64_t drain_default_s(const struct shim *shim)
{
    int64_t told = shim->limits.write_ms / 1000;
    return told < 1 ? DRAIN_DEFAULT_S : told > DRAIN_MAX_S ? DRAIN_MAX_S : told;
}

static bool set_limits(struct shim *shim, struct error *err)
{
    if (!platform_limits(shim->platform, &shim->limits, err))
        return false;
    const char *text = environment("PUSHWRIGHT_DRAIN_SECONDS");
    char *end = NULL;
    long seconds = text ? strtol(text, &end, 10) : (long)drain_default_s(shim);
    if ((text && *end) || seconds < 1 || seconds > DRAIN_MAX_S)
        return error_set(err, ERROR_INVALID, "PUSHWRIGHT_DRAIN_SECONDS '%.40s' is not a number of seconds from 1 to %d",
                         text ? text : "", DRAIN_MAX_S);
    shim->drain_ms = (int64_t)seconds * 1000;
    return true;
}

static bool set_keys(struct shim *shim, struct error *err)
{
    const char *trust = environment("PUSHWRIGHT_TRUST_PLATFORM");
    shim->trust_platform = trust && strcmp(trust, "1") == 0;
    AUTO(keyring_free) struct keyring *keyring = keys_load(shim->manifest, err);
    if (!keyring)
        return false;
    if (keyring_count(keyring) > 0)
        shim->keyring = TAKE(keyring);
    if (shim->manifest->is_signed && !shim->keyring && !shim->trust_platform)
        return error_set(err, ERROR_INVALID,
                         "no chain key to verify events with: set PUSHWRIGHT_CHAIN_KEY_FILE, PUSHWRIGHT_CHAIN_KEY or "
                         "\"chain\" in the configuration; or PUSHWRIGHT_TRUST_PLATFORM=1 where the platform "
                         "authenticates every sender");
    return true;
}

static bool set_sink(struct shim *shim, struct error *err)
{
    struct error failed = { 0 };
    shim->sink = sink_from_environment(&failed);
    if (shim->sink)
        shim->outlet = (struct outlet){ deliver_to_sink, shim->sink };
    else if (failed.kind != ERROR_NONE)
        *err = failed;
    return failed.kind == ERROR_NONE;
}

static bool set_source(struct shim *shim, struct error *err)
{
    static const char prefix[] = "/pushwright/";
    static const char *const probe_type = "probe";
    const char *given = environment("PUSHWRIGHT_SOURCE");
    shim->source = given ? given : arena_printf(shim->manifest->arena, "%s%s", prefix, shim->manifest->name);
    if (!shim->source)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    const struct event probe = { .id = "1", .source = shim->source, .type = probe_type };
    return event_check(&probe, err) || error_wrap(err, "PUSHWRIGHT_SOURCE");
}

static bool check_handler(const struct shim *shim, struct error *err)
{
    const struct function *function = shim->function;
    if (shim->manifest->serves_http ? !function->serve : !function->handle)
        return error_set(err, ERROR_INTERNAL, "the function has no %s, which its fn.json asks for",
                         shim->manifest->serves_http ? "serve" : "handle");
    return true;
}

static bool set_metrics(struct shim *shim, struct error *err)
{
    shim->metrics = metrics_new();
    return shim->metrics || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool shim_fill(struct shim *shim, struct error *err)
{
    return set_metrics(shim, err) && check_handler(shim, err) && set_limits(shim, err) && set_source(shim, err) &&
           set_keys(shim, err) && set_sink(shim, err) &&
           (!shim->function->start || shim->function->start(&shim->state, err));
}

static void shim_release(struct shim *shim)
{
    for (size_t i = 0; i < shim->arena_count; i++)
        arena_free(shim->arenas[i]);
    metrics_free(shim->metrics);
    sink_free(shim->sink);
    keyring_free(shim->keyring);
    pthread_mutex_destroy(&shim->lock);
}
AUTO_RELEASE(struct shim, shim_release)

/* What keeps the function from starting may be one of many mistakes, and who mends one wants to know all. */
static void tell_mistakes(const char *name)
{
    struct error err = { 0 };
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    config_free(config_read(config_path(), &mistakes, &err));
    for (size_t i = 0; i < mistakes.count; i++) {
        const struct config_mistake *one = &mistakes.items[i];
        error_set(&err, ERROR_INVALID, "%s:%zu:%zu: %s", config_path(), one->line, one->column, one->text);
        report_fatal(name, &err);
    }
}

/* --- running -------------------------------------------------------------------------------------------------------------- */

/* Event NULL: what the platform says. */
static int run_once(struct shim *shim, const struct platform *platform, const char *path)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(EVENT_MAX);
    if (shim->manifest->serves_http)
        error_set(&err, ERROR_UNSUPPORTED, "the function serves HTTP and takes no events");
    else if (path ? file_read(&text, path, &err) : platform_read_event(platform, &text, &err))
        return oneshot_run(shim, bytes_span(&text));
    error_wrap(&err, "event");
    report_fatal(shim->manifest->name, &err);
    return outcome_exit_code(&err);
}

static int run(struct shim *shim, const struct platform *platform, const char *event_path)
{
    struct error err = { 0 };
    if (event_path || platform->mode != PLATFORM_HTTP) {
        if (!shim->outlet.deliver)
            shim->outlet = oneshot_printer();
        return run_once(shim, platform, event_path);
    }
    if (serve_run(shim, platform_listen(platform), &err))
        return EXIT_SUCCESS;
    report_fatal(shim->manifest->name, &err);
    return EXIT_FAILURE;
}

static int start_and_run(const struct function *function, struct manifest *manifest, const char *event_path)
{
    struct error err = { 0 };
    const struct platform *platform = platform_detect(&err);
    AUTO(shim_release) struct shim shim = { .function = function, .manifest = manifest };
    pthread_mutex_init(&shim.lock, NULL);
    catch_signals();
    shim.platform = platform;
    if (!platform || !shim_fill(&shim, &err)) {
        tell_mistakes(manifest->name);
        report_fatal(manifest->name, &err);
        return EXIT_FAILURE;
    }
    int code = run(&shim, platform, event_path);
    if (function->stop)
        function->stop(shim.state);
    return code;
}

/* --- command line --------------------------------------------------------------------------------------------------------- */

struct context {
    const struct function *function;
    struct manifest *manifest;
};

static int command_event(const struct context *context, const char *path)
{
    return start_and_run(context->function, context->manifest, path);
}

static int command_check(const struct context *context, const char *path)
{
    return oneshot_check(context->manifest->name, path);
}

static int command_manifest(const struct context *context, const char *none)
{
    (void)none;
    return fputs(context->function->manifest, stdout) < 0;
}

static int command_version(const struct context *context, const char *none)
{
    (void)none;
    return printf("%s %s\n", context->manifest->name, PUSHWRIGHT_VERSION) < 0;
}

static int command_help(const struct context *context, const char *none);

static const struct option {
    const char *name;
    const char *argument;                                            /* NULL: none */
    int (*run)(const struct context *context, const char *argument); /* returns the exit code */
    const char *help;
} options[] = {
    { "--event", "FILE", command_event, "handle the structured CloudEvent in FILE (-: standard input), then end" },
    { "--manifest", NULL, command_manifest, "print fn.json: the events it takes and gives, and its limits" },
    { "--check-event", "FILE", command_check, "for developers: decode an event or a batch, print it encoded again" },
    { "--version", NULL, command_version, "print the version" },
    { "--help", NULL, command_help, "print this" },
};

static const struct {
    const char *name, *help;
} variables[] = {
    { "PUSHWRIGHT_LISTEN", "where to listen: 127.0.0.1:8080, 8080, unix:/path; else the platform's port, else 8080" },
    { "PUSHWRIGHT_SINK", "where events go, http(s)://... or unix:/path; K_SINK comes first" },
    { "PUSHWRIGHT_CONFIG", "the configuration; else /etc/pushwright/pushwright.json" },
    { "PUSHWRIGHT_CHAIN_KEY_FILE",
      "file with the chain's keys, in lines or between commas: the first signs, all verify" },
    { "PUSHWRIGHT_CHAIN_KEY", "the keys themselves, likewise" },
    { "PUSHWRIGHT_TRUST_PLATFORM", "1: events need no signature, the platform authenticates their senders" },
    { "PUSHWRIGHT_SOURCE", "source of the events it gives; else /pushwright/<function>" },
    { "PUSHWRIGHT_PLATFORM", "name of the platform, where its environment does not tell" },
    { "PUSHWRIGHT_METRICS_LISTEN",
      "where /metrics is told instead; else on the function's port, unless it faces the outside" },
    { "PUSHWRIGHT_DRAIN_SECONDS",
      "time between SIGTERM and the end, for what has begun; else the platform's, else 30" },
};

static void print_list(const char *title, const struct manifest_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        printf("%-7s%s\n", i == 0 ? title : "", list->items[i]);
}

static int command_help(const struct context *context, const char *none)
{
    (void)none;
    const struct manifest *manifest = context->manifest;
    printf("%s: %s\n\n", manifest->name, manifest->summary);
    printf("Without an option it serves %s, on the platform that its environment shows.\n\n",
           manifest->serves_http ? "HTTP" : "CloudEvents over HTTP, or handles the one event of a job");
    print_list("takes", &manifest->in);
    print_list("gives", &manifest->out);
    puts("\noptions");
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        printf("  %-14s %-5s %s\n", options[i].name, options[i].argument ? options[i].argument : "", options[i].help);
    puts("\nenvironment");
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        printf("  %-26s %s\n", variables[i].name, variables[i].help);
    return puts("\nexit codes of one event: 0 dealt with (what came of it, a failed build too, is told by events), 42 "
                "refused\nfor good, 1 try again later") < 0;
}

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

static int wrong_usage(const char *name, const char *argument)
{
    fprintf(stderr, "%s: cannot understand '%s'; see %s --help\n", name, argument, name);
    return 2;
}

int function_main(int argc, char **argv, const struct function *function)
{
    struct error err = { 0 };
    AUTO(manifest_free) struct manifest *manifest = manifest_parse(function->manifest, &err);
    if (!manifest) {
        report_fatal(argc > 0 ? argv[0] : "function", &err);
        return EXIT_FAILURE;
    }
    const struct option *option = argc > 1 ? find_option(argv[1]) : NULL;
    int expected = !option ? 1 : option->argument ? 3 : 2;
    if (argc > 1 && (!option || argc != expected))
        return wrong_usage(manifest->name, option && argc > expected ? argv[expected] : argv[1]);
    if (!option)
        return start_and_run(function, manifest, NULL);
    return option->run(&(struct context){ function, manifest }, option->argument ? argv[2] : NULL);
}
